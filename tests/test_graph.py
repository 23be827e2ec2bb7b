"""Networks as graphs: what is refused, chains as layers, and learning on skip connections, branches and feedback from above."""

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import random_events
from delta_rule import Delta
from output_error_rule import OutputError
from rule_oracle import learned_by_hand
from second_trace_rule import SecondTrace

import tp_lava as tpl
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.network import Connection, Network, Population

SIZES = {"input": 9, "left": 6, "right": 5, "top": 7}
CLASSES = 4
FORWARD = [("left", "input", "left"), ("right", "input", "right"), ("top", "left", "top"), ("right_to_top", "right", "top")]
SKIP = ("skip", "input", "top")
FEEDBACK = ("down", "top", "left")


def graph(connections=(*FORWARD, SKIP), recurrent=(FEEDBACK,), order=("left", "right", "top"), seed=0, neuron=None, **options):
    """Two branches that meet, an input that skips them, and feedback from the top into one branch."""
    populations = [Population(name, (SIZES[name],), neuron or tpl.LIF(0.9), 0.8) for name in order]
    made = [
        Connection(name, pre, post, AllToAll(SIZES[pre], SIZES[post]), later)
        for (name, pre, post), later in _marked(connections, recurrent)
    ]
    made.append(Connection("readout", order[-1], "readout", AllToAll(SIZES[order[-1]], CLASSES)))
    rng = np.random.default_rng(seed)
    weights = {c.name: rng.normal(0, 2.0 / np.sqrt(c.kind.n_inputs), c.kind.weight_shape) for c in made}
    return Network((SIZES["input"],), populations, made, CLASSES, weights, **options)


def _marked(connections, recurrent):
    return [(c, False) for c in connections] + [(c, True) for c in recurrent]


RULES = [Delta(0.05, 0.02), OutputError(0.05, 0.02), SecondTrace(0.02, 0.02)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_connection_of_a_graph_learns_as_by_hand(rule, rng):
    network = graph()
    learner, events = tpl.Learner(network, rule), random_events(rng, 9, 12, 0.3)
    learner.learn(events, 2)
    for name, expected in learned_by_hand(network, rule, events, 2).items():
        np.testing.assert_allclose(learner.weights[name], expected, atol=2e-5, err_msg=name)
        assert np.abs(expected - network.weights[name]).max() > 1e-4, name


@pytest.mark.parametrize("rule", [*RULES, tpl.TP(0.05, 0.05, 3), tpl.TESS(0.5, basis="walsh")], ids=lambda rule: type(rule).__name__)
def test_interpreter_and_cpu_agree_on_a_graph(rule, rng):
    both = BothBackEnds(graph(), rule)
    before = {name: array.copy() for name, array in both.memory.items()}
    for label in (0, 3):
        both.present([label], [random_events(rng, 9, 12, 0.3)])
    for name in graph().weights:
        assert not np.array_equal(before[name], both.memory[name]), name


def test_target_rows_take_every_way_into_a_population():
    """Both branches have a label projection of their own; the top is contrasted with the branch that its first connection comes from."""
    learner = tpl.Learner(graph(), tpl.TP(contrast=2))
    assert {"target", "target_right"} <= set(learner.weights)
    assert learner.weights["target_right"].shape == (SIZES["right"], CLASSES)
    contrast = next(o for o in learner.circuits[1].step if getattr(o, "program", None) and o.program.name == "top_contrast")
    assert dict(contrast.bindings)["below"] == "target0_trace"


def test_a_graph_is_saved_and_loaded(tmp_path, rng):
    network, events = graph(), random_events(rng, 9, 12, 0.3)
    tpl.save_network(network, tmp_path / "graph.tplava")
    loaded = tpl.load_network(tmp_path / "graph.tplava")
    assert (loaded.populations, loaded.connections) == (network.populations, network.connections)
    learner = tpl.Learner(loaded, tpl.TP(contrast=2), "fixed")
    learner.learn(events, 1)
    learner.save(tmp_path / "learner.safetensors")
    again = tpl.Learner.load(tmp_path / "learner.safetensors")
    for one in (learner, again):
        one.learn(events, 2)
    for name in learner.weights:
        np.testing.assert_array_equal(learner.mantissas[name], again.mantissas[name])


def test_a_chain_is_a_graph_and_its_layers():
    network = tpl.Network.dense((9, 6, 5, 4), recurrent=(True, False))
    assert [p.name for p in network.populations] == ["hidden0", "hidden1"]
    assert [(c.name, c.pre, c.post, c.recurrent) for c in network.connections] == [
        ("hidden0", "input", "hidden0", False),
        ("recurrent0", "hidden0", "hidden0", True),
        ("hidden1", "hidden0", "hidden1", False),
        ("readout", "hidden1", "readout", False),
    ]
    assert [(layer.size, layer.recurrent) for layer in network.layers] == [(6, True), (5, False)]
    assert Network.of_layers(9, network.layers, 4, network.weights).connections == network.connections


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"order": ("left", "top", "right")},
            r"right_to_top: pre is 'right', but must be one of input, left, which are computed before top",
        ),
        ({"recurrent": [("back", "left", "top")]}, r"back: pre is 'left', but must be one of top, which are not computed before top"),
        ({"connections": [*FORWARD[:2], FORWARD[2], ("left", "right", "top")]}, "Network: connections is two of the name left"),
        ({"connections": FORWARD[1:]}, r"Network: left: connections is none forward"),
        ({"connections": [*FORWARD, ("lost", "input", "readout")]}, "Network: connections is .* one connection to 'readout'"),
    ],
)
def test_what_is_no_graph_is_refused(options, message):
    sizes = dict(SIZES, readout=CLASSES)
    SIZES.update(sizes)
    with pytest.raises(tpl.InvalidValueError, match=message):
        graph(**options)


def test_sizes_that_do_not_fit_are_refused():
    populations = [Population("a", (4,), tpl.LIF())]
    for kind, message in (
        (AllToAll(5, 4), "from 5 units, but must be from the 6 units below"),
        (AllToAll(6, 3), "to 3 units, .* the 4 units of a"),
    ):
        connections = [Connection("a", "input", "a", kind), Connection("readout", "a", "readout", AllToAll(4, 2))]
        with pytest.raises(tpl.InvalidValueError, match=message):
            Network((6,), populations, connections, 2, {})
    connections = [Connection("a", "input", "a", Convolution((1, 2, 2), 1, (1, 1))), Connection("readout", "a", "readout", AllToAll(4, 2))]
    with pytest.raises(tpl.InvalidValueError, match=r"from \(1, 2, 2\), 4 units"):
        Network((6,), populations, connections, 2, {})


def test_a_form_that_takes_chains_of_layers_refuses_other_graphs_by_name():
    with pytest.raises(tpl.InvalidValueError, match="Network: left: connections is reached from input, top, .* in a chain of layers"):
        graph().layers  # noqa: B018
    assert not graph().is_chain
    assert tpl.Network.dense((3, 2, 2)).is_chain


# Three defects of the chain of names that the graph replaced ------------------------------------


def test_a_label_projection_does_not_move_the_binary_point_of_networks_that_never_use_it():
    network = tpl.Network.dense((6, 5, 3), seed=1)
    tiny = tpl.Learner(network, tpl.TP(contrast=2)).weights["target"] * 1e-5
    with_tiny = Network.of_layers(6, network.layers, 3, network.weights, rule_parameters={"target": tiny})
    plain, beside = (tpl.Learner(n, None, "fixed") for n in (network, with_tiny))
    assert plain.circuits[0].formats == beside.circuits[0].formats
    assert "target" not in plain.weights


def test_a_network_whose_biases_alone_change_learns_with_fresh_random_bits(rng):
    network = tpl.Network.dense((6, 5, 3), neuron=tpl.TESS.neuron(), seed=1)
    network = network.with_weights({"bias0": np.full(5, 0.3, np.float32)})
    rule = tpl.TESS(0.5, 0.0, causal=0, acausal=0, basis="walsh", update="step")
    learner = tpl.Learner(network, rule, "fixed")
    learner.learn(random_events(rng, 6, 8, 0.3), 1)
    assert learner.circuits[1].learns
    assert learner.memory["random_step"][0] == 8
    assert not np.array_equal(learner.weights["bias0"], network.weights["bias0"])


def test_every_operation_of_a_circuit_has_an_owner():
    for rule in (tpl.TP(contrast=2), tpl.TESS(basis="walsh"), *RULES):
        circuit = tpl.Learner(tpl.Network.dense((6, 5, 4, 3), recurrent=True), rule).circuits[1]
        owners = {
            kind: set(circuit.owners(kind)) for kind in ("input", "population", "connection", "plasticity", "credit", "readout", "rule")
        }
        known = set().union(*owners.values())
        assert [o for o in circuit.step if o.owner not in known and type(o).__name__ != "CountSteps"] == []
        assert {b.name for b in circuit.buffers.values() if b.owner not in known} <= {"random_seed", "random_step", "steps_left"}


def test_feedback_from_a_population_above_the_last_that_learns_carries_no_targets(rng):
    learner = tpl.Learner(graph(), tpl.TP((0.05, 0.05, 0.0), 0.05, 2), "fixed")
    learner.learn(random_events(rng, 9, 12, 0.3), 1)
    assert not any(name.startswith("target2") for name in learner.memory)
    assert not np.array_equal(learner.weights["left"], tpl.Learner(graph(), None, "fixed").weights["left"])


@pytest.mark.parametrize("part", [{"post": "post_trace"}, {"post": "one"}, {"pre": "one"}])
def test_a_filter_needs_a_part_of_the_neuron_and_of_the_synapse(part):
    with pytest.raises(
        tpl.InvalidValueError, match="Term: filter is 0.5 of .*, but must be of surrogate or spike_trace times .*; leave the filter"
    ):
        tpl.Term(**part, filter=0.5)


def test_random_streams_of_many_terms_and_connections_differ():
    """More parts than a population has streams of its own: none is used twice in a circuit."""
    terms = tuple(tpl.Term("surrogate", "trace", 1.0, f"t{n}") for n in range(9))
    rule = type("Many", (Delta,), {"terms": terms, "pre_decay": 0.5})(0.05, 0.02)
    circuit = tpl.Learner(graph(), rule, "fixed").circuits[1]
    streams = [o.random_stream for o in circuit.step if getattr(o, "program", None) and o.program.uses_random]
    assert len(streams) == len(set(streams)) > 40
