"""How many weights learning a sample changes: counted from its spikes, without going through its steps again."""

from __future__ import annotations

from math import prod

from tp_lava.circuit import AccumulateProducts, Circuit, UpdateWeights
from tp_lava.data.events import Events
from tp_lava.graph.names import INPUT
from tp_lava.outcome import Outcome


def updates_of(circuit: Circuit, events: Events, outcome: Outcome) -> int:
    """Weights changed in one sample, each as often as it was: of a presynaptic spike those of its synapses.

    By traces or sums every synapse is changed in every step in which it learns, and is counted so; of a connection that learns in a
    sample's last steps alone these steps count, and of spikes all that the sample had. circuit: the one that learned; outcome: what it
    gave.
    """
    spikes = {
        population.name: int(counts.sum()) for population, counts in zip(circuit.network.populations, outcome.spike_counts, strict=True)
    }
    spikes[INPUT] = len(events)
    return sum(_changed(circuit, o, spikes, events.n_steps) for o in circuit.step if isinstance(o, UpdateWeights | AccumulateProducts))


def learned_arrays(circuit: Circuit) -> tuple[str, ...]:
    """Names of the weights, kernels and biases that a circuit changes, in its order."""
    changed = {name for operation in circuit.step for name in operation.writes}
    return tuple(b.name for b in circuit.buffers.values() if b.role in ("weight", "kernel", "bias") and b.name in changed)


def _changed(circuit: Circuit, o: UpdateWeights | AccumulateProducts, spikes: dict[str, int], n_steps: int) -> int:
    shape = circuit.shape(o.weights if isinstance(o, UpdateWeights) else o.change)
    n_pre, synapses = (o.kind.n_inputs, o.kind.synapse_count) if o.kind else (shape[0], prod(shape))
    if o.events in spikes:
        return spikes[o.events] * synapses // n_pre
    return (min(o.last_steps, n_steps) if o.last_steps else n_steps) * synapses
