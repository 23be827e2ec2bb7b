"""Arguments, options and exit codes that several commands share, so that they mean the same in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import typer

from tp_lava.data.sensors import SENSORS
from tp_lava.pretrained import NAMES

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes beside 0; the last is a shell's for Ctrl-C

RuleName = Literal["tp", "tess"]
Precision = Literal["float", "fixed"]


def _of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completes these; where none fits, the shell completes files."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


_MODEL_NAMES, SENSOR_NAMES = _of(NAMES), _of(SENSORS)
_MODEL = "a .tplava file, any file that convert takes, or digits or digits_0_to_8, which ship."

Model = Annotated[str, typer.Argument(autocompletion=_MODEL_NAMES, help=f"A model: {_MODEL}")]
LearnerOrModel = Annotated[str, typer.Argument(autocompletion=_MODEL_NAMES, help=f"A saved Learner, or a model: {_MODEL}")]
Start = Annotated[str | None, typer.Argument(autocompletion=_MODEL_NAMES, help=f"A saved Learner, or a model: {_MODEL} By default blank.")]
Data = Annotated[
    str,
    typer.Option(
        autocompletion=_of(["digits"]), help="digits (embedded), an .npz of save_samples or from_nmnist, or an .h5 in SHD's layout."
    ),
]
Rate = Annotated[float | None, typer.Option(min=0, help="Of the hidden layers.")]
ReadoutRate = Annotated[float | None, typer.Option(min=0, help="Of the readout.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
Progress = Annotated[bool, typer.Option(help="Draw progress bars, on standard error.")]
