"""`tp-lava map`: a model on Loihi 2, on paper: its cores and chips, and the limits it breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.commands import options
from tp_lava.commands.exporting import learner_named
from tp_lava.commands.printing import print_json, print_rows
from tp_lava.deploy.loihi2 import Limits, Mapping, map_network
from tp_lava.deploy.loihi2.limits import BOARDS
from tp_lava.learner import Learner

_BOARDS = [board.name for board in BOARDS]
BoardName = Annotated[
    str | None, typer.Option("--board", autocompletion=options.completion(_BOARDS), help=f"{', '.join(_BOARDS)}; by default the smallest.")
]
LimitsFile = Annotated[Path | None, typer.Option("--limits", help="TOML or JSON file of other limits, see docs/deploying.md.")]


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
    print("\n".join(map(str, mapping.violations)) or "no limit is broken")


def _layer(row: dict[str, Any]) -> dict[str, Any]:
    columns = {name: row[name] for name in ("layer", "neurons", "compartments", "cores", "synapses")}
    return {**columns, "KB": f"{sum(row['bytes'].values()) / 1024:.1f}", "bytes a neuron": row["state_bytes_per_neuron"]}
