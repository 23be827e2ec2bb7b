"""A model of what a learning step costs: of each operation bytes, operations, the bound on this machine, and what was reached.

    uv run python tools/bench.py --model

Bytes: what an operation reads and writes; weights count by the rows that events ask for. Operations: instructions of its program times
the elements they are carried out on; a product of more than 32 bits, a table, random bits and an exponential count as the instructions
they become. Bound: the longer of bytes by the measured bandwidth of the smallest cache that holds what the array belongs to (all states
together, each matrix alone), and operations by the measured rate of vectors. Reached: ticks of the processor's counter around each call,
the least of several passes over the same recordings, less those of nothing at all.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

import tp_lava as tpl
from tp_lava.alignment import aligned
from tp_lava.backends import cpu_calls, cpu_loops
from tp_lava.backends.cpu import CompiledOperations, once_a_sample
from tp_lava.backends.cpu_programs import Compiled, compiled_program
from tp_lava.backends.loops import domain_of
from tp_lava.backends.scalar import is_wide
from tp_lava.circuit import Accumulate, Circuit, ListEvents, Operation, RunProgram, UpdateWeights
from tp_lava.circuit.operations import events_of
from tp_lava.dynamics.program import Instruction, Program
from tp_lava.dynamics.symbols import Tracer

PASSES, CALLS = 15, 2000
_RANDOM, _EXPONENTIAL, _WIDE = 5, 18, 3  # instructions that one of a program becomes
_SOURCES, _ROUNDS = 8, 16  # of the program that measures the rate of operations


@dataclass(frozen=True)
class Machine:
    """caches: (name, bytes, bytes a nanosecond), from the nearest on; rate: operations a nanosecond, by whether numbers are whole."""

    caches: tuple[tuple[str, int, float], ...]
    rate: Mapping[bool, float]

    def bandwidth(self, held: int) -> float:
        """Bytes a nanosecond of the smallest cache that holds so many bytes."""
        return next((speed for _, size, speed in self.caches if held <= size), self.caches[-1][2])


def _seconds(program: Program, arrays: Mapping[str, np.ndarray], calls: int) -> float:
    """Of one call: least of several rounds."""
    call, kept = _call(program, arrays)
    many = np.array([call] * calls, np.int64)
    rounds = []
    for _ in range(PASSES):
        start = time.perf_counter()
        cpu_loops.with_key(many, 0)
        rounds.append(time.perf_counter() - start)
    del kept
    return min(rounds) / calls


def _call(program: Program, arrays: Mapping[str, np.ndarray]) -> tuple[list[int], object]:
    """-> a call of a program, and what must be kept as long as it is made."""
    address, arguments = compiled_program(program)
    ports = tuple((port.name, False) for port in program.ports)
    bound = Compiled(address, arguments, ports, tuple(port.axes for port in program.ports), program).arrays(arrays)
    slots = cpu_calls.slots_of(arguments, bound)
    return cpu_calls.call_of(address, slots), (bound, slots)


def _moves(fixed: bool) -> Program:
    t = Tracer("moves", fixed=fixed, axes={"n": 1})
    format = tpl.Format(8, 0) if fixed else None
    x = t.read("x", "state", ("n",), format)
    t.write("x", -x, ("n",), format)
    return t.program()


def _works(fixed: bool) -> Program:
    t = Tracer("works", fixed=fixed, axes={"n": 1})
    format = tpl.Format(12, 0) if fixed else None
    sums = [t.read(f"x{k}", "input", ("n",), format) for k in range(_SOURCES)]
    for k in range(_ROUNDS):
        sums = [a + b for a, b in zip(sums, sums[1 + k % 3 :] + sums[: 1 + k % 3], strict=True)]
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    t.write("y", total, ("n",), tpl.Format(32, 0) if fixed else None)
    return t.program()


def machine() -> Machine:
    """This machine, measured on one core."""
    caches = []
    for name, key in (("L1", "LEVEL1_DCACHE"), ("L2", "LEVEL2_CACHE"), ("L3", "LEVEL3_CACHE")):
        size = int(subprocess.run(["getconf", f"{key}_SIZE"], capture_output=True, text=True, check=True).stdout)
        held = min(size // 2, 8 << 20)
        arrays = {"x": aligned((held // 4,), np.float32)}
        speed = 2 * held / _seconds(_moves(False), arrays, max(1, (CALLS << 12) // held)) / 1e9
        caches.append((name, size, speed))
    rate = {}
    for fixed in (False, True):
        program, n = _works(fixed), 256
        dtype = np.int32 if fixed else np.float32
        seconds = _seconds(program, {port.name: aligned((n,), dtype) for port in program.ports}, CALLS)
        rate[fixed] = n * len(program.instructions) / seconds / 1e9
    return Machine(tuple(caches), rate)


# One operation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """Of one step: bytes by buffer, and operations."""

    bytes: Mapping[str, float]
    operations: float


def _instructions(program: Program, i: Instruction) -> float:
    if i.op == "piecewise":
        return 3 * len(i["table"].start)
    if i.op == "apply":
        return _EXPONENTIAL if i["function"] == "exp2" else 1
    if i.op == "random":
        return _RANDOM
    if i.op in ("mul", "mul_random") and program.fixed:
        return _WIDE * (2 if is_wide(program, i) else 1)
    return 1


def _counted(program: Program, sizes: Mapping[str, int]) -> float:
    made = (i for i in program.instructions if i.op != "constant")
    return sum(_instructions(program, i) * prod(sizes[axis] for axis in domain_of(program, i)) for i in made)


def work_of(circuit: Circuit, o: Operation, memory: Mapping[str, np.ndarray], active: Mapping[str, float]) -> Work:
    """What an operation does in a step. active: events of a population, elements of a trace that are not zero, or the share of
    steps in which any of a third factor is not: see _active.
    """

    def sized(names: Sequence[str]) -> dict[str, float]:
        return {name: float(memory[name].nbytes) for name in names}

    if isinstance(o, RunProgram):
        bound = dict(o.bindings)
        sizes = {a: n for p in o.program.ports for a, n in zip(p.axes, o.seen_shape(p.name, circuit.shape(bound[p.name])), strict=False)}
        read, written = (sized([bound[port] for port, _ in ports]) for ports in (o.program.reads, o.program.writes))
        return Work({name: read.get(name, 0) + written.get(name, 0) for name in {**read, **written}}, _counted(o.program, sizes))
    if isinstance(o, Accumulate):
        row = memory[o.weights][0]
        events = active[events_of(o.events)[0]]
        return Work({o.weights: events * row.nbytes, **sized([o.into])}, events * row.size)
    if isinstance(o, UpdateWeights):
        row, met = memory[o.weights][0], active[events_of(o.events)[0] if o.events else o.trace]
        looked = sized([o.trace]) if o.trace else {}
        met *= active.get(o.third_factor, 1.0)
        moved = {o.weights: 2 * met * row.nbytes, o.third_factor: met * 4 * row.size, **looked}
        return Work(moved, met * _counted(o.program, {"n": row.size}))
    if isinstance(o, ListEvents):
        return Work(sized([name for name in (o.spikes, o.total) if name]), 2 * memory[o.spikes].size)
    return Work(sized([name for name in o.touches if not name.endswith("_active")]), 0)


def _active(learner: tpl.Learner, circuit: Circuit, samples: Sequence) -> dict[str, float]:
    """Mean over all steps: events of every list, elements of every trace that are not zero, and whether any third factor is not."""
    thirds = {o.third_factor for o in circuit.step if isinstance(o, UpdateWeights)}
    traces = [o.trace for o in circuit.step if isinstance(o, UpdateWeights) and o.trace]
    lists = [name for name in circuit.buffers if name.endswith("_active")]
    found: dict[str, list[float]] = {name: [] for name in (*traces, *lists, *thirds)}
    for events, label in samples:
        learner.begin(label, events.n_steps)
        for t in range(events.n_steps):
            learner.step(events.units[events.offsets[t] : events.offsets[t + 1]])
            for name in found:
                held = memory_of(learner, name)
                found[name].append(float(held > 0) if name in thirds else held)
    return {name: float(np.mean(counts)) for name, counts in found.items()}


def memory_of(learner: tpl.Learner, name: str) -> float:
    """How many events a list has now, or how many elements of a buffer are not zero."""
    if name.endswith("_active"):
        return float(learner.memory[name.removesuffix("_active") + "_count"].sum())
    return float(np.count_nonzero(learner.memory[name]))


# The table ---------------------------------------------------------------------------------------


def compiled_of(learner: tpl.Learner) -> CompiledOperations:
    """The code that Learner.learn drives."""
    engine = learner._engines.learning
    assert engine is not None
    assert isinstance(engine.compiled, CompiledOperations)
    return engine.compiled


def reached(learner: tpl.Learner, samples: Sequence) -> np.ndarray:
    """Nanoseconds a step of every operation: of each recording the pass that took least. Every pass begins where the learner is."""
    best = np.full((len(samples), len(compiled_of(learner).operations)), 1 << 50)
    for _ in range(PASSES):
        again = learner.copy()
        ticks = compiled_of(again).timed()
        for number, sample in enumerate(samples):
            ticks[:] = 0
            again.learn(*sample)
            if ticks.sum() < best[number].sum():
                best[number] = ticks
    return best.sum(axis=0) / sum(events.n_steps for events, _ in samples) / _ticks_a_nanosecond()


def _ticks_a_nanosecond() -> float:
    """The speed of the processor's counter, by the clock."""
    ratios, ticks = [], np.zeros(1, np.int64)
    program, arrays = _works(False), {port.name: aligned((1 << 20,), np.float32) for port in _works(False).ports}
    call, kept = _call(program, arrays)
    lists = np.zeros((1, 1), np.int32), np.zeros(1, np.int32)
    none = np.zeros((0, 0), np.int32), np.zeros(1, np.int32)
    counters = np.zeros(1, np.uint32), np.zeros(1, np.uint32)
    starts = np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)
    step = cpu_loops.EachSample(np.array([call], np.int64), counters, lists, none, starts, np.zeros(1, np.int32), 0, 0, ticks)
    for _ in range(PASSES):
        ticks[:], start = 0, time.perf_counter_ns()
        step.part(0, 1, np.zeros((1, 2), np.int32), np.zeros(0, np.int32), None, False)
        ratios.append(ticks[0] / (time.perf_counter_ns() - start))
    del kept
    return max(ratios)


def table(precision: str, network: tpl.Network, samples: Sequence, on: Machine) -> list[str]:
    """The lines of the table."""
    learner = tpl.Learner(network, tpl.TP(), precision)  # type: ignore[arg-type]
    for sample in samples:
        learner.learn(*sample)
    (_, circuit), memory, compiled = learner.circuits, learner.memory, compiled_of(learner)
    assert circuit is not None
    taken, active = reached(learner, samples), _active(learner.copy(), circuit, samples)
    matrices = {name for name, buffer in circuit.buffers.items() if buffer.role in ("weight", "kernel")}
    states = sum(memory[name].nbytes for name in circuit.buffers if name not in matrices)
    lines = [f"{f'{precision}, operation':44} {'bytes':>8} {'operations':>10} {'bound ns':>9} {'reached':>8} {'bound/reached':>13}"]
    bounds, (once, _) = list[float](), once_a_sample(circuit.step)
    for operation, nanoseconds in zip(compiled.operations, taken, strict=True):
        work = work_of(circuit, operation, memory, active)
        moved = sum(size / on.bandwidth(memory[n].nbytes if n in matrices else states) for n, size in work.bytes.items())
        bound = max(moved, work.operations / on.rate[circuit.fixed])
        bounds.append(bound / samples[0][0].n_steps if operation in once else bound)
        name = f"{type(operation).__name__} {operation.owner.name} {operation.stage}"
        lines.append(_line(name, sum(work.bytes.values()), work.operations, bounds[-1], nanoseconds))
    return [*lines, _line("all", 0, 0, sum(bounds), float(np.sum(taken)))]


def _line(name: str, moved: float, operations: float, bound: float, nanoseconds: float) -> str:
    return f"{name:44} {moved:8.0f} {operations:10.0f} {bound:9.1f} {nanoseconds:8.1f} {bound / nanoseconds:13.2f}"


def report(network: Callable[[], tpl.Network], recordings: Callable[[int], list]) -> None:
    """Print the machine and a table for each number system."""
    on = machine()
    print(", ".join(f"{name} {size >> 10} KB: {speed:.0f} bytes a ns" for name, size, speed in on.caches))
    print(f"{on.rate[False]:.0f} float and {on.rate[True]:.0f} whole operations a ns\n")
    for precision in ("float", "fixed"):
        print("\n".join(table(precision, network(), recordings(20), on)) + "\n", flush=True)
