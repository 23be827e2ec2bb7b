"""`tp-lava export`: a model as a folder of sources, and what it will take on a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tp_lava.commands import configuration
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import is_learner, model_named
from tp_lava.commands.options import AsJson, LearnerOrModel, Rate, ReadoutRate
from tp_lava.commands.printing import print_json, print_rows, say_written
from tp_lava.commands.tasks import rule_named
from tp_lava.deploy.c import check_name, export_c, library_of
from tp_lava.errors import invalid
from tp_lava.fixedpoint import FixedPoint
from tp_lava.learner import Learner
from tp_lava.targets.c.members import STRUCTS

RuleName = Literal["tp", "tess", "none"]


def export(
    context: typer.Context,
    model: LearnerOrModel,
    out: Annotated[Path, typer.Option(help="Folder for the sources.")],
    target: Annotated[Literal["c"], typer.Option(help="c: portable C99, integers alone.")] = "c",
    name: Annotated[str, typer.Option(help="Of files, types and functions.")] = "network",
    rule: Annotated[RuleName | None, typer.Option(help="By which rule it learns there; none: it infers.")] = None,
    rate: Rate = None,
    readout_rate: ReadoutRate = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of labels drawn, rounding and the label projection.")] = 0,
    check_ranges: Annotated[bool, typer.Option(help="Prove first that every number fits; see tp-lava ranges.")] = True,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write a network, learning included, as sources for a device, with a test that it computes there what it does here."""
    files, told = exported(model, out, name, Choices(rule, rate, readout_rate, bits), seed, check_ranges)
    asked, files = configuration.effective(context), [*files, configuration.save(context, out / configuration.NAME)]
    if as_json:
        print_json({"config": asked, "target": target, **told})
        return
    print(configuration.to_toml(asked))
    title = f"{name}: {told['rule'] or 'inference'} in {target.upper()}"
    print_rows(title, [{"": part, "bytes": count} for part, count in told["bytes"].items()])
    say_written(files)


@dataclass(frozen=True)
class Choices:
    """How a network is to learn; None where not given. A saved Learner has made these choices."""

    rule: RuleName | None = None
    rate: float | None = None
    readout_rate: float | None = None
    bits: int | None = None


def exported(model: str, out: Path, name: str, choices: Choices, seed: int, check_ranges: bool = True) -> tuple[list[Path], dict[str, Any]]:
    """Write the folder. -> its files, and name, rule and bytes as JSON-able values. Raises as export_c does."""
    check_name(name)
    learner = learner_named(model, choices, seed, "export")
    files = export_c(learner, out, name, check_ranges=check_ranges)
    library = library_of(learner, name)
    parts = {place: sum(m.bytes for m in library.members if m.place == place) for place in STRUCTS}
    bytes_ = {"constants": library.constant_bytes, "state": library.state_bytes, **parts}
    rule = type(learner.rule).__name__ if learner.rule else None
    return files, {"name": name, "rule": rule, "bytes": bytes_, "files": [str(file) for file in files]}


def learner_named(model: str, choices: Choices, seed: int, obj: str) -> Learner:
    """A saved Learner, or the fixed-point learner of a model and the choices made. obj: the command, for its errors."""
    if is_learner(model):
        if choices != Choices() or seed:
            raise invalid(obj, "rule, rates, bits or seed", "given with a saved Learner", "those of the learner", "leave them out")
        return Learner.load(model)
    name = None if choices.rule == "none" else choices.rule
    if name is None and (choices.rate is not None or choices.readout_rate is not None):
        raise invalid(obj, "rate", "given without a rule", "left out", "or give --rule tp or --rule tess")
    network = model_named(model, seed)
    rule = rule_named(name, choices.rate, choices.readout_rate) if name else None
    kept = network.provenance.fixed if network.provenance else None
    fixed = FixedPoint(weight_bits=choices.bits) if choices.bits is not None else kept or FixedPoint()
    return Learner(network, rule, fixed, seed)
