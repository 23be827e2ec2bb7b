"""`tp-lava export`, `ranges`, `map` and `report`: a model as sources for a device, and what it needs there.

`export` writes the sources, `ranges` proves that every number fits its format, `map` places the network on Loihi 2, on paper, and
`report` writes all of this on one page.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping as Named
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tp_lava.backends.c.members import STRUCTS
from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.named import check_fits, is_learner, learner_named, load, load_test, model_named, named_classes
from tp_lava.commands.printing import make_folder, print_json, print_result, print_rows
from tp_lava.data.events import Sample
from tp_lava.deploy.bundle.graph import graph_of
from tp_lava.deploy.bundle.writing import STEPS, export_loihi2, size_of
from tp_lava.deploy.c import check_name, export_c, library_of
from tp_lava.deploy.loihi2 import Limits, Mapping, map_network
from tp_lava.deploy.loihi2.limits import BOARDS
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.ranges import check_ranges as ranges_of
from tp_lava.tables import screen

if TYPE_CHECKING:
    from tp_lava.report import Facts

SAMPLES = 4  # of given data, for test vectors
_BOARDS = [board.name for board in BOARDS]
BoardName = Annotated[
    str | None, typer.Option("--board", autocompletion=options.completion(_BOARDS), help=f"{', '.join(_BOARDS)}; by default the smallest.")
]
LimitsFile = Annotated[Path | None, typer.Option("--limits", help="TOML or JSON file of other limits, see docs/deploying.md.")]
_COUNTS = ("steps", "input_spikes", "synaptic", "updates", "neuron_updates", "spikes", "credit")


def export(
    context: typer.Context,
    model: options.LearnerOrModel,
    out: Annotated[Path, typer.Option(help="Folder for the sources.")],
    target: Annotated[
        Literal["c", "loihi2"], typer.Option(help="c: portable C99, integers only; loihi2: a folder to take to Loihi 2, docs/bundle.md.")
    ] = "c",
    name: Annotated[str, typer.Option(help="Name of files, types and functions.")] = "network",
    rule: options.RuleOrNone = None,
    rate: options.Rate = None,
    readout_rate: options.ReadoutRate = None,
    bits: options.Bits = None,
    seed: options.Seed = 0,
    data: Annotated[str | None, typer.Option(help="loihi2: recordings for the test vectors, as for eval; default: random events.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help=f"loihi2: number of these recordings, by default {SAMPLES}.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help=f"loihi2: steps of each sample, by default {STEPS}.")] = None,
    check_ranges: Annotated[bool, typer.Option(help="Prove first that every number fits its format; see tp-lava ranges.")] = True,
    config: Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a network, learning included, as sources for a device, with a test that they compute there what the network computes here."""
    if target == "c" and (data, samples, steps) != (None, None, None):
        raise invalid("export", "data, samples or steps", "given for C", "left out", "or give --target loihi2")
    check_name(name)
    learner = learner_named("export", model, seed, rule, rate, readout_rate, bits, learning_engine=target == "loihi2")
    kind = type(learner.rule).__name__ if learner.rule else None
    result: dict[str, Any] = {"target": target, "name": name, "rule": kind}
    if target == "c":
        files = export_c(learner, out, name, check_ranges=check_ranges)
        sizes = _sizes_in_c(learner, name)
    else:
        recordings = _recordings(data, samples)
        files = export_loihi2(learner, out, name, samples=recordings, steps=steps or STEPS, check_ranges=check_ranges)
        sizes = _sizes_in_bundle(files, out)
        result["stock"] = {node.name: node.what for node in graph_of(learner).nodes if node.stock}
    result |= {"bytes": sizes, "files": [str(file) for file in files]}
    written = [*files, configuration.save(context, out / configuration.NAME)]
    title = f"{name}: {kind or 'inference'} {'in C' if target == 'c' else 'for Loihi 2'}"
    print_result(context, as_json, result, lambda: print_rows(title, [{"": part, "bytes": n} for part, n in sizes.items()]), written)


def _sizes_in_c(learner: Learner, name: str) -> dict[str, int]:
    library = library_of(learner, name)
    structs = {place: sum(m.bytes for m in library.members if m.place == place) for place in STRUCTS}
    return {"constants": library.constant_bytes, "state": library.state_bytes, **structs}


def _sizes_in_bundle(files: list[Path], out: Path) -> dict[str, int]:
    """Bytes of each sub-folder, of each file beside them, and of all."""
    folders = {folder: size_of([f for f in files if f.relative_to(out).parts[0] == folder]) for folder in ("listings", "embedded")}
    return {**folders, **{file.name: size_of([file]) for file in files if file.parent == out}, "all": size_of(files)}


def _recordings(data: str | None, samples: int | None) -> list[Sample] | None:
    """The first samples of the data; None: random events."""
    if data is not None:
        return load(data)[0][: samples or SAMPLES]
    if samples is not None:
        raise invalid("export", "samples", "given without data", "left out", "or give --data, for example digits")
    return None


def ranges(
    model: options.LearnerOrModel,
    rule: options.RuleOrNone = None,
    bits: options.Bits = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Largest number of steps of a sample; by default any number.")] = None,
    learning: Annotated[bool, typer.Option(help="Assume that learning may set weights to any value of their format.")] = True,
    every: Annotated[bool, typer.Option("--all", help="List the intermediate values of every program too.")] = False,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Prove that every number of a network fits its fixed-point format, or list those that do not; exit code 1 then."""
    learner = learner_named("ranges", model, seed, rule, bits=bits)
    report = ranges_of(in_fixed_point(learner), steps=steps, learning=learning, strict=False)
    if as_json:
        print_json(report.to_dict())
    else:
        console = screen()
        table = report.table(every, console.width)
        console.print(table)
        if "note" not in [column.header for column in table.columns]:
            print(report.notes())
    if report.problems:
        print("\n".join(entry.message for entry in report.problems), file=sys.stderr)
        raise typer.Exit(options.FAILED)


def map_model(
    model: options.LearnerOrModel,
    board: BoardName = None,
    limits: LimitsFile = None,
    rule: options.RuleOrNone = None,
    bits: options.Bits = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Place a network on the cores and chips of Loihi 2, on paper; exit code 1 if a limit is broken."""
    learner = in_fixed_point(learner_named("map", model, seed, rule, bits=bits))
    mapping = map_network(learner, limits=limits_of(limits), board=board)
    if as_json:
        print_json(mapping.to_dict())
    else:
        _print(mapping)
    if not mapping.fits:
        raise typer.Exit(options.FAILED)


def in_fixed_point(learner: Learner) -> Learner:
    """The learner itself, or one of its network and rule in fixed point."""
    return learner if learner.fixed else Learner(learner.network, learner.rule, "fixed", learner.seed)


def limits_of(file: Path | None) -> Limits:
    """The limits in a file, or the public ones."""
    return Limits.load(file) if file else Limits()


def _print(mapping: Mapping) -> None:
    where = mapping.board.name if mapping.board else "no board"
    print_rows(f"{mapping.size}, {where}: on paper, not run on a chip", [_layer(row) for row in mapping.rows()])
    processors = [
        {"work": "+".join(task.name for task in p.tasks), "chip": p.chip, "processor": p.number, "operations a step": p.operations}
        for p in mapping.processors
    ]
    print_rows("embedded processors", processors)
    for layer in (layer for layer in mapping.layers if layer.note):
        print(layer.name, layer.note)
    print("\n".join(map(str, mapping.violations)) or "no limit is broken")


def _layer(row: dict[str, Any]) -> dict[str, Any]:
    columns = {name: row[name] for name in ("layer", "neurons", "compartments", "cores", "synapses")}
    return {**columns, "KB": f"{sum(row['bytes'].values()) / 1024:.1f}", "bytes a neuron": row["state_bytes_per_neuron"]}


def report(
    context: typer.Context,
    model: options.LearnerOrModel,
    data: options.Data = "digits",
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    rule: options.RuleOrNone = None,
    rate: options.Rate = None,
    readout_rate: options.ReadoutRate = None,
    bits: options.Bits = None,
    samples: Annotated[int | None, typer.Option(min=1, help="The first of the test samples alone (all); the page says so.")] = None,
    counted: Annotated[int, typer.Option(min=1, help="Number of these samples whose operations are counted.")] = 10,
    board: BoardName = None,
    limits: LimitsFile = None,
    seed: options.Seed = 0,
    config: Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Write one HTML page about a network: placement, bits, operations, estimates of energy and time, and their sources."""
    from tp_lava.report import write_report

    if out.is_dir():
        raise typer.BadParameter(f"{out} is a folder; give a file, such as report.html", param_hint="--out")
    make_folder(out.parent)
    made_by = _made_by(configuration.effective(context)["report"])
    details = {"name": Path(model).stem, "counted": counted, "board": board, "limits": limits_of(limits), "made_by": made_by}
    learner = learner_named("report", model, seed, rule, rate, readout_rate, bits)
    tests = load_test(data, seed)
    details["available"], test = len(tests), tests[:samples]
    check_fits("report", test, learner.network)
    details["class_names"] = named_classes(learner.network, data).class_names
    if is_learner(model):
        facts = write_report(in_fixed_point(learner), test, out, **details)
    else:  # the network itself, for its accuracy in float
        facts = write_report(model_named(model, seed), test, out, rule=learner.rule, fixed=learner.fixed, seed=seed, **details)
    files = [out, configuration.save(context, configuration.beside(out))]

    def show() -> None:
        print(facts.mapping)
        print(f"{facts.which_tested} to test: accuracy {facts.accuracy[0]:.3f} in float, {facts.accuracy[1]:.3f} in fixed point")

    print_result(context, as_json, _summary(facts), show, files)


def _summary(facts: Facts) -> dict[str, Any]:
    """The main figures of the page, as JSON values."""
    operations = {"inferred": facts.inference, "learned": facts.learning}
    return {
        "accuracy": {"float": facts.accuracy[0], "fixed": facts.accuracy[1], "samples": facts.tested, "of": facts.available},
        "mapping": facts.mapping.to_dict(),
        "operations": {name: {what: counts.mean(what) for what in _COUNTS} for name, counts in operations.items() if counts},
        "estimates": [estimate.to_dict() for estimate in facts.estimates],
        "memory": {row.name: {"formula": sum(row.formula), "counted": row.counted and sum(row.counted)} for row in facts.memory},
    }


def _made_by(given: Named[str, Any]) -> dict[str, Any]:
    """The command that makes the same page, and its options."""
    words = [word for name, value in given.items() if name != "model" for word in (f"--{name}", str(value))]
    return {"command": shlex.join(["tp-lava", "report", str(given["model"]), *words]), **given}
