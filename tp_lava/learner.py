"""The Learner: a network that infers and learns on the CPU, one sample at a time.

It holds the weights and the counters that decide every random bit; what happens in a time step is in
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
from tp_lava.circuit import Buffer, Circuit, Owner
from tp_lava.circuit import names as buffer_names
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import REAL, FixedPoint, Formats, own_fixed_point, plan, start_weights
from tp_lava.circuit.labels import check_label
from tp_lava.data.events import Events, Sample, check_events, side_by_side, values_of
from tp_lava.data.order import epoch_order
from tp_lava.engine import COUNTERS, Engine, add_memory, shared_memory, weight_buffer
from tp_lava.errors import ArchiveError, TpLavaError, invalid
from tp_lava.graph.network import Network
from tp_lava.liveness import Liveness
from tp_lava.optimisers import SGD, Optimiser, Schedule, check_optimiser, check_schedule
from tp_lava.outcome import Arrays, Outcome
from tp_lava.progress import track
from tp_lava.rules import BaseRule
from tp_lava.sharing import shared_array

_RECORDED = {"spikes": "spike", "membranes": "membrane", "traces": "trace"}


class Learner:
    """Infers with a network and, given a rule, learns, in float or in fixed point.

    network: where it starts (standardised weights are folded into plain ones in fixed point); rule: TP(...) or None; precision:
    "float", "fixed" (the formats that the source holds or that it was quantised to, else FixedPoint()) or FixedPoint(...); seed: of the
    labels drawn, the order of samples and every rounding. The same seed and samples give the same weights. optimiser:
    SGD(...) or Adam(...), or one per layer, {"hidden0": ..., "readout": ...}; in fixed point plain SGD(), as on a chip;
    schedule: Cosine(...) or Plateau(...), by which fit scales all rates from epoch to epoch.
    Attribute learning: set it to False and labelled samples teach nothing, from the next step on.
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
        _check_arguments(network, rule, precision)
        check_optimiser(optimiser, [p.name for p in network.populations], precision != "float")
        check_schedule(schedule)
        network = network if precision == "float" else network.folded()
        options = own_fixed_point(network) if precision == "fixed" else precision
        self._start, self._rule, self.seed, self._optimiser, self._schedule = network, rule, seed, optimiser, schedule
        self._fixed = options.resolved(network, rule) if isinstance(options, FixedPoint) else None
        self._buffers: dict[str, Buffer] = {}  # of all weights, a rule's own among them
        self._memory: dict[str, np.ndarray] = shared_memory({}, {}, seed)
        self.epochs_done = 0
        self._scores: list[float] = []  # of each epoch, for the schedule
        self.learning = True
        self._learning: Engine | None = None
        self._liveness: Liveness | None = None
        self._totals = tuple(buffer_names.of(population.name, "total") for population in network.populations)
        self._connect()

    # What it is -------------------------------------------------------------------------------
    def __repr__(self) -> str:
        rule = type(self._rule).__name__ if self._rule else "no rule"
        return f"Learner({self._start!r}, {rule}, {self.precision}, {self.samples_seen} samples learned)"

    @property
    def rule(self) -> BaseRule | None:
        """The rule; another one may be set, for example with smaller rates."""
        return self._rule

    @rule.setter
    def rule(self, rule: BaseRule | None) -> None:
        _check_arguments(self._start, rule, self.precision)
        before, self._rule = self._rule, rule
        try:
            self._connect()
        except TpLavaError:
            self._rule = before
            raise

    def _connect(self) -> None:
        """Make the engines of the present rule: one infers, one learns, on the same memory; batches come when asked for."""
        rule, formats = self._rule, self._formats(self._rule)
        buffers, memory = self._with_weights(formats)
        learning = self._engine(memory, rule, formats) if rule is not None else None
        inference = self._engine(memory, rule.to_infer() if rule is not None else None, formats)
        self._inference, self._learning, self._memory, self._buffers = inference, learning, memory, buffers
        memory["labelled"][0] = 0
        self._batches: dict[int, Engine] = {}
        self._scale_rates()
        self._liveness = None

    def _formats(self, rule: BaseRule | None, batch_size: int = 1) -> Formats:
        return plan(self._start, rule, self._fixed, batch_size) if self._fixed else REAL

    def _with_weights(self, formats: Formats) -> tuple[dict[str, Buffer], dict[str, np.ndarray]]:
        """Weights, the rule's own among them, and what else is kept: those that are not there yet are encoded."""
        start = {**start_weights(self._start, self._fixed), **(self._rule.parameters(self._start) if self._rule else {})}
        buffers, memory = dict(self._buffers), self._kept()
        for name, array in start.items():
            if name not in buffers:
                buffers[name] = weight_buffer(name, array, formats.get(name))
                memory[name] = buffers[name].encode(array)
        return buffers, memory

    def _kept(self) -> dict[str, np.ndarray]:
        """Weights, counters and moments: what every engine shares."""
        moments = self._learning.circuit.names("moment") if self._learning else ()
        return {name: self._memory[name] for name in (*self._buffers, *COUNTERS, *moments)}

    def _saved(self) -> dict[str, np.ndarray]:
        """What a file holds: what every engine shares, but for the sample that is being presented; kernels as they are seen."""
        held = {name: array for name, array in self._kept().items() if name != "labelled"}
        return held | {name: np.ascontiguousarray(self._buffers[name].seen(held[name])) for name in self._kernels}

    @property
    def _kernels(self) -> list[str]:
        return [name for name, buffer in self._buffers.items() if buffer.role == "kernel"]

    def _engine(self, memory: dict[str, np.ndarray], rule: BaseRule | None, formats: Formats, batch_size: int = 1) -> Engine:
        circuit = build_circuit(self._start, rule, formats, batch_size, self._optimiser)
        add_memory(memory, circuit)
        return Engine(circuit, memory)

    def _scale_rates(self) -> None:
        """Set the learning rates to what the schedule has for this epoch."""
        if self._schedule is not None:
            factor = self._schedule.factor(self._scores)
            for engine in filter(None, (self._learning, *self._batches.values())):
                engine.scale_rates(factor)

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
        return Arrays(tuple(self._buffers), lambda name: self._buffers[name].decode(self._memory[name]))

    @property
    def mantissas(self) -> Mapping[str, np.ndarray]:
        """name -> int8 (n_out, n_in), wider above 8 bits; weight = mantissa * 2**exponents[name]; copies. Fixed point only."""
        if self._fixed is None:
            raise invalid("Learner", "mantissas", "of a float learner", "asked of a fixed-point one", 'use precision="fixed"')
        return Arrays(tuple(self._buffers), lambda name: self._buffers[name].seen(self._memory[name]).copy())

    @property
    def exponents(self) -> Mapping[str, int]:
        """name -> e with weight = mantissa * 2**e. Fixed point only; empty in float."""
        return {name: -buffer.format.frac for name, buffer in self._buffers.items() if buffer.format}

    @property
    def samples_seen(self) -> int:
        """Samples learned so far; with the seed it decides which labels a rule draws."""
        return int(self._memory["samples_seen"][0])

    # One sample, step by step -----------------------------------------------------------------
    def begin(self, label: int | None = None, n_steps: int | None = None, **given: Sequence[int] | None) -> None:
        """Start a sample: all states become zero. With a label the following steps learn; see learn().

        n_steps: how many will follow, for rules that do something at a sample's end (update="sequence", learn_last).
        """
        if label is None:
            self._memory["labelled"][0] = 0
            self._inference.begin()
            return
        engine, _ = self._learner()
        own = check_label(label, self._start.n_classes)
        if engine.circuit.needs_length and not is_whole(n_steps, 1):
            remedy = 'give begin(label, n_steps=...), or use update="step" and learn_last=None'
            raise invalid("sample", "n_steps", repr(n_steps), "the number of steps, for this rule acts at a sample's end", remedy)
        engine.begin([own], n_steps, given)
        self._memory["labelled"][0] = 1
        self._memory["samples_seen"] += 1

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
        self._check(events)
        self._run(events, 0, events.n_steps)

    def outcome(self) -> Outcome:
        """What the sample begun last has given so far."""
        return self._outcome(self._current, 0)

    # Whole samples ----------------------------------------------------------------------------
    def infer(self, events: Events, record: bool = False) -> Outcome:
        """Present a sample; nothing is learned. record: keep every step's spikes, membranes and traces."""
        self._check(events)
        self.begin()
        return self._recorded(events) if record else self._present(events)

    def learn(self, events: Events, label: int, **given: Sequence[int] | None) -> Outcome:
        """Present one sample with its label and learn at every step.

        given: what the rule would otherwise draw from the seed, by keyword; TP: contrast_labels, the labels of its K target rows,
        the sample's own among them. The outcome is what the network said while it learned. Raises InvalidValueError.
        """
        self._check(events)
        self.begin(label, events.n_steps, **given)
        return self._present(events)

    def learn_batch(self, events: Sequence[Events], labels: Sequence[int]) -> list[Outcome]:
        """Present several samples together, contrasted with each other as in the paper; learn their mean update at every step.

        Shorter samples end in silence. Needs at least two samples.
        """
        if len(events) != len(labels) or len(events) < 2:
            found = f"{len(events)} samples and {len(labels)} labels"
            raise invalid("learn_batch", "events", found, "at least two samples and a label for each", "use learn for one sample")
        for sample in events:
            self._check(sample)
        own = [check_label(label, self._start.n_classes) for label in labels]
        _, rule = self._learner()
        if len(own) not in self._batches:
            formats = self._formats(rule, len(own))
            self._batches[len(own)] = self._engine(self._kept(), rule, formats, len(own))
            self._scale_rates()
        engine = self._batches[len(own)]
        offsets, units, values = side_by_side(events)
        if self._start.input_format and values is None:
            values = np.ones(len(units), np.float32)
        steps = offsets.shape[1] - 1
        engine.begin(own, steps)
        engine.run(offsets, units, 0, steps, values)
        self._memory["samples_seen"] += len(own)
        return [self._outcome(engine, row) for row in range(len(own))]

    def fit(
        self,
        samples: Sequence[Sample],
        epochs: int = 1,
        progress: bool = False,
        shuffle: bool = True,
        *,
        batch: int = 1,
        validation: Sequence[Sample] | None = None,
    ) -> list[float]:
        """Learn every sample once an epoch, in an order drawn from the seed. -> accuracy of each epoch, while learning.

        batch: samples learned together (see learn_batch), the last ones of an epoch with fewer; validation: samples whose
        accuracy after each epoch the schedule looks at, and which is then returned, instead of that while learning.
        Warns (LivenessWarning), once, of layers and weights that the first samples show not to learn; see tp_lava.liveness.
        """
        _check_samples("fit", samples)
        for attr, value, least, remedy in (("batch", batch, 1, "1 learns sample by sample"), ("epochs", epochs, 0, "give their number")):
            if not is_whole(value, least):
                raise invalid("fit", attr, repr(value), f"an integer of at least {least}", remedy)
        accuracies = []
        self._liveness = self._liveness or Liveness(self)
        for _ in range(epochs):
            order = epoch_order(len(samples), self.seed, self.epochs_done) if shuffle else np.arange(len(samples))
            groups = [order[begin : begin + batch] for begin in range(0, len(order), batch)]
            right = 0
            for group in track(groups, len(groups), f"epoch {self.epochs_done + 1}", progress):
                right += self._right([samples[int(index)] for index in group])
            accuracies.append(self.evaluate(validation) if validation is not None else right / len(samples))
            self.end_epoch(accuracies[-1])
        self._liveness.tell()
        self._liveness.tell_divergence()
        return accuracies

    def end_epoch(self, score: float) -> None:
        """Count an epoch that was learned sample by sample, as fit does; the schedule, if any, sets the rates of the next.

        score: accuracy of the epoch, which the schedule may look at.
        """
        self.epochs_done += 1
        self._scores.append(score)
        self._scale_rates()

    def _right(self, group: Sequence[Sample]) -> int:
        """Learn some samples together. -> how many of them were told right."""
        events, labels = [sample[0] for sample in group], [sample[1] for sample in group]
        outcomes = self.learn_batch(events, labels) if len(group) > 1 else [self.learn(events[0], labels[0])]
        if self._liveness:
            self._liveness.see(outcomes, max(sample.n_steps for sample in events))
        return sum(outcome.prediction == label for outcome, label in zip(outcomes, labels, strict=True))

    def evaluate(self, samples: Sequence[Sample], progress: bool = False) -> float:
        """Share of samples whose prediction is their label. Raises InvalidValueError for none."""
        _check_samples("evaluate", samples)
        indices = track(range(len(samples)), len(samples), "evaluating", progress)
        return sum(self.infer(events).prediction == label for events, label in (samples[i] for i in indices)) / len(samples)

    # Its memory, for those who run it elsewhere ------------------------------------------------
    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """Every array of the network's circuit by name: axes, role and number format."""
        circuits = (engine.circuit for engine in (self._inference, self._learning) if engine)
        return self._buffers | {name: buffer for circuit in circuits for name, buffer in circuit.buffers.items()}

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays themselves, live: weights as (n_in, n_out), mantissas if fixed. See Buffer.encode and decode."""
        return MappingProxyType(self._memory)

    @property
    def circuits(self) -> tuple[Circuit, Circuit | None]:
        """The circuit that infers, and the one that learns, if it has a rule."""
        return self._inference.circuit, self._learning.circuit if self._learning else None

    def share(self) -> None:
        """Compile, and move every array into memory that processes forked from now on share with this one."""
        for engine in filter(None, (self._inference, self._learning)):
            _ = engine.compiled
        for name, array in self._memory.items():
            shared = shared_array(array.shape, array.dtype)
            shared[...] = array
            self._memory[name] = shared
        self._batches = {}

    def copy(self) -> Learner:
        """A learner of its own that goes on as this one would; its samples begin anew."""
        learner = Learner(self._start, self._rule, self._fixed or "float", self.seed, self._optimiser, self._schedule)
        learner._restore({"epochs_done": self.epochs_done, "scores": self._scores}, self._saved())
        learner.learning = self.learning
        return learner

    # Files ------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike) -> None:
        """Write everything: loading and going on equals never having stopped, bit for bit."""
        archive.write(path, "learner", *self.archived())

    def archived(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        """What save writes: a description and arrays."""
        description: dict[str, object] = {
            "network": archive.describe_network(self._start),
            "rule": self._rule,
            "fixed": self._fixed,
            "seed": self.seed,
            "epochs_done": self.epochs_done,
            "optimiser": self._optimiser,
            "schedule": self._schedule,
            "scores": self._scores,
        }
        started = {f"start/{name}": array for name, array in archive.network_arrays(self._start).items()}
        return description, started | self._saved()

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
        for name, array in self._saved().items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}, not {array.dtype} {array.shape}")
            given = self._buffers[name].stored(arrays[name]) if name in self._kernels else arrays[name]
            self._memory[name][...] = given
        self.epochs_done = int(description["epochs_done"])
        self._scores = [float(score) for score in description.get("scores", ())]
        self._scale_rates()

    # Inside -----------------------------------------------------------------------------------
    @property
    def _current(self) -> Engine:
        return self._learning if self._memory["labelled"][0] and self.learning and self._learning else self._inference

    def _learner(self) -> tuple[Engine, BaseRule]:
        if self._learning is None or self._rule is None:
            raise invalid("Learner", "rule", None, "a rule, to learn", "make it with tpl.Learner(network, tpl.TP(...))")
        return self._learning, self._rule

    def _check(self, events: object) -> None:
        check_events(events, self._start.n_inputs, self._start.input_format)

    def _run(self, events: Events, begin: int, end: int) -> None:
        values = values_of(events) if self._start.input_format else None
        self._current.run(events.offsets[np.newaxis], events.units, begin, end, values, events.is_constant)

    def _present(self, events: Events) -> Outcome:
        self._run(events, 0, events.n_steps)
        return self.outcome()

    def _recorded(self, events: Events) -> Outcome:
        names = {kept: self._of_populations(local) for kept, local in _RECORDED.items()}
        kept: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in layers] for name, layers in names.items()}
        for step in range(events.n_steps):
            self._run(events, step, step + 1)
            for name, layers in names.items():
                for steps, buffer in zip(kept[name], layers, strict=True):
                    steps.append(buffer.decode(self._memory[buffer.name])[0])
        history = {name: tuple(np.stack(steps) for steps in layers) for name, layers in kept.items()}
        history["spikes"] = tuple(spikes.astype(bool) for spikes in history["spikes"])
        return self._outcome(self._current, 0, **history)

    def _of_populations(self, local: str) -> list[Buffer]:
        """The buffer of each hidden population that is called `local`."""
        circuit = self._current.circuit
        return [circuit.buffer(Owner("population", population.name), local) for population in self._start.populations]

    def _outcome(self, engine: Engine, row: int, **history) -> Outcome:
        memory, score = engine.memory, engine.circuit.buffers[buffer_names.SCORE]
        counts = tuple(memory[name][row].copy() for name in self._totals)
        scores = score.decode(memory[score.name][row])
        return Outcome(scores, int(np.argmax(memory[score.name][row])), counts, **history)


def _check_samples(obj: str, samples: Sequence[Sample]) -> None:
    if len(samples) == 0:
        raise invalid(obj, "samples", "empty", "at least one sample", "check where they come from")


def _check_arguments(network: object, rule: object, precision: object) -> None:
    if not isinstance(network, Network):
        raise invalid("Learner", "network", repr(network)[:60], "a Network", "make one with tpl.Network.dense(...)")
    if rule is not None and not isinstance(rule, BaseRule):
        raise invalid("Learner", "rule", repr(rule)[:60], "a rule or None", "use for example tpl.TP()")
    if not isinstance(precision, FixedPoint) and precision not in ("float", "fixed"):
        remedy = 'use precision="fixed" for integers'
        raise invalid("Learner", "precision", repr(precision), '"float", "fixed" or tpl.FixedPoint(...)', remedy)
