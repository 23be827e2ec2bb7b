"""C = interpreter = Learner, bit for bit: programs, whole circuits, and the folder that export_c writes."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from conftest import port_arrays
from random_programs import random_program

from tp_lava.targets.c.program import c_type, prelude, program_function
from tp_lava.targets.cpu_source import scratch_of
from tp_lava.targets.interpreter import interpret

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror")
CTYPES = {f"{u}int{bits}_t": getattr(np, f"{u}int{bits}") for u in ("", "u") for bits in (8, 16, 32)}


def library(folder, name, *, options, files):
    out = folder / f"{name}.so"
    done = subprocess.run(["gcc", *STRICT, *options, "-shared", "-fPIC", "-o", out, *files], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(out))


def compiled(programs, folder, options=("-O1",)):
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
    loaded = library(folder, "programs", options=options, files=["programs.c"])

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


@pytest.mark.parametrize("options", [("-O0", "-fsanitize=undefined", "-fno-sanitize-recover=all"), ("-O3",)], ids=["O0-ubsan", "O3"])
def test_programs_agree_with_the_interpreter(options, tmp_path, rng):
    """Random programs of every instruction, on arrays half of whose entries lie at the edges of their formats."""
    made = [random_program(np.random.default_rng(seed), length=3 + seed % 22) for seed in range(60)]
    run = compiled([program for program, _ in made], tmp_path, options)
    for number, (program, sizes) in enumerate(made):
        for key in rng.integers(2**32, size=3):
            arrays = port_arrays(program, sizes, rng)
            expected = {name: array.copy() for name, array in arrays.items()}
            interpret(program, expected, int(key))
            for name, array in run(number, arrays, int(key)).items():
                np.testing.assert_array_equal(array, expected[name], f"{name} of\n{program.listing()}")
