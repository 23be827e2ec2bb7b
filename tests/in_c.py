"""Programs and learners compiled as C and called from here; for test_c, test_loihi2 and tools/four_ways.py."""

import ctypes

import numpy as np

from tp_lava.backends.c.compiled import State, build
from tp_lava.backends.c.members import TYPES, unit_type
from tp_lava.backends.c.program import Functions, c_type, prelude
from tp_lava.backends.scalar import scratch_of
from tp_lava.circuit.buffers import rows_in_use
from tp_lava.circuit.operations import INPUT_VALUES
from tp_lava.data.events import values_of
from tp_lava.deploy.c import library_of

STRICT = ("-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror")


def compiled(programs, folder, options=("-O1",), compiler="gcc"):
    """Many programs in one compilation. -> a function run(number, arrays, key), in place."""
    stored = [{port.name: c_type(port.format) for port in program.ports} for program in programs]
    functions = Functions()
    made = [functions.program(program, types) for program, types in zip(programs, stored, strict=True)]
    code = "\n".join(functions.sources)
    source = f"#include <stdint.h>\n{prelude(code)}\n{code.replace('static void program', 'void program')}"
    loaded = build({"programs.c": source}, folder, (*STRICT, *options), compiler)

    def run(number, arrays, key):
        program, (name, function) = programs[number], made[number]
        sizes = {axis: n for port in program.ports for axis, n in zip(port.axes, arrays[port.name].shape, strict=False)}
        cells = sum(int(np.prod([sizes[axis] for axis in scratch.axes])) for scratch in scratch_of(program))
        held = {f"p_{port}": np.ascontiguousarray(array, np.dtype(TYPES[stored[number][port]])) for port, array in arrays.items()}
        held["scratch"] = np.full(cells + 1, 77, np.int32)
        values = {"key": ctypes.c_uint32(key), **{f"n_{axis}": ctypes.c_int32(n) for axis, n in sizes.items()}}
        values |= {parameter: array.ctypes.data_as(ctypes.c_void_p) for parameter, array in held.items()}
        getattr(loaded, name)(*(values[parameter] for parameter, _ in function.parameters))
        assert held["scratch"][-1] == 77
        return {port: held[f"p_{port}"] for port in arrays}

    return run


class InC:
    """A learner's library, and one state of it."""

    def __init__(self, learner, folder, options, compiler="gcc"):
        folder.mkdir(exist_ok=True)
        self.library = library_of(learner, "network")
        self.loaded = build(self.library.files, folder, (*STRICT, *options), compiler)
        self.unit = np.dtype(TYPES[unit_type([circuit for circuit in learner.circuits if circuit])])
        self.graded = next((m for m in self.library.members if m.name == INPUT_VALUES), None)
        state = State(self.library.members)
        ctypes.memset(ctypes.byref(state.struct), 255, self.library.state_bytes)
        self.state, self.arrays = state.struct, state.arrays
        self.loaded.network_init(ctypes.byref(self.state))

    def begin(self, label, n_steps):
        return self.loaded.network_begin(ctypes.byref(self.state), -1 if label is None else label, n_steps)

    def step(self, units, values=None):
        """values: mantissas, where the input is graded."""
        given = [np.ascontiguousarray(units, self.unit)]
        if self.graded:
            given.append(np.ascontiguousarray(values, TYPES[self.graded.type]))
        return self.loaded.network_step(ctypes.byref(self.state), *(a.ctypes.data_as(ctypes.c_void_p) for a in given), len(units))

    def present(self, events, label):
        assert self.begin(label, events.n_steps) == 0
        values = self.graded.format.quantise(values_of(events)) if self.graded else np.zeros(len(events))
        for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
            assert self.step(events.units[begin:end], values[begin:end]) == 0

    def read(self, classes):
        scores = np.zeros(classes, np.int32)
        return self.loaded.network_read(ctypes.byref(self.state), scores.ctypes.data_as(ctypes.c_void_p)), scores

    def beside(self, learner, circuit):
        """Every array that outlasts a step: its name, what is here and what the learner has, rows in use alone."""
        used = circuit.rows_used(learner.memory)
        for name, array in self.arrays.items():
            buffer = circuit.buffers.get(name)
            if name == "samples_seen" or (buffer and not is_list(buffer)):
                axes = buffer.axes if buffer else ()
                yield name, rows_in_use(array, axes, used), rows_in_use(learner.memory[name], axes, used)


def assert_c_learns_alike(learner, samples, folder):
    """A learner and its library, sample by sample."""
    on_chip = InC(learner, folder, ("-O1",))
    for events, label in samples:
        learner.learn(events, label)
        on_chip.present(events, label)
        for name, found, expected in on_chip.beside(learner, learner.circuits[1]):
            np.testing.assert_array_equal(found, expected, name)


def is_list(buffer):
    """Whether it lists active units: what it holds beyond their count does not matter."""
    return buffer.index and buffer.role == "work" and len(buffer.axes) == 2
