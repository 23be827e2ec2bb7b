"""Programs and learners compiled as C and called from here; for test_c, test_loihi2 and tools/four_ways.py."""

import ctypes
import subprocess

import numpy as np

from tp_lava.circuit import rows_in_use
from tp_lava.deploy.c import library_of
from tp_lava.backends.c.program import c_type, prelude, program_function
from tp_lava.backends.cpu_source import scratch_of

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror")
CTYPES = {f"{u}int{bits}_t": getattr(np, f"{u}int{bits}") for u in ("", "u") for bits in (8, 16, 32)}


def library(folder, name, *, options, files, compiler="gcc"):
    out = folder / f"{name}.so"
    done = subprocess.run([compiler, *STRICT, *options, "-shared", "-fPIC", "-o", out, *files], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(out))


def compiled(programs, folder, options=("-O1",), compiler="gcc"):
    """Many programs in one compilation. -> a function run(number, arrays, key), in place."""
    sources, functions = ["#include <stdint.h>"], []
    for number, program in enumerate(programs):
        stored = {port.name: c_type(port.format) for port in program.ports}
        functions.append((program_function(program, stored), stored))
        sources.append(functions[-1][0].source(f"program{number}").replace(f"static void program{number}(", f"void program{number}("))
        declared = ", ".join(functions[-1][0].declared)
        sources.insert(1, f"void program{number}({declared});")
    sources.insert(1, prelude("\n".join(sources)))
    (folder / "programs.c").write_text("\n".join(sources))
    loaded = library(folder, "programs", options=options, files=["programs.c"], compiler=compiler)

    def run(number, arrays, key):
        program, (function, stored) = programs[number], functions[number]
        sizes = {axis: n for port in program.ports for axis, n in zip(port.axes, arrays[port.name].shape, strict=False)}
        cells = sum(int(np.prod([sizes[axis] for axis in scratch.axes])) for scratch in scratch_of(program))
        held = {f"p_{name}": np.ascontiguousarray(array, CTYPES[stored[name]]) for name, array in arrays.items()}
        held["scratch"] = np.full(cells + 1, 77, np.int32)
        values = {"key": ctypes.c_uint32(key), **{f"n_{axis}": ctypes.c_int32(n) for axis, n in sizes.items()}}
        values |= {name: array.ctypes.data_as(ctypes.c_void_p) for name, array in held.items()}
        getattr(loaded, f"program{number}")(*(values[name] for name in function.parameters))
        assert held["scratch"][-1] == 77
        return {name: held[f"p_{name}"] for name in arrays}

    return run


class InC:
    """A learner's library, and one state of it."""

    def __init__(self, learner, folder, options, name="network", compiler="gcc"):
        self.library, self.name = library_of(learner, name), name
        folder.mkdir(exist_ok=True)
        header, constants, source = self.library.header, self.library.constants, self.library.source
        for file, text in ((f"{name}.h", header), (f"{name}_weights.h", constants), (f"{name}.c", source)):
            (folder / file).write_text(text)
        held = [m for m in self.library.members if m.place != "constant"]
        access = [f'#include "{name}.h"', "unsigned long size(void);", "unsigned long size(void) { return sizeof(network_state); }"]
        for m in held:
            access.append(f"void *at_{m.name}({name}_state *s);\nvoid *at_{m.name}({name}_state *s) {{ return s->{m.place}.{m.name}; }}")
        (folder / "access.c").write_text("\n".join(access) + "\n")
        self.loaded = library(folder, name, options=options, files=[f"{name}.c", "access.c"], compiler=compiler)
        self.loaded.size.restype = ctypes.c_ulong
        assert self.loaded.size() == self.library.state_bytes
        self.state = (ctypes.c_uint64 * (self.library.state_bytes // 8 + 1))(*[2**64 - 1] * (self.library.state_bytes // 8))
        self.unit = np.uint16 if "uint16_t network_unit" in header else np.int32
        self.arrays = {m.name: self._view(m) for m in held}
        self.loaded.network_init(self.state)

    def _view(self, m):
        at = getattr(self.loaded, f"at_{m.name}")
        at.restype = ctypes.c_void_p
        data = (ctypes.c_char * m.bytes).from_address(at(self.state))
        return np.frombuffer(data, CTYPES[m.type]).reshape(m.shape)

    def begin(self, label, n_steps):
        return self.loaded.network_begin(self.state, ctypes.c_int32(-1 if label is None else label), ctypes.c_int32(n_steps))

    def step(self, units):
        units = np.ascontiguousarray(units, self.unit)
        return self.loaded.network_step(self.state, units.ctypes.data_as(ctypes.c_void_p), ctypes.c_int32(len(units)))

    def present(self, events, label):
        assert self.begin(label, events.n_steps) == 0
        for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
            assert self.step(events.units[begin:end]) == 0

    def read(self, classes):
        scores = np.zeros(classes, np.int32)
        return self.loaded.network_read(self.state, scores.ctypes.data_as(ctypes.c_void_p)), scores

    def beside(self, learner, circuit, streams):
        """Every array that outlasts a step: its name, what is here and what the learner has, rows in use alone."""
        for name, array in self.arrays.items():
            counter = name in ("random_seed", "random_step", "samples_seen")
            if counter or (name in circuit.buffers and not name.endswith("_active")):
                axes = circuit.buffers[name].axes if name in circuit.buffers else ()
                yield name, rows_in_use(array, axes, streams), rows_in_use(learner.memory[name], axes, streams)
