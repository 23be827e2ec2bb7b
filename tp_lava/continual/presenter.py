"""The order of presentations: which sample comes next, with its label or without, given the scores of those before.

One generator says it for the engine and for Lava: it yields a Presentation, is sent the scores at its end, and yields the next. So
equal scores give equal decisions, whatever carries them out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.continual.buffer import ReplayBuffer
from tp_lava.continual.cost import Cost
from tp_lava.continual.settings import Gate
from tp_lava.data.events import Sample


class Presentation(NamedTuple):
    """A sample to be presented now. learns: whether with its label."""

    sample: Sample
    learns: bool


class Pull(NamedTuple):
    """Now the anchor pulls, before the next presentation. number: which pull it is, 0 the first."""

    number: int


class Round(NamedTuple):
    """Samples that are presented one after another. learns: whether they are new ones, with labels; keep: offered to the buffer then."""

    samples: Sequence[Sample]
    learns: bool
    keep: bool = True


Steps = Generator[Presentation | Pull, np.ndarray | None, None]  # sent: the scores (C,) of a presentation, None of a pull


class Presenter:
    """Decides. every: learned samples from one pull to the next, 0 for no anchor; its state is the buffer and the cost counted."""

    def __init__(self, buffer: ReplayBuffer | None, gate: Gate | None, every: int) -> None:
        self.buffer, self.gate, self.every, self.cost = buffer, gate, every, Cost()

    def teach(self, sample: Sample, keep: bool = True) -> Steps:
        """Present a new sample, then old ones of the buffer, each with its label where the gate opens; then keep the new one."""
        self.cost.seen += 1
        always = self.gate is not None and self.gate.of == "old"
        self.cost.learned += yield from self._gated(sample, None if always else self.gate)
        if self.buffer is not None:
            for old in self.buffer.draw(self.buffer.settings.per_sample):
                self.cost.replayed += 1
                self.cost.relearned += yield from self._gated(old, self.gate)
            if keep:
                self.buffer.offer(sample)
                self.cost.replay_bytes = self.buffer.bytes

    def offer(self, sample: Sample, learns: bool, keep: bool = True) -> Steps:
        """Teach a sample, or present it without its label, which as in Learner.evaluate is not counted."""
        if learns:
            yield from self.teach(sample, keep)
        else:
            yield Presentation(sample, learns=False)

    def play(self, rounds: Sequence[Round]) -> Steps:
        """All samples of all rounds, in order."""
        for samples, learns, keep in rounds:
            for sample in samples:
                yield from self.offer(sample, learns, keep)

    def most(self, rounds: Sequence[Round]) -> int:
        """A bound of the presentations that this takes."""
        each = (1 + (self.buffer.settings.per_sample if self.buffer else 0)) * (2 if self.gate else 1)
        return sum(len(samples) * (each if learns else 1) for samples, learns, _ in rounds)

    def _gated(self, sample: Sample, gate: Gate | None) -> Generator[Presentation | Pull, np.ndarray | None, int]:
        """-> 1 if the sample was learned, else 0."""
        if gate is not None:
            scores = yield from self._present(sample, learns=False)
            if not gate.opens(scores, sample.label):
                return 0
        yield from self._present(sample, learns=True)
        if self.every and (self.cost.learned + self.cost.relearned + 1) % self.every == 0:
            yield Pull(self.cost.pulls)
            self.cost.pulls += 1
        return 1

    def _present(self, sample: Sample, learns: bool) -> Generator[Presentation | Pull, np.ndarray | None, np.ndarray]:
        self.cost.presentations += 1
        self.cost.steps += sample.events.n_steps
        self.cost.learning_steps += sample.events.n_steps * learns
        scores = yield Presentation(sample, learns)
        assert scores is not None
        return scores


def following(steps: Steps, answer: np.ndarray | None) -> Presentation | Pull | None:
    """What comes after an answer, None for the first; None at the end."""
    try:
        return steps.send(answer)
    except StopIteration:
        return None
