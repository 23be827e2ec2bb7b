"""A model on Loihi 2, on paper: where it would live, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tp_lava.commands.exporting import Choices, learner_named
from tp_lava.deploy.loihi2 import Limits, Mapping, map_network
from tp_lava.learner import Learner


def mapped(model: str, choices: Choices, seed: int, board: str | None, limits: Path | None) -> Mapping:
    """The mapping of a model; a float Learner's is that of its fixed-point form. limits: file for Limits.load."""
    return map_network(in_fixed_point(learner_named(model, choices, seed, "map")), limits=limits_of(limits), board=board)


def in_fixed_point(learner: Learner) -> Learner:
    """Itself, or its network and rule in fixed point."""
    return learner if learner.fixed else Learner(learner.network, learner.rule, "fixed", learner.seed)


def limits_of(file: Path | None) -> Limits:
    """Those of a file, or the public ones."""
    return Limits.load(file) if file else Limits()


def tables(mapping: Mapping) -> list[Any]:
    """As rich tables: layers and embedded processors."""
    from rich.table import Table

    where = mapping.board.name if mapping.board else "no board"
    layers = Table(title=f"{len(mapping.cores)} cores on {len(mapping.chips)} chips, {where}: on paper, not run on a chip")
    for column in ("layer", "neurons", "compartments", "cores", "synapses", "KB", "bytes a neuron"):
        layers.add_column(column, justify="left" if column == "layer" else "right")
    for row in mapping.rows():
        numbers = (row["neurons"], row["compartments"], row["cores"], row["synapses"])
        kilobytes = f"{sum(row['bytes'].values()) / 1024:.1f}"
        layers.add_row(row["layer"], *(f"{n:,}" for n in numbers), kilobytes, str(row["state_bytes_per_neuron"]))
    work = Table(title="embedded processors")
    for column in ("chip", "processor", "work", "operations a step"):
        work.add_column(column, justify="right" if column != "work" else "left")
    for processor in mapping.processors:
        named = ", ".join(task.name for task in processor.tasks)
        work.add_row(str(processor.chip), str(processor.number), named, f"{processor.operations:,}")
    return [layers, work]
