"""Loihi 2 listings: their emulator = interpreter, bit for bit; what they count, say and refuse; whole circuits."""

import pathlib
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from conftest import lively, port_arrays, random_events
from hypothesis import example, given, settings
from hypothesis import strategies as st
from output_error_rule import OutputError
from random_programs import random_program
from second_trace_rule import SecondTrace
from synapse_state_rule import SynapseState
from test_backends import product_program, python_product

import tp_lava as tpl
from tp_lava.backends.interpreted_programs import interpret
from tp_lava.backends.interpreter import Interpreter
from tp_lava.backends.loihi2 import Loihi2, circuit_listings, compile_program, emulate, emulate_step, learning_string
from tp_lava.backends.loihi2.compiling import gathers
from tp_lava.backends.loihi2.listing import INSTRUCTIONS, Constant, Line, Register
from tp_lava.circuit import Operation, Owner, UpdateWeights
from tp_lava.commands.named import fine_tuning_rule, model_named
from tp_lava.dynamics.neuron import NeuronFormats, neuron_program, trace_program
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.readout import Readout, readout_program
from tp_lava.dynamics.symbols import Tracer, evaluate, multiply, saturate, spike, total
from tp_lava.dynamics.third_factor import Seen, ThirdFactor, third_factors_program
from tp_lava.errors import InvalidValueError, NumberRangeError
from tp_lava.numbers import Format

FORMS = [{}, {"branch_free": True}, {"registers": 6}, {"registers": 6, "branch_free": True}]


def assert_emulated(program, listing, arrays, key=0):
    expected, found = ({name: array.copy() for name, array in arrays.items()} for _ in range(2))
    interpret(program, expected, key)
    emulate(listing, found, key)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], f"{name} of\n{program.listing()}\n{listing.text()}")
    return found


# Programs ----------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1))
@example(0)
def test_random_programs_are_the_interpreter_s(seed):
    """Every instruction, any axes, rounding and random bits; half of the numbers at the edges of their formats."""
    rng = np.random.default_rng(seed)
    program, sizes = random_program(rng, length=int(rng.integers(3, 25)))
    if gathers(program):
        with pytest.raises(InvalidValueError, match="no neuron reads another's memory"):
            compile_program(program, sizes=sizes)
        return
    for form in FORMS:
        listing = compile_program(program, sizes=sizes, **form)
        assert listing.counts.registers <= form.get("registers", 16)
        assert {line.op for line in listing.lines} <= set(INSTRUCTIONS)
        for key in rng.integers(2**32, size=2):
            assert_emulated(program, listing, port_arrays(program, sizes, rng), int(key))


def test_registers_are_spilled_and_given_back():
    """On few registers the same results with more memory; nothing is spilled where there are enough."""
    spilled = 0
    for seed in range(60):
        program, sizes = random_program(np.random.default_rng(seed), length=24)
        if not gathers(program):
            few, many = (compile_program(program, sizes=sizes, registers=count) for count in (6, 500))
            assert many.counts.spills == 0
            assert few.counts.instructions >= many.counts.instructions
            assert (few.counts.spills > 0) <= (many.counts.registers > 6)
            spilled += few.counts.spills > 0
    assert spilled > 10


PRODUCTS = [
    (Format(24, 14), Format(12, 12, False), Format(24, 14)),
    (Format(12, 12, False), Format(24, 14), Format(24, 14)),
    (Format(16, 10, False), Format(16, 10, False), Format(32, 8)),
    (Format(8, 7), Format(8, 7), Format(8, 7)),
    (Format(8, 0), Format(8, 0), Format(24, 6)),
    (Format(32, 20), Format(17, 12), Format(8, 1)),  # a shift of 31
    (Format(32, 0), Format(28, 28), Format(32, 0)),  # 59-bit products
    (Format(24, 0), Format(24, 17), Format(32, 0)),
    (Format(28, 10), Format(16, 14, False), Format(8, 3)),  # a rate
]


@pytest.mark.parametrize("rounding", ["zero", "floor", "nearest", "stochastic"])
@pytest.mark.parametrize(("a", "b", "into"), PRODUCTS)
@pytest.mark.parametrize("branch_free", [False, True])
def test_products_at_every_edge(a, b, into, rounding, branch_free, rng):
    edges = [np.array([f.low, f.low + 1, -1, 0, 1, f.high // 2, f.high - 1, f.high]).clip(f.low, f.high) for f in (a, b)]
    x, y = (grid.ravel() for grid in np.meshgrid(*edges))
    x = np.concatenate([x, rng.integers(a.low, a.high, 500)]).astype(np.int32)
    y = np.concatenate([y, rng.integers(b.low, b.high, 500)]).astype(np.int32)
    program = product_program(a, b, into, rounding)
    found = assert_emulated(program, compile_program(program, branch_free=branch_free), {"a": x, "b": y, "y": np.zeros_like(x)}, 9)["y"]
    if rounding != "stochastic":
        shift = a.frac + b.frac - into.frac
        np.testing.assert_array_equal(found, [python_product(p, q, shift, rounding, into) for p, q in zip(x, y, strict=True)])


@pytest.mark.parametrize("branch_free", [False, True])
@pytest.mark.parametrize("segments", [1, 2, 3, 4, 7, 10])
def test_tables_at_every_argument(segments, branch_free, rng):
    last = 400
    start = (0, *sorted(rng.choice(np.arange(1, last), segments - 1, replace=False).tolist()))
    offset, slope = (tuple(rng.integers(-5000, 5000, segments).tolist()) for _ in range(2))
    table = Piecewise("any", Format(10, 0, False), Format(24, 0), last, start, offset, slope, 3)
    t = Tracer("table", fixed=True, axes={"n": 1})
    y = evaluate(saturate(t.read("x", "input", ("n",), Format(10, 0, False)), Format(8, 0, False)), table)
    t.write("y", y, ("n",), Format(32, 0))
    x = np.arange(512).astype(np.int32)
    found = assert_emulated(t.program(), compile_program(t.program(), branch_free=branch_free), {"x": x, "y": np.zeros_like(x)})["y"]
    np.testing.assert_array_equal(found, table(np.minimum(x, 255)))


@pytest.mark.parametrize("bits", [32, 24])
@pytest.mark.parametrize("most", [31, 30, 12])
def test_shifts_by_a_register(bits, most, rng):
    held = Format(bits, 0)
    t = Tracer("shift", fixed=True, axes={"n": 1})
    x, count = t.read("x", "input", ("n",), held), t.read("count", "input", ("n",), Format(5, 0, False))
    count = saturate(count, Format(4, 0, False)) if most == 12 else count
    shifted = t.emit("shift_right", (x, count), format=held, interval=(held.low, held.high))
    t.write("y", shifted, ("n",), held)
    edges = np.array([held.low, held.low + 1, -2, -1, 0, 1, 2, held.high - 1, held.high, *rng.integers(held.low, held.high, 20)])
    x_values, counts = (grid.ravel().astype(np.int32) for grid in np.meshgrid(edges, np.arange(most + 1)))
    arrays = {"x": x_values, "count": counts, "y": np.zeros_like(counts)}
    found = assert_emulated(t.program(), compile_program(t.program()), arrays)["y"]
    assert found.tolist() == [int(a) >> min(int(b), 15 if most == 12 else 31) for a, b in zip(x_values, counts, strict=True)]


def test_states_that_change_places():
    """What a port held is read before it is written over, in whatever order the program says so."""
    t = Tracer("swap", fixed=True, axes={"n": 1})
    a, b = (t.read(name, "state", ("n",), Format(8, 0)) for name in "ab")
    t.write("a", b)
    t.write("b", a)
    found = assert_emulated(t.program(), compile_program(t.program()), {"a": np.array([1, 2], np.int32), "b": np.array([3, 4], np.int32)})
    assert found["a"].tolist() == [3, 4]
    assert found["b"].tolist() == [1, 2]


# What a listing is -------------------------------------------------------------------------------


def small_program():
    t = Tracer("leaky", fixed=True, axes={"n": 1})
    arriving = t.read("input", "input", ("n",), Format(12, 6))
    v = t.read("membrane", "state", ("n",), Format(20, 6)) * t.read("decay", "parameter", (), Format(12, 12, signed=False)) + arriving
    fired = v >= 100.0
    t.write("membrane", saturate(v, Format(20, 6)))
    t.write("spike", spike(fired), ("n",), Format(1, 0, signed=False))
    return t.program()


SMALL = """\
; leaky: one run a step for each neuron of (n)
; instruction names as Loihi 2's technology brief is said to list them; syntax, operands and registers are tp_lava's own
; 16 instructions, 13 to 16 carried out a step; 4 of 16 registers of 32 bits, products 64
.state       [membrane]           s20.6
.parameter   [decay]              u12.12  ; one for all neurons
.accumulator [input]              s12.6
.event       [spike]              u1.0
.constant    c0 = -524287
.constant    c1 = 6400
.constant    c2 = 524287
"""


def test_a_listing_as_text():
    text = compile_program(small_program(), accumulators=["input"]).text()
    assert text.startswith(SMALL), text
    assert [line.split()[1] for line in text.removeprefix(SMALL).splitlines()] == (
        ["RMW", "RMW", "GE", "MUL_SHR", "SKP_C", "NEG", "MUL_SHR", "NEG", "RDC", "ADD", "MIN", "LT", "SEL", "RMW", "GE", "SPIKE"]
    )


def test_counts_by_hand():
    program = small_program()
    skips, branch_free = (compile_program(program, accumulators=["input"], branch_free=b).counts for b in (False, True))
    assert (skips.instructions, skips.best, skips.worst) == (16, 13, 16)
    assert skips.by_op == {
        "RMW": 3, "GE": 2, "MUL_SHR": 2, "SKP_C": 1, "NEG": 2, "RDC": 1, "ADD": 1, "MIN": 1, "LT": 1, "SEL": 1, "SPIKE": 1
    }  # fmt: skip
    assert branch_free.best == branch_free.worst == branch_free.instructions == 16
    assert "SKP_C" not in branch_free.by_op
    assert skips.words == {"state": 1, "accumulator": 1, "event": 1}
    assert skips.shared_words == {"parameter": 1}
    assert (skips.neuron_words, skips.constants, skips.spills, skips.spikes) == (1, 3, 0, 1)


def test_parameters_of_a_layer_and_of_each_neuron():
    formats = NeuronFormats(Format(24, 14), Format(16, 10, signed=False))
    program = neuron_program(tpl.LIF(0.9, current_decay=0.5), {"input": Format(16, 8)}, formats, bias=True)
    counts = compile_program(program).counts
    assert counts.words == {"input": 1, "state": 3, "parameter": 1, "event": 1, "output": 1}  # bias
    assert counts.shared_words == {"parameter": 4}  # decay, current_decay, threshold, trace_decay


def test_adaptation_refractory_time_and_numbers_of_each_neuron():
    trace = Format(16, 10, signed=False)
    formats = NeuronFormats(Format(24, 14), trace, Format(16, 13, signed=False), trace)
    neuron = tpl.LIF((0.9, 0.8), (1.0, 0.5), adaptation=0.1, refractory=2)
    counts = compile_program(neuron_program(neuron, {"input": Format(16, 8)}, formats)).counts
    assert counts.words == {"input": 1, "state": 4, "parameter": 2, "event": 1, "output": 1}  # adaptation_trace, refractory_left
    assert counts.shared_words == {"parameter": 4}  # adaptation, adaptation_decay, refractory, trace_decay


def test_nothing_is_computed_twice_or_for_nothing():
    t = Tracer("twice", fixed=True, axes={"n": 1})
    x = t.read("x", "input", ("n",), Format(8, 0))
    t.write("y", (x - 5.0) + (x - 5.0), ("n",), Format(32, 0))
    t.write("z", x * t.constant(0, Format(8, 0)), ("n",), Format(32, 0))
    assert [line.op for line in compile_program(t.program()).lines] == ["RMW", "ADD", "ADD", "RMW", "RMW"]


def test_small_constants_stand_in_the_instruction():
    t = Tracer("constants", fixed=True, axes={"n": 1})
    x = t.read("x", "input", ("n",), Format(8, 0))
    for name, number in (("a", -128), ("b", 127), ("c", 128), ("d", -129), ("e", 128)):
        t.write(name, x + float(number), ("n",), Format(32, 0))
    assert compile_program(t.program()).pool == (-129, 128)


def test_an_accumulator_is_cleared_once_and_an_input_is_kept():
    t = Tracer("inputs", fixed=True, axes={"n": 1})
    a, b = (t.read(name, "input", ("n",), Format(8, 0)) for name in "ab")
    t.write("y", multiply(a, b, Format(32, 0)) + a, ("n",), Format(32, 0))
    listing = compile_program(t.program(), accumulators=["a"])
    assert [(line.op, line.words[0].kind) for line in listing.lines if line.words] == [
        ("RDC", "accumulator"), ("RMW", "input"), ("RMW", "output")
    ]  # fmt: skip


def test_a_third_factor_goes_through_its_streams(rng):
    third = ThirdFactor("", "surrogate", Format(16, 20, False), Format(8, 10))
    program = third_factors_program(10, [third], Seen(Format(16, 10, False)), fixed=True, name="third_factors")
    few, many = (compile_program(program, sizes={"c": c}) for c in (1, 10))
    assert (few.unrolled, many.unrolled) == ((("c", 1),), (("c", 10),))
    assert many.counts.words["input"] == 11  # ten coefficients and the surrogate
    assert many.counts.shared_words == {"input": 10, "parameter": 1}
    for r in (1, 3):
        assert_emulated(program, many, port_arrays(program, {"r": r, "c": 10, "n": 30}, rng), 77)


# What is refused ---------------------------------------------------------------------------------


def refused(program, message, **options):
    with pytest.raises(InvalidValueError, match=re.escape(message)):
        compile_program(program, **options)


def summing():
    t = Tracer("summing", fixed=True, axes={"c": 4, "n": 1})
    t.write("y", total(t.read("x", "input", ("c", "n"), Format(8, 0)), "c"), ("n",), Format(32, 0))
    return t.program()


def test_what_is_no_neuron_program():
    real = trace_program(None)
    refused(real, 'trace: number system is real, but must be fixed point; make its network a Learner with precision="fixed".')
    softmax = readout_program(
        4, {"input": Format(16, 8), "score": Format(31, 8), "rate": Format(16, 20, False), "third_factor": Format(8, 10)}, Readout()
    )
    refused(softmax, "readout: reduction is over c, the neurons, but must be over numbers that one neuron holds")
    t = Tracer("one", fixed=True, axes={})
    t.write("y", t.read("x", "input", (), Format(8, 0)), (), Format(8, 0))
    refused(t.program(), "one: axes is none, but must be at least one, the neurons")
    t = Tracer("shared", fixed=True, axes={"n": 1})
    t.write("elapsed", t.read("elapsed", "state", (), Format(8, 0)) + 1.0)
    refused(t.program(), "shared: elapsed is written, and shared along n, but must be one word for each n")


@pytest.mark.parametrize("registers", [5, 0, 7.5, None])
def test_too_few_registers(registers):
    refused(small_program(), f"leaky: registers is {registers!r}, but must be an integer of at least 6", registers=registers)


@pytest.mark.parametrize("size", [None, 0, 2.5])
def test_sizes_of_summed_axes(size):
    sizes = {} if size is None else {"c": size}
    refused(summing(), f"summing: size of c is {size!r}, but must be an integer of at least 1", sizes=sizes)
    arrays = {"x": np.zeros((3, 5), np.int32), "y": np.zeros(5, np.int32)}
    with pytest.raises(InvalidValueError, match="summing: size of c is 3, but must be 4, as compiled"):
        emulate(compile_program(summing(), sizes={"c": 4}), arrays)


@pytest.mark.parametrize("port", ["membrane", "decay", "nothing"])
def test_what_is_no_accumulator(port):
    refused(small_program(), f"leaky: accumulators is {port!r}, but must be among input", accumulators=[port])


def test_products_that_no_order_fits():
    wide = product_program(Format(32, 16), Format(31, 15), Format(32, 0), "stochastic")
    with pytest.raises(NumberRangeError, match="product: a product that is rounded by 31 bits and then reaches 1073741823 cannot be"):
        compile_program(wide)


def test_values_beyond_their_words_and_registers():
    listing = compile_program(small_program())
    arrays = {name: np.zeros(3 if name != "decay" else 1, np.int32) for name in ("input", "membrane", "decay", "spike")}
    arrays["membrane"][1] = 2**19
    with pytest.raises(NumberRangeError, match=r"instruction 0 \(RMW\) gives 0..524288, but needs \[membrane\] to hold -524287..524287"):
        emulate(listing, arrays)
    arrays["membrane"][1] = 0
    broken = replace(
        listing, lines=(Line("MOV", Register(0), (Constant(2**31 - 1),)), Line("ADD", Register(1), (Register(0), Constant(1))))
    )
    with pytest.raises(
        NumberRangeError, match=r"leaky: instruction 1 \(ADD\) gives 2147483648..2147483648, but needs registers of 32 bits"
    ):
        emulate(broken, arrays)
    word = next(line.target for line in listing.lines if line.op == "RMW" and not isinstance(line.target, Register))
    with pytest.raises(NumberRangeError, match=r"instruction 0 \(RMW\) gives 999999..999999, but needs \[membrane\] to hold"):
        emulate(replace(listing, lines=(Line("RMW", word, (Constant(999999),)),)), arrays)


# Whole circuits ----------------------------------------------------------------------------------

CELLS = {"trace_decay": 0.9}


def network(rng, recurrent=True, **options):
    made = tpl.Network.dense((11, 9, 7, 4), recurrent=(recurrent, recurrent), seed=3, **{"neuron": tpl.LIF(0.9), **CELLS, **options})
    given = {"bias0": rng.normal(0, 0.1, 9), "bias1": rng.normal(0, 0.1, 7), "readout_bias": rng.normal(0, 0.1, 4)}
    return lively(made, 2.5).with_weights(given)


LAVA_LIKE = tpl.LIF(0.9, 1.3, ">", "zero", 0.4, tpl.Triangle(), bias_to="current")
LEARNERS = {
    "tp": lambda rng: tpl.Learner(network(rng), tpl.TP(0.02, 0.05, 2), "fixed", 5),
    "tp_sequence": lambda rng: tpl.Learner(
        network(rng, neuron=LAVA_LIKE), tpl.TP(0.03, 0.01, 3, train_target=True, update="sequence"), "fixed", 1
    ),
    "tp_readout_options": lambda rng: tpl.Learner(
        network(rng, neuron=tpl.LIF(0.8, surrogate=tpl.FastSigmoid(), reset_by=0.7)),
        tpl.TP((0.0, 0.02), 0.05, 2, readout=tpl.Readout(0.9, 2.0, normalised=True, features="count", learn_last=5)),
        "fixed",
    ),
    "tp_match": lambda rng: tpl.Learner(network(rng), tpl.TP(0.02, contrast=3, readout=tpl.Match()), "fixed", 4),
    "tess_sequence": lambda rng: tpl.Learner(network(rng, neuron=tpl.TESS.neuron()), tpl.TESS(0.3, 0.05, basis="walsh"), "fixed", 7),
    "tess_step": lambda rng: tpl.Learner(
        network(rng, recurrent=False), tpl.TESS(0.3, 0.05, basis="walsh", update="step", activity="trace"), "fixed", 8
    ),
    "infers": lambda rng: tpl.Learner(network(rng), None, "fixed"),
    "tp_maximum": lambda rng: tpl.Learner(maps(tpl.Conv2d(3, 3, padding=1, gain=4), tpl.MaxPool2d(2)), tpl.TP(0.1, 0.05, 2), "fixed", 2),
    "tess_average": lambda rng: tpl.Learner(
        maps(tpl.LocalConv2d(3, 3, padding=1, gain=4), tpl.AvgPool2d(2)), tpl.TESS(0.3, 0.05, basis="walsh", update="step"), "fixed", 3
    ),
}


def maps(*layers):
    return tpl.Network.sequential((1, 4, 4), [*layers, tpl.Dense(5, gain=4)], 4, trace_decay=0.9, seed=3)


def present(learner, compiled, events, label):
    """A sample through some back end's code. -> scores and total spikes of each population."""
    learner.begin(label, n_steps=events.n_steps)
    compiled.steps(dict(learner.memory), events.offsets[np.newaxis], events.units, 0, events.n_steps)
    totals = [int(learner.memory[f"{population.name}_total"].sum()) for population in learner.network.populations]
    return learner.memory["score"].tolist(), totals


@pytest.mark.parametrize("form", LEARNERS)
@pytest.mark.parametrize("options", [{}, {"registers": 6, "branch_free": True}], ids=["skips", "few registers"])
def test_learning_runs_are_the_interpreter_s(form, options, rng):
    learner = LEARNERS[form](rng)
    twin, start = learner.copy(), {name: array.copy() for name, array in learner.mantissas.items()}
    inference, learning = learner.circuits
    rows = dict.fromkeys(learning.row_counts, 3) if form == "tp_match" else {}
    back_ends = [(Interpreter(), Interpreter()), (Loihi2(**options), Loihi2(rows=rows, **options))]
    codes = [(infer.compile(inference), learn.compile(learning or inference)) for infer, learn in back_ends]
    for number in range(3):
        events, label = random_events(rng, learner.network.n_inputs, 10, 0.3), None if learner.rule is None or number == 1 else number
        expected, found = (present(held, code[label is not None], events, label) for held, code in zip((learner, twin), codes, strict=True))
        assert found == expected
        for name, array in learner.memory.items():
            np.testing.assert_array_equal(twin.memory[name], array, name)
    assert all(expected[1])
    assert learner.rule is None or any(not np.array_equal(start[name], array) for name, array in learner.mantissas.items())


def test_a_step_is_counted_as_the_interpreter_s(rng):
    learner = LEARNERS["tp"](rng)
    learner.begin(1)
    emulate_step(learner.circuits[1], dict(learner.memory), circuit_listings(learner.circuits[1]))
    assert learner.memory["random_step"][0] == 1


def test_the_listings_are_what_is_carried_out(rng):
    """A step with one instruction of one listing left out is another step."""
    learner = LEARNERS["tp"](rng)
    circuit, twin = learner.circuits[1], learner.copy()
    made = circuit_listings(circuit)
    spoiled = []
    for p in made.placements:
        if p.what == "target1_neuron":
            place = next(n for n, line in enumerate(p.listing.lines) if line.op == "RMW" and str(line.target) == "[trace]")
            p = replace(p, listing=replace(p.listing, lines=p.listing.lines[:place] + p.listing.lines[place + 1 :]))
        spoiled.append(p)
    events = random_events(rng, 11, 10, 0.3)
    present(learner, Interpreter().compile(circuit), events, 1)
    present(twin, replace(made, placements=tuple(spoiled)), events, 1)
    assert learner.memory["target1_trace"].any()
    assert not twin.memory["target1_trace"].any()


@pytest.mark.parametrize("form", LEARNERS)
def test_every_operation_has_its_place(form, rng):
    learner = LEARNERS[form](rng)
    circuit = learner.circuits[1] or learner.circuits[0]
    made = circuit_listings(circuit)
    for p in made.placements:
        assert p.place in ("neuro-core", "learning engine", "embedded processor")
        assert p.runs > 0
        assert (p.listing is not None) <= (p.place == "neuro-core")
        assert f"| {p.what} | {p.runs} | {p.place} |" in made.table()
        assert p in made.layer(p.layer)
    refused_or_not = {p.what for p in made.placements if p.place == "embedded processor"}
    allowed = {f"hidden{n}_{credit}" for n in (0, 1) for credit in ("contrast", "error")} | {"readout", "match"}
    if form == "tp_maximum":  # whose weights are shared, and whose signals come back through a maximum
        allowed |= {"hidden0_change", "hidden0_optimiser", "hidden0_signal"}
    assert refused_or_not <= allowed
    neurons = [name for name in made.listings if name.endswith("_neuron")]
    assert all(made.listings[name].counts.spikes == 1 for name in neurons)
    for name in neurons:
        kinds = made.listings[name].counts.words
        assert "input" not in kinds  # all of it arrives in accumulators
        assert kinds["accumulator"] == 1 + ("_feedback" in str(circuit.step) and learner.network.layers[int(name[6])].recurrent)


def test_places_of_tp(rng):
    made = circuit_listings(LEARNERS["tp"](rng).circuits[1])
    places = {p.what: p for p in made.placements}
    both = [f"{path}{n}_{program}" for path in ("hidden", "target") for n in (0, 1) for program in ("neuron", "third_factors")]
    assert set(made.listings) == {"label_trace", "readout_bias_plasticity", *both}
    assert places["target1_neuron"].runs == 2 * 7  # streams times neurons
    assert re.search(r"dw = 2\^-?\d+\*x0\*y1 - 2\^-?\d+\*x0\*y2", places["hidden0_plasticity"].note)
    assert places["hidden0_contrast"].place == places["readout"].place == "embedded processor"
    assert "x1*y1" in places["readout_plasticity"].note


@pytest.mark.parametrize("rows", [0, 3, 1.5])
def test_rows_that_a_circuit_does_not_have(rows, rng):
    circuit = LEARNERS["tp"](rng).circuits[1]
    (axis,) = circuit.row_counts
    with pytest.raises(InvalidValueError, match=re.escape(f"rows[{axis!r}] is {rows!r}, but must be an integer in 1..2")):
        circuit_listings(circuit, rows={axis: rows})


def test_a_real_circuit_is_refused(rng):
    with pytest.raises(InvalidValueError, match="Loihi 2 listing: circuit is real, but must be in fixed point"):
        circuit_listings(tpl.Learner(network(rng), None).circuits[0])


@dataclass(frozen=True, kw_only=True)
class Unknown(Operation):
    """An operation that no back end has."""


def test_what_is_not_in_a_table_is_refused_by_name(rng):
    circuit = LEARNERS["infers"](rng).circuits[0]
    with pytest.raises(InvalidValueError, match="Loihi 2 listing: operation is Unknown, but must be one of Accumulate, Accum"):
        circuit_listings(replace(circuit, step=(*circuit.step, Unknown())))
    program = small_program()
    foreign = tuple(replace(i, op="divide") if i.op == "min" else i for i in program.instructions)
    with pytest.raises(InvalidValueError, match="Loihi 2 listing: instruction is divide, but must be one of add, and, eq"):
        compile_program(replace(program, instructions=foreign))


# What the learning engine has, and has not ---------------------------------------------------------


def test_a_second_trace_is_x2_of_the_learning_engine(rng):
    learner = tpl.Learner(network(rng, recurrent=False), SecondTrace(0.2), "fixed")
    places = {p.what: p for p in circuit_listings(learner.circuits[1]).placements}
    assert re.fullmatch(r"dw = 2\^-?\d+\*u0\*x2\*y1 - .*u0\*x2\*y2, third factor .* on two rails", places["hidden0_plasticity"].note)
    assert places["hidden0_second_trace"].note == "its trace is x2 of the stock learning engine, in 7 bits there"


def test_states_of_synapses_are_not_in_the_learning_engine(rng):
    learner = tpl.Learner(network(rng, recurrent=False), SynapseState(0.2), "fixed")
    circuit = learner.circuits[1]
    places = {p.what: p for p in circuit_listings(circuit).placements}
    assert places["hidden0_plasticity"].place == "embedded processor"
    assert "a state per synapse that decays; use a term without filter" in places["hidden0_plasticity"].note
    (update,) = (o for o in circuit.of(Owner("plasticity", "hidden0")) if isinstance(o, UpdateWeights))
    with pytest.raises(InvalidValueError, match="hidden0: learning rule is with a state per synapse that decays"):
        learning_string(circuit, update)


@pytest.mark.parametrize("rule", [SecondTrace(0.2), SynapseState(0.2), OutputError(0.2)], ids=lambda rule: rule.label)
def test_any_rule_is_emulated(rule, rng):
    learner = tpl.Learner(network(rng), rule, "fixed")
    twin, circuit, events = learner.copy(), learner.circuits[1], random_events(rng, 11, 10, 0.3)
    assert present(twin, Loihi2().compile(circuit), events, 2) == present(learner, Interpreter().compile(circuit), events, 2)
    for name, array in learner.memory.items():
        np.testing.assert_array_equal(twin.memory[name], array, name)


# The documentation -------------------------------------------------------------------------------


def test_the_documentation_is_what_the_commands_print():
    page = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "loihi2.md").read_text()
    learner = tpl.Learner(model_named("digits", 0), fine_tuning_rule("tp"), "fixed")
    made = circuit_listings(learner.circuits[1])
    assert made.listings["target0_neuron"].text() in page
    assert made.table() in page
    tess = circuit_listings(tpl.Learner(model_named("digits", 0), fine_tuning_rule("tess"), "fixed").circuits[1])
    counts = tess.listings["hidden0_third_factors"].counts
    assert f"{counts.instructions} instructions and {counts.neuron_words} words" in page
    free = circuit_listings(learner.circuits[1], branch_free=True).listings["hidden0_neuron"].counts
    assert f"the neuron has {free.instructions} instructions" in page
