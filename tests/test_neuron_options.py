"""One parameter a neuron, adaptive thresholds and refractory times: against a second formula and stock Lava, in every form."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import lively, random_events, random_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from random_neurons import OneNeuron, own_neurons, random_neurons
from test_neuron import simulate

import tp_lava as tpl
from tp_lava.backends.loihi2 import circuit_listings
from tp_lava.deploy import export_loihi2, map_network
from tp_lava.dynamics.neuron import DECAY, LIF, STEPS, NeuronFormats, neuron_program
from tp_lava.dynamics.parameters import spread
from tp_lava.errors import InvalidValueError, NumberRangeError
from tp_lava.numbers import Format
from tp_lava.ranges import analyse, check_ranges

FORMATS = NeuronFormats(Format(24, 12), Format(16, 10, False), Format(16, 13, False), Format(16, 8, False))
HELD = {"decay": DECAY, "current_decay": DECAY, "adaptation_decay": DECAY, "refractory": STEPS}
HELD |= {"threshold": FORMATS.membrane, "reset_by": FORMATS.membrane, "adaptation": FORMATS.adaptation}
TARGETED = tpl.TP(0.03, 0.02, 2, train_target=True)


def numbers_of(lif, size):
    """Every parameter, (n,) each."""
    numbers = {name: np.broadcast_to(spread(getattr(lif, name), (size,)), size) for name in HELD if getattr(lif, name) is not None}
    return {"reset_by": numbers["threshold"], **numbers}


def toward_zero(x, shift):
    return int(np.sign(x)) * (abs(int(x)) >> shift)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_fixed_point_is_the_second_formula(seed):
    rng, size = np.random.default_rng(seed), 6
    lif = random_neurons(rng, size)
    held = {name: np.array([HELD[name].quantise(x) for x in values]) for name, values in numbers_of(lif, size).items()}
    program = neuron_program(lif, {"input": Format(12, 8)}, FORMATS, surrogate=False)
    drive = rng.integers(-200, 400, (30, size))
    out = simulate(
        program, drive, seed % 5 == 0, **{p.name: held[p.name][: 1 if not p.axes else None] for p in program.ports if p.name in held}
    )
    membrane, trace, rise = FORMATS.membrane, FORMATS.adaptation_trace, FORMATS.adaptation
    for n in range(size):
        neuron = OneNeuron(
            lif,
            {name: int(values[n]) for name, values in held.items()},
            decayed=lambda x, d: toward_zero(x * d, 12),
            risen=lambda a, b: min(a * b >> (trace.frac + rise.frac - membrane.frac), membrane.high) if lif.adapts else 0,
            within=lambda v: int(np.clip(v, membrane.low, membrane.high)),
            one=1 << trace.frac,
        )
        for step, arriving in enumerate(drive[:, n]):
            spiked, v, _ = neuron.step(int(arriving) << membrane.frac - 8)
            assert (out["spike"][step, n], out["membrane"][step, n]) == (spiked, v)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_float_is_the_second_formula(seed):
    """Where a potential lies at its threshold, rounding decides: numbers there are left out."""
    rng, size = np.random.default_rng(seed), 5
    lif = random_neurons(rng, size)
    numbers = numbers_of(lif, size)
    program = neuron_program(lif, {"input": None})
    drive = rng.normal(0.2, 0.5, (30, size)).astype(np.float32)
    out = simulate(
        program, drive, seed % 5 == 0, **{p.name: numbers[p.name][: 1 if not p.axes else None] for p in program.ports if p.name in numbers}
    )
    for n in range(size):
        neuron = OneNeuron(lif, {name: float(values[n]) for name, values in numbers.items()})
        for step, arriving in enumerate(drive[:, n]):
            spiked, v, excess = neuron.step(float(arriving))
            if excess is not None and abs(excess) < 1e-4:
                break
            assert out["spike"][step, n] == spiked
            np.testing.assert_allclose(out["membrane"][step, n], v, atol=1e-4)
            psi = 0.0 if excess is None else lif.surrogate.profile(np.array(abs(excess)))
            np.testing.assert_allclose(out["surrogate"][step, n], psi, atol=1e-3)


@pytest.mark.parametrize("period", [1, 2, 5])
def test_refractory_equals_stock_lava(period, rng):
    from tp_lava.lava import make_importable

    make_importable()
    from lava.proc.lif.models import PyLifRefractoryModelFloat

    drive = rng.integers(-20, 60, (60, 7)) / 64
    model = PyLifRefractoryModelFloat({"refractory_period": period})
    model.u, model.v, model.bias_mant = np.zeros(7), np.zeros(7), np.full(7, 1 / 16)
    model.du, model.dv, model.vth, model.refractory_period_end = 0.75, 0.5, 1.0, np.zeros(7, int)
    lif = LIF(0.5, 1.0, ">", "zero", 0.25, refractory=period)
    program = neuron_program(lif, {"input": None}, bias=True, surrogate=False)
    out = simulate(program, drive, decay=0.5, current_decay=0.25, threshold=1.0, refractory=period, bias=1 / 16)
    assert out["spike"].sum() > 10
    for step, row in enumerate(drive):
        model.time_step = step + 1
        model.subthr_dynamics(row)
        spiking = model.spiking_activation()
        model.process_spikes(spiking)
        np.testing.assert_array_equal(out["spike"][step], spiking)
        np.testing.assert_allclose(out["membrane"][step], model.v, atol=1e-5)


def test_adaptation_by_hand():
    program = neuron_program(LIF(0.0, adaptation=0.5, adaptation_decay=0.5), {"input": None})
    out = simulate(program, np.full((4, 1), 1.4), decay=0.0, threshold=1.0, adaptation=0.5, adaptation_decay=0.5)
    # thresholds: 1, 1.5 (after a spike), 1.25, 1.625 (a: 0, 1, 0.5, 1.25); the reset subtracts the resting threshold
    np.testing.assert_array_equal(out["spike"].ravel(), [1, 0, 1, 0])
    np.testing.assert_allclose(out["membrane"].ravel(), [0.4, 1.4, 0.4, 1.4], rtol=1e-6)
    np.testing.assert_allclose(out["adaptation_trace"].ravel(), [1, 0.5, 1.25, 0.625], rtol=1e-6)


# Circuits -----------------------------------------------------------------------------------------


def dense(rng, **options):
    """Two layers whose neurons differ in every number."""
    neurons = own_neurons(rng, 9), own_neurons(rng, 7, comparison=">", reset="zero")
    decays = [rng.uniform(0.5, 0.95, 9), rng.uniform(0.5, 0.95, 7)]
    return lively(tpl.Network.dense((11, 9, 7, 4), neurons, decays, recurrent=(True, False), **options), 6.0)


def maps(rng):
    """By channel, by unit, and pooled."""
    by_channel = tpl.LIF((0.9, 0.8), (0.5, 0.7), adaptation=(0.1, 0.3), adaptation_decay=0.9, refractory=(0, 1))
    by_unit = own_neurons(rng, 3 * 3 * 3)
    first = tpl.Conv2d(2, 3, padding=1, neuron=by_channel, trace_decay=(0.9, 0.8))
    second = tpl.Conv2d(3, 3, padding=1, neuron=by_unit, trace_decay=tuple(rng.uniform(0.5, 0.9, 27)))
    return lively(tpl.Network.sequential((1, 6, 6), (first, tpl.AvgPool2d(2), second, tpl.Dense(5)), 4, tpl.LIF(0.9, 0.5)), 5.0)


NETWORKS = {"dense": dense, "maps": maps}
RULES = {"tp": TARGETED, "tess": tpl.TESS(0.3, 0.05, basis="walsh", update="step", activity="trace", temperature=0.05)}


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("made", NETWORKS)
def test_interpreter_and_cpu_agree(made, rule, fixed, rng):
    network = NETWORKS[made](rng)
    both = BothBackEnds(network, RULES[rule], fixed)
    for label in (1, 3):
        both.present([label], [random_events(rng, network.n_inputs, 12, 0.3)])
    assert all(both.memory[f"{p.name}_total"].any() for p in network.populations if f"{p.name}_total" in both.memory)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("made", NETWORKS)
def test_c_agrees(made, rule, tmp_path, rng):
    from in_c import InC
    from test_c import follow, mixed_samples, present

    learner = tpl.Learner(NETWORKS[made](rng), RULES[rule], "fixed", 3)
    follow(learner, mixed_samples(learner, rng), present, InC(learner, tmp_path, ("-O1",)))


@pytest.mark.parametrize("tag", ["fixed_pt", "floating_pt"])
def test_lava_agrees(tag, rng):
    """Fused, and opened into one Process per part."""
    from opened import assert_same_memory, in_engine, in_layers

    network, samples = dense(rng), random_samples(rng, 3, 11, 4, rate=0.3)
    expected, scores = in_engine(network, TARGETED, samples, tag)
    opened, opened_scores = in_layers(network, TARGETED, samples, tag)
    fused = tpl.lava.run(network, TARGETED, samples, tag=tag, seed=7)
    assert_same_memory(opened, expected, tag)
    for name, array in expected.weights.items():
        np.testing.assert_allclose(fused.learner.weights[name], array, atol=0 if tag == "fixed_pt" else 1e-5, err_msg=name)
    for found in (opened_scores, fused.scores):
        np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-5)


def test_in_stock_learning_dense(rng):
    """The neurons before Lava's own learning engine are ours; half steps are all that its weights may differ by from ours."""
    network = tpl.Network.dense((11, 9, 4), own_neurons(rng, 9), [rng.uniform(0.5, 0.9, 9)])
    network = lively(network, 3.0)
    samples = random_samples(rng, 2, 11, 4, rate=0.3)
    stock = tpl.lava.run(network, tpl.TP(0.1, 0.05, 2), samples, tag="floating_pt", layers="stock", seed=7)
    ours = tpl.lava.run(network, tpl.TP(0.1, 0.05, 2), samples, tag="floating_pt", seed=7)
    np.testing.assert_allclose(stock.scores, ours.scores, rtol=1e-4, atol=1e-4)


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_one_number_for_each_neuron_is_one_number(seed):
    """The same bits, whether all neurons share a number or have it each."""
    rng = np.random.default_rng(seed)
    shared = tpl.LIF(0.9, 0.7, current_decay=0.3, reset_by=0.6, adaptation=0.1, refractory=1)
    each = replace(shared, **{name: [getattr(shared, name)] * 9 for name in HELD})
    for precision in ("fixed", "float"):
        learners = [
            tpl.Learner(lively(tpl.Network.dense((11, 9, 4), neuron, decay, seed=3), 6.0), tpl.TP(0.02, 0.02, 2), precision)
            for neuron, decay in ((shared, 0.875), (each, [[0.875] * 9]))
        ]
        events = random_events(rng, 11, 15, 0.3)
        for learner in learners:
            learner.learn(events, 2)
        for name, array in learners[0].weights.items():
            np.testing.assert_array_equal(array, learners[1].weights[name], name)


def test_tp_learns_with_them(rng):
    """Two inputs' patterns, told apart by neurons of log-spaced time constants with adaptation and refractory time."""
    decays = np.exp(-1 / np.geomspace(2, 50, 20))
    neuron = tpl.LIF(decays, 0.5, adaptation=0.05, adaptation_decay=0.9, refractory=1)
    network = tpl.Network.dense((20, 20, 2), neuron, decays, seed=1)
    first, samples = rng.random((2, 20)) < 0.5, []
    for number in range(60):
        label = number % 2
        rate = np.where(first[label], 0.3, 0.02)
        samples.append((tpl.Events.from_dense(rng.random((20, 20)) < rate), label))
    for precision in ("float", "fixed"):
        learner = tpl.Learner(network, tpl.TP(2e-3, 1e-3, 2), precision)
        learner.fit(samples[:40], epochs=3)
        assert learner.evaluate(samples[40:]) >= 0.9


# Other forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", NETWORKS)
def test_torch_agrees(made, rng):
    torch = pytest.importorskip("torch")
    from tp_lava import torch as tt

    network = NETWORKS[made](rng)
    module, learner = tt.SpikingNetwork(network), tpl.Learner(network, tpl.TP(), "float")
    for _ in range(3):
        events = random_events(rng, network.n_inputs, 20, 0.3)
        outcome = learner.infer(events, record=True)
        with torch.no_grad():
            spikes = module.hidden_spikes(tt.dense([events]))
        for found, expected in zip(spikes, outcome.spikes, strict=True):
            np.testing.assert_array_equal(found[:, 0].numpy() > 0, expected)
    assert module.network().populations == network.populations


def test_torch_trains_a_decay_a_neuron(rng):
    torch = pytest.importorskip("torch")
    from tp_lava import torch as tt

    network = lively(tpl.Network.dense((8, 6, 3), tpl.LIF(rng.uniform(0.5, 0.9, 6), 0.5, adaptation=0.1, refractory=1)), 5.0)
    module = tt.SpikingNetwork(network, train=("decay", "threshold"))
    assert module.get_parameter("decay0").shape == (6,)
    assert module.network().populations == network.populations
    spikes = torch.tensor(rng.random((15, 4, 8)) < 0.4, dtype=torch.float32)
    module(spikes).square().sum().backward()
    assert (module.get_parameter("decay0").grad != 0).all()
    with torch.no_grad():
        module.get_parameter("decay0")[2] += 0.5
    before, after = network.populations[0].neuron.decay, module.network().populations[0].neuron.decay
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True, True, True]


@pytest.mark.parametrize("made", NETWORKS)
def test_files_give_the_same_network(made, tmp_path, rng):
    network = NETWORKS[made](rng)
    tpl.save_network(network, tmp_path / "network.tplava")
    assert tpl.load_network(tmp_path / "network.tplava").populations == network.populations
    assert hash(network.populations) == hash(tpl.load_network(tmp_path / "network.tplava").populations)


@pytest.mark.parametrize("made", NETWORKS)
def test_what_looks_at_a_network_takes_them(made, rng):
    """Quantisation, divergence, ranges, placement and listings."""
    network = NETWORKS[made](rng)
    samples = random_samples(rng, 6, network.n_inputs, 4, n_steps=20, rate=0.3)
    quantised = tpl.quantise(network, samples, rule=TARGETED)
    layer = quantised.report.layers[0]
    assert layer.threshold == min(network.populations[0].neuron.threshold)
    assert layer.spikes[0] > 0
    assert {"adaptation_decay", "decay"} <= set(layer.decays)
    assert tpl.diverge(network, network, samples) is None
    found = tpl.diverge(network, quantised, samples)
    assert found is None or "unknown" not in found.cause
    proven = {entry.name for entry in check_ranges(network, TARGETED, quantised.fixed).entries}
    assert {"adaptation_trace", "refractory_left"} <= proven
    learner = tpl.Learner(network, TARGETED, quantised.fixed)
    plain = replace(network, populations=[replace(p, neuron=tpl.LIF(), trace_decay=0.9) for p in network.populations])
    own, shared = (map_network(net, TARGETED).layers[0].state_bits for net in (network, plain))
    assert own > shared
    assert "refractory_left" in str(circuit_listings(learner.circuits[1]))


def test_divergence_names_what_differs(rng):
    network = lively(tpl.Network.dense((11, 9, 4), own_neurons(rng, 9)), 6.0)
    samples = [(random_events(rng, 11, 40, 0.4), 0) for _ in range(4)]
    population = network.populations[0]

    def changed(**options):
        return replace(network, populations=(replace(population, neuron=replace(population.neuron, **options)),))

    neuron = population.neuron
    for options, words in (
        ({"refractory": tuple(steps + 1 for steps in neuron.refractory)}, "different refractory times"),
        ({"adaptation": tuple(rise + 0.5 for rise in neuron.adaptation)}, "different adaptations"),
        ({"adaptation": 0.5, "adaptation_decay": 0.3}, "different adaptation"),
        ({"decay": tuple(decay * 0.9 for decay in neuron.decay)}, "different decays"),
        ({"threshold": tuple(threshold + 0.3 for threshold in neuron.threshold)}, "different threshold"),
    ):
        found = tpl.diverge(network, changed(**options), samples)
        assert found is not None
        assert words in found.cause, (options, found.cause)


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": [0.5, 1.5]}, r"LIF: decay is 1.5 of neuron 1, but must be a number in \[0, 1\]"),
        ({"decay": []}, "LIF: decay is empty, but must be"),
        ({"threshold": ["a"]}, "LIF: threshold is 'a' of neuron 0, but must be a number > 0"),
        ({"current_decay": (0.5, 1.0)}, r"LIF: current_decay is 1.0 of neuron 1, but must be a number in \[0, 1\)"),
        ({"reset_by": np.array([1.0, -1.0])}, "LIF: reset_by is -1.0 of neuron 1"),
        ({"adaptation": -0.1}, "LIF: adaptation is -0.1, but must be a number >= 0"),
        ({"adaptation_decay": 1.0}, r"LIF: adaptation_decay is 1.0, but must be a number in \[0, 1\)"),
        ({"refractory": 64}, r"LIF: refractory is 64, but must be a number of whole steps, 0..63"),
        ({"refractory": 1.5}, "LIF: refractory is 1.5"),
        ({"refractory": [1, -1]}, "LIF: refractory is -1.0 of neuron 1"),
    ],
)
def test_impossible_neurons_are_refused(options, message):
    with pytest.raises(InvalidValueError, match=message):
        LIF(**options)


def test_numbers_that_are_not_one_a_neuron_are_refused():
    with pytest.raises(InvalidValueError, match=r"'hidden0'.*neuron.decay is 2 numbers, but must be one number, or one for each of 4"):
        tpl.Network.dense((3, 4, 2), tpl.LIF([0.5, 0.6]))
    with pytest.raises(InvalidValueError, match="trace_decay is 2 numbers, but must be one number, or one for each of 4 neurons"):
        tpl.Network.dense((3, 4, 2), trace_decay=[[0.5, 0.6]])
    with pytest.raises(InvalidValueError, match="or one for each of 8 neurons or 2 channels"):
        tpl.Network.sequential((1, 4, 4), [tpl.Conv2d(2, 3, neuron=tpl.LIF(refractory=[1, 2, 3])), tpl.Dense(4)], 2)


def test_what_fixed_point_cannot_hold_is_refused():
    for neuron, message in (
        (tpl.LIF([0.9, 1.0, 0.9]), "hidden0.decay: decay is 1.0, which rounds to 4096/4096"),
        (tpl.LIF(threshold=[1.0, 1e-6, 1.0]), "hidden0: threshold is 1e-06"),
        (tpl.LIF(adaptation=0.1, adaptation_decay=0.99999), "hidden0.adaptation_decay: decay is 0.99999"),
    ):
        with pytest.raises(NumberRangeError, match=message):
            tpl.Learner(tpl.Network.dense((4, 3, 2), neuron), tpl.TP(), "fixed")


def test_a_threshold_that_rounds_to_zero_is_told():
    learner = tpl.Learner(tpl.Network.dense((4, 3, 2), tpl.LIF(threshold=[1.0, 0.5, 1.0])), None, "fixed")
    circuit = learner.circuits[0]
    tiny = replace(circuit, values={**circuit.values, "hidden0_threshold": np.array([1.0, 1e-9, 1.0])})
    assert "is 1e-09, which rounds to zero in s24.14, so that every neuron that has it spikes" in analyse(tiny).problems[0].note


def test_a_bundle_says_the_decay_of_each_trace(tmp_path):
    network = tpl.Network.dense((6, 4, 2), own_neurons(np.random.default_rng(0), 4), [[0.9, 0.5, 0.0, 0.8]])
    export_loihi2(tpl.Learner(network, tpl.TP(contrast=2), "fixed"), tmp_path / "bundle")
    described = json.loads((tmp_path / "bundle" / "network.json").read_text())
    readout = next(told for told in described["learning"] if told["weights"] == "readout")
    assert readout["presynaptic"]["decay"] == [0.9, 0.5, 0.0, 0.8]
    assert described["parameters"]["hidden0_refractory"]["shape"] == [4]


def test_inspect_tells_them(tmp_path):
    from typer.testing import CliRunner

    from tp_lava import cli

    neuron = tpl.LIF([0.5, 0.9, 0.7], adaptation=[0.0, 0.2, 0.1], refractory=2)
    tpl.save_network(tpl.Network.dense((4, 3, 2), neuron), tmp_path / "n.tplava")
    said = " ".join(CliRunner().invoke(cli.app, ["inspect", str(tmp_path / "n.tplava")], env={"COLUMNS": "200"}).output.split())
    assert "decay 0.5 to 0.9, fires at >= 1, adaptation 0 to 0.2, reset by 1, refractory 2, trace 0.98" in said
