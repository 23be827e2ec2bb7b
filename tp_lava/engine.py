"""The engine: a compiled circuit and its memory. The Learner and Lava's fused model both drive it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import NO_END, STEPS_LEFT, Buffer, Circuit
from tp_lava.errors import invalid
from tp_lava.numbers import mix, seed_key

if TYPE_CHECKING:
    from tp_lava.targets.cpu import CompiledOperations

_DRAWN_TOGETHER = 256  # samples whose labels are drawn at once, since drawing for one costs as much
_STREAMS_PLACE = 0x6C616273  # keeps the drawing of labels apart from rounding bits


class Engine:
    """Runs a circuit on its memory (buffer name -> array); the arrays are used as they are, and may be replaced."""

    def __init__(self, circuit: Circuit, memory: MutableMapping[str, np.ndarray]) -> None:
        self.circuit, self.memory = circuit, memory
        self._zeroed = circuit.names("state")
        self.streams = circuit.sizes.get("k", 0)  # target streams in use

    @cached_property
    def compiled(self) -> CompiledOperations:
        """Its code, compiled when it is first asked for; Numba takes a second to load, so not before."""
        from tp_lava.targets.cpu import CompiledOperations

        return CompiledOperations(self.circuit)

    def begin(self, n_steps: int | None = None) -> None:
        """Start a sample: membranes, traces, scores and counts are zero. n_steps: its length, where the circuit asks for it."""
        for name in self._zeroed:
            self.memory[name].fill(0)
        if self.circuit.needs_length:
            self.memory[STEPS_LEFT][0] = NO_END if n_steps is None else n_steps

    def set_labels(self, labels: Sequence[int], streams: Sequence[int] | np.ndarray) -> None:
        """Set each sample's label and each target stream's label; fewer streams than there are rows leave the last ones out.

        A circuit without learning has neither.
        """
        if "sample_label" in self.circuit.buffers:
            _one_hot(self.memory["sample_label"], labels)
        if "label_spike" in self.circuit.buffers:
            _one_hot(self.memory["label_spike"], streams)
            self.memory["label_active"][: len(streams), 0] = streams
            self.memory["label_count"].fill(1)
            self.streams = len(streams)

    def scale_rates(self, factor: float) -> None:
        """Set every learning rate to `factor` times what it started with."""
        for name in self.circuit.rates:
            value = np.asarray(self.circuit.values[name], np.float64)
            self.memory[name][...] = self.circuit.buffers[name].encode(value * factor)

    def run(self, offsets: np.ndarray, units: np.ndarray, begin: int, end: int) -> None:
        """Steps begin..end-1. offsets: int32 (rows, T + 1); units: int32."""
        arrays = [self.memory[name] for name in self.compiled.arguments]
        self.compiled.each_step(arrays, self.streams, offsets, units, begin, end)


def _one_hot(array: np.ndarray, labels: Sequence[int] | np.ndarray) -> None:
    array.fill(0)
    for row, label in enumerate(labels):  # few: faster than by index arrays
        array[row, label] = 1


COUNTERS = {"random_seed": np.uint32, "random_step": np.uint32, "samples_seen": np.int64}


def shared_memory(buffers: Mapping[str, Buffer], weights: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """What all circuits of one learner share: its weights (physical values given) and the counters of its random bits."""
    memory = {name: buffer.encode(weights[name]) for name, buffer in buffers.items()}
    memory |= {name: np.zeros(1, dtype) for name, dtype in COUNTERS.items()}
    memory["random_seed"][0] = seed_key(seed)
    return memory


def add_memory(memory: MutableMapping[str, np.ndarray], circuit: Circuit) -> None:
    """Give a circuit the buffers that `memory` does not have yet: those with a value encoded, the rest zero."""
    for name, array in circuit.allocate().items():
        if name not in memory:
            memory[name] = circuit.buffers[name].encode(circuit.values[name]) if name in circuit.values else array


def stream_labels(label: int, n_classes: int, streams: int, seed: int, sample: int) -> np.ndarray:
    """The labels of K target streams: the sample's own, then K - 1 others drawn for sample number `sample`. int32."""
    if not streams:
        return np.empty(0, np.int32)
    if streams == n_classes:
        order: Sequence[int] = range(n_classes)
    else:
        block, place = divmod(sample & 0xFFFFFFFF, _DRAWN_TOGETHER)
        order = _class_orders(n_classes, seed, block)[place][:streams]
    others = [other for other in order if other != label]
    return np.array([label, *others[: streams - 1]], np.int32)


@lru_cache(maxsize=16)
def _class_orders(n_classes: int, seed: int, block: int) -> list[list[int]]:
    """The classes in the order of random words of their own, for each sample of a block."""
    samples = np.arange(block * _DRAWN_TOGETHER, (block + 1) * _DRAWN_TOGETHER, dtype=np.uint32)
    words = mix(mix(streams_key(seed), samples)[:, np.newaxis], np.arange(n_classes, dtype=np.uint32))
    return np.argsort(words, axis=1, kind="stable").tolist()


@lru_cache(maxsize=64)
def streams_key(seed: int) -> np.ndarray:
    """The key that the labels of all samples are drawn from, one uint32."""
    return mix(np.array([seed_key(seed)], np.uint32), np.array([_STREAMS_PLACE], np.uint32))


def given_streams(labels: Sequence[int], own: int, count: int, n_classes: int) -> np.ndarray:
    """The given labels, the sample's own first."""
    if not count:
        raise invalid("sample", "contrast_labels", repr(labels), "left out", "this rule has no target streams")
    streams = [check_label(label, n_classes, "contrast_labels") for label in labels]
    if len(streams) != count:
        raise invalid(
            "sample", "contrast_labels", f"{len(streams)} labels", f"one per target stream, {count}", "change TP's contrast or the labels"
        )
    if own not in streams:
        raise invalid("sample", "contrast_labels", streams, f"with the sample's own label {own}", "add it")
    streams.remove(own)
    return np.array([own, *streams], np.int32)


def check_label(label: Any, n_classes: int, attr: str = "label") -> int:
    """label as an int in [0, n_classes)."""
    if not is_whole(label, 0, n_classes):
        raise invalid("sample", attr, repr(label), f"an integer in [0, {n_classes})", "number the classes from 0")
    return int(label)
