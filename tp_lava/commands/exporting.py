"""`tp-lava export`: a model as a folder of sources, and what it will take on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tp_lava.commands import configuration
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import is_learner, model_named
from tp_lava.commands.options import AsJson, LearnerOrModel, Rate, ReadoutRate
from tp_lava.commands.printing import print_json, print_rows, say_written
from tp_lava.commands.tasks import parts, rule_named
from tp_lava.data.events import Sample
from tp_lava.deploy.bundle.graph import graph_of, why_not_in_engine
from tp_lava.deploy.bundle.writing import STEPS, export_loihi2, size_of
from tp_lava.deploy.c import check_name, export_c, library_of
from tp_lava.errors import invalid
from tp_lava.circuit.formats import FixedPoint
from tp_lava.learner import Learner
from tp_lava.backends.c.members import STRUCTS

SAMPLES = 4  # of given data, for test vectors
RuleName = Literal["tp", "tess", "none"]


def export(
    context: typer.Context,
    model: LearnerOrModel,
    out: Annotated[Path, typer.Option(help="Folder for the sources.")],
    target: Annotated[
        Literal["c", "loihi2"], typer.Option(help="c: portable C99, integers alone; loihi2: a folder to take to Loihi 2, docs/bundle.md.")
    ] = "c",
    name: Annotated[str, typer.Option(help="Of files, types and functions.")] = "network",
    rule: Annotated[RuleName | None, typer.Option(help="By which rule it learns there; none: it infers.")] = None,
    rate: Rate = None,
    readout_rate: ReadoutRate = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of labels drawn, rounding and the label projection.")] = 0,
    data: Annotated[
        str | None, typer.Option(help="loihi2: recordings for the test vectors, as for eval; by default random events.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help=f"loihi2: so many of the recordings, by default {SAMPLES}.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help=f"loihi2: of each sample, by default {STEPS}.")] = None,
    check_ranges: Annotated[bool, typer.Option(help="Prove first that every number fits; see tp-lava ranges.")] = True,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write a network, learning included, as sources for a device, with a test that it computes there what it does here."""
    choices, given = Choices(rule, rate, readout_rate, bits), Vectors(data, samples, steps)
    if target == "loihi2":
        files, told = exported_loihi2(model, out, name, choices, seed, given, check_ranges)
    elif given != Vectors():
        raise invalid("export", "data, samples or steps", "given for C", "left out", "or give --target loihi2")
    else:
        files, told = exported(model, out, name, choices, seed, check_ranges)
    asked, files = configuration.effective(context), [*files, configuration.save(context, out / configuration.NAME)]
    if as_json:
        print_json({"config": asked, "target": target, **told})
        return
    print(configuration.to_toml(asked))
    title = f"{name}: {told['rule'] or 'inference'} {'in C' if target == 'c' else 'for Loihi 2'}"
    print_rows(title, [{"": part, "bytes": count} for part, count in told["bytes"].items()])
    say_written(files)


@dataclass(frozen=True)
class Choices:
    """How a network is to learn; None where not given. A saved Learner has made these choices."""

    rule: RuleName | None = None
    rate: float | None = None
    readout_rate: float | None = None
    bits: int | None = None


@dataclass(frozen=True)
class Vectors:
    """Of what test vectors are made; None where not given."""

    data: str | None = None
    samples: int | None = None
    steps: int | None = None

    def recordings(self) -> list[Sample] | None:
        """The first samples of the data; None: random events."""
        if self.data is None:
            if self.samples is not None:
                raise invalid("export", "samples", "given without data", "left out", "or give --data, for example digits")
            return None
        return parts(self.data)[0][: self.samples or SAMPLES]


def exported(model: str, out: Path, name: str, choices: Choices, seed: int, check_ranges: bool = True) -> tuple[list[Path], dict[str, Any]]:
    """Write the folder. -> its files, and name, rule and bytes as JSON-able values. Raises as export_c does."""
    check_name(name)
    learner = learner_named(model, choices, seed, "export")
    files = export_c(learner, out, name, check_ranges=check_ranges)
    library = library_of(learner, name)
    places = {place: sum(m.bytes for m in library.members if m.place == place) for place in STRUCTS}
    bytes_ = {"constants": library.constant_bytes, "state": library.state_bytes, **places}
    rule = type(learner.rule).__name__ if learner.rule else None
    return files, {"name": name, "rule": rule, "bytes": bytes_, "files": [str(file) for file in files]}


def exported_loihi2(
    model: str, out: Path, name: str, choices: Choices, seed: int, given: Vectors, check_ranges: bool = True
) -> tuple[list[Path], dict[str, Any]]:
    """Write the bundle. -> its files, and name, rule, bytes and stock Processes as JSON-able values. Raises as export_loihi2 does."""
    check_name(name)
    learner = learner_named(model, choices, seed, "export", engine=True)
    files = export_loihi2(
        learner, out, name, samples=given.recordings(), steps=STEPS if given.steps is None else given.steps, check_ranges=check_ranges
    )
    groups = {group: [f for f in files if f.relative_to(out).parts[0] == group] for group in ("listings", "embedded")}
    bytes_ = {group: size_of(members) for group, members in groups.items()}
    bytes_ |= {file.name: size_of([file]) for file in files if file.parent == out}
    stock = {node.name: node.what for node in graph_of(learner).nodes if node.stock}
    told = {"name": name, "rule": type(learner.rule).__name__ if learner.rule else None, "stock": stock}
    return files, {**told, "bytes": {**bytes_, "all": size_of(files)}, "files": [str(file) for file in files]}


def learner_named(model: str, choices: Choices, seed: int, obj: str, engine: bool = False) -> Learner:
    """A saved Learner, or the fixed-point learner of a model and the choices made. obj: the command, for its errors; engine: hold the
    hidden weights of a model as Lava's own learning engine does, where that can learn them."""
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
    if engine:
        fixed = replace(fixed, stock=not why_not_in_engine(network, rule))
    return Learner(network, rule, fixed, seed)
