"""A mapping: where the populations and the rule of a network lie on the cores, chips and embedded processors of a board."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tp_lava.circuit import Circuit
from tp_lava.circuit.formats import FixedPoint
from tp_lava.deploy.loihi2.continual import ContinualDemand
from tp_lava.deploy.loihi2.demand import LayerDemand, ProcessorTask
from tp_lava.deploy.loihi2.limits import Board, Limits, Violation
from tp_lava.deploy.loihi2.placement import Core
from tp_lava.errors import InvalidValueError


@dataclass(frozen=True)
class Processor:
    """An embedded processor, `number` of its chip, and its tasks."""

    chip: int
    number: int
    tasks: tuple[ProcessorTask, ...]

    @property
    def operations(self) -> int:
        """In a step that learns."""
        return sum(task.operations for task in self.tasks)


@dataclass(frozen=True)
class Chip:
    """A chip and its cores."""

    number: int
    cores: tuple[Core, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers of which it has a part."""
        return tuple(dict.fromkeys(core.layer for core in self.cores))


@dataclass(frozen=True)
class Mapping:
    """Where everything lives. board: the one asked for, or the smallest that has enough chips; None where none has.

    layers: what each population asks for; violations: all limits that are broken, none if it fits; continual: what a Continual asks
    for beside. str() describes it to a person.
    """

    layers: tuple[LayerDemand, ...]
    cores: tuple[Core, ...]
    chips: tuple[Chip, ...]
    processors: tuple[Processor, ...]
    board: Board | None
    limits: Limits
    fixed: FixedPoint
    circuit: Circuit = field(repr=False)
    violations: tuple[Violation, ...] = ()
    continual: ContinualDemand | None = None

    @property
    def fits(self) -> bool:
        """Whether no limit is broken."""
        return not self.violations

    @property
    def size(self) -> str:
        """In words: "3 cores on 1 chip"."""
        return f"{_counted(len(self.cores), 'core')} on {_counted(len(self.chips), 'chip')}"

    def cores_of(self, layer: str) -> tuple[Core, ...]:
        """The cores of a layer, in order of its neurons."""
        return tuple(core for core in self.cores if core.layer == layer)

    def require(self) -> Mapping:
        """Itself, if it fits; else raises InvalidValueError with every violation."""
        if self.fits:
            return self
        raise InvalidValueError("\n".join(map(str, self.violations)), obj="map_network", attr=self.violations[0].rule)

    def rows(self) -> list[dict[str, Any]]:
        """A line for each layer, JSON-able: neurons, compartments, cores, chips, synapses and bytes by part."""
        return [self._row(layer, self.cores_of(layer.name)) for layer in self.layers]

    def _row(self, layer: LayerDemand, cores: tuple[Core, ...]) -> dict[str, Any]:
        return {
            "layer": layer.name,
            "neurons": layer.neurons,
            "compartments": layer.neurons * layer.compartments,
            "cores": len(cores),
            "chips": [chip.number for chip in self.chips if layer.name in chip.layers],
            "synapses": sum(sum(core.synapses.values()) for core in cores),
            "state_bytes_per_neuron": -(-layer.state_bits // 8),
            "note": layer.note,
            "instructions": {p.name: p.counts.instructions for p in layer.programs},
            "bytes": {part: sum(core.bytes[part] for core in cores) for part in cores[0].bytes},
        }

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "board": self.board.name if self.board else None,
            "chips": len(self.chips),
            "cores": len(self.cores),
            "layers": self.rows(),
            "processors": [{"chip": p.chip, "number": p.number, "tasks": {t.name: t.operations for t in p.tasks}} for p in self.processors],
            "violations": [violation.to_dict() for violation in self.violations],
            **({"continual": self.continual.to_dict()} if self.continual else {}),
        }

    def __str__(self) -> str:
        board = f"on {self.board.name}" if self.board else "on no board"
        lines = [f"{self.size}, {board}"]
        for row in self.rows():
            kilobytes = sum(row["bytes"].values()) / 1024
            size = f"{row['compartments']} compartments, {_counted(row['cores'], 'core')}, {kilobytes:.1f} KB"
            lines.append(f"  {row['layer']}: {size}{row['note'] and '; '}{row['note']}")
        extra = [f"  continual learning: {self.continual}"] if self.continual else []
        return "\n".join([*lines, *extra, *map(str, self.violations)])


def _counted(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"
