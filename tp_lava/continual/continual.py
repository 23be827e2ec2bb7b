"""Learning that goes on for ever: new samples one by one, without losing what was learned before, at bounded memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from tp_lava import archive
from tp_lava.checks import is_whole
from tp_lava.circuit import Circuit, names
from tp_lava.circuit.labels import check_label
from tp_lava.continual.buffer import ReplayBuffer
from tp_lava.continual.cost import Cost, learned_arrays, updates_of
from tp_lava.continual.presenter import Presentation, Presenter, Steps, following
from tp_lava.continual.pull import AnchorCopy
from tp_lava.continual.settings import Anchor, Gate, Replay
from tp_lava.data.events import Events, Sample, check_events, check_samples
from tp_lava.data.order import epoch_order
from tp_lava.errors import ArchiveError, invalid
from tp_lava.learner import Learner
from tp_lava.outcome import Outcome
from tp_lava.progress import track

_KIND = "continual learner"
_REPLAY, _ANCHOR = "replay/", "anchor/"  # before the names of their arrays in a file


class Continual:
    """A learner that learns on after deployment: it replays old samples, learns where it has to, and may pull its weights back.

    learner: with a rule; it is used as it is and changed. replay: a Replay, whose buffer is empty at first (see remember); gate: a Gate;
    anchor: an Anchor, its copy taken now (see consolidate); each None for none of it. All choices and roundings follow from the
    learner's seed. What a new sample does, in this order:

    1. With a gate it is presented without its label, and the gate decides by the scores whether it is learned; else it is learned.
    2. It is presented with its label, and the rule changes the weights at every step. The anchor pulls after every `every`-th time.
    3. `per_sample` old samples are drawn from the buffer, and each goes through 1 and 2.
    4. The new sample is offered to the buffer.

    Attributes learner; buffer: the ReplayBuffer or None; presenter: what decides. Raises InvalidValueError.
    """

    def __init__(
        self,
        learner: Learner,
        replay: Replay | None = None,
        gate: Gate | None = None,
        anchor: Anchor | None = None,
    ) -> None:
        _check_settings(learner, replay, gate, anchor)
        self.learner, self.replay, self.gate, self.anchor = learner, replay, gate, anchor
        self.buffer = ReplayBuffer(replay, learner.network.n_inputs, learner.seed) if replay else None
        self.presenter = Presenter(self.buffer, gate, anchor.every if anchor else 0)
        self._copy: AnchorCopy | None = None
        self.consolidate()

    def __repr__(self) -> str:
        return f"Continual({self.learner!r}, replay={self.replay}, gate={self.gate}, anchor={self.anchor})"

    @property
    def cost(self) -> Cost:
        """What it has cost so far."""
        return self.presenter.cost

    @property
    def anchor_bits(self) -> Mapping[str, int]:
        """Array of weights -> bits of the copy of each; empty without an anchor."""
        return self._copy.bits if self._copy else {}

    def consolidate(self) -> None:
        """Take the weights as they are now as those that the anchor pulls towards."""
        if self.anchor:
            names_of_weights = learned_arrays(self._taught)
            self._copy = AnchorCopy(self.anchor, names_of_weights, self.learner.buffers, self.learner.memory, self.learner.seed)
            self.cost.anchor_bytes = self._copy.bytes

    def pull(self, memory: Mapping[str, np.ndarray], number: int) -> None:
        """Pull the weights in an array memory, the learner's or that of a form of it elsewhere. number: of the pull, 0 the first."""
        if self._copy is not None:
            self._copy.pull(memory, number)

    # Old samples ------------------------------------------------------------------------------
    def remember(self, samples: Sequence[Sample]) -> None:
        """Offer samples of what was learned before to the buffer, without learning. Raises InvalidValueError without replay."""
        if self.buffer is None:
            raise invalid("Continual", "replay", None, "given, to remember samples", "make it with replay=tpl.Replay(250)")
        for sample in samples:
            self.buffer.offer(self._checked(*sample))
        self.cost.replay_bytes = self.buffer.bytes

    # New samples ------------------------------------------------------------------------------
    def learn(self, events: Events, label: int) -> Outcome:
        """Learn one new sample, as the class says. -> what the network said of it, before it learned where there is a gate."""
        return self._carry_out(self.presenter.teach(self._checked(events, label)))[0]

    def fit(self, samples: Sequence[Sample], epochs: int = 1, progress: bool = False, shuffle: bool = True) -> list[float]:
        """Learn every sample once an epoch, in an order drawn from the seed. -> accuracy of each epoch, by what `learn` gives.

        Samples are offered to the buffer in the last of the epochs, so that until then it holds old ones alone.
        """
        if not is_whole(epochs, 0):
            raise invalid("fit", "epochs", repr(epochs), "an integer of at least 0", "give their number")
        check_samples("fit", samples)
        checked = [self._checked(*sample) for sample in samples]
        return [self.fit_epoch(checked, keep=epoch == epochs - 1, progress=progress, shuffle=shuffle) for epoch in range(epochs)]

    def fit_epoch(self, samples: Sequence[Sample], keep: bool = True, progress: bool = False, shuffle: bool = True) -> float:
        """One epoch of fit. keep: offer the samples to the buffer. -> accuracy."""
        check_samples("fit", samples)
        learner, count = self.learner, len(samples)
        order = epoch_order(count, learner.seed, learner.epochs_done) if shuffle else np.arange(count)
        right = 0
        for index in track(order, count, f"epoch {learner.epochs_done + 1}", progress):
            sample = self._checked(*samples[int(index)])
            right += self._carry_out(self.presenter.teach(sample, keep))[0].prediction == sample.label
        learner.end_epoch(right / count)
        return right / count

    # As the learner ---------------------------------------------------------------------------
    def infer(self, events: Events, record: bool = False) -> Outcome:
        """See Learner.infer; not counted."""
        return self.learner.infer(events, record)

    def evaluate(self, samples: Sequence[Sample], progress: bool = False) -> float:
        """See Learner.evaluate; not counted."""
        return self.learner.evaluate(samples, progress)

    def copy(self) -> Continual:
        """One of its own that goes on as this one would."""
        twin = Continual(self.learner.copy(), self.replay, self.gate, self.anchor)
        twin._restore(asdict(self.cost), self._arrays())
        return twin

    # Files ------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike) -> None:
        """Write everything, the buffer and the anchor's copy included: loading and going on equals never having stopped."""
        settings = {
            name: asdict(one) if one else None for name, one in (("replay", self.replay), ("gate", self.gate), ("anchor", self.anchor))
        }
        description, arrays = self.learner.archived()
        archive.write(path, _KIND, {"learner": description, "continual": settings, "cost": asdict(self.cost)}, {**arrays, **self._arrays()})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Continual:
        """The one saved there. Raises ArchiveError for a file that is truncated, foreign or newer."""
        description, arrays = archive.read(path, _KIND)
        try:
            learner = Learner.from_archive(description["learner"], arrays)
            given = description["continual"]
            made = (kind(**given[name]) if given[name] else None for name, kind in (("replay", Replay), ("gate", Gate), ("anchor", Anchor)))
            continual = cls(learner, *made)  # type: ignore[arg-type]
            continual._restore(description["cost"], arrays)
        except archive.IMPOSSIBLE as error:
            raise ArchiveError(f"{path}: describes something impossible ({error}); save it again.", obj=str(path), attr="file") from None
        return continual

    def _arrays(self) -> dict[str, np.ndarray]:
        parts = ((_REPLAY, self.buffer), (_ANCHOR, self._copy))
        return {f"{prefix}{name}": array for prefix, part in parts if part is not None for name, array in part.arrays().items()}

    def _restore(self, cost: dict[str, int], arrays: dict[str, np.ndarray]) -> None:
        self.presenter.cost = Cost(**cost)
        for prefix, part in ((_REPLAY, self.buffer), (_ANCHOR, self._copy)):
            if part is not None:
                part.restore({name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)})

    # Inside -----------------------------------------------------------------------------------
    @property
    def _taught(self) -> Circuit:
        """The circuit that learns."""
        circuit = self.learner.circuits[1]
        assert circuit is not None
        return circuit

    def _checked(self, events: Events, label: int) -> Sample:
        network = self._taught.network
        check_events(events, network.n_inputs, network.input_format)
        return Sample(events, check_label(label, network.n_classes))

    def _carry_out(self, steps: Steps) -> list[Outcome]:
        """Do what the presenter says, in the engine. -> the outcome of each presentation."""
        outcomes: list[Outcome] = []
        answer: np.ndarray | None = None
        while (step := following(steps, answer)) is not None:
            if isinstance(step, Presentation):
                answer = self._presented(step, outcomes)
            else:
                self.pull(self.learner.memory, step.number)
                answer = None
        return outcomes

    def _presented(self, step: Presentation, outcomes: list[Outcome]) -> np.ndarray:
        """Carry out a presentation. -> its scores, in fixed point as integers."""
        events, label = step.sample
        outcomes.append(self.learner.learn(events, label) if step.learns else self.learner.infer(events))
        if step.learns:
            self.cost.weight_updates += updates_of(self._taught, events, outcomes[-1])
        return self.learner.memory[names.SCORE][0].copy()


def _check_settings(learner: object, replay: object, gate: object, anchor: object) -> None:
    if not isinstance(learner, Learner):
        raise invalid("Continual", "learner", repr(learner)[:60], "a Learner", "make one with tpl.Learner(network, rule)")
    if learner.rule is None:
        raise invalid(
            "Continual", "learner", "without a rule", "one with a rule, to learn", "make it with tpl.Learner(network, tpl.TP(...))"
        )
    for attr, value, kind, example in (
        ("replay", replay, Replay, "tpl.Replay(250)"),
        ("gate", gate, Gate, 'tpl.Gate("wrong")'),
        ("anchor", anchor, Anchor, "tpl.Anchor(1e-3)"),
    ):
        if value is not None and not isinstance(value, kind):
            raise invalid("Continual", attr, repr(value), f"a {kind.__name__} or None", f"use for example {example}")
