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
    """Samples that are presented one after another. learns: whether they are new ones, with labels, so that the round is an epoch; keep:
    offered to the buffer then; validation: presented without labels when the epoch is over.
    """

    samples: Sequence[Sample]
    learns: bool
    keep: bool = True
    validation: Sequence[Sample] = ()


class RoundEnd(NamedTuple):
    """A round is over. accuracy: of the first presentation of each of its samples, of those for validation where there are any; learned:
    whether it was an epoch, after which a schedule sets the rates.
    """

    accuracy: float
    learned: bool


Step = Presentation | Pull | RoundEnd
Steps = Generator[Step, np.ndarray | None, object]  # sent: the scores (C,) of a presentation, None of what else there is
_Told = Generator[Step, np.ndarray | None, bool]  # -> whether the first scores tell the sample's label


class Presenter:
    """Decides. every: learned samples from one pull to the next, 0 for no anchor; its state is the buffer and the cost counted."""

    def __init__(self, buffer: ReplayBuffer | None, gate: Gate | None, every: int) -> None:
        self.buffer, self.gate, self.every, self.cost = buffer, gate, every, Cost()

    def teach(self, sample: Sample, keep: bool = True) -> _Told:
        """Present a new sample, then old ones of the buffer, each with its label where the gate opens; then keep the new one."""
        self.cost.seen += 1
        always = self.gate is not None and self.gate.of == "old"
        learned, told = yield from self._gated(sample, None if always else self.gate)
        self.cost.learned += learned
        if self.buffer is not None:
            for old in self.buffer.draw(self.buffer.settings.per_sample):
                self.cost.replayed += 1
                learned, _ = yield from self._gated(old, self.gate)
                self.cost.relearned += learned
            if keep:
                self.buffer.offer(sample)
                self.cost.replay_bytes = self.buffer.bytes
        return told

    def play(self, rounds: Sequence[Round]) -> Generator[Step, np.ndarray | None, None]:
        """All samples of all rounds, in order, and the end of each round."""
        for samples, learns, keep, validation in rounds:
            right = yield from self._counted(samples, learns, keep)
            if validation:
                right = yield from self._counted(validation, learns=False)
            yield RoundEnd(right / len(validation or samples), learns)

    def most(self, rounds: Sequence[Round]) -> int:
        """A bound of the presentations that this takes."""
        each = (1 + (self.buffer.settings.per_sample if self.buffer else 0)) * (2 if self.gate else 1)
        return sum(len(part.samples) * (each if part.learns else 1) + len(part.validation) for part in rounds)

    def _counted(self, samples: Sequence[Sample], learns: bool, keep: bool = True) -> Generator[Step, np.ndarray | None, int]:
        """Teach samples, or present them without labels, which as in Learner.evaluate is no cost. -> how many were told right at first."""
        right = 0
        for sample in samples:
            if learns:
                right += yield from self.teach(sample, keep)
            else:
                right += _tells((yield from _scores(Presentation(sample, learns=False))), sample)
        return right

    def _gated(self, sample: Sample, gate: Gate | None) -> Generator[Step, np.ndarray | None, tuple[bool, bool]]:
        """-> whether the sample was learned, whether its first scores told its label."""
        scores = yield from self._present(sample, learns=gate is None)
        told = _tells(scores, sample)
        if gate is not None:
            if not gate.opens(scores, sample.label):
                return False, told
            yield from self._present(sample, learns=True)
        if self.every and (self.cost.learned + self.cost.relearned + 1) % self.every == 0:
            yield Pull(self.cost.pulls)
            self.cost.pulls += 1
        return True, told

    def _present(self, sample: Sample, learns: bool) -> Generator[Step, np.ndarray | None, np.ndarray]:
        self.cost.presentations += 1
        self.cost.steps += sample.events.n_steps
        self.cost.learning_steps += sample.events.n_steps * learns
        return (yield from _scores(Presentation(sample, learns)))


def following(steps: Steps, answer: np.ndarray | None) -> Step | None:
    """What comes after an answer, None for the first; None at the end."""
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _scores(presentation: Presentation) -> Generator[Step, np.ndarray | None, np.ndarray]:
    scores = yield presentation
    assert scores is not None
    return scores


def _tells(scores: np.ndarray, sample: Sample) -> bool:
    return int(np.argmax(scores)) == sample.label
