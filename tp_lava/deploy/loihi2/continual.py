"""What continual learning asks of a chip beside the rule: where the old samples and the copy of the weights lie, and what replay costs.

The buffer and the gate are an embedded processor's; the copy that an anchor pulls to lies beside each synapse that learns, where a tag
would be, and that of weights on a processor with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, prod
from typing import Any

from tp_lava.circuit import Circuit
from tp_lava.continual import Continual, Cost
from tp_lava.continual.cost import learned_arrays
from tp_lava.deploy.loihi2.demand import LayerDemand, ProcessorTask

BYTE_OPERATIONS = 3  # to decode a byte: mask and shift, add, compare; assumed, as the costs of an embedded processor are
SCORE_OPERATIONS = 2  # of a score, for the gate: compare, keep


@dataclass(frozen=True)
class ContinualDemand:
    """replay_bytes: of the full buffer; anchor_bits: of the copy of each synapse that learns, by connection; anchor_bytes: of all copies;
    operations: of the task "replay" in a step; words_out: events that it sends in a step; measured: what it has cost so far.
    """

    replay_bytes: int
    anchor_bits: Mapping[str, int]
    anchor_bytes: int
    operations: int
    words_out: int
    measured: Cost

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "measured": self.measured.to_dict()}

    def __str__(self) -> str:
        told = f"replay {self.replay_bytes:,} bytes, anchor {self.anchor_bytes:,} bytes"
        if not self.measured.seen:
            return told
        each, saved = self.measured.presentations_per_sample, self.measured.saved
        return f"{told}; {each:.1f} presentations a new sample, {saved:.0%} of all not learned"


def continual_demand(model: Continual) -> ContinualDemand:
    """Of a continual learner. A buffer that is bounded in samples counts as full of ones as long as those it holds."""
    held, copies = model.buffer, model.anchor_bits
    size = per_step = events = 0.0
    if held is not None:
        count, bound = max(1, len(held)), held.settings
        size = bound.bytes if bound.bytes is not None else (bound.size or 0) * held.bytes / count
        steps = sum(sample.events.n_steps for sample in held.samples) or 1
        per_step, events = held.bytes / steps, sum(len(sample.events) for sample in held.samples) / steps
    gate = SCORE_OPERATIONS * model.learner.network.n_classes if model.gate else 0
    operations = ceil(per_step * BYTE_OPERATIONS) + gate
    return ContinualDemand(ceil(size), copies, model.cost.anchor_bytes, operations, ceil(events), replace(model.cost))


def with_copies(layers: tuple[LayerDemand, ...], demand: ContinualDemand) -> tuple[LayerDemand, ...]:
    """Layers whose synapses hold the copy that an anchor pulls to, as one more state of theirs."""
    bits = demand.anchor_bits
    return tuple(
        replace(layer, connections=tuple(replace(c, state_bits=c.state_bits + bits.get(c.name, 0)) for c in layer.connections))
        for layer in layers
    )


def continual_tasks(circuit: Circuit, layers: tuple[LayerDemand, ...], demand: ContinualDemand) -> Iterator[ProcessorTask]:
    """Replay and gate; the anchor of weights that lie on processors."""
    if demand.replay_bytes or demand.operations:
        yield ProcessorTask("replay and gate", demand.operations, circuit.network.n_classes, demand.words_out, demand.replay_bytes)
    on_cores = {c.name for layer in layers for c in layer.connections}
    rest = {name: circuit.shape(name) for name in learned_arrays(circuit) if name in demand.anchor_bits and name not in on_cores}
    memory = sum(-(-prod(shape) * demand.anchor_bits[name] // 8) for name, shape in rest.items())
    if memory:
        yield ProcessorTask("anchor", 0, 0, 0, memory)
