"""The Learner: a network that infers and learns on the CPU, one sample at a time.

Its weights, and the counters that decide every random bit, are in shared_engines.py; what happens in a time step is in
circuit/, how it is computed in backends/.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from tp_lava import archive
from tp_lava.checks import is_whole
from tp_lava.circuit import Buffer, Circuit
from tp_lava.circuit.formats import FixedPoint, own_fixed_point
from tp_lava.circuit.labels import Reset, check_label
from tp_lava.data.augmentation import Augmentation, augmented
from tp_lava.data.events import Events, Sample, check_events, check_samples, values_of
from tp_lava.data.order import epoch_order
from tp_lava.engine import Engine
from tp_lava.errors import ArchiveError, invalid
from tp_lava.graph.network import Network
from tp_lava.learner_checks import check_arguments, check_batch, check_endless, check_epochs, checked_in_order
from tp_lava.liveness import Liveness
from tp_lava.optimisers import SGD, Optimiser, Schedule, check_optimiser, check_schedule
from tp_lava.outcome import Arrays, Outcome
from tp_lava.presenting import Call, Kept, Pace, advance, in_calls, joined, n_samples, present, present_state
from tp_lava.progress import track
from tp_lava.rules import BaseRule
from tp_lava.shared_engines import SharedEngines
from tp_lava.state_history import recorded


class Learner:
    """Infers with a network and, given a rule, learns, in float or in fixed point.

    network: where it starts (standardised weights are folded into plain ones in fixed point); rule: TP(...) or None; precision:
    "float", "fixed" (the formats that the source holds or that it was quantised to, else FixedPoint()) or FixedPoint(...); seed: of the
    labels drawn, the order of samples and every rounding. The same seed and samples give the same weights. optimiser:
    SGD(...) or Adam(...), or one per layer, {"hidden0": ..., "readout": ...}; in fixed point plain SGD(), as on a chip;
    schedule: Cosine(...) or Plateau(...), by which fit scales all rates from epoch to epoch.
    Attributes learning: set it to False and labelled samples teach nothing, from the next step on; begun: samples begun so far.
    Raises InvalidValueError or NumberRangeError, naming what does not fit.
    """

    def __init__(
        self,
        network: Network,
        rule: BaseRule | None = None,
        precision: Literal["float", "fixed"] | FixedPoint = "float",
        seed: int = 0,
        optimiser: Optimiser | Mapping[str, Optimiser] = SGD(),  # noqa: B008 (frozen)
        schedule: Schedule | None = None,
    ) -> None:
        check_arguments(network, rule, precision)
        check_optimiser(optimiser, [p.name for p in network.populations], precision != "float")
        check_schedule(schedule)
        network = network if precision == "float" else network.folded()
        options = own_fixed_point(network) if precision == "fixed" else precision
        self._start, self.seed, self._optimiser, self._schedule = network, seed, optimiser, schedule
        self._fixed = options.resolved(network, rule) if isinstance(options, FixedPoint) else None
        self.epochs_done = 0
        self._scores: list[float] = []  # of each epoch, for the schedule
        self.learning, self.begun = True, 0
        self._liveness: Liveness | None = None
        self._pace = Pace()
        self._engines = SharedEngines(network, rule, self._fixed, seed, optimiser)
        self._scale_rates()

    # What it is -------------------------------------------------------------------------------
    def __repr__(self) -> str:
        rule = type(self._engines.rule).__name__ if self._engines.rule else "no rule"
        return f"Learner({self._start!r}, {rule}, {self.precision}, {self.samples_seen} samples learned)"

    @property
    def rule(self) -> BaseRule | None:
        """The rule; another one may be set, for example with smaller rates."""
        return self._engines.rule

    @rule.setter
    def rule(self, rule: BaseRule | None) -> None:
        check_arguments(self._start, rule, self.precision)
        self._engines.use(rule)
        self.begun += 1
        self._liveness = None

    def _scale_rates(self) -> None:
        """Set the learning rates to what the schedule has for this epoch."""
        if self._schedule is not None:
            self._engines.scale_rates(self._schedule.factor(self._scores))

    @property
    def precision(self) -> Literal["float", "fixed"]:
        """Number system."""
        return "fixed" if self._fixed else "float"

    @property
    def fixed(self) -> FixedPoint | None:
        """Options of fixed point with every weight exponent decided; None in float."""
        return self._fixed

    @property
    def network(self) -> Network:
        """The network as it is now, its weights in physical units."""
        weights = dict(self.weights)
        own = {name: weights.pop(name) for name in list(weights) if name not in self._start.weights}
        return replace(self._start, weights=weights, rule_parameters={**self._start.rule_parameters, **own})

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """name -> float32 (n_out, n_in), biases (n,), physical units; copies."""
        return Arrays(tuple(self._engines.buffers), lambda name: self._engines.buffers[name].decode(self._engines.memory[name]))

    @property
    def mantissas(self) -> Mapping[str, np.ndarray]:
        """name -> int8 (n_out, n_in), wider above 8 bits; weight = mantissa * 2**exponents[name]; copies. Fixed point only."""
        if self._fixed is None:
            raise invalid("Learner", "mantissas", "of a float learner", "asked of a fixed-point one", 'use precision="fixed"')
        return Arrays(tuple(self._engines.buffers), lambda name: self._engines.buffers[name].seen(self._engines.memory[name]).copy())

    @property
    def exponents(self) -> Mapping[str, int]:
        """name -> e with weight = mantissa * 2**e. Fixed point only; empty in float."""
        return {name: -buffer.format.frac for name, buffer in self._engines.buffers.items() if buffer.format}

    @property
    def samples_seen(self) -> int:
        """Samples learned so far; with the seed it decides which labels a rule draws."""
        return int(self._engines.memory["samples_seen"][0])

    # One sample, step by step -----------------------------------------------------------------
    def begin(self, label: int | None = None, n_steps: int | None = None, **given: Sequence[int] | None) -> None:
        """Start a sample: all states become zero. With a label the following steps learn; see learn().

        n_steps: how many will follow, for rules that do something at a sample's end (update="sequence", learn_last).
        """
        self.begun += 1
        if label is None:
            self._engines.memory["labelled"][0] = 0
            self._engines.inference.begin()
            return
        engine = self._learning()
        own = check_label(label, self._start.n_classes)
        if engine.circuit.needs_length and not is_whole(n_steps, 1):
            remedy = 'give begin(label, n_steps=...), or use update="step" and learn_last=None'
            raise invalid("sample", "n_steps", repr(n_steps), "the number of steps, for this rule acts at a sample's end", remedy)
        engine.begin([own], n_steps, given)
        self._engines.memory["labelled"][0] = 1
        self._engines.memory["samples_seen"][0] += 1

    def relabel(self, label: int | None, reset: Reset = "traces") -> None:
        """The sample begun last goes on with another label, or, with None, without one, from its next step on.

        The label is presented, and counted, as at a sample's start. Scores become zero, unless they leak; and, with a label, all that
        learning reads and spikes do not depend on: traces, target rows, the readout's potential. reset="none": of that only what stood
        still since there was no label before; "all": every state, with a label or without. Counts of spikes go on. Raises
        InvalidValueError, also for a rule that needs a sample's end or length.
        """
        if label is not None:
            label, _ = check_label(label, self._start.n_classes), self._learning()
            check_endless("relabel", self._start, self.rule)
        self._engines.relabel(label, reset)

    def step(self, units: Sequence[int] | np.ndarray, checked: bool = False, values: np.ndarray | None = None) -> None:
        """One time step of the sample begun last. units: the inputs that spike now, each once; values: theirs, of graded input.

        checked: they are an int32 array and known to be in range; saves the time to look.
        """
        if checked:
            if self._start.input_format and values is None:
                values = np.ones(len(units), np.float32)
            self._current.run(np.array([[0, len(units)]], np.int32), units, 0, 1, values)  # type: ignore[arg-type]
            return
        self.advance(Events(np.zeros(len(units), np.int64), units, 1, self._start.n_inputs, values))

    def advance(self, events: Events) -> None:
        """The next events.n_steps time steps of the sample begun last."""
        self._checked(events)
        advance(self._current, events, values_of(events) if self._start.input_format else None, self._pace)

    def outcome(self) -> Outcome:
        """What the sample begun last has given so far."""
        return present_state(self._current).outcomes()[0]

    # Whole samples ----------------------------------------------------------------------------
    def infer(self, events: Events, record: bool = False) -> Outcome:
        """Present a sample; nothing is learned. record: keep every step's spikes, membranes and traces."""
        if record:
            return recorded(self, events)
        return self._alone(self._checked(events)).outcomes()[0]

    def learn(self, events: Events, label: int, **given: Sequence[int] | None) -> Outcome:
        """Present one sample with its label and learn at every step.

        given: what the rule would otherwise draw from the seed, by keyword; TP: contrast_labels, the labels of its K target rows,
        the sample's own among them. The outcome is what the network said while it learned. Raises InvalidValueError.
        """
        return self._alone(self._checked(events), label, given).outcomes()[0]

    def learn_batch(self, events: Sequence[Events], labels: Sequence[int]) -> list[Outcome]:
        """Present several samples together, contrasted with each other as in the paper; learn their mean update at every step.

        Shorter samples end in silence. Needs at least two samples.
        """
        check_batch(events, labels)
        checked = [self._checked(sample) for sample in events], [check_label(label, self._start.n_classes) for label in labels]
        return self._learn(Call(*checked, len(labels))).outcomes()

    def fit(
        self,
        samples: Sequence[Sample],
        epochs: int = 1,
        progress: bool = False,
        shuffle: bool = True,
        *,
        batch: int = 1,
        validation: Sequence[Sample] | None = None,
        augmentation: Augmentation | None = None,
    ) -> list[float]:
        """Learn every sample once an epoch, in an order drawn from the seed. -> accuracy of each epoch, while learning.

        batch: samples learned together (see learn_batch), the last ones of an epoch with fewer; validation: samples whose
        accuracy after each epoch the schedule looks at, and which is then returned, instead of that while learning; augmentation: how the
        recordings vary from epoch to epoch while they are learned.
        Warns (LivenessWarning), once, of layers and weights that the first samples show not to learn; see tp_lava.liveness.
        """
        check_samples("fit", samples)
        check_epochs(batch, epochs)
        accuracies = []
        watch = self._liveness = self._liveness or Liveness(self)
        for _ in range(epochs):
            order = epoch_order(len(samples), self.seed, self.epochs_done) if shuffle else np.arange(len(samples))
            presented, right = augmented(samples, augmentation, self.seed, self.epochs_done), 0
            calls = in_calls(checked_in_order(self._start, presented, order.tolist()), batch, lambda: watch.ahead(batch))
            for call in track(calls, len(order), f"epoch {self.epochs_done + 1}", progress, n_samples):
                right += self._right(call)
            accuracies.append(self.evaluate(validation) if validation is not None else right / len(samples))
            self.end_epoch(accuracies[-1])
        watch.tell()
        watch.tell_divergence()
        return accuracies

    def end_epoch(self, score: float) -> None:
        """Count an epoch that was learned sample by sample, as fit does; the schedule, if any, sets the rates of the next.

        score: accuracy of the epoch, which the schedule may look at.
        """
        self.epochs_done += 1
        self._scores.append(score)
        self._scale_rates()

    def _right(self, call: Call) -> int:
        """Learn samples. -> how many of them were told right."""
        watch = self._liveness
        kept = self._learn(call, watch is not None and not watch.told)
        if watch and not watch.told:
            watch.see_in_turn(call, kept.outcomes())
        return kept.n_right(call.labels)

    def evaluate(self, samples: Sequence[Sample], progress: bool = False) -> float:
        """Share of samples whose prediction is their label. Raises InvalidValueError for none."""
        check_samples("evaluate", samples)
        right, singles = 0, (samples[number] for number in range(len(samples)))
        calls = in_calls((self._checked(events), label) for events, label in singles)
        for call in track(calls, len(samples), "evaluating", progress, n_samples):
            right += self._infer(call, False).n_right(call.labels)
        return right / len(samples)

    # Its memory, for those who run it elsewhere ------------------------------------------------
    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """Every array of the network's circuit by name: axes, role and number format."""
        return self._engines.all_buffers()

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays themselves, live: weights as (n_in, n_out), mantissas if fixed. See Buffer.encode and decode."""
        return MappingProxyType(self._engines.memory)

    @property
    def circuits(self) -> tuple[Circuit, Circuit | None]:
        """The circuit that infers, and the one that learns, if it has a rule."""
        learning = self._engines.learning
        return self._engines.inference.circuit, learning.circuit if learning else None

    def share(self) -> None:
        """Compile, and move every array into memory that processes forked from now on share with this one."""
        self._engines.share()

    def copy(self) -> Learner:
        """A learner of its own that goes on as this one would; its samples begin anew."""
        make, parts = self.__reduce__()
        return make(*parts)

    def __reduce__(self) -> tuple:
        """Pickled, deep-copied and sent to other processes as what a file would hold; it is made anew there, its samples begin anew."""
        made = self._start, self._engines.rule, self._fixed or "float", self.seed, self._optimiser, self._schedule
        saved = {name: array.copy() for name, array in self._engines.saved().items()}
        return _made_again, (made, {"epochs_done": self.epochs_done, "scores": list(self._scores)}, saved, self.learning)

    # Files ------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike) -> None:
        """Write everything: loading and going on equals never having stopped, bit for bit."""
        archive.write(path, "learner", *self.archived())

    def archived(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        """What save writes: a description and arrays."""
        description: dict[str, object] = {
            "network": archive.describe_network(self._start),
            "rule": self._engines.rule,
            "fixed": self._fixed,
            "seed": self.seed,
            "epochs_done": self.epochs_done,
            "optimiser": self._optimiser,
            "schedule": self._schedule,
            "scores": self._scores,
        }
        started = {f"start/{name}": array for name, array in archive.network_arrays(self._start).items()}
        return description, started | self._engines.saved()

    @classmethod
    def load(cls, path: str | os.PathLike) -> Learner:
        """The learner saved there. Raises ArchiveError for a file that is truncated, foreign or newer."""
        description, arrays = archive.read(path, "learner")
        try:
            return cls.from_archive(description, arrays)
        except archive.IMPOSSIBLE as error:
            raise ArchiveError(f"{path}: describes something impossible ({error}); save it again.", obj=str(path), attr="file") from None

    @classmethod
    def from_archive(cls, description: Mapping, arrays: Mapping[str, np.ndarray]) -> Learner:
        """The inverse of archived. Raises what archive.IMPOSSIBLE lists for what describes nothing possible."""
        started = {name.removeprefix("start/"): array for name, array in arrays.items() if name.startswith("start/")}
        network = archive.network_from(description["network"], started)
        how = {"optimiser": description.get("optimiser", SGD()), "schedule": description.get("schedule")}
        learner = cls(network, description["rule"], description["fixed"] or "float", description["seed"], **how)
        learner._restore(description, arrays)
        return learner

    def _restore(self, description: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
        self._engines.restore(arrays)
        self.epochs_done = int(description["epochs_done"])
        self._scores = [float(score) for score in description.get("scores", ())]
        self._scale_rates()

    # Inside -----------------------------------------------------------------------------------
    @property
    def _current(self) -> Engine:
        """The engine that presents the sample begun last."""
        inference, learning = self._engines.inference, self._engines.learning
        return learning if self._engines.memory["labelled"][0] and self.learning and learning else inference

    def _learning(self) -> Engine:
        """The engine that learns. Raises InvalidValueError where there is no rule."""
        if self._engines.learning is None:
            raise invalid("Learner", "rule", None, "a rule, to learn", "make it with tpl.Learner(network, tpl.TP(...))")
        return self._engines.learning

    def _checked(self, events: Events) -> Events:
        check_events(events, self._start.n_inputs, self._start.input_format)
        return events

    def _infer(self, call: Call, counts: bool = True) -> Kept:
        """Present samples; nothing is learned. counts: of spikes are wanted."""
        if len(call.events) == 1:
            return self._alone(call.events[0])
        self.begun += len(call.events)
        self.memory["labelled"][0] = 0
        return present(self._engines.inference, Call(call.events, ()), counts)

    def _learn(self, call: Call, counts: bool = True) -> Kept:
        """Present samples with their labels, and learn. counts: of spikes are wanted."""
        engine = self._learning()
        if call.size > 1:
            return present(self._engines.batch(call.size), call, counts)
        if not self.learning or len(call.events) == 1:  # learning may be switched on in the midst of a sample
            return joined([self._alone(*sample) for sample in zip(call.events, call.labels, strict=True)])
        self.begun += len(call.events)
        self.memory["labelled"][0] = 1
        return present(engine, call, counts)

    def _alone(self, events: Events, label: int | None = None, given: Mapping = MappingProxyType({})) -> Kept:
        """Present one sample: without the tables of many, which take longer to make than a short sample."""
        self.begin(label, events.n_steps, **given)
        self.advance(events)
        return present_state(self._current)


def _made_again(made: tuple, description: Mapping, saved: Mapping[str, np.ndarray], learning: bool) -> Learner:
    """The learner that was pickled or copied."""
    learner = Learner(*made)
    learner._restore(description, saved)
    learner.learning = learning
    return learner
