"""Loihi 2 on paper: placement by hand and by property, every limit at its edge, operations against the interpreter, estimates by hand."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_samples
from delta_rule import Delta
from hypothesis import given, settings
from hypothesis import strategies as st
from output_error_rule import OutputError
from second_trace_rule import SecondTrace
from synapse_state_rule import SynapseState
from test_connections import random_spatial
from test_graph import graph
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.backends import interpreter
from tp_lava.backends.interpreted_maps import taps_of
from tp_lava.backends.loihi2 import circuit_listings
from tp_lava.circuit import Accumulate, AccumulateProducts, Owner, Pool, RunProgram, Unpool, UpdateWeights
from tp_lava.deploy import map_network
from tp_lava.deploy.loihi2 import Costs, Limit, Limits, count, estimate, learning_memory
from tp_lava.deploy.loihi2.demand import instructions
from tp_lava.deploy.loihi2.reach import Reach
from tp_lava.dynamics.contrast import contrast_program
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, plasticity_program
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer
from tp_lava.graph.pooling import Pool2d
from tp_lava.numbers import Format

WALSH = tpl.TESS(rate=0.5, basis="walsh", update="step")
TP_GRAPH = tpl.TP(0.05, 0.05, 3, train_target=True)


def convolutional(shape=(1, 6, 6), channels=3, hidden=7, classes=3, pooling=()):
    spatial = Convolution(shape, channels, (3, 3), padding=(1, 1), pooling=pooling)
    layers = Layer(spatial.size, tpl.LIF(), connection=spatial), Layer(hidden, tpl.LIF())
    rng = np.random.default_rng(3)
    shapes = {"hidden0": spatial.weight_shape, "hidden1": (hidden, spatial.size), "readout": (classes, hidden)}
    weights = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    return tpl.Network.of_layers(spatial.n_inputs, layers, classes, weights)


def maps_network(*layers, shape=(2, 6, 5), **options):
    return tpl.Network.sequential(shape, layers, 4, seed=1, **options)


MAPS = {
    "shared, maximum": (maps_network(tpl.Conv2d(3, 3, padding=1, gain=4), tpl.MaxPool2d(2)), tpl.TP(0.1, 0.1, 2)),
    "shared, averages": (
        maps_network(tpl.Conv2d(4, 3, 2, 1, groups=2, gain=6), tpl.AvgPool2d(2, 1), tpl.Dense(6, gain=6)),
        replace(WALSH, grid=1, activity="trace"),
    ),
    "unshared, sums": (
        maps_network(tpl.LocalConv2d(4, 3, padding=1, groups=2, gain=4), tpl.SumPool2d(2), tpl.LocalConv2d(3, 2, gain=4)),
        replace(WALSH, grid=2),
    ),
}


# By hand ------------------------------------------------------------------------------------------


def test_a_small_network_by_hand():
    """10-5-3 that infers: what each part of the one core holds."""
    mapping = map_network(tpl.Network.dense((10, 5, 3)))
    (core,) = mapping.cores
    assert (core.layer, core.first, core.last, core.compartments, core.synapses) == ("hidden0", 0, 5, 5, {"hidden0": 50})
    (program,) = mapping.layers[0].programs
    assert core.bytes == {
        "synapses": 10 * 8 + 8,  # a row of 5 x 8 bits in a word of 64; the header
        "state": -(-5 * (3 * 32 + 1) // 8),  # input, membrane, trace; the spike
        "programs": 4 * (program.counts.instructions + program.counts.constants + sum(program.counts.shared_words.values())),
        "input axons": 10 * 8,
        "output axons": 5 * 8,  # to the readout
        "presynaptic traces": 0,
    }
    assert mapping.fits
    assert mapping.require() is mapping
    assert mapping.board.name == "Oheo Gulch"
    assert [[task.name for task in p.tasks] for p in mapping.processors] == [["readout"]]


def test_target_streams_by_hand():
    """The same that learns by TP with K = 2: two more compartments a neuron, and the label's projection."""
    mapping = map_network(tpl.Network.dense((10, 5, 3)), tpl.TP(contrast=2))
    (core,) = mapping.cores
    assert core.compartments == 5 * 3
    assert core.synapses == {"hidden0": 50, "target": 15}
    student, stream = 5 * 32 + 1, 3 * 32 + 1  # input, membrane, trace, surrogate, third; input, membrane, trace
    assert core.bytes["state"] == -(-5 * (student + 2 * stream) // 8)
    assert core.bytes["input axons"] == 8 * (10 + 3 * 2 + 2 * 2)  # inputs; labels, of two streams; both forms of the error
    assert core.bytes["output axons"] == 8 * 5 * (1 + 3)  # the readout; every compartment's trace to the credit
    names = {task.name: task for p in mapping.processors for task in p.tasks}
    assert set(names) == {"credit of hidden0", "label", "readout"}
    assert names["credit of hidden0"].words_in == 5 * 3
    assert names["credit of hidden0"].words_out == 4


def test_a_second_layer_has_the_streams_of_the_first():
    mapping = map_network(tpl.Network.dense((10, 5, 4, 3)), tpl.TP(contrast=2))
    first, second = mapping.layers
    assert {c.name: c.rows for c in first.connections} == {"hidden0": 1, "target": 2}
    assert {c.name: c.rows for c in second.connections} == {"hidden1": 3}
    assert mapping.cores[0].bytes["output axons"] == 8 * 5 * (3 + 3)


def test_tess_keeps_presynaptic_traces_and_its_basis():
    mapping = map_network(tpl.Network.dense((10, 5, 4)), WALSH)
    (core,) = mapping.cores
    assert core.compartments == 5
    assert core.bytes["presynaptic traces"] == 10 * 2
    inferred = map_network(tpl.Network.dense((10, 5, 4)))
    extra = mapping.layers[0].state_bits - inferred.layers[0].state_bits
    assert extra == 4 * 2 + 4 * 32  # its bits of the basis; surrogate, post-trace, two third factors


def test_summed_changes_lie_with_the_synapses():
    step, sequence = (map_network(tpl.Network.dense((10, 5, 4)), replace(WALSH, update=u)) for u in ("step", "sequence"))
    assert step.cores[0].bytes["synapses"] == 10 * 8 + 8
    assert sequence.cores[0].bytes["synapses"] == 10 * 8 * 3 + 8  # 5 x (8 + 24) bits are three words
    assert [v.rule for v in sequence.violations if v.rule == "summed change bits"]


def test_layers_are_split_over_cores_and_chips():
    network = tpl.Network.dense((10, 50, 3))
    mapping = map_network(network, limits=Limits().replace(neurons_per_core=8, cores_per_chip=3))
    assert [(core.first, core.last) for core in mapping.cores] == [*((n, n + 8) for n in range(0, 48, 8)), (48, 50)]
    assert [[core.number for core in chip.cores] for chip in mapping.chips] == [[0, 1, 2], [3, 4, 5], [6]]
    assert mapping.board.name == "Kapoho Point"
    assert all(chip.layers == ("hidden0",) for chip in mapping.chips)


def test_a_neuron_sends_to_every_core_of_the_layer_above():
    network = tpl.Network.dense((4, 6, 10, 3))
    mapping = map_network(network, limits=Limits().replace(neurons_per_core=5))
    below, above = mapping.cores_of("hidden0"), mapping.cores_of("hidden1")
    assert (len(below), len(above)) == (2, 2)
    assert sum(core.bytes["output axons"] for core in below) == 8 * 6 * 2
    assert sum(core.bytes["output axons"] for core in above) == 8 * 10


def test_a_recurrent_layer_sends_to_its_own_cores():
    network = tpl.Network.dense((4, 6, 3), recurrent=True)
    mapping = map_network(network, limits=Limits().replace(neurons_per_core=2))
    assert len(mapping.cores) == 3
    assert [core.bytes["output axons"] for core in mapping.cores] == [8 * 2 * (3 + 1)] * 3


def test_a_convolution_by_its_table():
    network = convolutional(pooling=(Pool2d((2, 2), (2, 2)),))
    limits = Limits().replace(neurons_per_core=4)
    mapping = map_network(network, limits=limits)
    matrix = network.layers[0].connection.matrix(np.ones((3, 1, 3, 3)))
    for core in mapping.cores_of("hidden0"):
        rows = (matrix[core.first : core.last] != 0).sum(axis=0)
        bits = rows[rows > 0] * (8 + 2)  # a weight, and which of four neurons
        assert core.bytes["synapses"] == int((-(-bits // 64)).sum()) * 8 + 8
        assert core.synapses == {"hidden0": rows.sum()}
        assert core.bytes["input axons"] == 8 * (rows > 0).sum()
        reached = len(mapping.cores_of("hidden1"))
        assert core.bytes["output axons"] == 8 * core.neurons * reached


def test_a_graph_by_hand():
    """Two branches meet, the input skips them, the top feeds back into one: axons and synapses of every connection, placed until stable."""
    mapping = map_network(graph(), limits=Limits().replace(neurons_per_core=3))
    cores = {name: mapping.cores_of(name) for name in ("left", "right", "top")}
    assert {name: len(held) for name, held in cores.items()} == {"left": 2, "right": 2, "top": 3}
    left, right, top = ([core.bytes for core in held] for held in cores.values())
    assert [b["input axons"] for b in left] == [8 * (9 + 7)] * 2  # the input and the feedback
    assert [b["input axons"] for b in top] == [8 * (6 + 5 + 9)] * 3
    assert sum(b["output axons"] for b in left) == 8 * 6 * 3
    assert sum(b["output axons"] for b in right) == 8 * 5 * 3
    assert sum(b["output axons"] for b in top) == 8 * 7 * (2 + 1)  # feedback to both cores of the branch; the readout
    assert {name: sum(core.synapses[name] for core in cores["top"]) for name in cores["top"][0].synapses} == {
        "top": 6 * 7, "right_to_top": 5 * 7, "skip": 9 * 7
    }  # fmt: skip


@pytest.mark.parametrize("rule", [TP_GRAPH, WALSH, Delta(0.05), OutputError(0.05)], ids=lambda rule: rule.label)
def test_any_rule_on_a_graph_is_mapped_and_counted(rule, rng, monkeypatch):
    mapping = map_network(graph(), rule)
    assert all(connection.plastic for layer in mapping.layers for connection in layer.connections if connection.source != "class")
    learner, samples = tpl.Learner(graph(), rule, "fixed"), random_samples(rng, 2, 9, 4, n_steps=6, rate=0.3)
    counts, expected = count(learner, samples), by_the_interpreter(learner, samples, True, monkeypatch)
    assert [s.synaptic for s in counts.samples] == [e["delivered"] for e in expected]
    assert [s.updates for s in counts.samples] == [e["updated"] for e in expected]


def test_the_output_s_error_is_broadcast_to_every_layer():
    mapping = map_network(tpl.Network.dense((10, 5, 6, 4)), OutputError(0.05))
    (task,) = (task for p in mapping.processors for task in p.tasks)
    assert (task.name, task.words_out) == ("readout", 4)
    assert [layer.errors for layer in mapping.layers] == [4, 4]
    assert not any(layer.credited for layer in mapping.layers)


def test_second_traces_are_kept_beside_the_first():
    (core,) = map_network(tpl.Network.dense((10, 5, 4)), SecondTrace(0.05)).cores
    assert core.bytes["presynaptic traces"] == 10 * 2 * 2


def test_states_of_synapses_are_counted_and_refused_by_name():
    mapping = map_network(tpl.Network.dense((10, 5, 4)), SynapseState(0.05))
    (connection,) = mapping.layers[0].connections
    assert (connection.bits, connection.state_bits, connection.sum_bits) == (8, 16, 0)
    assert mapping.cores[0].bytes["synapses"] == 10 * 8 * 2 + 8  # 5 x (8 + 16) bits are two words
    (violation,) = mapping.violations
    assert str(violation) == (
        "hidden0: synapse state bits is 16 bits, but must be at most 8; use a term without filter, whose traces are the neurons'."
    )


def test_shared_weights_that_learn_are_refused_by_name(rng):
    """They cannot be in the learning engine, which changes a weight by what its own synapse sees."""
    network = lively(convolutional())
    mapping = map_network(network, Delta(0.05))
    (violation,) = mapping.violations
    kind = network.layers[0].connection
    assert str(violation) == (
        f"hidden0: synapses of a weight is {np.bincount(kind.synapses().taps).max()} synapses, but must be at most 1; use "
        'network.unshare("hidden0"), by which each position has weights of its own: 972 weights of 972 bytes in place of '
        "27 weights of 27 bytes."
    )
    learner = tpl.Learner(network, Delta(0.05), "fixed")
    places = {p.what: p for p in circuit_listings(learner.circuits[1]).placements}
    for what in ("hidden0_change", "hidden0_optimiser"):
        assert (places[what].place, places[what].layer) == ("embedded processor", "hidden0")
    assert 'does not have a weight that synapses share; use network.unshare("hidden0")' in places["hidden0_change"].note
    ((events, _),) = samples = random_samples(rng, 1, network.n_inputs, 3, n_steps=4, rate=0.3)
    (sample,) = count(learner, samples).samples
    delivered = sum(np.diff(kind.synapses().offsets)[events.units])
    assert sample.layers[0].synaptic == delivered
    assert sample.layers[0].updates == delivered + 4 * 3 * 9  # every synapse of a spike; all weights, at every step


@pytest.mark.parametrize("update", ["step", "sequence"])
def test_an_unshared_convolution_learns_in_the_engine(update):
    network = convolutional().unshare("hidden0")
    rule = replace(WALSH, rate=2 * WALSH.rate, causal=0.0, update=update)
    mapping = map_network(network, rule)
    assert [v.rule for v in mapping.violations if v.rule != "summed change bits"] == []
    connection, back = mapping.layers[0].connections
    assert (connection.name, back.name, back.source, back.plastic) == ("hidden0", "hidden0_signal", "hidden0_grid", False)
    assert (connection.plastic, bool(connection.sum_bits)) == (True, update == "sequence")
    places = {p.what: p for p in circuit_listings(tpl.Learner(network, rule, "fixed").circuits[1]).placements}
    learns = places["hidden0_plasticity"]
    synapses = network.layers[0].connection.synapse_count
    assert (learns.place, learns.layer, learns.runs) == ("learning engine", "hidden0", synapses)
    assert learns.note.startswith("dd = " if update == "sequence" else "dw = ")
    if update == "sequence":
        assert (places["hidden0_optimiser"].place, places["hidden0_optimiser"].layer) == ("learning engine", "hidden0")


def test_pooled_units_are_a_layer_of_their_own_by_hand():
    network = maps_network(tpl.Conv2d(3, 3, padding=1), tpl.MaxPool2d(2), tpl.Dense(7), shape=(1, 6, 6))
    mapping = map_network(network)
    neurons, pooled, dense = mapping.layers
    assert [layer.name for layer in mapping.layers] == ["hidden0", "hidden0_pooled", "hidden1"]
    assert ([p.name for p in neurons.programs], [p.name for p in pooled.programs]) == (["hidden0_neuron"], ["hidden0_trace"])
    (core,) = mapping.cores_of("hidden0_pooled")
    assert (core.compartments, core.synapses) == (3 * 9, {"pooling of hidden0": 3 * 36})
    assert core.bytes["input axons"] == 8 * 3 * 36
    assert core.bytes["output axons"] == 8 * 3 * 9  # to the one core of the dense layer
    assert mapping.cores_of("hidden0")[0].bytes["output axons"] == 8 * 3 * 36
    assert core.bytes["state"] == -(-27 * (32 + 1) // 8)  # the trace, and whether any of the window spikes
    assert dense.connections[0].source == "hidden0_pooled"
    assert "hidden0_pooled: 27 compartments, 1 core" in str(mapping)
    assert "pools by OR: integrate-and-fire units" in str(mapping)


def test_signals_come_back_through_poolings():
    """Through an average by synapses; through a maximum by a processor, which knows what spikes first."""
    averaged, maximum = (
        map_network(maps_network(tpl.Conv2d(3, 3, padding=1), pool, tpl.Dense(5), shape=(1, 6, 6)), tpl.TESS(0.1, basis="walsh", grid=3))
        for pool in (tpl.AvgPool2d(2), tpl.MaxPool2d(2))
    )
    signals = [{c.name: c for c in mapping.layers[0].connections}["hidden0_signal"] for mapping in (averaged, maximum)]
    assert [(c.source, c.units, c.reach.synapses) for c in signals] == [("hidden0_pooled", 27, 108), ("credit of hidden0", 108, 108)]
    tasks = [{task.name: task for p in mapping.processors for task in p.tasks}["credit of hidden0"] for mapping in (averaged, maximum)]
    assert [task.words_out for task in tasks] == [4, 4 + 108]  # errors; a signal for each neuron
    assert tasks[1].operations > tasks[0].operations
    coarse = map_network(maps_network(tpl.Conv2d(3, 3, padding=1), shape=(1, 6, 6)), tpl.TESS(0.1, basis="walsh", grid=2))
    (_, signal) = coarse.layers[0].connections
    assert (signal.source, signal.units, signal.reach.synapses) == ("hidden0_grid", 12, 108)
    (task,) = (task for p in coarse.processors for task in p.tasks if task.name == "credit of hidden0")
    assert task.words_out == 12


@pytest.mark.parametrize("case", MAPS)
def test_every_operation_of_maps_has_its_place(case):
    """Everything of neurons has a listing, and what pools says how."""
    network, rule = MAPS[case]
    made = circuit_listings(tpl.Learner(lively(network), rule, "fixed").circuits[1])
    assert {"hidden0_neuron", "hidden0_trace", "hidden0_third_factors"} <= {*made.listings}
    pools = [p for p in made.placements if "over windows" in p.note]
    assert {p.place for p in pools} <= {"neuro-core", "embedded processor"}
    assert any(("an OR" if case.endswith("maximum") else "synapses of weight 1") in p.note for p in pools)


def test_large_networks_are_placed_without_tables():
    blocks = [(64, 1), (128, 2), (256, 2)]
    layers = [layer for channels, n in blocks for layer in (*[tpl.Conv2d(channels, 3, padding=1)] * n, tpl.MaxPool2d(2))]
    network = tpl.Network.sequential((2, 32, 32), [*layers, tpl.Dense(256)], 10)
    before = time.perf_counter()
    mapping = map_network(network)
    assert time.perf_counter() - before < 60
    for connection in network.connections[:-1]:
        held = sum(core.synapses[connection.name] for core in mapping.cores_of(connection.post))
        assert held == connection.kind.synapse_count


def test_instructions_are_written_out_over_what_is_no_neuron():
    program = plasticity_program(SPIKE_TIMES_THIRD)
    assert instructions(program, {}) == len(program.instructions)
    assert instructions(program, {"n": 7}) >= 7
    sizes = {"b": 1, "k": 3, "n": 5, "m": 4}
    small, large = (instructions(contrast_program(sizes), {**sizes, "n": n}) for n in (5, 6))
    assert large - small == 2 * 3  # one more product and one more sum for each of three streams


# Properties ---------------------------------------------------------------------------------------

RULES = st.sampled_from([None, tpl.TP(contrast=2), tpl.TP(contrast="all", train_target=True), WALSH, tpl.TP(readout=tpl.Match())])


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    classes=st.integers(4, 6),
    recurrent=st.booleans(),
    rule=RULES,
    memory=st.integers(600, 20_000),
    neurons=st.integers(6, 60),
    cores=st.integers(1, 5),
)
def test_everything_is_placed_once_and_no_core_is_over_its_budget(sizes, classes, recurrent, rule, memory, neurons, cores):
    network = tpl.Network.dense((*sizes, classes), recurrent=recurrent)
    limits = Limits().replace(core_memory=memory, neurons_per_core=neurons, cores_per_chip=cores)
    mapping = map_network(network, rule, limits=limits)
    for layer in mapping.layers:
        held = mapping.cores_of(layer.name)
        assert [n for core in held for n in range(core.first, core.last)] == list(range(layer.neurons))
        for connection in layer.connections:
            assert sum(core.synapses[connection.name] for core in held) == connection.units * layer.neurons
        assert sum(core.compartments for core in held) == layer.neurons * layer.compartments
    over = [core for core in mapping.cores if not core.fits(limits)]
    assert all(core.neurons == 1 for core in over)
    named = {v.rule for v in mapping.violations} & {"core memory", "compartments"}
    assert bool(named) == bool(over)
    assert [core for chip in mapping.chips for core in chip.cores] == list(mapping.cores)
    assert all(1 <= len(chip.cores) <= cores for chip in mapping.chips)
    assert mapping.cores == map_network(network, rule, limits=limits).cores


@settings(max_examples=10)
@given(channels=st.integers(1, 4), side=st.integers(3, 8), memory=st.integers(900, 8000))
def test_every_synapse_of_a_convolution_is_placed_once(channels, side, memory):
    network = convolutional((2, side, side), channels)
    mapping = map_network(network, limits=Limits().replace(core_memory=memory))
    held = mapping.cores_of("hidden0")
    assert [n for core in held for n in range(core.first, core.last)] == list(range(network.layers[0].size))
    assert sum(core.synapses["hidden0"] for core in held) == len(network.layers[0].connection.synapses().targets)


@pytest.mark.parametrize("seed", range(12))
def test_reach_axis_by_axis_is_that_of_the_table(seed):
    rng = np.random.default_rng(seed)
    kind, _ = random_spatial(rng)
    reach, table = Reach.of(kind), kind.synapses()
    sources = np.repeat(np.arange(kind.n_inputs), np.diff(table.offsets))
    for first, last in ((0, kind.size), *np.add(np.sort(rng.integers(0, kind.size, (4, 2)), axis=1), (0, 1))):
        expected = np.bincount(sources[(table.targets >= first) & (table.targets < last)], minlength=kind.n_inputs)
        assert np.repeat(reach.into(first, last), reach.per_group, axis=0).ravel().tolist() == expected.tolist()
    units = rng.integers(0, kind.n_inputs, 9)
    assert reach.fans(units) == np.diff(table.offsets)[units].sum()
    assert reach.synapses == len(table.targets)


@settings(max_examples=25)
@given(units=st.integers(1, 30), size=st.integers(1, 60), memory=st.integers(500, 5000))
def test_a_core_is_filled_until_nothing_more_fits(units, size, memory):
    """One neuron more breaks the budget of every core but the last."""
    network = tpl.Network.dense((units, size, 3))
    limits = Limits().replace(core_memory=memory)
    cores = map_network(network, limits=limits).cores
    roomy = Limits()
    for core in cores[:-1]:
        (whole,) = map_network(tpl.Network.dense((units, core.neurons + 1, 3)), limits=roomy).cores
        assert whole.memory > memory


# Limits at their edges ----------------------------------------------------------------------------

TP2 = tpl.TP(contrast=2)
EDGES = [
    ("core_memory", "core memory", tpl.Network.dense((10, 1, 4)), TP2),
    ("neurons_per_core", "compartments", tpl.Network.dense((10, 1, 4)), TP2),
    ("state_per_neuron", "state of a neuron", tpl.Network.dense((10, 5, 4)), TP2),
    ("weight_bits", "weight bits", tpl.Network.dense((10, 5, 4)), None),
    ("state_bits", "state bits", tpl.Network.dense((10, 5, 4)), None),
    ("processor_bits", "processor bits", tpl.Network.dense((10, 5, 4)), None),
    ("payload_bits", "payload bits", maps_network(tpl.Conv2d(3, 3), tpl.AvgPool2d(2), tpl.Dense(5)), None),
    ("payload_bits", "payload bits", maps_network(tpl.Conv2d(3, 3), input_format=Format(6, 4)), None),
    ("synapses_of_weight", "synapses of a weight", maps_network(tpl.Conv2d(3, 3)), tpl.TESS(0.1, causal=0.0, basis="walsh", update="step")),
    ("trace_bits", "third factor bits", tpl.Network.dense((10, 5, 4)), TP2),
    ("trace_bits", "presynaptic trace bits", tpl.Network.dense((10, 5, 4)), WALSH),
    ("learning_accumulator_bits", "learning accumulator bits", tpl.Network.dense((10, 5, 4)), WALSH),
    ("learning_shift", "learning shift", tpl.Network.dense((10, 5, 4)), TP2),
    ("tag_bits", "summed change bits", tpl.Network.dense((10, 5, 4)), replace(WALSH, update="sequence")),
    ("epoch_steps", "learning window", tpl.Network.dense((10, 5, 4)), replace(WALSH, learn_last=9)),
]


def _used(network, rule, limit, name):
    """What is used of a limit, as the violation of the smallest limit says."""
    found = map_network(network, rule, limits=Limits().replace(**{limit: 1})).violations
    return max(v.used for v in found if v.rule == name)


@pytest.mark.parametrize(("limit", "name", "network", "rule"), EDGES, ids=[name for _, name, _, _ in EDGES])
def test_a_limit_is_exact(limit, name, network, rule):
    used = _used(network, rule, limit, name)
    assert used > 1
    at, below = (map_network(network, rule, limits=Limits().replace(**{limit: n})) for n in (used, used - 1))
    assert name not in {v.rule for v in at.violations}
    worst = max((v for v in below.violations if v.rule == name), key=lambda v: v.used)
    assert (worst.used, worst.maximum) == (used, used - 1)
    assert worst.remedy
    assert not below.fits


def test_the_boards_are_exact():
    network, limits = tpl.Network.dense((4, 24, 3)), Limits().replace(neurons_per_core=1, cores_per_chip=3)  # eight chips
    assert map_network(network, limits=limits).board.name == "Kapoho Point"
    assert map_network(tpl.Network.dense((4, 25, 3)), limits=limits).board.name == "VPX"
    assert map_network(network, limits=limits, board="kapoho point").fits
    (violation,) = map_network(tpl.Network.dense((4, 25, 3)), limits=limits, board="Kapoho Point").violations
    assert str(violation) == "Kapoho Point: chips is 9 chips, but must be at most 8; use VPX."


def test_what_fits_on_no_board_says_so():
    limits = Limits().replace(neurons_per_core=1, cores_per_chip=1, boards={"Bench": 2, "Rack": 4})
    assert map_network(tpl.Network.dense((4, 4, 3)), limits=limits).board.name == "Rack"
    mapping = map_network(tpl.Network.dense((4, 5, 3)), limits=limits)
    assert mapping.board is None
    (violation,) = mapping.violations
    assert (violation.object, violation.used, violation.maximum) == ("Rack", 5, 4)
    assert "make the layers smaller" in violation.remedy
    with pytest.raises(tpl.InvalidValueError, match="Rack: chips is 5 chips, but must be at most 4"):
        mapping.require()
    assert "on no board" in str(mapping)


def test_every_violation_is_told_at_once():
    limits = Limits().replace(core_memory=50, state_per_neuron=3, weight_bits=3, state_bits=9, trace_bits=2, learning_shift=1)
    limits = limits.replace(processor_bits=8, cores_per_chip=1, boards={"One": 1})
    mapping = map_network(tpl.Network.dense((10, 5, 4, 3)), replace(WALSH, update="sequence", learn_last=64), limits=limits)
    assert {v.rule for v in mapping.violations} == {
        *("core memory", "state of a neuron", "chips", "weight bits", "state bits", "processor bits", "third factor bits"),
        *("presynaptic trace bits", "learning accumulator bits", "summed change bits", "learning window"),
    }
    text = str(mapping)
    for violation in mapping.violations:
        assert str(violation) in text
    with pytest.raises(tpl.InvalidValueError) as caught:
        mapping.require()
    assert len(str(caught.value).splitlines()) == len(mapping.violations)


def test_remedies_work():
    network = tpl.Network.dense((10, 5, 4))
    named = {v.rule for v in map_network(network, WALSH).violations}
    assert {"presynaptic trace bits", "learning accumulator bits"} <= named
    stock = map_network(network, WALSH, tpl.FixedPoint(stock=True))
    assert "presynaptic trace bits" not in {v.rule for v in stock.violations}
    acausal = map_network(network, replace(WALSH, causal=0.0))
    assert not {"presynaptic trace bits", "learning accumulator bits"} & {v.rule for v in acausal.violations}


def test_three_hundred_streams_do_not_fit_a_neuron():
    rule = tpl.TP(rate=0.0, contrast="all", readout=tpl.Match())
    found = map_network(tpl.Network.dense((4, 2, 345), trace_decay=0.5), rule).violations
    (violation,) = (v for v in found if v.object == "hidden0")
    assert violation.rule == "state of a neuron"
    assert "TP(contrast=...)" in violation.remedy


# Limits and costs as data -------------------------------------------------------------------------


def test_every_limit_has_a_source_or_says_that_it_is_assumed():
    for name, limit in Limits().named.items():
        assert limit.unit, name
        assert limit.source.startswith("https://") or limit.certainty == "assumed", name
    for board in Limits().boards:
        assert board.source.startswith("https://")
    for name, cost in Costs().named.items():
        assert cost.low <= cost.high, name
        assert cost.source.startswith("https://") or cost.certainty == "assumed", name
    assert {b.name for b in Limits().boards if b.certainty == "from memory"} == {"Alia Point"}


def test_limits_come_from_a_file(tmp_path):
    (tmp_path / "chip.toml").write_text('cores_per_chip = 128\n[boards]\n"Two" = 2\n"One" = 1\n')
    (tmp_path / "chip.json").write_text(json.dumps({"cores_per_chip": 128, "boards": {"Two": 2, "One": 1}}))
    toml, as_json = (Limits.load(tmp_path / f"chip.{kind}") for kind in ("toml", "json"))
    assert toml == as_json
    assert toml.cores_per_chip == Limit(128, "cores", "given", "", "")
    assert [board.name for board in toml.boards] == ["One", "Two"]
    assert toml.neurons_per_core == Limits().neurons_per_core


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Limits().replace(cores=3), "Limits: cores is unknown, but must be one of cores_per_chip, "),
        (lambda: Limits().replace(core_memory=0), "core_memory is 0, but must be a positive number of bytes"),
        (lambda: Limits().replace(core_memory=1.5), "core_memory is 1.5"),
        (lambda: Limits().replace(cores_per_chip=129), "cores_per_chip is 129, but must be at most cores_on_die, 128"),
        (lambda: Limits().replace(boards={}), "boards is empty"),
        (lambda: Limits().replace(boards={"A": 0}), "a table of name = number of chips"),
        (lambda: Limits().board("Loihi 9"), "board is 'Loihi 9', but must be one of Oheo Gulch, Kapoho Point"),
        (lambda: Costs().replace(nothing=1), "Costs: nothing is unknown"),
        (lambda: Costs().replace(hops=(3, 1)), "hops is (3, 1), but must be a number >= 0, or (low, high)"),
        (lambda: map_network("digits"), "model is 'digits', but must be a Network or a Learner"),
        (lambda: map_network(tpl.Learner(tpl.Network.dense((4, 3, 2)))), "precision is float, but must be fixed"),
        (lambda: map_network(tpl.Learner(tpl.Network.dense((4, 3, 2)), None, "fixed"), TP2), "given with a Learner"),
    ],
)
def test_errors_say_what_and_how(make, told):
    with pytest.raises(tpl.InvalidValueError) as caught:
        make()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", "must be a .toml or .json file"),
        ("a.toml", "x = = 1", "must be valid TOML"),
        ("a.json", "[1]", "a table of name = value"),
    ],
)
def test_a_bad_file_of_limits_is_refused(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(tpl.InvalidValueError) as caught:
        Limits.load(tmp_path / name)
    assert told in str(caught.value)


def test_costs_can_be_replaced():
    costs = Costs().replace(hops=(1, 2), synaptic_energy=5)
    assert (costs.hops.low, costs.hops.high, costs.hops.certainty) == (1.0, 2.0, "given")
    assert costs.synaptic_energy.low == costs.synaptic_energy.high == 5.0


# Operations of a real run -------------------------------------------------------------------------


def by_the_interpreter(learner, samples, learns, monkeypatch):
    """Weights delivered and changed for each sample, as the interpreter does them one by one."""
    found = []
    accumulate, interpret = interpreter.OPERATION_TABLE[Accumulate], interpreter.interpret
    products, pool = interpreter.OPERATION_TABLE[AccumulateProducts], dict(interpreter.OPERATION_TABLE)
    readout = Owner("readout"), Owner("connection", "readout"), Owner("plasticity", "readout")
    owner = [None]  # of the operation that is carried out

    def accumulating(step, o):
        found[-1]["readout" if o.owner in readout else "delivered"] += sum(
            sum(_reached(o.kind, unit) for unit in units) if o.kind else len(units) * step.memory[o.weights].shape[1]
            for units in interpreter._events(step.memory, o.events)
        )
        accumulate(step, o)

    def learning(step, o):
        active = interpreter._active(step.memory, o, 0, len(step.memory[o.third_factor]))
        found[-1]["updated"] += sum(_reached(o.kind, unit) for units in active for unit in units)
        products(step, o)

    def pooling(step, o):
        """Of the neurons' own: a credit's are done by processors, as is the way back of a maximum."""
        back = isinstance(o, Unpool)
        if o.owner.kind == "population" and not (back and o.pooling.mode == "max"):
            w = o.pooling.windows(o.shape)
            sizes = np.outer(w.end_y - w.first_y, w.end_x - w.first_x)
            for row in step.memory[o.signal if back else o.source]:
                maps = row.reshape(o.pooling.shape(o.shape) if back else o.shape) != 0
                parts = [maps[:, y, x] * sizes[y, x] if back else maps[:, w.first_y[y] : w.end_y[y], w.first_x[x] : w.end_x[x]]
                         for y, x in np.ndindex(*sizes.shape)]  # fmt: skip
                found[-1]["delivered"] += sum(int(part.sum()) for part in parts)
        pool[type(o)](step, o)

    def owned(carry_out):
        def carried_out(step, o):
            owner[0] = o.owner
            carry_out(step, o)

        return carried_out

    def run(program, arrays, *more, **options):
        if owner[0].kind == "plasticity" and "weight" in arrays and not learner.network.is_bias(owner[0].name):
            found[-1]["readout updated" if owner[0] in readout else "updated"] += arrays["weight"].size
        return interpret(program, arrays, *more, **options)

    replaced = {Accumulate: accumulating, AccumulateProducts: learning, Pool: pooling, Unpool: pooling}
    for kind, carry_out in replaced.items():
        monkeypatch.setitem(interpreter.OPERATION_TABLE, kind, carry_out)
    for kind in (RunProgram, UpdateWeights):
        monkeypatch.setitem(interpreter.OPERATION_TABLE, kind, owned(interpreter.OPERATION_TABLE[kind]))
    monkeypatch.setattr(interpreter, "interpret", run)
    twin = learner.copy()
    for events, label in samples:
        found.append(dict.fromkeys(("delivered", "updated", "readout", "readout updated"), 0))
        twin.begin(label if learns else None, n_steps=events.n_steps)
        compiled = interpreter.Interpreter(run).compile(twin.circuits[learns])
        compiled.steps(dict(twin.memory), events.offsets[np.newaxis], events.units, 0, events.n_steps)
    monkeypatch.undo()
    return found


def _reached(kind, unit):
    """Synapses of a unit."""
    return sum(tap.outputs.stop - tap.outputs.start for tap in taps_of(kind, int(unit)))


@pytest.mark.parametrize(
    ("network", "rule"),
    [
        *MAPS.values(),
        (tpl.Network.dense((12, 9, 4), recurrent=True, seed=1), tpl.TP(contrast=3, train_target=True)),
        (tpl.Network.dense((12, 9, 4), recurrent=True, seed=1), replace(WALSH, update="sequence", learn_last=3)),
        (convolutional(), tpl.TP((0.0, 1e-3), contrast=2)),
    ],
    ids=[*MAPS, "TP", "TESS", "convolution"],
)
def test_operations_are_those_of_the_interpreter(network, rule, rng, monkeypatch):
    learner = tpl.Learner(lively(network), rule, "fixed")
    samples = random_samples(rng, 2, network.n_inputs, network.n_classes, n_steps=5, rate=0.3)
    for learns in (True, False):
        counts = count(learner, samples, learns)
        expected = by_the_interpreter(learner, samples, learns, monkeypatch)
        assert [s.synaptic for s in counts.samples] == [e["delivered"] for e in expected]
        assert [s.updates for s in counts.samples] == [e["updated"] for e in expected]
        assert [s.readout_synaptic for s in counts.samples] == [e["readout"] for e in expected]
        assert [s.readout_updates for s in counts.samples] == [e["readout updated"] for e in expected]
        assert counts.learning is learns
        assert all(e["delivered"] for e in expected)


def test_operations_by_hand(rng):
    """Synaptic operations are spikes times fan-out; a feedback weight is passed over one step later, so not after the last."""
    network = lively(tpl.Network.dense((12, 9, 7, 4), recurrent=(True, False), seed=1))
    learner = tpl.Learner(network, None, "fixed")
    ((events, _),) = samples = random_samples(rng, 1, 12, 4, n_steps=8, rate=0.4)
    spikes = learner.infer(events, record=True).spikes
    (sample,) = count(learner, samples).samples
    first, second = sample.layers
    assert first.synaptic == len(events) * 9 + int(spikes[0][:-1].sum()) * 9
    assert second.synaptic == int(spikes[0].sum()) * 7
    assert sample.readout_synaptic == int(spikes[1].sum()) * 4
    assert (first.neuron_updates, second.neuron_updates) == (8 * 9, 8 * 7)
    assert (first.spikes, second.spikes) == tuple(int(s.sum()) for s in spikes)
    assert (sample.steps, sample.input_spikes, sample.updates) == (8, len(events), 0)


def test_spikes_are_counted_where_a_credit_pools_them(rng):
    """TESS averages maps before its basis; the spikes are the neurons' all the same."""
    network = lively(maps_network(tpl.Conv2d(3, 3, padding=1), tpl.Flatten()))
    ((events, label),) = samples = random_samples(rng, 1, network.n_inputs, 4, n_steps=5, rate=0.3)
    learner = tpl.Learner(network, replace(WALSH, grid=1, rate=0.0, readout_rate=0.1), "fixed")
    (sample,) = count(learner, samples).samples
    assert sample.layers[0].spikes == learner.learn(events, label).spike_counts[0].sum() > 0


def test_counting_leaves_the_learner_as_it_was(rng):
    learner = tpl.Learner(lively(tpl.Network.dense((12, 9, 4), seed=1)), TP2, "fixed")
    before = {name: array.copy() for name, array in learner.mantissas.items()}
    count(learner, random_samples(rng, 2, 12, 4))
    assert learner.samples_seen == 0
    for name, array in learner.mantissas.items():
        np.testing.assert_array_equal(array, before[name])


def test_counting_refuses_what_it_cannot(rng):
    learner = tpl.Learner(tpl.Network.dense((12, 9, 4)), None, "fixed")
    with pytest.raises(tpl.InvalidValueError, match="learning is True, but must be False for a learner without a rule"):
        count(learner, random_samples(rng, 1, 12, 4), learning=True)
    with pytest.raises(tpl.InvalidValueError, match="samples is empty"):
        count(learner, [])


# Estimates and memory -----------------------------------------------------------------------------


def test_estimates_by_hand(rng):
    """Every cost a power of ten apart, so that each term can be told from the sum."""
    learner = tpl.Learner(lively(tpl.Network.dense((12, 9, 4), seed=1)), TP2, "fixed")
    counts = count(learner, random_samples(rng, 2, 12, 4, n_steps=10))
    mapping = map_network(learner)
    free = Costs().replace(**dict.fromkeys(Costs().named, 0))
    for name, counted in (("synaptic_energy", "synaptic"), ("neuron_energy", "neuron_updates"), ("update_energy", "updates")):
        costs = free.replace(**{name: (1e6, 2e6)})
        low, high = estimate(mapping, counts, costs).microjoules
        assert low == pytest.approx(counts.mean(counted))
        assert high == pytest.approx(2 * counts.mean(counted))
    barrier = estimate(mapping, counts, free.replace(barrier_time=1e3, chip_power=(0.5, 0.5)))
    assert barrier.microseconds == pytest.approx((10, 10))
    assert barrier.microjoules == pytest.approx((5, 5))  # half a watt for ten microseconds
    assert barrier.dynamic == (0, 0)
    busiest = max(p.operations for p in mapping.processors)
    assert estimate(mapping, counts, free.replace(processor_time=1e3)).microseconds[0] == pytest.approx(10 * busiest)
    inferred = count(learner, random_samples(rng, 2, 12, 4, n_steps=10), learning=False)
    readout = inferred.samples[0].credit / 10
    assert readout < busiest  # nothing is credited
    assert estimate(mapping, inferred, free.replace(processor_time=1e3)).microseconds[0] == pytest.approx(10 * readout)
    check = estimate(mapping, counts).cross_check
    assert check.count == 10 * 12 * 9
    assert check.low == pytest.approx(10 * 12 * 9 * 33.5e-6)


def test_messages_go_to_every_core_a_spike_has_an_axon_to(rng):
    network = lively(tpl.Network.dense((12, 9, 6, 4), seed=1))
    learner = tpl.Learner(network, None, "fixed")
    counts = count(learner, random_samples(rng, 2, 12, 4))
    mapping = map_network(learner, limits=Limits().replace(neurons_per_core=2))
    free = Costs().replace(**dict.fromkeys(Costs().named, 0))
    expected = counts.of_layer(0, "spikes") * 3 + counts.of_layer(1, "spikes")
    assert estimate(mapping, counts, free.replace(message_energy=1e6)).microjoules[0] == pytest.approx(expected)


def test_an_estimate_says_that_it_is_one(rng):
    learner = tpl.Learner(lively(tpl.Network.dense((12, 9, 4), seed=1)), None, "fixed")
    found = estimate(map_network(learner), count(learner, random_samples(rng, 1, 12, 4)))
    assert found.label == "estimate, not a measurement"
    assert found.cross_check is None
    assert "plastic updates" not in {line.name for line in (*found.energy, *found.time)}
    for line in (*found.energy, *found.time):
        assert 0 <= line.low <= line.high
        assert line.cost.source or line.cost.certainty == "assumed"
    assert json.loads(json.dumps(found.to_dict()))["microjoules"] == list(found.microjoules)


def test_memory_of_learning():
    network = tpl.Network.dense((30, 20, 10, 4))
    rows = {row.name: row for row in learning_memory(network, tpl.TP(contrast=3), 50)}
    assert rows["TP, K = 3"].formula == (20 * 7 + 3 * 4 + 4 * 20, 10 * 7)
    assert rows["TP, K = 3"].counted == rows["TP, K = 3"].formula
    assert [row.name for row in rows.values() if row.yours] == ["TP, K = 3"]
    assert rows["BPTT over 50 steps"].formula == (50 * (30 + 2 * 20), 50 * (20 + 2 * 10))
    assert rows["e-prop"].formula == (30 * 20, 20 * 10)
    assert rows["TESS, walsh, step"].counted == (30 + 20, 20 + 10)
    recurrent = {row.name: row for row in learning_memory(tpl.Network.dense((30, 20, 4), recurrent=True), None, 50)}
    assert recurrent["e-prop"].formula == (30 * 20 + 20 * 20,)
    assert not any(row.yours for row in recurrent.values())
    assert {row.name: row for row in learning_memory(convolutional(), None, 5)}["e-prop"].formula[0] == len(
        convolutional().layers[0].connection.synapses().targets
    )


# Command line -------------------------------------------------------------------------------------


def test_the_command_line_maps(tmp_path):
    told = json.loads(CliRunner().invoke(cli.app, ["map", "digits", "--rule", "tp", "--json"]).stdout)
    assert (told["board"], told["chips"], told["violations"]) == ("Oheo Gulch", 1, [])
    assert told["layers"][0]["neurons"] == 200
    tables = CliRunner().invoke(cli.app, ["map", "digits"])
    assert tables.exit_code == 0
    assert "no limit is broken" in tables.stdout
    (tmp_path / "small.toml").write_text('core_memory = 9000\ncores_per_chip = 2\nboards = {"Half" = 1}\n')
    broken = CliRunner().invoke(cli.app, ["map", "digits", "--limits", str(tmp_path / "small.toml")])
    assert broken.exit_code == 1
    assert "Half: chips is" in broken.stdout


def test_a_float_learner_is_mapped_in_fixed_point(tmp_path):
    tpl.Learner(tpl.Network.dense((10, 5, 3)), TP2).save(tmp_path / "learner.safetensors")
    done = CliRunner().invoke(cli.app, ["map", str(tmp_path / "learner.safetensors"), "--json"])
    assert json.loads(done.stdout)["layers"][0]["compartments"] == 15


def test_standardised_weights_are_mapped_and_proven_as_they_are_delivered():
    layers = [tpl.Conv2d(2, 3, padding=1, standardised=True), tpl.Dense(5)]
    network = tpl.Network.sequential((1, 6, 6), layers, 3)
    for rule in (None, tpl.TESS(basis="walsh")):
        assert map_network(network, rule).rows() == map_network(network.folded(), rule).rows()
        found, folded = (tpl.check_ranges(each, rule) for each in (network, network.folded()))
        assert list(map(str, found.entries)) == list(map(str, folded.entries))
