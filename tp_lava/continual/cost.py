"""What continual learning costs, counted while it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass


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
