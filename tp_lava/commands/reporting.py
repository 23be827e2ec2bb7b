"""`tp-lava report`: a model on data as one page; how it was asked for is printed on it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping as Named
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tp_lava.commands import configuration
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import is_learner, model_named
from tp_lava.commands.exporting import Choices, RuleName, learner_named
from tp_lava.commands.mapping import BoardName, LimitsFile, in_fixed_point, limits_of
from tp_lava.commands.options import AsJson, Data, LearnerOrModel, Rate, ReadoutRate
from tp_lava.commands.printing import make_folder, print_json, say_written
from tp_lava.commands.tasks import split

if TYPE_CHECKING:
    from tp_lava.report import Facts


def report(
    context: typer.Context,
    model: LearnerOrModel,
    data: Data = "digits",
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    rule: Annotated[RuleName | None, typer.Option(help="By which rule it learns; none: it infers.")] = None,
    rate: Rate = None,
    readout_rate: ReadoutRate = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Test samples for the accuracy, at most.")] = 100,
    counted: Annotated[int, typer.Option(min=1, help="Of those, samples whose operations are counted.")] = 10,
    board: BoardName = None,
    limits: LimitsFile = None,
    seed: Annotated[int, typer.Option(min=0, help="Of labels drawn, rounding and the split of a file.")] = 0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write what a network is, takes and computes as one HTML page: placement, bits, operations, estimates, and where they come from."""
    from tp_lava.report import write_report

    if out.is_dir():
        raise typer.BadParameter(f"{out} is a folder; give a file, such as report.html", param_hint="--out")
    make_folder(out.parent)
    asked = configuration.effective(context)
    how = {"name": Path(model).stem, "counted": counted, "board": board, "limits": limits_of(limits), "made_by": _made_by(asked["report"])}
    learner = learner_named(model, Choices(rule, rate, readout_rate, bits), seed, "report")
    test = split(data, seed)[1][:samples]
    if is_learner(model):
        facts = write_report(in_fixed_point(learner), test, out, **how)
    else:  # the network itself, for its accuracy in float
        facts = write_report(model_named(model, seed), test, out, rule=learner.rule, fixed=learner.fixed, seed=seed, **how)
    files = [out, configuration.save(context, configuration.beside(out))]
    if as_json:
        print_json({"config": asked, **told(facts)})
        return
    print(configuration.to_toml(asked))
    print(facts.mapping)
    print(f"{facts.tested} test samples: accuracy {facts.accuracy[0]:.3f} in float, {facts.accuracy[1]:.3f} in fixed point")
    say_written(files)


def told(facts: Facts) -> dict[str, Any]:
    """What the page says, JSON-able and short."""
    return {
        "accuracy": {"float": facts.accuracy[0], "fixed": facts.accuracy[1], "samples": facts.tested},
        "mapping": facts.mapping.to_dict(),
        "operations": {name: _means(counts) for name, counts in (("inferred", facts.inference), ("learned", facts.learning)) if counts},
        "estimates": [estimate.to_dict() for estimate in facts.estimates],
        "memory": {row.name: {"formula": sum(row.formula), "counted": row.counted and sum(row.counted)} for row in facts.memory},
    }


def _made_by(asked: Named[str, Any]) -> dict[str, Any]:
    """The command that gives the same page, and its options."""
    options = [word for name, value in asked.items() if name != "model" for word in (f"--{name}", str(value))]
    return {"command": shlex.join(["tp-lava", "report", str(asked["model"]), *options]), **asked}


def _means(counts: Any) -> dict[str, float]:
    return {name: counts.mean(name) for name in ("steps", "input_spikes", "synaptic", "updates", "neuron_updates", "spikes", "credit")}
