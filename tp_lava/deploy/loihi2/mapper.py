"""From a network, its formats and its rule to a mapping, with every limit that it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import FixedPoint, own_fixed_point, plan
from tp_lava.continual import Continual
from tp_lava.deploy.loihi2.constraints import violations
from tp_lava.deploy.loihi2.continual import continual_demand, continual_tasks, with_copies
from tp_lava.deploy.loihi2.demand import ProcessorTask, demands, processor_tasks
from tp_lava.deploy.loihi2.limits import Limits
from tp_lava.deploy.loihi2.mapping import Chip, Mapping, Processor
from tp_lava.deploy.loihi2.placement import chips_of, place_layers
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.rules import BaseRule
from tp_lava.rules.base import check_local


def map_network(
    model: Network | Learner | Continual,
    rule: BaseRule | None = None,
    fixed: FixedPoint | None = None,
    limits: Limits | None = None,
    board: str | None = None,
) -> Mapping:
    """Lay a network and, if it learns, its rule onto Loihi 2, and list every limit that is broken.

    model: a Network, with the rule (None: it only infers) and the options of fixed point a Learner would take, or a fixed-point
    Learner, which has them, or a Continual of one, whose replay buffer and anchor's copies are counted too; limits: by default the
    public ones; board: one of theirs, by default the smallest that has room.
    Nothing here has run on a chip. Raises InvalidValueError, NumberRangeError (no fixed-point form), not for what is too large:
    that is in Mapping.violations; see Mapping.require.
    """
    extra = continual_demand(model) if isinstance(model, Continual) else None
    network, rule, options = _resolved(model.learner if isinstance(model, Continual) else model, rule, fixed)
    check_local(rule, "map_network")
    limits = limits or Limits()
    asked = limits.board(board) if board is not None else None
    circuit = build_circuit(network, rule, plan(network, rule, options))
    layers, tasks = demands(circuit, limits), processor_tasks(circuit)
    if extra:
        layers, tasks = with_copies(layers, extra), (*tasks, *continual_tasks(circuit, layers, extra))
    cores = place_layers(layers, limits)
    chips = tuple(Chip(number, held) for number, held in enumerate(chips_of(cores, limits)))
    processors = _scheduled(tasks, len(chips), limits)
    chosen = asked or next((b for b in sorted(limits.boards, key=lambda b: b.chips) if b.chips >= len(chips)), None)
    mapping = Mapping(layers, cores, chips, processors, chosen, limits, options, circuit, continual=extra)
    return replace(mapping, violations=violations(mapping))


def _resolved(model: object, rule: BaseRule | None, fixed: FixedPoint | None) -> tuple[Network, BaseRule | None, FixedPoint]:
    if isinstance(model, Network):
        network = model.folded()
        return network, rule, (fixed or own_fixed_point(network)).resolved(network, rule)
    if not isinstance(model, Learner):
        raise invalid("map_network", "model", repr(model)[:60], "a Network or a Learner", "load one with tpl.load_network or Learner.load")
    if rule is not None or fixed is not None:
        raise invalid("map_network", "rule or fixed", "given with a Learner", "those of the learner", "leave them out")
    if model.fixed is None:
        remedy = "map its network: map_network(learner.network, learner.rule)"
        raise invalid("map_network", "precision", "float", "fixed, for a chip has integers alone", remedy)
    return model.network, model.rule, model.fixed


def _scheduled(tasks: Sequence[ProcessorTask], chips: int, limits: Limits) -> tuple[Processor, ...]:
    """The longest task first, each to the processor that has least to do. Processors without a task are left out."""
    processors = [Processor(chip, number, ()) for number in range(limits.processors_per_chip.value) for chip in range(chips)]
    for task in sorted(tasks, key=lambda task: (-task.operations, task.name)):
        number = min(range(len(processors)), key=lambda number: processors[number].operations)
        processors[number] = replace(processors[number], tasks=(*processors[number].tasks, task))
    return tuple(sorted((p for p in processors if p.tasks), key=lambda p: (p.chip, p.number)))
