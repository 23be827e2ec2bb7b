"""Convolutions that learn, pooled populations and graded input in Lava: one Process or opened into layers, as in the engine."""

from dataclasses import replace

import numpy as np
import pytest
from opened import PRECISIONS, SKIPPED, assert_same_memory, in_engine, in_layers

import tp_lava as tpl
from tp_lava.lava import Recorder, Session
from tp_lava.lava.hardware import run_configuration
from tp_lava.lava.running import connected_processes
from tp_lava.numbers import Format
from tp_lava.processes import EventSource, PlasticConv, PlasticDense

MAX = (tpl.Conv2d(3, 3, padding=1, gain=2), tpl.MaxPool2d(2), tpl.Conv2d(4, 3, padding=1, gain=3), tpl.AvgPool2d(2), tpl.Dense(6, gain=4))
UNSHARED = (tpl.LocalConv2d(4, 3, stride=2, groups=2, gain=4), tpl.SumPool2d(2), tpl.LocalConv2d(3, 1, gain=6), tpl.Dense(6, gain=6))
POOLED_FIRST = (tpl.SumPool2d(2), tpl.Conv2d(4, 3, padding=1, groups=2, gain=2), tpl.Dense(6, gain=3, recurrent=True))
AVERAGED = (tpl.Conv2d(3, 3, gain=2), tpl.AvgPool2d(3, 2, padding=1), tpl.Dense(6, gain=4, standardised=True))


def network(layers, **options):
    return tpl.Network.sequential((2, 6, 6), layers, 4, tpl.LIF(0.9, 0.3), 0.8, seed=1, **options)


def graded(layers):
    return network(layers, input_format=Format(4, 1))


def dense():
    return replace(tpl.Network.dense((72, 8, 4), tpl.LIF(0.9, 0.3), recurrent=True), input_format=Format(4, 1))


FORMS = {
    "TP, dense, graded": lambda: (dense(), tpl.TP(0.1, 0.01, 3)),
    "TP, maximum, average": lambda: (network(MAX), tpl.TP(0.1, 0.01, 3)),
    "TP, unshared, graded": lambda: (graded(UNSHARED), tpl.TP(0.1, 0.01, 3)),
    "TP, at a sample's end": lambda: (network(MAX), tpl.TP(0.1, 0.01, 3, update="sequence")),
    "TESS, pooled first, graded": lambda: (graded(POOLED_FIRST), tpl.TESS(1.0, 0.01, basis="walsh")),
    "TESS, grid": lambda: (network(MAX), tpl.TESS(1.0, 0.01, basis="walsh", update="step", activity="trace", grid=2)),
    "TESS, learned grid": lambda: (network(MAX), tpl.TESS(1.0, 0.01, basis="walsh", activity="trace", grid=2, basis_rate=0.05)),
    "TESS, unshared": lambda: (network(UNSHARED), tpl.TESS(1.0, 0.01, basis="walsh", update="step")),
    "TESS, average, standardised": lambda: (network(AVERAGED).folded(), tpl.TESS(1.0, 0.01, basis="walsh")),
    "infers": lambda: (graded(POOLED_FIRST), None),
}


def samples_for(network, rng, count=4, steps=5):
    """Random recordings, with values from -3 to 3.5 where the network's input is graded."""
    made = []
    for number in range(count):
        dense = (rng.random((steps + number, network.n_inputs)) < 0.3) * 1.0
        if network.input_format:
            dense *= rng.integers(-6, 8, dense.shape) / 2
        made.append(tpl.Sample(tpl.Events.from_dense(dense, graded=bool(network.input_format)), number % network.n_classes))
    return made


@pytest.mark.parametrize("tag", PRECISIONS)
@pytest.mark.parametrize("form", FORMS)
def test_layers_are_the_engine_s(form, tag, rng):
    made, rule = FORMS[form]()
    samples = samples_for(made, rng)
    learn = np.arange(len(samples)) != SKIPPED
    expected, scores = in_engine(made, rule, samples, tag, learn=learn)
    found, told = in_layers(made, rule, samples, tag, learn=learn)
    assert_same_memory(found, expected, tag)
    np.testing.assert_allclose(told, scores, rtol=0 if tag == "fixed_pt" else 1e-5, atol=0 if tag == "fixed_pt" else 1e-6)
    if rule is not None:
        assert all((expected.weights[name] != weights).any() for name, weights in made.weights.items())


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("tag", PRECISIONS)
@pytest.mark.parametrize("form", ["TP, maximum, average", "TP, unshared, graded", "TESS, pooled first, graded"])
def test_one_process_is_the_engine(form, tag, stepwise, rng):
    made, rule = FORMS[form]()
    samples = samples_for(made, rng)
    expected, scores = in_engine(made, rule, samples, tag)
    run = tpl.lava.run(made, rule, samples, tag=tag, seed=7, stepwise=stepwise)
    np.testing.assert_array_equal(run.scores, scores)
    for name, weights in expected.weights.items():
        np.testing.assert_array_equal(run.weights[name], weights, name)


def test_standardised_connections_are_folded(rng):
    made = network(AVERAGED)
    rule, samples = tpl.TESS(1.0, 0.01, basis="walsh"), samples_for(made, rng)
    for tag in PRECISIONS:
        expected, _ = in_engine(made.folded(), rule, samples, tag)
        for layers in (False, True):
            run = tpl.lava.run(made, rule, samples, tag=tag, seed=7, layers=layers)
            np.testing.assert_allclose(run.weights["hidden1"], expected.weights["hidden1"], rtol=1e-6)


@pytest.mark.parametrize("form", ["TP, maximum, average", "TP, unshared, graded"])
@pytest.mark.parametrize("layers", [False, True])
def test_kernels_are_recorded_and_restored(form, layers, rng):
    """Kernels as they are seen, (channels, ...), in Vars and records; snapshots go back."""
    made, rule = FORMS[form]()
    samples = samples_for(made, rng)
    source, chip, sink = connected_processes(made, rule, samples, layers=layers)
    kernel = chip.hidden1
    recorder = Recorder([kernel, chip.hidden0_membrane], select={"hidden1": np.s_[:, 0]})
    with Session(chip, run_configuration("cpu", "fixed_pt", layers=layers), (source, chip, sink)) as session:
        session.run(8)
        taken = chip.snapshot()
        physical = chip.buffer("hidden1").format.real(kernel.get())
        np.testing.assert_array_equal(recorder["hidden1"][-1], physical[:, 0])
        assert kernel.get().shape == made.weights["hidden1"].shape
        np.testing.assert_array_equal(kernel.get(), chip.learner.mantissas["hidden1"])
        session.run(5)
        chip.restore(taken)
        again = chip.snapshot()
        assert all((again[name] == array).all() for name, array in taken.items())
        values = kernel.get()
        kernel.set(np.roll(values, 1, axis=-1))
        np.testing.assert_array_equal(kernel.get(), np.roll(values, 1, axis=-1))


def test_what_connections_and_sources_refuse(rng):
    made = graded(UNSHARED)
    with pytest.raises(tpl.InvalidValueError, match="PlasticDense: weights is 'hidden0', but must be one of hidden2, readout; use"):
        PlasticDense(made)
    with pytest.raises(tpl.InvalidValueError, match="PlasticConv: weights is 'readout', but must be one of hidden0, hidden1; use"):
        PlasticConv(made, None, "readout")
    with pytest.raises(tpl.InvalidValueError, match="sample: events is graded, but must be plain spikes"):
        EventSource(samples_for(made, rng))
    with pytest.raises(tpl.InvalidValueError, match="that learns from plain spikes"):
        tpl.lava.run(dense(), tpl.TP(contrast=2), samples_for(made, rng), layers="stock")
    with pytest.raises(tpl.InvalidValueError, match="sample: values is"):
        EventSource(samples_for(made, rng), format=Format(2, 1))
