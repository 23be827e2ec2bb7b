"""The engines of one learner: one infers, one learns, one more for each size of batch, all on the same weights and counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.alignment import aligned_copy
from tp_lava.circuit import Buffer, Circuit
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import REAL, FixedPoint, Formats, plan, start_weights
from tp_lava.circuit.labels import Reset, present_labels
from tp_lava.circuit.names import SCORE
from tp_lava.engine import COUNTERS, Engine, add_memory, shared_memory, weight_buffer
from tp_lava.graph.network import Network
from tp_lava.optimisers import Optimiser
from tp_lava.rules import BaseRule
from tp_lava.sharing import shared_array


class SharedEngines:
    """Makes the engines of a network and a rule, and holds their memory. fixed: None in float; seed, optimiser, threads: as for Learner.

    Attributes inference, learning (None without a rule): the engines; memory: buffer name -> array, live; buffers: of all weights, a
    rule's own among them. Raises InvalidValueError or NumberRangeError for a rule that does not fit.
    """

    def __init__(
        self,
        network: Network,
        rule: BaseRule | None,
        fixed: FixedPoint | None,
        seed: int,
        optimiser: Optimiser | Mapping[str, Optimiser],
        threads: int = 1,
    ) -> None:
        self._network, self._fixed, self._optimiser, self._threads = network, fixed, optimiser, threads
        self.buffers: dict[str, Buffer] = {}
        self.memory = shared_memory({}, {}, seed)
        self.learning: Engine | None = None
        self._factor = 1.0  # of all learning rates
        self.use(rule)

    def use(self, rule: BaseRule | None) -> None:
        """Make the engines of a rule; nothing has changed if it is refused."""
        formats = self._formats(rule)
        buffers, memory = self._with_weights(rule, formats)
        learning = self._engine(memory, rule, formats) if rule is not None else None
        self.inference = self._engine(memory, rule.to_infer() if rule is not None else None, formats)
        self.rule, self.learning, self.memory, self.buffers = rule, learning, memory, buffers
        self._states = _States.of(self.inference.circuit, learning.circuit if learning else self.inference.circuit)
        memory["labelled"][0] = 0
        self._batches: dict[int, Engine] = {}
        self.scale_rates(self._factor)

    def relabel(self, label: int | None, reset: Reset) -> None:
        """The sample begun last goes on with another label, or without one (None), from its next step on: see Learner.relabel."""
        engine, memory = (self.inference if label is None else self.learning), self.memory
        assert engine is not None
        states, learns = self._states, label is not None
        begun = states.stale if learns and (reset != "none" or not memory["labelled"][0]) else ()
        for name in (*begun, *{"none": (), "traces": states.traced if learns else (), "all": states.others}[reset]):
            memory[name].fill(0)
        if self._network.readout_decay == 1 or (self.rule and self.rule.matches):
            memory[SCORE].fill(0)
        present_labels(engine.circuit, memory, [] if label is None else [label])
        memory["labelled"][0] = learns
        memory["samples_seen"] += learns

    def batch(self, size: int) -> Engine:
        """The engine that learns `size` samples together, made when it is first asked for."""
        if size not in self._batches:
            engine = self._batches[size] = self._engine(self._kept(), self.rule, self._formats(self.rule, size), size)
            engine.scale_rates(self._factor)
        return self._batches[size]

    @property
    def threads(self) -> int:
        """How many threads share the work of large operations."""
        return self._threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self._threads = threads
        for engine in (*self._single(), *self._batches.values()):
            engine.use_threads(threads)

    def scale_rates(self, factor: float) -> None:
        """Set every learning rate to `factor` times what it started with, those of later engines too."""
        self._factor = factor
        for engine in filter(None, (self.learning, *self._batches.values())):
            engine.scale_rates(factor)

    def share(self) -> None:
        """Compile, and move every array into memory that processes forked from now on share with this one."""
        for engine in self._single():
            _ = engine.compiled
        for name, array in self.memory.items():
            shared = shared_array(array.shape, array.dtype)
            shared[...] = array
            self.memory[name] = shared
        self._batches = {}

    def all_buffers(self) -> dict[str, Buffer]:
        """Every buffer of the network's circuits."""
        return self.buffers | {name: buffer for engine in self._single() for name, buffer in engine.circuit.buffers.items()}

    def saved(self) -> dict[str, np.ndarray]:
        """The arrays that a file holds: weights, counters and moments, kernels with their axes as users know them."""
        held = {name: array for name, array in self._kept().items() if name != "labelled"}
        return held | {name: np.ascontiguousarray(self.buffers[name].seen(held[name])) for name in self._kernels()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `saved`. Raises KeyError for an array that is missing, ValueError for one of another shape or type."""
        kernels = self._kernels()
        for name, array in self.saved().items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}, not {array.dtype} {array.shape}")
            self.memory[name][...] = self.buffers[name].stored(arrays[name]) if name in kernels else arrays[name]

    def _single(self) -> Iterator[Engine]:
        """The engines that present one sample at a time."""
        yield from filter(None, (self.inference, self.learning))

    def _formats(self, rule: BaseRule | None, batch_size: int = 1) -> Formats:
        return plan(self._network, rule, self._fixed, batch_size) if self._fixed else REAL

    def _with_weights(self, rule: BaseRule | None, formats: Formats) -> tuple[dict[str, Buffer], dict[str, np.ndarray]]:
        """The kept buffers and arrays, with those weights of the network and the rule that are still missing."""
        start = {**start_weights(self._network, self._fixed), **(rule.parameters(self._network) if rule else {})}
        buffers, memory = dict(self.buffers), self._kept()
        for name, array in start.items():
            if name not in buffers:
                buffers[name] = weight_buffer(name, array, formats.get(name))
                memory[name] = aligned_copy(buffers[name].encode(array))
        return buffers, memory

    def _kept(self) -> dict[str, np.ndarray]:
        """The arrays that all engines share: weights, counters and moments."""
        moments = self.learning.circuit.names("moment") if self.learning else ()
        return {name: self.memory[name] for name in (*self.buffers, *COUNTERS, *moments)}

    def _kernels(self) -> list[str]:
        return [name for name, buffer in self.buffers.items() if buffer.role == "kernel"]

    def _engine(self, memory: dict[str, np.ndarray], rule: BaseRule | None, formats: Formats, batch_size: int = 1) -> Engine:
        circuit = build_circuit(self._network, rule, formats, batch_size, self._optimiser)
        add_memory(memory, circuit)
        return Engine(circuit, memory, self._threads)


class _States(NamedTuple):
    """Names of states. stale: that stand still without a label; others: those that do not, but for counts of spikes; traced: of these what
    spikes do not depend on, traces and rows of a rule's own.
    """

    stale: Sequence[str]
    others: Sequence[str]
    traced: Sequence[str]

    @classmethod
    def of(cls, infers: Circuit, learns: Circuit) -> _States:
        """Of the two circuits of a learner."""
        stale = sorted(set(learns.names("state")) - set(infers.names("state")))
        others = [b for b in infers.buffers.values() if b.role == "state" and b.local != "total"]
        traced = [b for b in others if b.prefix or b.owner.kind == "rule" or (b.owner.kind == "population" and b.local == "trace")]
        return cls(stale, [b.name for b in others], [b.name for b in traced])
