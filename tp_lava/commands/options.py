"""Arguments, options and exit codes that several commands share, so that they mean the same in each."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes beside 0; the last is a shell's for Ctrl-C

RuleName = Literal["tp", "tess"]
Precision = Literal["float", "fixed"]

Model = Annotated[str, typer.Argument(help="A .tplava file, any file that convert takes, or digits or digits_0_to_8, which ship.")]
Data = Annotated[str, typer.Option(help="digits (embedded), an .npz of save_samples or from_nmnist, or an .h5 in SHD's layout.")]
Rate = Annotated[float | None, typer.Option(min=0, help="Of the hidden layers.")]
ReadoutRate = Annotated[float | None, typer.Option(min=0, help="Of the readout.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
Progress = Annotated[bool, typer.Option(help="Draw progress bars, on standard error.")]
