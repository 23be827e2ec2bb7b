"""`tp-lava map`: a model on Loihi 2, on paper: where it would live, and which limits it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.commands.exporting import Choices, RuleName, learner_named
from tp_lava.commands.options import FAILED, AsJson, LearnerOrModel
from tp_lava.commands.printing import print_json, print_rows
from tp_lava.deploy.loihi2 import Limits, Mapping, map_network
from tp_lava.deploy.loihi2.limits import BOARDS
from tp_lava.learner import Learner


def _boards(incomplete: str) -> Sequence[str]:
    return [board.name for board in BOARDS if board.name.lower().startswith(incomplete.lower())]


_BOARDS = ", ".join(board.name for board in BOARDS)
BoardName = Annotated[str | None, typer.Option("--board", autocompletion=_boards, help=f"{_BOARDS}; by default the smallest.")]
LimitsFile = Annotated[Path | None, typer.Option("--limits", help="TOML or JSON file of other limits, see docs/deploying.md.")]


def map_model(
    model: LearnerOrModel,
    board: BoardName = None,
    limits: LimitsFile = None,
    rule: Annotated[RuleName | None, typer.Option(help="By which rule it learns there; none: it infers.")] = None,
    bits: Annotated[int | None, typer.Option(help="Of the weights, 2 to 8.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Lay a network onto the cores and chips of Loihi 2, on paper; exit code 1 if a limit is broken."""
    learner = in_fixed_point(learner_named(model, Choices(rule, bits=bits), seed, "map"))
    found = map_network(learner, limits=limits_of(limits), board=board)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found)
    if not found.fits:
        raise typer.Exit(FAILED)


def in_fixed_point(learner: Learner) -> Learner:
    """Itself, or its network and rule in fixed point."""
    return learner if learner.fixed else Learner(learner.network, learner.rule, "fixed", learner.seed)


def limits_of(file: Path | None) -> Limits:
    """Those of a file, or the public ones."""
    return Limits.load(file) if file else Limits()


def show(mapping: Mapping) -> None:
    """Print layers, embedded processors and what is broken."""
    where = mapping.board.name if mapping.board else "no board"
    print_rows(f"{len(mapping.cores)} cores on {len(mapping.chips)} chips, {where}: on paper, not run on a chip", _layers(mapping))
    work = (("+".join(task.name for task in p.tasks), p.chip, p.number, f"{p.operations:,}") for p in mapping.processors)
    print_rows("embedded processors", [dict(zip(("work", "chip", "processor", "operations a step"), row, strict=True)) for row in work])
    print("\n".join(map(str, mapping.violations)) or "no limit is broken")


def _layers(mapping: Mapping) -> list[dict[str, Any]]:
    counted = ("neurons", "compartments", "cores", "synapses")
    return [
        {"layer": row["layer"]}
        | {name: f"{row[name]:,}" for name in counted}
        | {"KB": f"{sum(row['bytes'].values()) / 1024:.1f}", "bytes a neuron": str(row["state_bytes_per_neuron"])}
        for row in mapping.rows()
    ]
