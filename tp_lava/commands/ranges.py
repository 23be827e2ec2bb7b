"""`tp-lava ranges`: a proof that every number of a model fits where fixed point holds it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tp_lava.commands.exporting import Choices, RuleName, learner_named
from tp_lava.commands.mapping import in_fixed_point
from tp_lava.commands.options import FAILED, AsJson, LearnerOrModel
from tp_lava.commands.printing import print_json
from tp_lava.ranges import check_ranges


def ranges(
    model: LearnerOrModel,
    rule: Annotated[RuleName | None, typer.Option(help="By which rule it learns; none: it infers.")] = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Most that a sample has; without it, sums have no end.")] = None,
    learning: Annotated[bool, typer.Option(help="Weights may become anything their format holds, or stay what they are.")] = True,
    every: Annotated[bool, typer.Option("--all", help="The intermediate values of every program too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Prove that every number of a network fits where fixed point holds it, or say which does not; exit code 1 then."""
    from rich.console import Console

    learner = learner_named(model, Choices(rule, bits=bits), seed, "ranges")
    report = check_ranges(in_fixed_point(learner), steps=steps, learning=learning, strict=False)
    if as_json:
        print_json(report.to_dict())
    else:
        console = Console()
        table = report.table(every, console.width)
        console.print(table)
        if "note" not in [column.header for column in table.columns]:
            print(report.notes())
    if report.problems:
        print("\n".join(entry.message for entry in report.problems), file=sys.stderr)
        raise typer.Exit(FAILED)
