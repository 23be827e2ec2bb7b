"""Fixed point four ways, longer than the tests do: interpreter, CPU (Numba), C and the Loihi 2 listing's emulator, bit for bit.

    uv run python tools/four_ways.py
    uv run python tools/four_ways.py --steps 10000000 --samples 100 --seed 1

First random neuron programs - LIF with every option, in one row and in several, third factors, traces, counts, integrators -
on random states over the whole range of their formats, half of them at its edges. Then the shipped digits network learns digits by TP
and by TESS; spikes are compared at every step of interpreter and emulator, every array after each sample. C is what gcc and clang
make of it, at -O0 and at -O3. Prints how many numbers were compared; any difference ends it with status 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from conftest import port_arrays, run_cpu  # type: ignore[import-not-found]
from in_c import InC, compiled, is_list  # type: ignore[import-not-found]

import tp_lava as tpl
from tp_lava.backends.interpreted_programs import interpret
from tp_lava.backends.interpreter import interpret_step
from tp_lava.backends.loihi2 import circuit_listings, compile_program, emulate, emulate_step
from tp_lava.backends.loihi2.compiling import summed_axes
from tp_lava.circuit import Buffer, Circuit
from tp_lava.circuit.buffers import rows_in_use
from tp_lava.deploy.samples import present
from tp_lava.dynamics.neuron import NeuronFormats, count_program, neuron_program, trace_program
from tp_lava.dynamics.plasticity import bias_program
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.readout import readout_program
from tp_lava.dynamics.surrogate import SURROGATE
from tp_lava.dynamics.third_factor import Seen, ThirdFactor, third_factors_program
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import Format
from tp_lava.pretrained import pretrained
from tp_lava.rules import BaseRule

Arrays = MutableMapping[str, np.ndarray]
BUILDS = [(compiler, option) for compiler in ("gcc", "clang") if shutil.which(compiler) for option in ("-O0", "-O3")]
LISTINGS: tuple[dict[str, Any], ...] = ({}, {"registers": 6, "branch_free": True})  # forms of a listing, in turn
RUNS = 4  # of each program
POSTS = ("surrogate", "post_trace", "spike_trace", "one")  # what a third factor takes of its neuron
LONGEST = {"c": 10, "r": 4}  # axes that a neuron sums over
INFERRED = 4  # every so many-th sample is not learned


class DifferenceError(Exception):
    """Two forms gave different numbers."""


# Random programs ---------------------------------------------------------------------------------


def random_neuron(rng: np.random.Generator, name: str) -> Program:
    """A LIF with any options and formats."""
    reset = str(rng.choice(["subtract", "zero"]))
    surrogates = (tpl.ArcTan(float(rng.uniform(0.3, 3))), tpl.Triangle(float(rng.uniform(0.1, 1.5))), tpl.FastSigmoid())
    neuron = tpl.LIF(
        float(rng.choice([1.0, rng.uniform(0, 1)])),
        float(rng.uniform(0.1, 4)),
        str(rng.choice([">=", ">"])),  # type: ignore[arg-type]
        reset,  # type: ignore[arg-type]
        float(rng.choice([0.0, rng.uniform(0, 1)])),
        surrogates[rng.integers(3)],
        float(rng.uniform(0.1, 4)) if reset == "subtract" and rng.random() < 0.5 else None,
        str(rng.choice(["membrane", "current"])),  # type: ignore[arg-type]
        adaptation=float(rng.choice([0.0, rng.uniform(0, 1)])),
        refractory=int(rng.choice([0, rng.integers(1, 64)])),
    )
    if rng.random() < 0.5:  # the program of a population whose neurons differ
        neuron = replace(neuron, decay=(0.5, 0.6), threshold=(1.0, 0.5))
    membrane = Format(24, int(rng.integers(6, 20)))
    inputs = {port: Format(int(rng.integers(8, 25)), int(rng.integers(0, membrane.frac + 1))) for port in ("input", "feedback")}
    if rng.random() < 0.5:
        del inputs["feedback"]
    trace, rise, raised = (Format(16, int(rng.integers(6, high)), signed=False) for high in (15, 18, 15))
    formats = NeuronFormats(membrane, trace, rise, raised)
    return neuron_program(neuron, inputs, formats, bias=bool(rng.integers(2)), surrogate=bool(rng.integers(4)), name=name)


def random_third_factors(rng: np.random.Generator) -> Program:
    """Up to three third factors, of traces or of fixed coefficients."""
    thirds = []
    for prefix in rng.permutation(["", "acausal_", "bias_"])[: rng.integers(1, 4)]:
        rate, result = Format(16, int(rng.integers(10, 28)), signed=False), Format(8, int(rng.integers(6, 16)))
        thirds.append(ThirdFactor(str(prefix), str(rng.choice(POSTS)), rate, result))
    coefficient, trace, post_trace = (Format(16, int(rng.integers(low, 15)), signed=False) for low in (6, SURROGATE.frac, SURROGATE.frac))
    seen = Seen(coefficient, "input", trace, post_trace) if rng.random() < 0.5 else Seen(Format(2, 0), "parameter", trace, post_trace)
    return third_factors_program(LONGEST["c"], thirds, seen, fixed=True, name="third_factors")


def random_small(rng: np.random.Generator) -> Program:
    """A trace, a count, an integrator or a bias that learns."""
    frac = int(rng.integers(0, 12))
    match int(rng.integers(4)):
        case 0:
            return trace_program(Format(int(rng.integers(8, 17)), frac, signed=False), fades=bool(rng.integers(2)))
        case 1:
            return count_program(Format(24, 0, signed=False))
        case 2:
            formats = {"input": Format(int(rng.integers(9, 24)), frac), "score": Format(31, frac), "bias": Format(24, frac)}
            return readout_program(10, formats, bias=bool(rng.integers(2)), leaky=bool(rng.integers(2)))
    return bias_program(LONGEST["r"], Format(24, frac), Format(8, frac + int(rng.integers(0, 12))))


KINDS: Mapping[str, Callable[[np.random.Generator], Program]] = {
    "LIF": lambda rng: random_neuron(rng, "neuron"),
    "LIF, several rows": lambda rng: random_neuron(rng, "target"),
    "third factors": random_third_factors,
    "traces, counts, integrators, biases": random_small,
}


def drawn(make: Callable[[np.random.Generator], Program], rng: np.random.Generator) -> Program:
    """The first program whose random formats fit their registers."""
    while True:
        try:
            return make(rng)
        except NumberRangeError:
            continue


def random_sizes(program: Program, kind: str, neurons: int, rng: np.random.Generator) -> dict[str, int]:
    """neurons: rows times units."""
    sizes = {axis: int(rng.integers(1, 5)) if kind == "LIF, several rows" else 1 for axis in program.axes[:-1]}
    sizes |= {axis: int(rng.integers(1, LONGEST[axis] + 1)) for axis in summed_axes(program)}
    rows = np.prod([size for axis, size in sizes.items() if axis not in summed_axes(program)])
    return sizes | {program.axes[-1]: max(1, -(-neurons // int(rows)))}


def same(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], where: str) -> int:
    """-> how many numbers were compared."""
    for name, array in found.items():
        if not np.array_equal(array, expected[name]):
            different = np.flatnonzero(np.asarray(array != expected[name]))
            raise DifferenceError(f"{where}: {name} differs in {different.size} of {array.size} numbers, first at {different[0]}")
    return sum(array.size for array in found.values())


def neuron_steps(steps: int, programs: int, seed: int, folder: Path) -> Iterator[tuple[str, int, int]]:
    """Programs in all forms. steps: neurons times steps in all. -> kind, neuron steps and numbers compared of each program."""
    rng = np.random.default_rng(seed)
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(programs)]
    made = [drawn(KINDS[kind], rng) for kind in kinds]
    in_c = {}
    for compiler, option in BUILDS:
        place = folder / f"{compiler}{option}"
        place.mkdir()
        in_c[f"C, {compiler} {option}"] = compiled(made, place, (option,), compiler)
    for number, (kind, program) in enumerate(zip(kinds, made, strict=True)):
        numbers = neurons = 0
        for turn in range(RUNS):
            sizes = random_sizes(program, kind, -(-steps // (programs * RUNS)), rng)
            key, arrays = int(rng.integers(2**32)), port_arrays(program, sizes, rng)
            expected, on_cpu, emulated = ({name: array.copy() for name, array in arrays.items()} for _ in range(3))
            interpret(program, expected, key)
            run_cpu(program, on_cpu, key)
            emulate(compile_program(program, sizes=sizes, **LISTINGS[turn % 2]), emulated, key)
            where = f"seed {seed}, program {number} ({kind}), run {turn}"
            numbers += same(expected, on_cpu, f"{where}, CPU") + same(expected, emulated, f"{where}, Loihi 2 emulator")
            for form, run in in_c.items():
                numbers += same(expected, run(number, {name: array.copy() for name, array in arrays.items()}, key), f"{where}, {form}")
            neurons += int(np.prod([size for axis, size in sizes.items() if axis not in summed_axes(program)]))
        yield kind, neurons, numbers


# Learning ----------------------------------------------------------------------------------------


def arrays_of(learner: tpl.Learner, circuit: Circuit) -> dict[str, np.ndarray]:
    """What a step leaves behind, rows in use alone."""
    used = circuit.rows_used(learner.memory)
    kept = {name: buffer.axes for name, buffer in circuit.buffers.items() if not is_list(buffer)}
    return {name: rows_in_use(learner.memory[name], axes, used) for name, axes in kept.items()}


def of_neurons(circuit: Circuit, local: str) -> list[Buffer]:
    """The buffers of every population that are called `local`, those of a rule's own rows included."""
    return [b for b in circuit.buffers.values() if b.owner.kind == "population" and b.local in (local, f"target_{local}")]


def stepping(step: Callable[[Circuit, Arrays], None], spikes: list[np.ndarray]) -> Callable[[Circuit, Arrays], None]:
    """The step, which also keeps every population's spikes."""

    def kept(circuit: Circuit, memory: Arrays) -> None:
        step(circuit, memory)
        spikes.extend(memory[buffer.name].copy() for buffer in of_neurons(circuit, "spike"))

    return kept


def learning(network: tpl.Network, rule: BaseRule, samples: list, folder: Path) -> Iterator[int]:
    """A network learns in all forms. -> numbers compared in each sample."""
    learner, on_cpu, emulated = (tpl.Learner(network, rule, "fixed", 5) for _ in range(3))
    inference, taught = learner.circuits
    assert taught is not None
    listings = {id(circuit): circuit_listings(circuit) for circuit in (*emulated.circuits,) if circuit}
    in_c = {
        f"C, {compiler} {option}": InC(learner, folder / f"{compiler}{option}", (option,), compiler=compiler) for compiler, option in BUILDS
    }
    for number, (events, label) in enumerate(samples):
        told = None if number % INFERRED == INFERRED - 1 else label
        spikes: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        present(learner, events, told, stepping(interpret_step, spikes[0]))
        present(emulated, events, told, stepping(lambda circuit, memory: emulate_step(circuit, memory, listings[id(circuit)]), spikes[1]))
        _ = on_cpu.infer(events) if told is None else on_cpu.learn(events, told)
        circuit = inference if told is None else taught
        where, expected = f"{type(rule).__name__}, sample {number}", arrays_of(learner, circuit)
        numbers = same(dict(enumerate(spikes[0])), dict(enumerate(spikes[1])), f"{where}, spikes of the Loihi 2 emulator")  # type: ignore[arg-type]
        numbers += same(expected, arrays_of(emulated, circuit), f"{where}, Loihi 2 emulator")
        numbers += same(expected, arrays_of(on_cpu, circuit), f"{where}, CPU")
        for form, compiled_c in in_c.items():
            compiled_c.present(events, told)
            for name, found, wanted in compiled_c.beside(learner, circuit):
                numbers += same({name: wanted}, {name: found}, f"{where}, {form}")
        yield numbers


def rules() -> list[BaseRule]:
    return [tpl.TP(7e-4, contrast=4), tpl.TESS(0.1, basis="walsh")]


def neurons_of(network: tpl.Network, rule: BaseRule) -> int:
    """Neurons that a step computes while it learns, each once for every row."""
    circuit = tpl.Learner(network, rule, "fixed").circuits[1]
    assert circuit is not None
    return sum(int(np.prod(circuit.shape(buffer.name))) for buffer in of_neurons(circuit, "membrane"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_200_000, help="neurons times steps of random programs")
    parser.add_argument("--programs", type=int, default=40, help="random programs")
    parser.add_argument("--samples", type=int, default=24, help="digits learned by each rule")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    forms = ["interpreter", "CPU", *(f"C ({compiler} {option})" for compiler, option in BUILDS), "Loihi 2 emulator"]
    print(f"forms: {', '.join(forms)}", flush=True)
    row = "{:38} {:>14} {:>18} {:>9}"
    print(row.format("", "neuron steps", "numbers compared", "seconds"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            start, neurons, numbers = time.perf_counter(), Counter[str](), Counter[str]()
            for kind, some, compared in neuron_steps(args.steps, args.programs, args.seed, Path(folder)):
                neurons[kind] += some
                numbers[kind] += compared
            for kind in KINDS:
                print(row.format(kind, f"{neurons[kind]:,}", f"{numbers[kind]:,}", ""))
            seconds = time.perf_counter() - start
            print(row.format("all programs", f"{neurons.total():,}", f"{numbers.total():,}", f"{seconds:.0f}"), flush=True)
        network, (train, _) = tpl.convert(pretrained("digits")), tpl.data.digits(args.seed)
        for rule in rules():
            start, samples = time.perf_counter(), train[: args.samples]
            with tempfile.TemporaryDirectory() as folder:
                compared = sum(learning(network, rule, samples, Path(folder)))
            steps = sum(events.n_steps for events, _ in samples) * neurons_of(network, rule)
            seconds = time.perf_counter() - start
            print(row.format(f"{len(samples)} digits by {rule.label}", f"{steps:,}", f"{compared:,}", f"{seconds:.0f}"), flush=True)
    except DifferenceError as error:
        print(f"DIFFERENT: {error}")
        sys.exit(1)
    print("no difference")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
