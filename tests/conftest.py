"""What several tests need: both targets side by side, small networks and samples, the recordings if they are there."""

import gc
import os
import pathlib
from dataclasses import replace

os.environ.setdefault("TP_LAVA_CACHE", str(pathlib.Path(__file__).resolve().parents[1] / ".pytest_cache" / "code"))  # written nowhere else
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's: the tests themselves share out the cores

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tp_lava as tpl
from tp_lava.backends.cpu import carry_out
from tp_lava.backends.interpreted_programs import interpret
from tp_lava.circuit.buffers import stored_weight_type

gc.set_threshold(100_000, 20, 20)  # compiling makes millions of objects that stay: look through them less often
settings.register_profile("tp_lava", deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
settings.load_profile("tp_lava")

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def port_arrays(program, sizes, rng, edges=True):
    """Random arrays for every port of a program; in fixed point half of the entries lie at the edges of the format."""
    arrays = {}
    for port in program.ports:
        shape = [sizes[a] for a in port.axes] or [1]
        if port.format is None:
            arrays[port.name] = rng.normal(0, 1, shape).astype(np.float32)
            continue
        low, high = port.format.low, port.format.high
        values = rng.integers(low, high, shape, endpoint=True)
        if edges:
            special = rng.choice(np.clip([low, low + 1, -1, 0, 1, high - 1, high], low, high), shape)
            values = np.where(rng.random(shape) < 0.5, special, values)
        arrays[port.name] = values.astype(stored_weight_type(port.format) if port.name == "weight" else np.int32)
    return arrays


def run_both(program, arrays, key=0):
    """-> (interpreter's arrays, CPU's arrays), each from a copy."""
    by_interpreter = {name: array.copy() for name, array in arrays.items()}
    by_cpu = {name: array.copy() for name, array in arrays.items()}
    interpret(program, by_interpreter, key)
    run_cpu(program, by_cpu, key)
    return by_interpreter, by_cpu


def run_cpu(program, arrays, key=0):
    """A program on the CPU target, in place."""
    carry_out(program, arrays, key)


@pytest.fixture
def rng():
    return np.random.default_rng(1234)


def random_events(rng, n_units, n_steps=12, rate=0.15):
    return tpl.Events.from_dense(rng.random((n_steps, n_units)) < rate)


def random_samples(rng, count, n_units, n_classes, n_steps=12, rate=0.15):
    return [(random_events(rng, n_units, n_steps, rate), int(rng.integers(n_classes))) for _ in range(count)]


def lively(network, gain=4.0):
    """The network with weights, and a label projection, large enough that every layer spikes."""
    scaled = network.with_weights({name: array * gain for name, array in network.weights.items()})
    return replace(scaled, rule_parameters={name: array * gain for name, array in tpl.TP().parameters(network).items()})


def assert_a_file_goes_on(learner, samples, path):
    """A learner of one sample, saved, learns the next as the one that stays."""
    learner.learn(*samples[0])
    learner.save(path)
    loaded = tpl.Learner.load(path)
    assert loaded.rule == learner.rule
    for each in (learner, loaded):
        each.learn(*samples[1])
    for name in learner.weights:
        np.testing.assert_array_equal(loaded.weights[name], learner.weights[name])


def assert_fixed_learns_as_float(network, rule, sample):
    """One sample changes the weights alike, by a rate at which their resolution does not count."""

    def change(rule, precision):
        learner = tpl.Learner(network, rule, precision)
        start = learner.weights["hidden0"].copy()
        learner.learn(*sample)
        return (learner.weights["hidden0"] - start).ravel()

    rule = replace(rule, update="sequence", readout_rate=0.0)
    rule = replace(rule, rate=rule.rate * 0.3 / float(np.abs(change(rule, "float")).max()))
    assert np.corrcoef(change(rule, "float"), change(rule, "fixed"))[0, 1] > 0.9


@pytest.fixture(scope="session")
def nmnist():
    """The N-MNIST recordings as (train, test) of (structured events, label); skips where they are absent."""
    reader = SHARED / "read.py"
    if not reader.exists() or not (SHARED / "nmnist_small.npz").exists():
        pytest.skip("the shared recordings are not here")
    import importlib.util

    spec = importlib.util.spec_from_file_location("shared_read", reader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
