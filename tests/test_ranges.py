"""Range analysis: no run ever leaves a proven interval, what fits passes, and what is too tight is refused by its name."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import lively
from delta_rule import Delta
from hypothesis import given, settings
from hypothesis import strategies as st
from output_error_rule import OutputError
from random_programs import random_program
from second_trace_rule import SecondTrace
from synapse_state_rule import SynapseState
from test_connections import spatial_network
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.backends.interpreted_programs import interpret
from tp_lava.backends.interpreter import OPERATION_TABLE, interpret_step
from tp_lava.circuit import AccumulateProducts, Pool, Unpool
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import FixedPoint, plan
from tp_lava.circuit.payloads import SHARE_BITS, pooled_format
from tp_lava.deploy import export_c
from tp_lava.engine import Engine
from tp_lava.errors import InvalidValueError, NumberRangeError
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.graph.pooling import Pool2d
from tp_lava.numbers import Format, seed_key
from tp_lava.pretrained import pretrained
from tp_lava.ranges import LOIHI, Limits, analyse, check, check_ranges, maps
from tp_lava.ranges.checking import circuit_of
from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import Interval

SEEDS = st.integers(0, 2**32 - 1)
STEPS = 8
OTHERS = (Delta(0.05, 0.02), OutputError(0.05, 0.02), SecondTrace(0.02, 0.02), SynapseState(0.02, 0.02))


# No run leaves a proven interval ------------------------------------------------------------------


class Watch:
    """The least and greatest of every buffer and of every value of every program."""

    def __init__(self):
        self.seen = {}

    def note(self, key, array):
        if array.size:
            low, high = self.seen.get(key, (array.min(), array.max()))
            self.seen[key] = min(low, array.min()), max(high, array.max())

    def __call__(self, number, value, array):
        self.note((number, value.index), array)


def watched(circuit, memory, samples, seed=0):
    """Carry out samples, (T, rows, inputs) of bool with labels, and see everything."""
    memory["random_seed"][0], memory["samples_seen"] = seed_key(seed), np.zeros(1, np.int64)
    watch, engine, rng = Watch(), Engine(circuit, memory), np.random.default_rng(seed)
    for spikes, labels in samples:
        engine.begin(labels, len(spikes))
        memory["samples_seen"] += 1
        for step in spikes:
            for row, on in enumerate(step):
                units = np.flatnonzero(on)
                memory["input_active"][row, : units.size], memory["input_count"][row] = units, units.size
                if "input_value" in memory:
                    format = circuit.buffers["input_value"].format
                    memory["input_value"][row] = on * rng.choice([format.low, 1, format.high], on.size)
            interpret_step(circuit, memory, watch=watch)
            for name, buffer in circuit.buffers.items():
                if buffer.format:
                    watch.note(name, memory[name])
    return watch.seen


def proven(report):
    return {(e.operation, e.value) if e.program else e.name: (e.low, e.high) for e in report.entries}


def assert_within(seen, report):
    intervals, compared = proven(report), 0
    for key, (low, high) in seen.items():
        if key in intervals:
            assert intervals[key][0] <= low, (key, low, high, intervals[key])
            assert high <= intervals[key][1], (key, low, high, intervals[key])
            compared += 1
    assert compared >= len(intervals) * 0.9


def random_neuron(rng):
    reset = str(rng.choice(["subtract", "zero"]))
    return tpl.LIF(
        float(rng.choice([0.3, 0.8, 0.98, 1.0])),
        float(rng.choice([0.4, 1.0, 2.5])),
        str(rng.choice([">", ">="])),
        reset,
        float(rng.choice([0.0, 0.6])),
        [tpl.ArcTan(), tpl.Triangle(), tpl.FastSigmoid(4.0)][rng.integers(3)],
        reset_by=0.9 if reset == "subtract" and rng.random() < 0.3 else None,
        bias_to=str(rng.choice(["membrane", "current"])),
        adaptation=float(rng.choice([0.0, 0.2])),
        adaptation_decay=float(rng.choice([0.5, 0.9])),
        refractory=int(rng.choice([0, 0, 2])),
    )


def with_own_numbers(rng, network):
    """The same, where each neuron has a decay, a threshold and a decay of its trace."""
    populations = []
    for population in network.populations:
        size, sent = population.size, population.output_size
        neuron = replace(population.neuron, decay=rng.uniform(0.3, 0.98, size), threshold=rng.uniform(0.5, 2.0, size))
        populations.append(replace(population, neuron=neuron, trace_decay=tuple(rng.uniform(0.5, 0.9, sent))))
    return replace(network, populations=populations)


def random_graph(rng):
    """Branches that meet, two connections from one population, and recurrent ones from above and below."""
    shapes = {"a": 7, "b": 5, "c": 6}
    populations = tuple(Population(name, (size,), random_neuron(rng), float(rng.choice([0.5, 0.9]))) for name, size in shapes.items())
    sizes = {"input": 9, **shapes, "readout": 3}
    ways = [("input", "a"), ("input", "a"), ("a", "b"), ("input", "b"), ("a", "c"), ("b", "c"), ("c", "readout")]
    back = [way for way in (("c", "a"), ("b", "b"), ("b", "a")) if rng.random() < 0.6]
    connections = tuple(
        Connection(
            post if post == "readout" else f"{pre}_{post}_{number}", pre, post, AllToAll(sizes[pre], sizes[post]), number >= len(ways)
        )
        for number, (pre, post) in enumerate([*ways, *back])
    )
    weights = {c.name: rng.normal(0.1, float(rng.choice([0.3, 1.0])), c.kind.weight_shape) for c in connections}
    weights |= {"b_bias": rng.normal(0, 0.3, 5)} if rng.random() < 0.5 else {}
    return Network((9,), populations, connections, 3, weights, seed=int(rng.integers(99)))


def random_network(rng):
    if rng.random() < 0.3:
        return random_graph(rng)
    if rng.random() < 0.25:
        return spatial_network(rng, random_neuron(rng), readout_decay=float(rng.choice([1.0, 0.9])))
    recurrent = [bool(rng.integers(2)), bool(rng.integers(2))]
    network = tpl.Network.dense((9, 7, 6, 3), random_neuron(rng), float(rng.choice([0.5, 0.9])), recurrent, int(rng.integers(99)))
    biases = {name: rng.normal(0, 0.3, network.shapes[name]) for name in ("bias0", "bias1", "readout_bias") if rng.random() < 0.5}
    return replace(lively(network, float(rng.choice([1, 4, 30]))).with_weights(biases), readout_decay=float(rng.choice([1.0, 0.9])))


def random_rule(rng, network):
    convolved = [any(c.kind.shares_weights for c in network.into(population)) for population in network.populations]
    rates = tuple(0.0 if shares else float(rng.choice([0.0, 0.3])) for shares in convolved)
    update, last = str(rng.choice(["step", "sequence"])), [None, 3][rng.integers(2)]
    decay, gain = float(rng.choice([0.0, 0.9, 1.0])), float(rng.choice([1.0, 0.2]))
    readout = tpl.Readout(decay, gain, bool(rng.integers(2)), str(rng.choice(["trace", "count", "spike"])), last)
    match int(rng.integers(6)):
        case 0:
            return None
        case 1:
            rates = rates if network.is_chain else (*rates[:-1], 0.3)  # TP has targets of what feeds back only where it learns
            return tpl.TP(rates, 0.3, int(rng.integers(2, 4)), bool(rng.integers(2)), update, readout)
        case 2:
            return tpl.TP(rates, 0.0, "all", readout=tpl.Match())
        case 3 | 4:
            return replace(OTHERS[rng.integers(len(OTHERS))], rate=rates, update=update, readout=readout)
    activity = str(rng.choice(["spike", "trace"]))
    return tpl.TESS(rates, 0.3, basis="walsh", update=update, learn_last=last, temperature=gain, activity=activity, readout=readout)


def random_formats(rng, network, rule, batch_size):
    """Those planned, some of them narrower, so that clamps act."""
    bits = {connection.name: int(rng.integers(3, 9)) for connection in network.connections}
    formats = dict(plan(network, rule, FixedPoint(bits).resolved(network, rule), batch_size))
    for population in network.populations:
        membrane, trace = formats[f"{population.name}_membrane"], formats[f"{population.name}_trace"]
        if rng.random() < 0.4:
            formats[f"{population.name}_membrane"] = Format(int(rng.integers(membrane.frac + 2, 25)), membrane.frac)
        if rng.random() < 0.3:
            formats[f"{population.name}_trace"] = Format(trace.bits - int(rng.integers(1, 4)), trace.frac, signed=False)
    if rng.random() < 0.3 and not isinstance(getattr(rule, "readout", None), tpl.Match):
        formats["score"] = Format(int(rng.integers(12, 31)), formats["score"].frac)
    return formats


def random_samples(rng, circuit):
    """At several densities, all and none among them, and what drives one neuron most."""
    rows, inputs = circuit.sizes["b"], circuit.sizes["input"]
    samples = []
    for density in (float(rng.random()), 1.0):
        spikes = rng.random((STEPS, rows, inputs)) < density
        samples.append((spikes, [int(rng.integers(circuit.network.n_classes)) for _ in range(rows)]))
    weights = circuit.network.weights[circuit.network.connections[0].name]
    if weights.ndim == 2:
        driving = weights[rng.integers(len(weights))] > 0
        samples.append((np.broadcast_to(driving != bool(rng.integers(2)), (STEPS, rows, inputs)), samples[0][1]))
    return samples


def assert_no_run_leaves_its_interval(rng, network, rule, batch_size, seed):
    circuit = build_circuit(network, rule, random_formats(rng, network, rule, batch_size), batch_size)
    memory = circuit.allocate()
    memory |= {name: circuit.buffers[name].encode(value) for name, value in circuit.values.items()}
    learning = bool(rng.integers(2)) or not circuit.learns
    if not learning:
        for name in circuit.names("switch"):
            memory[name][...] = memory[name] * (circuit.buffers[name].local != "learning")
    report = analyse(circuit, steps=STEPS, learning=learning)
    endless = analyse(circuit, learning=learning)
    seen = watched(circuit, memory, random_samples(rng, circuit), seed)
    assert_within(seen, report)
    assert_within(seen, endless)
    for entry in report.entries:
        if entry.program:
            value = circuit.step[entry.operation].program.values[entry.value]
            assert value.low <= entry.low <= entry.high <= value.high
    return circuit, report


def draws_that_ran(seeds, drawn):
    """How many random networks were carried out, and stayed within; of the others fixed point has no form."""
    ran = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        network, rule = drawn(rng)
        alone = rule is None or isinstance(rule.readout, tpl.Match) or isinstance(rule, SynapseState)
        batch_size = 2 if not alone and rng.random() < 0.25 else 1
        try:
            assert_no_run_leaves_its_interval(rng, network, rule, batch_size, seed)
        except NumberRangeError:
            continue
        ran += 1
    return ran


def random_case(rng):
    network = random_network(rng)
    network = with_own_numbers(rng, network) if rng.random() < 0.4 else network
    return network, random_rule(rng, network)


def test_no_run_leaves_a_proven_interval():
    assert draws_that_ran(range(20), random_case) >= 16


def random_maps(rng):
    """Convolutions, shared or not, strided and in groups, that pool as the rule can, over spikes or values."""
    learns = [None, "tp", "tess"][rng.integers(3)]
    pools = [tpl.MaxPool2d(2)] if learns == "tp" else [tpl.MaxPool2d(2), tpl.AvgPool2d(2), tpl.AvgPool2d(3, 2, 1), tpl.AdaptiveAvgPool2d(2)]
    groups = int(rng.integers(1, 3))
    first, second = ([tpl.Conv2d, tpl.LocalConv2d][rng.integers(2)] for _ in range(2))
    layers = [first(2 * groups, 3, int(rng.integers(1, 3)), int(rng.integers(1, 3)), groups=groups, gain=4.0)]
    layers += [pools[rng.integers(len(pools))]] if rng.random() < 0.7 else []
    layers += [second(3, 2, padding=1, gain=4.0), *([tpl.Dense(4, gain=4.0)] if rng.random() < 0.5 else [])]
    values = Format(4, 2, signed=bool(rng.integers(2))) if rng.random() < 0.5 else None
    network = tpl.Network.sequential(
        (groups * int(rng.integers(1, 3)), 6, 5), layers, 3, random_neuron(rng), 0.9, int(rng.integers(99)), values
    )
    update, readout = str(rng.choice(["step", "sequence"])), tpl.Readout(features=str(rng.choice(["trace", "count", "spike"])))
    if learns == "tess":
        return network, tpl.TESS(0.3, 0.3, basis="walsh", update=update, grid=int(rng.integers(1, 3)), readout=readout)
    return network, learns and tpl.TP(0.3, 0.3, int(rng.integers(2, 4)), bool(rng.integers(2)), update, readout)


def test_no_run_over_maps_leaves_a_proven_interval():
    assert draws_that_ran(range(12), random_maps) >= 9


def random_convolution(rng):
    groups, shared = int(rng.integers(1, 3)), bool(rng.integers(2))
    kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, most, 2)) for most in (4, 3, 3))
    shape = (2 * groups, int(rng.integers(5, 8)), int(rng.integers(5, 8)))
    return Convolution(shape, 3 * groups, kernel, stride, (1, 2), dilation, groups, shared=shared)


def carried_out(operation, **arrays):
    """An operation on arrays that are all there is."""
    buffers = {name: SimpleNamespace(format=Format(32, 0)) for name in arrays}
    OPERATION_TABLE[type(operation)](SimpleNamespace(memory=arrays, circuit=SimpleNamespace(buffers=buffers, fixed=True)), operation)


@pytest.mark.parametrize("seed", range(20))
def test_sums_over_a_convolution_are_those_of_the_position_that_has_most(seed):
    rng = np.random.default_rng(seed)
    kind = random_convolution(rng)
    weights, most = rng.integers(-99, 99, kind.weight_shape), int(rng.integers(1, 5))
    held = Interval.of(*[np.moveaxis(weights, 0, -1)] * 2)
    found = maps.convolved(kind, held, Interval.of(np.zeros(kind.n_inputs), np.full(kind.n_inputs, most)))
    sums = [bound.sum(axis=1).astype(int) * most for matrix in [kind.matrix(weights)] for bound in (matrix.clip(max=0), matrix.clip(0))]
    if kind.shared:
        sums = [reach(bound.reshape(kind.channels, -1), axis=1) for reach, bound in zip((np.min, np.max), sums, strict=True)]
    assert [bound[0].tolist() for bound in found] == [bound.tolist() for bound in sums]


@pytest.mark.parametrize("seed", range(10))
def test_sums_of_changes_of_a_kernel_are_reached(seed):
    rng = np.random.default_rng(seed)
    kind = replace(random_convolution(rng), shared=True)
    pre, third = rng.integers(1, 9, kind.shape[0]), rng.integers(-9, 9, kind.channels)
    trace, signal = (np.repeat(each, size // len(each)) for each, size in ((pre, kind.n_inputs), (third, kind.size)))
    change = np.zeros((*kind.kernel_shape, kind.channels), np.int64)
    products = AccumulateProducts(change="change", third_factor="third", kind=kind, geometry="", trace="trace")
    carried_out(products, change=change, third=np.stack([signal] * 2), trace=np.stack([trace] * 2))
    low, high = maps.learned(kind, Interval.of(0 * trace, trace), Interval.of(signal, signal), rows=2)
    assert (np.where(change > 0, high, low) == change).all()


POOLINGS = [
    Pool2d((2, 3), (1, 2), (1, 0), "sum"),
    Pool2d((3, 2), (2, 1), (1, 1), "average"),
    Pool2d((2, 2), (3, 3), (0, 0), "max"),
    Pool2d((3, 3), (1, 1), (1, 1), "max"),
    Pool2d(mode="average", size=(2, 3)),
]


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_what_pooling_can_make_is_reached(pooling):
    shape, result = (2, 5, 7), pooling.shape((2, 5, 7))
    arrays = {"source": np.repeat([3, 5], 35)[np.newaxis], "signal": np.repeat([-7, 4], result[1] * result[2])[np.newaxis]}
    if pooling.mode == "max":
        arrays["source"][0] = 0
        arrays["source"][0, [17, 35 + 17]] = 9  # the largest of all windows over it
    made = pooled_format(pooling, shape, Format(4, 0))
    for operation, source, function, shares, shift in (
        (Pool, "source", maps.pooled, made.shares, made.shift),
        (Unpool, "signal", maps.unpooled, pooling.windows(shape).share if pooling.mode == "average" else None, SHARE_BITS),
    ):
        share = None if shares is None else np.rint(shares.ravel() * 2**SHARE_BITS).astype(np.int64)
        given = {"source": "source", "into": "into"} | ({"signal": "signal"} if source == "signal" else {})
        o = operation(**given, pooling=pooling, shape=shape, windows="", share="" if share is None else "share", shift=shift)
        into = np.zeros((1, 70 if operation is Unpool else result[1] * result[2] * 2), np.int64)
        carried_out(o, **arrays, into=into, **({} if share is None else {"share": share}))
        found = function(o, Interval.of(arrays[source].clip(max=0), arrays[source].clip(0)), share)
        by_channel = into.reshape(2, -1)
        assert (by_channel.min(axis=1) >= found.low).all()
        assert (by_channel.max(axis=1) <= found.high).all()
        reached = np.where(found.high > 0, by_channel.max(axis=1), by_channel.min(axis=1))
        if pooling.mode != "max" or source == "signal":
            assert (reached == np.where(found.high > 0, found.high, found.low)).all()


def test_large_networks_take_no_longer_than_small_ones():
    """VGG-9 over 32 x 32: what channels have in common is looked at once."""
    blocks = [(64, 1), (128, 2), (256, 2)]
    layers = [layer for channels, n in blocks for layer in (*[tpl.Conv2d(channels, 3, padding=1)] * n, tpl.MaxPool2d(2))]
    network = tpl.Network.sequential((2, 32, 32), [*layers, tpl.Dense(256)], 10)
    before = time.perf_counter()
    report = analyse(build_circuit(network, None, plan(network, None, FixedPoint())), steps=10)
    assert time.perf_counter() - before < 20
    assert "hidden4_input" in proven(report)


@pytest.mark.parametrize("rule", OTHERS, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("update", ["step", "sequence"])
def test_no_run_of_other_rules_leaves_a_proven_interval(rule, update):
    """Errors of the readout, second presynaptic traces and states of synapses, whose formats no clamp is to reach."""
    network = lively(tpl.Network.dense((9, 7, 6, 3), trace_decay=0.8, recurrent=(True, False), seed=3), 2.5)
    _, report = assert_no_run_leaves_its_interval(np.random.default_rng(4), network, replace(rule, update=update), 1, 4)
    assert {entry.layer for entry in report.entries} <= {"hidden0", "hidden1", "readout", "rule"}


@pytest.mark.parametrize("update", ["step", "sequence"])
@pytest.mark.parametrize("rule", [tpl.TP(contrast=2), *OTHERS[:3]], ids=lambda rule: type(rule).__name__)
def test_no_run_leaves_a_proven_interval_while_kernels_learn(rule, update):
    """Changes of weights that synapses share are summed exactly, and rounded once a step or a sample."""
    rng = np.random.default_rng(6)
    network = spatial_network(rng, random_neuron(rng))
    rule = replace(rule, rate=(0.2, 0.2), readout_rate=0.2, update=update)
    circuit, report = assert_no_run_leaves_its_interval(rng, network, rule, 1, 6)
    change = next(entry for entry in report.entries if entry.name == "hidden0_change")
    assert change.note in ("within 1 step", f"within {STEPS} steps")[update == "sequence" :]
    assert (change.layer, next(e.note for e in report.entries if e.name == "hidden0")) == ("hidden0", "learns, to the ends of its format")
    assert any(isinstance(operation, AccumulateProducts) for operation in circuit.step)


@settings(max_examples=60)
@given(SEEDS)
def test_no_program_leaves_what_its_ports_imply(seed):
    """Random programs, ports anywhere within random intervals, element by element."""
    rng = np.random.default_rng(seed)
    program, sizes = random_program(rng)
    reads, arrays, ends = {}, {}, {}
    for port in program.ports:
        shape = [sizes[axis] for axis in port.axes] or [1]
        if port.role == "output":
            arrays[port.name] = np.zeros(shape, np.int64)
            continue
        bounds = np.sort(rng.integers(port.format.low, port.format.high, (2, *shape), endpoint=True), axis=0)
        if rng.random() < 0.3:
            bounds[1] = bounds[0]
        reads[port.name] = Interval(*bounds)
        ends[port.name] = bounds
    evaluator = Evaluator(program, sizes)
    read = {name: evaluator.read(name, interval) for name, interval in reads.items() if name in dict(program.reads)}
    values = evaluator.values(read)
    unclamped = evaluator.values(read, clamped=False)
    watch = Watch()
    for draw in range(3):
        for name, (low, high) in ends.items():
            arrays[name] = low if draw == 0 else high if draw == 1 else rng.integers(low, high, endpoint=True)
        interpret(program, {name: array.copy() for name, array in arrays.items()}, draw, watch=lambda value, array: watch(0, value, array))
    for (_, index), (low, high) in watch.seen.items():
        if program.values[index].format is None:
            continue
        proven_low, proven_high = values[index].bounds
        assert proven_low <= low <= high <= proven_high, (program.listing(), index)
        assert program.values[index].low <= proven_low <= proven_high <= program.values[index].high
        assert unclamped[index].high.max() >= proven_high or any(i.saturates for i in program.instructions)


def test_weights_that_learn_may_be_anything_in_their_format():
    """Those at the ends of a column too, where nothing seems to grow."""
    network = tpl.Network.dense((4, 3, 2), trace_decay=0.5, seed=1)
    extreme = np.tile([4.0, -4.0, 0.5, 0.1], (3, 1))
    circuit = circuit_of(network.with_weights({"hidden0": extreme}), tpl.TP(0.1, contrast=2), FixedPoint(weight_exponents={"hidden0": -5}))
    intervals = proven(analyse(circuit, steps=5))
    assert intervals["hidden0_input"] == (-4 * 127, 4 * 127)
    assert proven(analyse(circuit, steps=5, learning=False))["hidden0_input"] == (-127, 127 + 16 + 3)
    assert intervals["target0_input"] == proven(analyse(circuit, steps=5, learning=False))["target0_input"]


def test_every_row_that_learns_adds_to_a_sum_of_changes():
    """The sample's once a step, the target streams' once each."""
    network = lively(tpl.Network.dense((5, 4, 4, 3), seed=1))
    for contrast in (2, 3):
        circuit = circuit_of(network, tpl.TP(0.01, 0.01, contrast, update="sequence"), FixedPoint())
        found = proven(analyse(circuit, steps=7))
        for end in (0, 1):
            assert found["hidden1_change"][end] == 7 * (found["hidden1_third_factor"][end] + contrast * found["target1_third_factor"][end])
            assert found["hidden0_change"][end] == 7 * found["hidden0_third_factor"][end]


# By hand ------------------------------------------------------------------------------------------


def hand_network(neuron=None, **weights):
    """Two inputs, one neuron: 3 and -1; exponents of 1/16."""
    given = {"hidden0": [[3.0, -1.0]], "readout": [[1.0], [-0.5]], **weights}
    return tpl.Network.of_layers(2, (tpl.Layer(1, neuron or tpl.LIF(0.5, 2.0), 0.5),), 2, given)


HELD = FixedPoint(weight_exponents={"hidden0": -4, "readout": -4}, membrane_frac=6)


def test_by_hand():
    """Sums: -16..48 of 1/16, of 1/64 -64..192. Membrane: without inputs that excite, v = trunc(v / 2) - 64 down to -127;
    after a spike, 192 + 127 // 2 - 128 = 127 and no more. Trace: e // 2 + 2**14 up to 2**15 - 1; scores: 16 and -8 a step."""
    report = check_ranges(hand_network(), fixed=HELD, steps=10)
    intervals = proven(report)
    assert intervals["hidden0_input"] == (-16, 48)
    assert intervals["hidden0_membrane"] == (-127, 127)
    assert intervals["hidden0_trace"] == (0, 2**15 - 1)
    assert intervals["score"] == (-80, 160)
    assert intervals["hidden0_threshold"] == (128, 128)
    entry = next(e for e in report.entries if e.name == "hidden0_membrane")
    assert (entry.layer, entry.program, entry.format, entry.bits_used, entry.head_room) == ("hidden0", "", "s24.6", 8, 16)
    derived = next(e for e in report.entries if e.program == "hidden0_neuron" and e.name.startswith("membrane %"))
    assert derived.name.endswith("(input)") or "membrane" in derived.name


def test_inputs_of_silent_neurons_do_not_count():
    network = tpl.Network.dense((3, 2, 2), tpl.LIF(0.5), seed=1).with_weights(
        {"hidden0": [[-1.0, -1.0, -1.0], [2.0, 0.0, 0.0]], "readout": [[8.0, 1.0], [-8.0, 1.0]]}
    )
    report = check_ranges(network, fixed=FixedPoint(weight_exponents={"readout": -3}), steps=1)
    assert proven(report)["readout_input"] == (0, 8)
    entry = next(e for e in report.entries if e.name == "hidden0_spike")
    assert entry.note == "1 of 2 neurons can never spike"
    silent = check_ranges(network.with_weights({"hidden0": -np.ones((2, 3))}), steps=1)
    assert "1 never spikes: hidden0_spike" in silent.line()


# What fits passes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "digits_0_to_8"])
@pytest.mark.parametrize("rule", [None, tpl.TP(1e-3, 5e-4, "all"), tpl.TESS(0.2, 1e-3, basis="walsh", temperature=0.05, activity="trace")])
def test_networks_that_ship_fit(name, rule):
    network = tpl.convert(pretrained(name))
    report = check_ranges(network, rule, steps=100, limits=LOIHI)
    assert not report.problems
    named = {"hidden0_membrane", "hidden0_third_factor", "hidden0_causal_third_factor", "hidden0_acausal_third_factor"}
    assert set(report.may_saturate) <= named if rule else not report.may_saturate


# What is too tight is refused ---------------------------------------------------------------------


PLAIN = Limits()


def tightened(rule=None, network=None, steps=None, limits=PLAIN, **formats):
    network = network or tpl.Network.dense((6, 5, 3), seed=1).with_weights({"hidden0": np.full((5, 6), 0.9)})
    planned = dict(plan(network, rule, FixedPoint().resolved(network, rule)))
    return build_circuit(network, rule, {**planned, **formats}), {"steps": steps, "limits": limits}


TP = tpl.TP(1e-3, contrast=2)
OPPOSED = tpl.TESS(0.1, causal=-1.0, basis="walsh")
BIASED = tpl.Network.dense((6, 5, 3), seed=1).with_weights({"bias0": np.full(5, 600.0)})
FAINT = tpl.Network.dense((6, 5, 3), tpl.LIF(threshold=0.003), seed=1)
STRICT = tpl.Network.dense((6, 5, 3), tpl.LIF(0.9, 1023 / 1024, ">"), seed=1)


@pytest.mark.parametrize(
    ("built", "message"),
    [
        (
            tightened(hidden0_input=Format(9, 6)),
            r"hidden0: hidden0_input accumulates to 0\.\.348, but s9\.6 holds -255\.\.255; use Format\(10, 6\), 1 bit wider, or a weight",
        ),
        (
            tightened(hidden0_membrane=Format(24, 23)),
            r"hidden0: hidden0_threshold is 1, but s24\.23 holds -0\.999999881\.\.0\.999999881; use at most 22 fractional bits",
        ),
        (
            tightened(network=STRICT, hidden0_membrane=Format(11, 10)),
            r"hidden0: hidden0_threshold is 0\.999023, mantissa 1023, at which the membrane saturates.*use membrane_frac <= 9",
        ),
        (
            tightened(network=FAINT, hidden0_membrane=Format(24, 7)),
            r"hidden0: hidden0_threshold is 0\.003, which rounds to zero in s24\.7.*use membrane_frac >= 9",
        ),
        (tightened(network=BIASED), r"hidden0: bias0 is 600, but s24\.14 holds .*; use at most 13 fractional bits"),
        (tightened(TP, hidden0_rate=Format(8, 22, signed=False)), r"hidden0: hidden0_rate is 0\.001, but u8\.22 holds 0\.\.6"),
        (
            tightened(hidden0_trace=Format(15, 10, signed=False)),
            r"hidden0: hidden0_trace reaches more than 32767, .* u15\.10 holds; use Format\(15, 9\), 1 bit more before",
        ),
        (
            tightened(steps=100, score=Format(13, 7)),
            r"readout: score reaches -\d+\.\.12500 within 100 steps, but s13\.7 holds .*; use Format\(15, 7\), 2 bits wider, or at most 32",
        ),
        (
            tightened(network=replace(tightened()[0].network, readout_decay=0.9), score=Format(9, 7)),
            r"readout: score reaches more than 255, the most that s9\.7 holds; use Format\(12, 7\), 3 bits more before the point",
        ),
        (
            tightened(OPPOSED, hidden0_causal_rate=Format(16, 20, signed=False)),
            r"hidden0: hidden0_causal_rate is -0\.02, but u16\.20 holds 0\.\..*; give it the other sign",
        ),
        (
            tightened(steps=9, limits=Limits(register=20)),
            r"hidden0_neuron membrane %\d+ \(input, membrane, decay\) reaches .* beyond the 20-bit register; use \d fractional bits fewer",
        ),
        (
            tightened(steps=9, limits=Limits(state=16)),
            r"hidden0_neuron membrane reaches .* beyond a state's 16 bits; use \d fractional bits fewer",
        ),
        (
            tightened(steps=9, limits=Limits(product=30)),
            r"is a product of \d+ bits before its shift, beyond 30; use \d fractional bits fewer in",
        ),
    ],
)
def test_what_is_too_tight_is_refused_by_its_name(built, message):
    circuit, options = built
    with pytest.raises(NumberRangeError, match=message):
        check(circuit, **options)
    report = analyse(circuit, **options)
    assert report.problems
    assert "does not fit: " in report.line()


def test_the_smallest_remedy_is_enough_and_one_less_is_not():
    for tight, enough in ((Format(9, 6), Format(10, 6)), (Format(4, 6), Format(10, 6))):
        assert analyse(tightened(hidden0_input=tight)[0]).problems
        check(tightened(hidden0_input=enough)[0])
    check(tightened(hidden0_membrane=Format(24, 22))[0])
    check(tightened(hidden0_trace=Format(15, 9, signed=False))[0])
    check(tightened(steps=100, score=Format(15, 7))[0], steps=100)
    assert analyse(tightened(score=Format(14, 7))[0], steps=100).problems
    assert not analyse(tightened(score=Format(13, 7))[0], steps=32).problems
    check(tightened(network=replace(tightened()[0].network, readout_decay=0.9), score=Format(12, 7))[0])


def test_information_is_no_error():
    endless = check(tightened()[0])
    assert endless.may_saturate == ("score",)
    note = next(entry.note for entry in endless.entries if entry.name == "score")
    steps = int(note.split()[1])
    assert not check(tightened()[0], steps=steps).may_saturate
    assert analyse(tightened()[0], steps=steps + 1).problems[0].name == "score"
    narrow = check(tightened(hidden0_membrane=Format(20, 14))[0], steps=3)
    assert narrow.may_saturate == ("hidden0_membrane",)
    counting = tpl.TP(1e-3, contrast=2, readout=tpl.Readout(features="count"))
    counted = check(tightened(counting, readout_count=Format(4, 0, signed=False))[0], steps=100)
    notes = {entry.name: entry.note for entry in counted.entries}
    assert "readout_count" in counted.may_saturate
    assert notes["readout_count"] == "after 15 of 100 steps that all add the most"
    assert notes["readout"] == "learns, to the ends of its format"
    assert any(note.startswith("rounds, by ") for note in notes.values())
    clipped = check_ranges(tightened()[0].network, fixed=FixedPoint(weight_exponents={"hidden0": -8}))
    assert {entry.name for entry in clipped.entries if entry.verdict == "clipped"} == {"hidden0"}


# Where it is asked for ----------------------------------------------------------------------------


def test_a_learner_is_looked_at_as_it_is(rng):
    network = lively(tpl.Network.dense((9, 7, 3), seed=2), 3)
    learner = tpl.Learner(network, tpl.TP(0.05, 0.1, 2), "fixed")
    report = check_ranges(learner, steps=20)
    assert report.learning
    assert proven(report) == proven(check_ranges(network, tpl.TP(0.05, 0.1, 2), steps=20))
    frozen = proven(check_ranges(learner, steps=20, learning=False))
    assert frozen["hidden0"] == tuple(int(end) for end in (learner.mantissas["hidden0"].min(), learner.mantissas["hidden0"].max()))
    assert proven(check_ranges(learner, steps=20, batch=2))["score"] == proven(report)["score"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3,), {}, "check_ranges: model is 3, but must be a Network, a Learner or what quantise gives"),
        ((tpl.Learner(BIASED),), {}, "check_ranges: precision is float, but must be fixed"),
        (
            (tpl.Learner(STRICT, None, "fixed"), TP),
            {},
            "check_ranges: rule or fixed is given with a Learner, but must be those of the learner",
        ),
        ((STRICT,), {"steps": 0}, "analyse: steps is 0, but must be an integer of at least 1, or None"),
        ((STRICT,), {"batch": 0}, "check_ranges: batch is 0, but must be an integer of at least 1"),
    ],
)
def test_what_cannot_be_asked(arguments, options, message):
    with pytest.raises(InvalidValueError, match=message):
        check_ranges(*arguments, **options)


def test_a_float_circuit_is_refused():
    with pytest.raises(InvalidValueError, match="analyse: circuit is of floats, but must be of integers"):
        analyse(build_circuit(STRICT))


def test_a_report_as_text_and_as_json():
    report = analyse(tightened(hidden0_input=Format(9, 6))[0])
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert len(told["entries"]) == len(report.entries)
    assert told["verdicts"]["error"] == 1
    assert told["may_saturate"] == ["score"]
    assert report.table(intermediates=True).row_count == len(report.entries) > report.table().row_count
    for word in ("hidden0_input", "0 .. 348", "s9.6", "accumulates to", "does not fit"):
        assert word in str(report)


def test_quantise_proves_and_says_so():
    network = lively(tpl.Network.dense((6, 5, 3), seed=1))
    samples = [tpl.Events.from_dense(np.ones((7, 6), bool))]
    report = tpl.quantise(network, samples, rule=TP).report
    assert report.ranges.steps == 7
    assert report.ranges.learning
    assert report.ranges.line() in " ".join(str(report).split())
    assert report.to_dict()["ranges"]["steps"] == 7
    without = tpl.quantise(network, samples, check_ranges=False).report
    assert without.ranges is None
    assert without.to_dict()["ranges"] is None
    quantised = tpl.quantise(network, samples, rule=TP)
    assert proven(check_ranges(quantised, TP, steps=7)) == proven(report.ranges)


def test_quantise_and_export_refuse_what_does_not_fit(tmp_path):
    with pytest.raises(NumberRangeError, match="hidden0: bias0 is 600, but s24"):
        export_c(BIASED, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_c(BIASED, tmp_path / "out", check_ranges=False)
    with pytest.raises(NumberRangeError, match="hidden0: bias0 is 6e\\+07, but s24"):
        tpl.quantise(BIASED.with_weights({"bias0": np.full(5, 6e7)}), [tpl.Events([0], [0], 5, 6)])


def run_cli(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, arguments)


def test_on_the_command_line(tmp_path):
    done = run_cli("ranges", "digits", "--rule", "tp", "--steps", "50")
    assert done.exit_code == 0, done.output
    for word in ("ranges:", "values proven", "hidden0_membrane", "may saturate", "within 50 steps"):
        assert word in done.output
    assert "membrane %" not in done.output
    assert "membrane %" in run_cli("ranges", "digits", "--all").output
    told = json.loads(run_cli("ranges", "digits", "--bits", "4", "--json").output)
    assert next(entry for entry in told["entries"] if entry["name"] == "hidden0")["format"].startswith("s4.")
    tpl.save_network(BIASED, tmp_path / "biased.tplava")
    refused = run_cli("ranges", str(tmp_path / "biased.tplava"))
    assert refused.exit_code == 1
    assert "hidden0: bias0 is 600" in refused.output
    assert run_cli("export", str(tmp_path / "biased.tplava"), "--out", str(tmp_path / "c")).exit_code != 0
    assert run_cli("export", str(tmp_path / "biased.tplava"), "--out", str(tmp_path / "c"), "--no-check-ranges").exit_code == 0
    choices = run_cli("ranges", "digits", "--bits", "9")
    assert isinstance(choices.exception, InvalidValueError)
