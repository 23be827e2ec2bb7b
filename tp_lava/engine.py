"""The engine: a circuit, its memory, and the back end that carries it out. The Learner and Lava's fused model both drive it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from tp_lava.alignment import aligned, aligned_copy
from tp_lava.circuit import Buffer, Circuit
from tp_lava.circuit.buffers import Role
from tp_lava.circuit.labels import labels_in_turn, present_labels
from tp_lava.circuit.names import SCORE, of
from tp_lava.circuit.operations import INPUT_VALUES, NO_END, STEPS_LEFT
from tp_lava.data.events import Events
from tp_lava.data.following import one_after_another
from tp_lava.numbers import Format, seed_key

if TYPE_CHECKING:
    from tp_lava.backends.cpu import CompiledOperations

_LARGE = 2**14  # bytes; of so many, NumPy sets single bytes faster than numbers
COUNTERS = {"random_seed": np.uint32, "random_step": np.uint32, "samples_seen": np.int64, "labelled": np.int32}


class Engine:
    """Runs a circuit on its memory (buffer name -> array); the arrays are used as they are, and may be replaced."""

    def __init__(self, circuit: Circuit, memory: MutableMapping[str, np.ndarray]) -> None:
        self.circuit, self.memory = circuit, memory
        states = circuit.names("state")
        self._zeroed = itemgetter(*states, states[0])  # the first again, so that one comes as a tuple too

    @cached_property
    def compiled(self) -> CompiledOperations:
        """Its code, compiled when it is first asked for; Numba takes a second to load, so not before."""
        from tp_lava.backends.cpu import CPU

        return CPU().compile(self.circuit)

    @cached_property
    def told(self) -> tuple[str, ...]:
        """Names of what a sample's outcome is made of: scores, and counts of spikes of each population."""
        return SCORE, *(of(population.name, "total") for population in self.circuit.network.populations)

    def begin(
        self, labels: Sequence[int] = (), n_steps: int | None = None, given: Mapping[str, Sequence[int] | None] | None = None
    ) -> None:
        """Start a sample: membranes, traces, scores and counts are zero.

        labels: of the samples, none where they have none; n_steps: their length, where the circuit asks for it; given: labels by
        keyword of an operation at a sample's start. Raises InvalidValueError.
        """
        for array in self._zeroed(self.memory):
            (array if array.nbytes < _LARGE else array.view(np.uint8)).fill(0)
        if self.circuit.needs_length:
            self.memory[STEPS_LEFT][0] = NO_END if n_steps is None else n_steps
        present_labels(self.circuit, self.memory, labels, given)

    def present(
        self,
        samples: Sequence[Events],
        labels: Sequence[int] = (),
        size: int = 1,
        wanted: Sequence[str] = (),
    ) -> list[np.ndarray]:
        """Present samples one after the other in one call: what `begin`, `run` over all steps, and counting labels do, for each.

        samples: checked; labels: of each, or none; size: how many at a time side by side.
        -> of each wanted buffer what it held at the end of each, (samples / size, *shape).
        """
        memory, circuit = self.memory, self.circuit
        table = labels_in_turn(circuit, memory, np.array(labels, np.int64).reshape(len(samples) // size, -1))
        following = one_after_another(samples, size, INPUT_VALUES in circuit.buffers)
        if following.values is not None:
            following = following._replace(values=circuit.buffers[INPUT_VALUES].encode(following.values))
        kept = self.compiled.present(memory, following, table, [memory[name] for name in wanted])
        if labels:
            memory["samples_seen"][0] += len(labels)
        return kept

    def scale_rates(self, factor: float) -> None:
        """Set every learning rate to `factor` times what it started with."""
        for name in self.circuit.rates:
            value = np.asarray(self.circuit.values[name], np.float64)
            self.memory[name][...] = self.circuit.buffers[name].encode(value * factor)

    def run(
        self, offsets: np.ndarray, units: np.ndarray, begin: int, end: int, values: np.ndarray | None = None, constant: bool = False
    ) -> None:
        """Steps begin..end-1. offsets: int32 (rows, T + 1); units: int32; values: physical, of graded input; constant: all alike."""
        if values is not None:
            values = self.circuit.buffers[INPUT_VALUES].encode(values)
        self.compiled.steps(self.memory, offsets, units, begin, end, values, constant)


def weight_buffer(name: str, array: np.ndarray, format: Format | None) -> Buffer:
    """How a learner holds an array of weights: biases (n,), matrices (n_out, n_in), kernels (channels, channels below, y, x)."""
    role: Role = "bias" if array.ndim == 1 else "weight" if array.ndim == 2 else "kernel"
    return Buffer(name, (), role, format, outputs_last=array.ndim > 1)


def shared_memory(buffers: Mapping[str, Buffer], weights: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """What all circuits of one learner share: its weights (physical values given) and its counters."""
    memory = {name: buffer.encode(weights[name]) for name, buffer in buffers.items()}
    memory |= {name: np.zeros(1, dtype) for name, dtype in COUNTERS.items()}
    memory["random_seed"][0] = seed_key(seed)
    return memory


def add_memory(memory: MutableMapping[str, np.ndarray], circuit: Circuit) -> None:
    """Give a circuit the buffers that `memory` does not have yet: those with a value encoded, the rest zero."""
    for name, buffer in circuit.buffers.items():
        if name not in memory:
            started = name in circuit.values
            memory[name] = aligned_copy(buffer.encode(circuit.values[name])) if started else aligned(circuit.shape(name), buffer.dtype)
