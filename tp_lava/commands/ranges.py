"""`tp-lava ranges`: a proof that every number of a model fits its fixed-point format."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tp_lava.commands import options
from tp_lava.commands.exporting import learner_named
from tp_lava.commands.mapping import in_fixed_point
from tp_lava.commands.printing import print_json
from tp_lava.ranges import check_ranges


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
    from rich.console import Console

    learner = learner_named("ranges", model, seed, rule, bits=bits)
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
        raise typer.Exit(options.FAILED)
