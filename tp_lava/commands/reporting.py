"""`tp-lava report`: a model on data as one HTML page, which includes the command that made it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import is_learner, model_named
from tp_lava.commands.data import check_fits, load_split
from tp_lava.commands.exporting import learner_named
from tp_lava.commands.mapping import BoardName, LimitsFile, in_fixed_point, limits_of
from tp_lava.commands.printing import make_folder, print_result

if TYPE_CHECKING:
    from tp_lava.report import Facts

_COUNTS = ("steps", "input_spikes", "synaptic", "updates", "neuron_updates", "spikes", "credit")


def report(
    context: typer.Context,
    model: options.LearnerOrModel,
    data: options.Data = "digits",
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    rule: options.RuleOrNone = None,
    rate: options.Rate = None,
    readout_rate: options.ReadoutRate = None,
    bits: options.Bits = None,
    samples: Annotated[int, typer.Option(min=1, help="Largest number of test samples for the accuracy.")] = 100,
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
    test = load_split(data, seed)[1][:samples]
    check_fits("report", test, learner.network)
    if is_learner(model):
        facts = write_report(in_fixed_point(learner), test, out, **details)
    else:  # the network itself, for its accuracy in float
        facts = write_report(model_named(model, seed), test, out, rule=learner.rule, fixed=learner.fixed, seed=seed, **details)
    files = [out, configuration.save(context, configuration.beside(out))]

    def show() -> None:
        print(facts.mapping)
        print(f"{facts.tested} test samples: accuracy {facts.accuracy[0]:.3f} in float, {facts.accuracy[1]:.3f} in fixed point")

    print_result(context, as_json, _summary(facts), show, files)


def _summary(facts: Facts) -> dict[str, Any]:
    """The main figures of the page, as JSON values."""
    operations = {"inferred": facts.inference, "learned": facts.learning}
    return {
        "accuracy": {"float": facts.accuracy[0], "fixed": facts.accuracy[1], "samples": facts.tested},
        "mapping": facts.mapping.to_dict(),
        "operations": {name: {what: counts.mean(what) for what in _COUNTS} for name, counts in operations.items() if counts},
        "estimates": [estimate.to_dict() for estimate in facts.estimates],
        "memory": {row.name: {"formula": sum(row.formula), "counted": row.counted and sum(row.counted)} for row in facts.memory},
    }


def _made_by(given: Mapping[str, Any]) -> dict[str, Any]:
    """The command that makes the same page, and its options."""
    words = [word for name, value in given.items() if name != "model" for word in (f"--{name}", str(value))]
    return {"command": shlex.join(["tp-lava", "report", str(given["model"]), *words]), **given}
