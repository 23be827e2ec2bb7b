"""What continual learning costs, counted while it runs; weights that change from the spikes, without going through the steps again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod

from tp_lava.circuit import AccumulateProducts, Circuit, UpdateWeights
from tp_lava.data.events import Events
from tp_lava.graph.names import INPUT
from tp_lava.outcome import Outcome


@dataclass
class Cost:
    """Counted since a continual learner was made.

    seen, learned: new samples, and those of them that were learned; replayed, relearned: the same of old ones; presentations: of all
    samples, with and without label; steps: time steps of these; learning_steps: of those with a label; weight_updates: synapses that
    were changed, one by one, as tp_lava.deploy.loihi2.count counts them where a rule learns from spikes (from traces and sums:
    every synapse in every step); 0 in Lava, which does not tell; pulls: of the anchor; replay_bytes, anchor_bytes: held now.
    """

    seen: int = 0
    learned: int = 0
    replayed: int = 0
    relearned: int = 0
    presentations: int = 0
    steps: int = 0
    learning_steps: int = 0
    weight_updates: int = 0
    pulls: int = 0
    replay_bytes: int = 0
    anchor_bytes: int = 0

    @property
    def saved(self) -> float:
        """The share of samples, new and old, that were presented but not learned; 0 if there were none."""
        offered = self.seen + self.replayed
        return 1.0 - (self.learned + self.relearned) / offered if offered else 0.0

    @property
    def presentations_per_sample(self) -> float:
        """Presentations for each new sample; 1 without replay and gate, 0 if there were none."""
        return self.presentations / self.seen if self.seen else 0.0

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return {**asdict(self), "saved": self.saved, "presentations_per_sample": self.presentations_per_sample}


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
