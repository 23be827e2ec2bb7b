"""Mapping: a network, its formats and its rule onto the cores, chips and embedded processors of a board."""

from __future__ import annotations

from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tp_lava.circuit import Circuit
from tp_lava.deploy.loihi2.constraints import Violation, broken
from tp_lava.deploy.loihi2.demand import LayerDemand, Task, demands, tasks
from tp_lava.deploy.loihi2.limits import Board, Limits
from tp_lava.deploy.loihi2.placement import Core, chips_of, place
from tp_lava.errors import InvalidValueError, invalid
from tp_lava.circuit.formats import FixedPoint, plan
from tp_lava.learner import Learner
from tp_lava.graph.network import Network
from tp_lava.rules import Rule
from tp_lava.circuit.build import build_circuit


@dataclass(frozen=True)
class Processor:
    """An embedded processor, `number` of its chip, and its tasks."""

    chip: int
    number: int
    tasks: tuple[Task, ...]

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

    layers: what each hidden layer asks for; violations: all limits that are broken, none if it fits. Say so to a person by str().
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
        found = []
        for layer in self.layers:
            cores = self.cores_of(layer.name)
            row: dict[str, Any] = {"layer": layer.name, "neurons": layer.neurons, "compartments": layer.neurons * layer.compartments}
            row |= {"cores": len(cores), "chips": [chip.number for chip in self.chips if layer.name in chip.layers]}
            row["synapses"] = sum(sum(core.synapses.values()) for core in cores)
            row["state_bytes_per_neuron"] = -(-layer.state_bits // 8)
            row["instructions"] = {p.name: p.instructions for p in layer.programs}
            row["bytes"] = {part: sum(core.bytes[part] for core in cores) for part in cores[0].bytes}
            found.append(row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "board": self.board.name if self.board else None,
            "chips": len(self.chips),
            "cores": len(self.cores),
            "layers": self.rows(),
            "processors": [{"chip": p.chip, "number": p.number, "tasks": {t.name: t.operations for t in p.tasks}} for p in self.processors],
            "violations": [violation.to_dict() for violation in self.violations],
        }

    def __str__(self) -> str:
        board = f"on {self.board.name}" if self.board else "on no board"
        lines = [f"{self.size}, {board}"]
        for row in self.rows():
            kilobytes = sum(row["bytes"].values()) / 1024
            lines.append(f"  {row['layer']}: {row['compartments']} compartments, {_counted(row['cores'], 'core')}, {kilobytes:.1f} KB")
        return "\n".join([*lines, *map(str, self.violations)])


def _counted(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"


def map_network(
    model: Network | Learner,
    rule: Rule | None = None,
    fixed: FixedPoint | None = None,
    limits: Limits | None = None,
    board: str | None = None,
) -> Mapping:
    """Lay a network and, if it learns, its rule onto Loihi 2, and list every limit that is broken.

    model: a Network, with the rule (None: it only infers) and the options of fixed point a Learner would take, or a fixed-point
    Learner, which has them; limits: by default the public ones; board: one of theirs, by default the smallest that has room.
    Nothing here has run on a chip. Raises InvalidValueError, NumberRangeError (no fixed-point form), not for what is too large:
    that is in Mapping.violations; see Mapping.require.
    """
    network, rule, options = _resolved(model, rule, fixed)
    limits = limits or Limits()
    asked = limits.board(board) if board is not None else None
    circuit = build_circuit(network, rule, plan(network, rule, options))
    layers = demands(circuit, limits)
    cores = place(layers, limits)
    chips = tuple(Chip(number, held) for number, held in enumerate(chips_of(cores, limits)))
    processors = _scheduled(tasks(circuit), len(chips), limits)
    chosen = asked or next((b for b in sorted(limits.boards, key=lambda b: b.chips) if b.chips >= len(chips)), None)
    mapping = Mapping(layers, cores, chips, processors, chosen, limits, options, circuit)
    return replace(mapping, violations=broken(mapping, limits))


def _resolved(model: object, rule: Rule | None, fixed: FixedPoint | None) -> tuple[Network, Rule | None, FixedPoint]:
    if isinstance(model, Network):
        return model, rule, (fixed or FixedPoint()).resolved(model, rule)
    if not isinstance(model, Learner):
        raise invalid("map_network", "model", repr(model)[:60], "a Network or a Learner", "load one with tpl.load_network or Learner.load")
    if rule is not None or fixed is not None:
        raise invalid("map_network", "rule or fixed", "given with a Learner", "those of the learner", "leave them out")
    if model.fixed is None:
        remedy = "map its network: map_network(learner.network, learner.rule)"
        raise invalid("map_network", "precision", "float", "fixed, for a chip has integers alone", remedy)
    return model.network, model.rule, model.fixed


def _scheduled(work: Sequence[Task], chips: int, limits: Limits) -> tuple[Processor, ...]:
    """The longest task first, each to the processor that has least to do. Processors without a task are left out."""
    places = [(chip, number) for number in range(limits.processors_per_chip.value) for chip in range(chips)]
    held: Named[tuple[int, int], list[Task]] = {spot: [] for spot in places}
    for task in sorted(work, key=lambda task: (-task.operations, task.name)):
        spot = min(places, key=lambda spot: (sum(t.operations for t in held[spot]), places.index(spot)))
        held[spot].append(task)
    return tuple(Processor(*spot, tuple(given)) for spot, given in sorted(held.items()) if given)
