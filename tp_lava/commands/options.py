"""Arguments and options that several commands share, and commands whose options are the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from tp_lava import pretrained
from tp_lava.data import sensors

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes beside 0; the last is a shell's for Ctrl-C

RuleName = Literal["tp", "tess", "stllr", "etlp", "decolle", "ottt", "sltt", "eprop", "ostl", "osttp"]
RuleNameOrNone = Literal[RuleName, "none"]


def completion(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completes these names; where none fits, the shell completes files."""
    return lambda incomplete: [name for name in names if name.lower().startswith(incomplete.lower())]


SENSORS = completion(sensors.SENSORS)
LEARNER = "learner.safetensors"  # in the folder of a run


def file_of(model: Any) -> Any:
    """Of the folder of a run its learner's file, as text or as a path; else what was given."""
    file = Path(model, LEARNER) if model else None
    return type(model)(file) if file and file.is_file() else model


def _model(help: str) -> Any:
    return typer.Argument(autocompletion=completion(pretrained.NAMES), callback=file_of, help=help)


_MODEL = "a saved Learner, a run's folder, a .tplava file, any file that convert reads, or digits or digits_0_to_8, which ship."
Model = Annotated[str, _model(f"The network: {_MODEL}")]
LearnerOrModel = Annotated[str, _model(f"A saved Learner, with what it has learned by, or a network: {_MODEL}")]
Start = Annotated[str | None, _model(f"A saved Learner, or a network: {_MODEL} By default untrained.")]
Data = Annotated[
    str,
    typer.Option(
        autocompletion=completion(["digits"]), help="digits (embedded), an .npz of save_samples or from_nmnist, or an .h5 in SHD's layout."
    ),
]
Rule = Annotated[RuleName, typer.Option(help="Learning rule; those of an error of the readout have it by random feedback, which is local.")]
RuleOrNone = Annotated[RuleNameOrNone | None, typer.Option(help="Learning rule of a model; none (the default): inference.")]
Rate = Annotated[float | None, typer.Option(min=0, help="Learning rate of the hidden layers.")]
ReadoutRate = Annotated[float | None, typer.Option(min=0, help="Learning rate of the readout.")]
Freeze = Annotated[list[str] | None, typer.Option(help="What does not learn: hidden0, ..., readout, convolutions; may be repeated.")]
Epochs = Annotated[int, typer.Option(min=1, help="Number of times each sample is learned.")]
Patience = Annotated[int | None, typer.Option(min=1, help="Stop after this many epochs without improvement.")]
Precision = Annotated[Literal["float", "fixed"], typer.Option(help="Number system.")]
Bits = Annotated[int | None, typer.Option(help="In fixed point: bits of a model's weights, 2 to 8 (8).")]
Augment = Annotated[str | None, typer.Option(help="How recordings vary while they are learned: shift=3,drop=0.2; of a camera pixels=1.")]
InLava = Annotated[bool, typer.Option("--in-lava", help="Run in Lava instead of the engine.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers: weights, label projection, splits, order, labels, rounding.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
Progress = Annotated[bool, typer.Option(help="Draw progress bars, on standard error.")]


def options_from(settings: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: the fields of the dataclass `settings` become options of the command, which gets an instance as its first argument."""
    hints = get_type_hints(settings, include_extras=True)
    options = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name])
        for field in dataclasses.fields(settings)
    ]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            chosen = {option.name: values.pop(option.name) for option in options}
            command(settings(**chosen), **values)

        _, *others = inspect.signature(command, eval_str=True).parameters.values()
        keywords = [other.replace(kind=inspect.Parameter.KEYWORD_ONLY) for other in others]
        called.__signature__ = inspect.Signature([*options, *keywords])  # type: ignore[attr-defined]
        return called

    return decorated


def _default(field: dataclasses.Field) -> Any:
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
