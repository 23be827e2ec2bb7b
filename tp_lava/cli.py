"""The command line: options, and what is printed. What the commands do is in commands/, demos/ and comparison/."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from tp_lava.errors import TpLavaError

app = typer.Typer(help="On-chip learning for Lava and Loihi-style neuromorphic hardware.", no_args_is_help=True)


@app.callback()
def _main() -> None:
    """On-chip learning for Lava and Loihi-style neuromorphic hardware."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture, the figures and the learned networks.")] = Path("tp-lava-demo"),
    sensor: Annotated[str, typer.Option(help="mirrored, rotated, inverted, half-dead or noisy.")] = "mirrored",
    shots: Annotated[int, typer.Option(min=1, help="Recordings of each digit that it learns the new sensor from.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times each training sample is learned (20; from scratch 12).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, labels drawn and rounding.")] = 0,
    test: Annotated[int, typer.Option(min=1, max=397, help="Test samples.")] = 397,
    progress: Annotated[bool, typer.Option(help="Draw progress bars.")] = True,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Learn a blank network instead.")] = False,
    contrast: Annotated[int, typer.Option(min=2, max=10, help="From scratch: target streams K.")] = 4,
    hidden: Annotated[int, typer.Option(min=1, help="From scratch: hidden neurons.")] = 200,
    train: Annotated[int, typer.Option(min=1, max=1400, help="From scratch: training samples.")] = 1400,
) -> None:
    """A network trained in PyTorch goes into Lava, in float and in fixed point; its sensor changes, and it learns the new one there."""
    _make_folder(out)
    if from_scratch:
        files = _learn_from_scratch(out, hidden, epochs or 12, contrast, seed, train, test, progress)
    else:
        files = _meet_a_new_sensor(out, sensor, shots, epochs or 20, seed, test, progress)
    _say_written(files)


def _meet_a_new_sensor(out: Path, sensor: str, shots: int, epochs: int, seed: int, test: int, progress: bool) -> list[Path]:
    from tp_lava.demos.new_sensor import SensorSettings, rows, run_demo, save

    settings = SensorSettings(sensor, shots, epochs, seed, test)
    stories = run_demo(settings, progress)
    title = f"Digits, 512-200-10, trained in PyTorch, in Lava; {shots * 10} recordings, one at a time, seed {seed}"
    cells = [(row["step"], *(f"{row[name]:.3f}" for name in ("float", "fixed"))) for row in rows(settings, stories)]
    _print_rows(title, [dict(zip(("", "float", "fixed point"), line, strict=True)) for line in cells])
    return save(out, settings, stories)


def _learn_from_scratch(out: Path, hidden: int, epochs: int, contrast: int, seed: int, train: int, test: int, progress: bool) -> list[Path]:
    from tp_lava.demos.from_scratch import DemoSettings, rows, run_demo, save

    settings = DemoSettings(hidden=hidden, epochs=epochs, contrast=contrast, seed=seed, n_train=train, n_test=test)
    lessons = run_demo(settings, progress)
    table = []
    for row in rows(lessons):
        speed = row["microseconds_per_step"]
        cells = {"network": row["network"], "test accuracy": f"{row['accuracy']:.3f}"}
        cells |= {"weight bits": row["weight_bits"], "trace bits": row["trace_bits"], "µs per step": f"{speed:.1f}" if speed else ""}
        table.append(cells)
    _print_rows(f"Digits, {hidden} hidden neurons, K = {contrast}, {epochs} epochs, seed {seed}: one sample at a time, in Lava", table)
    return save(out, settings, lessons)


@app.command("compare-rules")
def compare_rules(
    data: Annotated[str, typer.Option(help="digits (embedded), nmnist or spoken (they need --recordings).")] = "digits",
    recordings: Annotated[
        Path | None, typer.Option(help="nmnist: .npz, see tp_lava.data.from_nmnist; spoken: .h5 in SHD's layout.")
    ] = None,
    form: Annotated[list[str] | None, typer.Option(help="Only forms whose name holds this text; may be given several times.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each form, with seeds 0, 1, ...")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times each sample is learned; by default what suits the data.")] = None,
    train: Annotated[int | None, typer.Option(min=2, help="At most so many training samples.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="At most so many test samples.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Runs at a time; by default one per core.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the picture.")] = Path("tp-lava-compare"),
    progress: Annotated[bool, typer.Option(help="Draw a progress bar.")] = True,
) -> None:
    """Compare learning rules - TP, TESS, backpropagation through time, a frozen hidden layer - on the same network, data and epochs."""
    from rich.console import Console

    from tp_lava.comparison import compare
    from tp_lava.comparison.report import chosen_forms, chosen_task, save, table

    task, forms = chosen_task(data, recordings, epochs, train, test), chosen_forms(form or [])
    _make_folder(out)
    rows = compare(task, forms, seeds, processes or os.cpu_count() or 1, progress)
    Console().print(table(task, rows, seeds))
    _say_written(save(out, task, rows))


@app.command("convert")
def convert_file(
    source: Annotated[Path, typer.Argument(help=".nir, .net (SLAYER), .pt or .safetensors (with --layers).")],
    to: Annotated[Path, typer.Option(help="The .tplava file to write.")],
    layers: Annotated[Path | None, typer.Option(help="State dicts: JSON file that describes the layers, see docs/converting.md.")] = None,
    dt: Annotated[float | None, typer.Option(help="NIR: seconds a step.")] = None,
    exporter: Annotated[str | None, typer.Option(help="NIR: snntorch, norse or sinabs, whose conventions the file follows.")] = None,
    reset: Annotated[str | None, typer.Option(help="NIR: zero or subtract.")] = None,
    trace_decay: Annotated[float | None, typer.Option(help="Of all spike traces; by default each membrane's decay.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection, which no other format has.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the file holds as JSON.")] = False,
) -> None:
    """Convert a trained network, say what became of each parameter, and write it as a .tplava file."""
    from tp_lava.archive import save_network
    from tp_lava.commands.converting import converted

    network = converted(source, layers=layers, dt=dt, exporter=exporter, reset=reset, trace_decay=trace_decay, seed=seed)
    _make_folder(to.parent)
    save_network(network, to)
    _show(to, as_json)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A .tplava file or a saved Learner.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Layers, shapes, formats and provenance of a file."""
    _show(file, as_json)


@app.command("quantise")
def quantise_file(
    model: Annotated[str, typer.Argument(help="A .tplava file, any file that convert takes, or digits or digits_0_to_8, which ship.")],
    data: Annotated[str, typer.Option(help="digits (embedded), an .npz of from_nmnist, or an .h5 in SHD's layout.")] = "digits",
    bits: Annotated[str, typer.Option(help="Of the weights, 2 to 8, or search.")] = "8",
    calibration: Annotated[int, typer.Option(min=1, help="Training samples that ranges and scales are chosen from.")] = 64,
    plot: Annotated[Path | None, typer.Option(help="Picture of the report.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection and the split of a file.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Choose fixed-point formats from samples, by how well spikes agree, and say what they cost in each layer."""
    from rich.console import Console

    from tp_lava.commands import quantising

    report, tested = quantising.quantised(model, data, bits, calibration, seed)
    if plot:
        _make_folder(plot.parent)
        quantising.draw(report, plot)
    if as_json:
        print(json.dumps({**report.to_dict(), "test": tested}, indent=1))
        return
    Console().print(report.table())
    print(f"{tested['samples']} test samples: accuracy {tested['float']:.3f} in float, {tested['fixed']:.3f} in fixed point")
    _say_written([plot] if plot else [])


@app.command("finetune")
def finetune_file(
    model: Annotated[str, typer.Argument(help="A .tplava file, any file that convert takes, or digits or digits_0_to_8, which ship.")],
    data: Annotated[str, typer.Option(help="digits (embedded), an .npz of from_nmnist, or an .h5 in SHD's layout.")] = "digits",
    sensor: Annotated[str | None, typer.Option(help="The new task: mirrored, rotated, inverted, half-dead or noisy camera.")] = None,
    new_class: Annotated[int | None, typer.Option(help="The new task: this class, which the network never saw.")] = None,
    rehearse: Annotated[int | None, typer.Option(min=1, help="With --new-class: samples of each old class learned again (all).")] = None,
    shots: Annotated[str, typer.Option(help="Samples of each class: a number, or all.")] = "5",
    rule: Annotated[Literal["tp", "tess"], typer.Option(help="By which rule.")] = "tp",
    rate: Annotated[float | None, typer.Option(min=0, help="Of the hidden layers.")] = None,
    readout_rate: Annotated[float | None, typer.Option(min=0, help="Of the readout.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times each sample is learned.")] = 20,
    freeze: Annotated[list[str] | None, typer.Option(help="A layer at rest: hidden0, ..., readout; may be repeated.")] = None,
    precision: Annotated[Literal["float", "fixed"], typer.Option(help="Number system.")] = "fixed",
    in_lava: Annotated[bool, typer.Option("--in-lava", help="Learn in Lava instead of the engine.")] = False,
    patience: Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs without a better one.")] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the best epoch, on samples held back.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, order and rounding.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the learner, to go on with or to inspect.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    progress: Annotated[bool, typer.Option(help="Draw progress bars.")] = True,
) -> None:
    """Go on learning a new task from few samples, and say what that did to the new task and to the old one."""
    from tp_lava.commands import tasks
    from tp_lava.commands.converting import model_named
    from tp_lava.finetuning import finetune

    count = tasks.shots_of(shots)
    if new_class is not None:
        task = tasks.new_class(data, new_class, count, rehearse, seed)
    else:
        task = tasks.changed_sensor(data, sensor, count, seed)
    looked_at = task.validation if patience or keep_best else []
    done = finetune(
        model_named(model, seed),
        task.samples,
        task.test,
        rule=tasks.rule_named(rule, rate, readout_rate),
        precision=precision,
        epochs=epochs,
        freeze=freeze or (),
        old_test=task.old_test,
        validation=looked_at,
        patience=patience,
        keep_best=keep_best,
        in_lava=in_lava,
        seed=seed,
        progress=progress and not as_json,
    )
    if out:
        _make_folder(out.parent)
        done.learner.save(out)
    if as_json:
        print(json.dumps({"samples": len(task.samples), **done.to_dict()}, indent=1))
        return
    rows = [{"": "the new task", "before": f"{done.before:.3f}", "after": f"{done.after:.3f}"}]
    if task.old_test:
        rows.append({"": "the old task", "before": f"{done.old_before:.3f}", "after": f"{done.old_after:.3f}"})
    _print_rows(f"{len(task.samples)} samples, {rule.upper()}, {precision}{', in Lava' if in_lava else ''}, seed {seed}", rows)
    _say_written([out] if out else [])


@app.command("export")
def export_model(
    model: Annotated[
        str, typer.Argument(help="A .tplava file, a saved fixed-point Learner, any file that convert takes, or digits or digits_0_to_8.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the sources.")],
    target: Annotated[Literal["c"], typer.Option(help="c: portable C99, integers alone.")] = "c",
    name: Annotated[str, typer.Option(help="Of files, types and functions.")] = "network",
    rule: Annotated[Literal["tp", "tess", "none"] | None, typer.Option(help="By which rule it learns there; none: it infers.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Of the hidden layers.")] = None,
    readout_rate: Annotated[float | None, typer.Option(min=0, help="Of the readout.")] = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of labels drawn, rounding and the label projection.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print files and bytes as JSON.")] = False,
) -> None:
    """Write a network, learning included, as sources for a device, with a test that it computes there what it does here."""
    from tp_lava.commands.exporting import Choices, exported

    files, told = exported(model, out, name, Choices(rule, rate, readout_rate, bits), seed)
    if as_json:
        print(json.dumps({"target": target, **told}, indent=1))
        return
    title = f"{name}: {told['rule'] or 'inference'} in {target.upper()}"
    _print_rows(title, [{"": part, "bytes": count} for part, count in told["bytes"].items()])
    _say_written(files)


@app.command("map")
def map_model(
    model: Annotated[str, typer.Argument(help="As for export.")],
    board: Annotated[str | None, typer.Option(help="Oheo Gulch, Kapoho Point, VPX, Alia Point, Hala Point; else the smallest.")] = None,
    limits: Annotated[Path | None, typer.Option(help="TOML or JSON file of other limits, see docs/deploying.md.")] = None,
    rule: Annotated[Literal["tp", "tess", "none"] | None, typer.Option(help="By which rule it learns there; none: it infers.")] = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Lay a network onto the cores and chips of Loihi 2, on paper; exit code 1 if a limit is broken."""
    from rich.console import Console

    from tp_lava.commands import mapping
    from tp_lava.commands.exporting import Choices

    found = mapping.mapped(model, Choices(rule, bits=bits), seed, board, limits)
    if as_json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        for table in mapping.tables(found):
            Console().print(table)
        print("\n".join(map(str, found.violations)) or "no limit is broken")
    if not found.fits:
        raise typer.Exit(1)


@app.command("report")
def report_model(
    model: Annotated[str, typer.Argument(help="As for export.")],
    data: Annotated[str, typer.Option(help="digits (embedded), an .npz of from_nmnist, or an .h5 in SHD's layout.")] = "digits",
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    rule: Annotated[Literal["tp", "tess", "none"] | None, typer.Option(help="By which rule it learns; none: it infers.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Of the hidden layers.")] = None,
    readout_rate: Annotated[float | None, typer.Option(min=0, help="Of the readout.")] = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Test samples for the accuracy.")] = 100,
    counted: Annotated[int, typer.Option(min=1, help="Of those, samples whose operations are counted.")] = 10,
    board: Annotated[str | None, typer.Option(help="See map.")] = None,
    limits: Annotated[Path | None, typer.Option(help="TOML or JSON file of other limits, see docs/deploying.md.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of labels drawn, rounding and the split of a file.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what it says as JSON.")] = False,
) -> None:
    """Write what a network is, takes and computes as one HTML page: placement, bits, operations, estimates, and where they come from."""
    from tp_lava.commands import reporting
    from tp_lava.commands.exporting import Choices

    if out.is_dir():
        raise typer.BadParameter(f"{out} is a folder; give a file, such as report.html", param_hint="--out")
    _make_folder(out.parent)
    choices = Choices(rule, rate, readout_rate, bits)
    facts = reporting.reported(model, data, out, choices, samples=samples, counted=counted, board=board, limits=limits, seed=seed)
    if as_json:
        print(json.dumps(reporting.told(facts), indent=1))
        return
    print(facts.mapping)
    print(f"{facts.tested} test samples: accuracy {facts.accuracy[0]:.3f} in float, {facts.accuracy[1]:.3f} in fixed point")
    _say_written([out])


def _show(file: Path, as_json: bool) -> None:
    from rich.console import Console

    from tp_lava.commands.inspecting import described, tables

    told = described(file)
    if as_json:
        print(json.dumps(told, indent=1))
        return
    console = Console()
    for table in tables(told):
        console.print(table)


def _print_rows(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """A table of rows that have the same columns."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


def _say_written(files: Sequence[Path]) -> None:
    from rich.console import Console

    for file in files:
        Console().print(f"wrote {file}", highlight=False)


def _make_folder(out: Path) -> None:
    """Before the work, so that a folder that cannot be written costs no time."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be made ({error.strerror}); give another folder", param_hint="--out") from None
    if not os.access(out, os.W_OK):
        raise typer.BadParameter(f"{out} cannot be written; give another folder", param_hint="--out")


def main() -> None:
    """Entry point: errors of ours are one message and exit code 2, not a traceback."""
    try:
        app()
    except (TpLavaError, FileNotFoundError) as error:
        print(f"tp-lava: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
