"""Convolutions and poolings with windows side by side: one operation at a time, against the interpreter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tp_lava as tpl
from tp_lava.backends.cpu import CPU
from tp_lava.backends.interpreter import Interpreter
from tp_lava.circuit import Accumulate, AccumulateProducts, Pool, Unpool
from tp_lava.circuit.operations import events_of
from tp_lava.numbers import Format

SEEDS = st.integers(0, 2**32 - 1)
POOLINGS = (
    tpl.MaxPool2d(2),
    tpl.MaxPool2d((3, 1)),
    tpl.SumPool2d((2, 3)),
    tpl.AvgPool2d(2),
    tpl.AdaptiveAvgPool2d((2, 2)),
    tpl.AdaptiveAvgPool2d((3, 2)),
    tpl.AvgPool2d((3, 2), (2, 1), (1, 0)),
    tpl.SumPool2d((1, 2), 3),
    tpl.MaxPool2d(3, 2, 1),
)


def _convolution(rng):
    kernel = tuple(int(n) for n in rng.integers(1, 5, 2))
    padding = tuple(int(n) for n in rng.integers(0, 6, 2))
    stride = tuple(int(n) for n in rng.integers(1, 4, 2)) if rng.random() < 0.4 else (1, 1)
    dilation = int(rng.integers(1, 3)), 1
    return tpl.Conv2d(int(rng.choice([1, 3, 8, 20, 32, 64, 96])), kernel, stride, padding, dilation)


def _circuit(rng, precision, layers):
    """A circuit that learns by spikes and by traces, and its memory."""
    graded = Format(4, 2) if rng.random() < 0.3 else None
    shape = (int(rng.integers(1, 5)), *(int(n) for n in rng.integers(4, 24, 2)))
    while True:
        try:
            network = tpl.Network.sequential(shape, layers(), 3, tpl.LIF(0.9), 0.75, 0, graded)
            learner = tpl.Learner(network, tpl.TESS(basis="walsh", grid=2, update=str(rng.choice(["step", "sequence"]))), precision)
            learner.begin(0, 3)
            return learner.circuits[1], learner.memory
        except tpl.InvalidValueError:
            continue


def _fill(rng, circuit, memory, operation):
    """Random numbers in what an operation reads; the units of an event list in any order, values for those alone."""
    density = float(rng.choice([0.0, 0.02, 0.3, 1.0]))
    lists = events_of(operation.events) if getattr(operation, "events", "") else ()
    for name in set(operation.reads) - set(lists) - {name for name in operation.reads if circuit.buffers[name].index}:
        array, format = memory[name], circuit.buffers[name].format
        if circuit.buffers[name].role in ("switch", "table", "parameter"):
            continue
        numbers = rng.integers(format.low, format.high + 1, array.shape) if format else rng.normal(0, 1, array.shape)
        array[...] = numbers * (rng.random(array.shape) < density if name == getattr(operation, "trace", "") else 1)
    if lists:
        active, count = (memory[name] for name in lists)
        units = rng.permutation(active.shape[1])[: round(density * active.shape[1])]
        active[0, : len(units)], count[0] = units, len(units)


def _check(circuit, memory, operation, compiled):
    expected = {name: array.copy() for name, array in memory.items()}
    Interpreter().compile(circuit, [operation]).once(expected)
    compiled.once(memory)
    for name in operation.writes:
        if circuit.fixed:
            np.testing.assert_array_equal(memory[name], expected[name], name)
        else:
            np.testing.assert_allclose(memory[name], expected[name], 1e-4, 1e-3, err_msg=name)


@pytest.mark.parametrize("precision", ["float", "fixed"])
@settings(max_examples=9, deadline=None)
@given(SEEDS)
def test_delivering_and_learning_equal_the_interpreter(precision, seed):
    rng = np.random.default_rng(seed)
    circuit, memory = _circuit(rng, precision, lambda: [_convolution(rng)])
    for operation in circuit.step:
        if isinstance(operation, Accumulate | AccumulateProducts) and operation.kind is not None:
            compiled = CPU().compile(circuit, [operation])
            for _ in range(2):  # what the first leaves in scratch arrays is not seen by the second
                _fill(rng, circuit, memory, operation)
                _check(circuit, memory, operation, compiled)


@pytest.mark.parametrize("layer", [tpl.Conv2d(16, 5), tpl.Conv2d(7, 5, 2, 1)])
def test_the_largest_sums_of_weights_are_exact(layer):
    network = tpl.Network.sequential((10, 8, 8), [layer], 3, tpl.LIF(0.9), 0.75, 0)
    learner = tpl.Learner(network, tpl.TESS(basis="walsh"), "fixed")
    learner.begin(0, 3)
    circuit, memory = learner.circuits[1], learner.memory
    operation = next(o for o in circuit.step if isinstance(o, Accumulate) and o.kind is not None)
    compiled = CPU().compile(circuit, [operation])
    active, count = (memory[name] for name in events_of(operation.events))
    active[0], count[0] = np.arange(active.shape[1]), active.shape[1]
    for weight in (circuit.buffers[operation.weights].format.low, circuit.buffers[operation.weights].format.high):
        memory[operation.weights][...] = weight
        _check(circuit, memory, operation, compiled)


@pytest.mark.parametrize("precision", ["float", "fixed"])
@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_poolings_equal_the_interpreter(precision, seed):
    rng = np.random.default_rng(seed)
    circuit, memory = _circuit(rng, precision, lambda: [tpl.Conv2d(3, 1), POOLINGS[rng.integers(len(POOLINGS))]])
    for operation in circuit.step:
        if isinstance(operation, Pool | Unpool):
            _fill(rng, circuit, memory, operation)
            if operation.pooling.mode == "max":
                memory[operation.source][...] = rng.random(memory[operation.source].shape) < 0.3
            _check(circuit, memory, operation, CPU().compile(circuit, [operation]))


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_target_streams_teach_a_small_kernel_alike_by_their_spikes_and_by_their_third_factors(precision, rng):
    layers = [tpl.Conv2d(3, 1), tpl.MaxPool2d(2), tpl.Conv2d(5, (3, 2), padding=1)]
    network = tpl.Network.sequential((2, 11, 18), layers, 3, tpl.LIF(0.9), 0.75, 0)
    learner = tpl.Learner(network, tpl.TP(contrast=2), precision)
    learner.begin(0, 3)
    circuit, memory = learner.circuits[1], learner.memory
    operations = [o for o in circuit.step if isinstance(o, AccumulateProducts) and circuit.shape(o.third_factor)[0] > 1]
    assert operations
    compiled = CPU().compile(circuit, operations)
    for shown in (0.0, 0.01, 1.0):  # of third factors: with few of them the way by them is taken, with all the other
        for operation in operations:
            _fill(rng, circuit, memory, operation)
            third = memory[operation.third_factor]
            third[...] = third * (rng.random(third.shape) < shown)
            active, count = (memory[name] for name in events_of(operation.events))
            for row in range(len(count)):
                units = rng.permutation(active.shape[1])[: active.shape[1] // 4]
                active[row, : len(units)], count[row] = units, len(units)
        expected = {name: array.copy() for name, array in memory.items()}
        Interpreter().compile(circuit, operations).once(expected)
        compiled.once(memory)
        for operation in operations:
            np.testing.assert_allclose(
                memory[operation.change], expected[operation.change], 0 if circuit.fixed else 1e-4, 0 if circuit.fixed else 1e-3
            )
