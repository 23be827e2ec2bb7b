"""The learners that are compared, all from the same network: each learns the sessions one after another, and says what each cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, Protocol

import numpy as np

from tp_lava.continual import Continual, Cost, Gate, Prototypes, Replay
from tp_lava.data.augmentation import Augmentation, augmented
from tp_lava.data.events import Sample
from tp_lava.errors import invalid
from tp_lava.incremental.results import NOTHING, Session, trace_bytes
from tp_lava.incremental.splits import Stage
from tp_lava.learner import Learner
from tp_lava.optimisers import Cosine
from tp_lava.rules import BaseRule
from tp_lava.rules.layer_rates import frozen, scaled

REPLAY = Replay(250, per_sample=5, balanced=True)
GATE = Gate("unsure", margin=0.2)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    kind: "continual": tp_lava.Continual; "prototypes": tp_lava.Prototypes, on the base's hidden layer; "offline": no continual learner
    but a bound of it, learns everything so far together, from the base's network, at each session. hidden: factor of the hidden layers'
    rates, 0: frozen; replay, gate: see Continual; whole: learn all recordings of a session's words instead of the few.
    """

    name: str
    kind: Literal["continual", "prototypes", "offline"] = "continual"
    hidden: float = 1.0
    replay: Replay | None = None
    gate: Gate | None = None
    whole: bool = False


FROZEN = 0.0
METHODS: tuple[Method, ...] = (
    Method("Continual", hidden=FROZEN, replay=REPLAY, gate=GATE),
    Method("Continual, hidden layer too", hidden=0.1, replay=REPLAY, gate=GATE),
    Method("Continual, replay of 1, gate wrong", hidden=0.3, replay=Replay(250), gate=Gate("wrong")),
    Method("Continual, no replay", hidden=FROZEN, gate=GATE),
    Method("Continual, no gate", hidden=FROZEN, replay=REPLAY),
    Method("prototypes", "prototypes"),
    Method("offline, the same samples", "offline"),
    Method("offline, all recordings", "offline", whole=True),
)


def methods_named(texts: list[str] | None = None) -> tuple[Method, ...]:
    """Those whose name holds one of the texts, all if there are none. Raises InvalidValueError."""
    found = tuple(method for method in METHODS if not texts or any(text.lower() in method.name.lower() for text in texts))
    if not found:
        limit = f"part of one of {'; '.join(method.name for method in METHODS)}"
        raise invalid("continual", "method", ", ".join(texts or []), limit, "correct the name")
    return found


_PARTS = 10  # of what the offline learner is presented, each at lower rates than the one before
_STREAM = 0x6F66666C  # keeps what the offline learner draws apart from other uses of the seed


class SessionLearner(Protocol):
    """Learns a session; evaluates; what the last session cost."""

    def learn(self, stage: Stage) -> Session:
        """Learn a session. -> what that cost, without accuracies."""
        ...

    def evaluate(self, samples: Sequence[Sample]) -> float:
        """Accuracy."""
        ...


def rule_of(method: Method, rule: BaseRule, learner: Learner) -> BaseRule:
    """The rule with the method's hidden rates."""
    layers = [population.name for population in learner.network.populations]
    return scaled(rule, learner.network, dict.fromkeys(layers, method.hidden)) if method.hidden else frozen(rule, learner.network, layers)


def messages_a_step(learner: Learner) -> int:
    """Numbers that go between neurons and embedded processors in a step that learns; 0 without a circuit that learns."""
    from tp_lava.deploy.loihi2.demand import processor_tasks

    circuit = Learner(learner.network, learner.rule, "fixed").circuits[1] if learner.rule else None
    return sum(task.words_in + task.words_out for task in processor_tasks(circuit)) if circuit else 0


class _Learning:
    """What the learners that learn by a rule share: a Continual, and its costs since the session before."""

    def __init__(self, continual: Continual, n_steps: int) -> None:
        self.continual, self._before = continual, Cost()
        learner = continual.learner
        assert learner.rule is not None
        self._kept = trace_bytes(learner.rule.remembered(learner.network, n_steps))
        self._messages = messages_a_step(learner)

    def evaluate(self, samples: Sequence[Sample]) -> float:
        """Accuracy."""
        return self.continual.evaluate(samples)

    def _cost(self, learned: int) -> Session:
        cost, before = asdict(self.continual.cost), asdict(self._before)
        spent = {name: cost[name] - before[name] for name in ("presentations", "steps", "learning_steps", "weight_updates")}
        self._before = replace(self.continual.cost)
        held = {"replay_bytes": self.continual.cost.replay_bytes, "trace_bytes": self._kept}
        messages, updates = self._messages * spent["learning_steps"], spent.pop("weight_updates")
        return replace(NOTHING, learned=learned, messages=messages, updates=updates, **spent, **held)


class ContinualLearner(_Learning):
    """One Continual for all sessions; each is learned for some epochs at constant rates."""

    def __init__(self, method: Method, base: Learner, rule: BaseRule, stage: Stage, epochs: int) -> None:
        learner = Learner(base.network, rule_of(method, rule, base), base.fixed or "float", base.seed)
        super().__init__(Continual(learner, method.replay, method.gate), stage.learned[0].events.n_steps)
        self.epochs = epochs
        if method.replay is not None:
            self.continual.remember(stage.learned)

    def learn(self, stage: Stage) -> Session:
        """Learn a session. -> what that cost."""
        self.continual.fit(stage.learned, self.epochs)
        return self._cost(len(stage.learned))


class PrototypeLearner:
    """Class means on the base's hidden layer, which stays as it is."""

    def __init__(self, base: Learner, stage: Stage) -> None:
        self.prototypes = Prototypes(base.network, base.fixed or "float")
        self.prototypes.fit(stage.learned)

    def learn(self, stage: Stage) -> Session:
        """Learn a session. -> what that cost."""
        self.prototypes.fit(stage.learned)
        count, steps = len(stage.learned), sum(sample.events.n_steps for sample in stage.learned)
        updates = count * (self.prototypes.sums.shape[1] + 1)
        return replace(NOTHING, learned=count, presentations=count, steps=steps, updates=updates, replay_bytes=self.prototypes.bytes)

    def evaluate(self, samples: Sequence[Sample]) -> float:
        """Accuracy."""
        return self.prototypes.evaluate(samples)


class OfflineLearner(_Learning):
    """At each session it forgets the earlier ones and learns all samples so far together, each class as often, from the base's network."""

    def __init__(
        self, method: Method, base: Learner, rule: BaseRule, stage: Stage, presentations: int, augmentation: Augmentation | None
    ) -> None:
        self.base, self.rule, self.whole, self.presentations, self.augmentation = base, rule, method.whole, presentations, augmentation
        self.samples = list(stage.learned)
        super().__init__(self._fresh(), stage.learned[0].events.n_steps)

    def _fresh(self) -> Continual:
        schedule = Cosine(_PARTS)
        return Continual(Learner(self.base.network, self.rule, self.base.fixed or "float", self.base.seed, schedule=schedule))

    def learn(self, stage: Stage) -> Session:
        """Learn a session. -> what that cost."""
        learned = stage.whole if self.whole else stage.learned
        self.samples += learned
        self.continual, self._before = self._fresh(), Cost()
        labels = np.array([sample.label for sample in self.samples])
        rng = np.random.default_rng([self.base.seed, _STREAM, len(self.samples)])
        classes = rng.permutation(np.resize(np.unique(labels), self.presentations))
        chosen = [self.samples[int(rng.choice(np.flatnonzero(labels == label)))] for label in classes]
        varied = augmented(chosen, self.augmentation, self.base.seed, len(self.samples))
        for part in np.array_split(np.arange(self.presentations), min(_PARTS, self.presentations)):
            self.continual.fit([Sample(*varied[int(index)]) for index in part], shuffle=False)
        return replace(self._cost(len(learned)), replay_bytes=0)
