"""One protocol for back ends: a stub of a few dozen lines infers as the interpreter does, and refuses what it does not have."""

import shutil

import numpy as np
import pytest
from both_back_ends import engine_for
from conftest import lively, random_events
from stub_backend import Stub

import tp_lava as tpl
from tp_lava.backends.c import C
from tp_lava.backends.cpu import CPU
from tp_lava.backends.interpreted_programs import INSTRUCTION_TABLE
from tp_lava.backends.interpreter import OPERATION_TABLE, Interpreter
from tp_lava.backends.protocol import operation_entry
from tp_lava.circuit import AccumulateProducts, Buffer, Circuit, Operation, UpdateWeights
from tp_lava.circuit.formats import REAL
from tp_lava.dynamics.program import INSTRUCTIONS
from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format

needs_gcc = pytest.param(C("gcc"), marks=pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc"))


@pytest.mark.parametrize("back_end", [Stub(), CPU(), needs_gcc], ids=lambda b: b.name)
def test_a_back_end_infers_as_the_interpreter_does(back_end, rng):
    network = lively(tpl.Network.dense((11, 9, 7, 4), neuron=tpl.LIF(0.9, reset="zero"), recurrent=(True, False), seed=3), 2.5)
    engines = [engine_for(network, None, fixed=True) for _ in range(2)]
    events = random_events(rng, 11, 15, 0.3)
    for engine, chosen in zip(engines, (Interpreter(), back_end), strict=True):
        engine.begin()
        chosen.compile(engine.circuit).steps(engine.memory, events.offsets[np.newaxis], events.units, 0, 15)
    assert engines[0].memory["hidden1_total"].sum() > 0
    for name in ("score", "hidden0_membrane", "hidden1_membrane", "hidden1_total"):
        np.testing.assert_array_equal(engines[0].memory[name], engines[1].memory[name], name)


def test_what_a_back_end_does_not_have_it_refuses_by_name():
    learns = engine_for(tpl.Network.dense((6, 5, 3)), tpl.TP(contrast=2), fixed=True).circuit
    with pytest.raises(
        tpl.InvalidValueError, match="stub: operation is UpdateWeights, but must be one of Accumulate, ListEvents, RunProgram;"
    ):
        Stub().compile(learns, [o for o in learns.step if isinstance(o, UpdateWeights)])
    unknown = type("Unknown", (Operation,), {})()
    for name, back_end in (("interpreter", Interpreter()), ("CPU", CPU()), ("C", C())):
        with pytest.raises(tpl.InvalidValueError, match=f"{name}: operation is Unknown"):
            back_end.compile(learns, [unknown])


def test_the_interpreter_has_every_instruction_and_every_operation_of_a_step():
    assert set(INSTRUCTION_TABLE) == set(INSTRUCTIONS)
    for rule in (tpl.TP(contrast=2, update="sequence"), tpl.TESS(basis="walsh", learn_last=3)):
        for operation in tpl.Learner(tpl.Network.dense((6, 5, 3)), rule).circuits[1].step:
            assert operation_entry("interpreter", OPERATION_TABLE, operation)


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize("by", ["events", "trace"])
def test_weights_that_synapses_share_change_by_the_exact_sum_of_a_step(by, fixed, rng):
    """Against an outer product summed over positions; all back ends alike, whatever the order of synapses."""
    kind = Convolution((2, 6, 5), 4, (3, 2), (2, 1), (1, 0), groups=2)
    circuit, operation = _alone(kind, by, fixed)
    memory = circuit.allocate()
    memory["kernel_geometry"][...] = kind.geometry
    spikes = rng.random((2, kind.n_inputs)) < 0.4
    pre = spikes * (rng.integers(1, 200, spikes.shape) if by == "trace" else 1)
    for row, units in enumerate(map(np.flatnonzero, spikes)):
        memory["pre_active"][row, : units.size], memory["pre_count"][row] = units, units.size
    memory["trace"][...] = pre
    memory["third"][...] = rng.integers(-127, 128, memory["third"].shape) if fixed else rng.normal(size=memory["third"].shape)
    start = rng.integers(-50, 50, memory["change"].shape)
    changed = []
    for back_end in (Interpreter(), CPU(), *([C("gcc")] if fixed and shutil.which("gcc") else [])):
        memory["change"][...] = start
        back_end.compile(circuit, [operation]).once(memory)
        changed.append(memory["change"].copy())
    expected = np.moveaxis(start, -1, 0).astype(float).copy()
    for row in range(2):
        for unit in range(kind.n_inputs):
            synapses = slice(*kind.synapses().offsets[unit : unit + 2])
            for target, tap in zip(kind.synapses().targets[synapses], kind.synapses().taps[synapses], strict=True):
                expected.ravel()[tap] += pre[row, unit] * memory["third"][row, target]
    for found in changed:
        seen, told = np.moveaxis(found, -1, 0), expected.clip(-5000, 5000) if fixed else expected
        np.testing.assert_allclose(seen, told, rtol=0 if fixed else 1e-4, atol=0 if fixed else 1e-3)


def _alone(kind, by, fixed):
    """A circuit of one operation. The change's format holds +-5000."""
    format = Format(31, 0) if fixed else None
    change = _Narrow(31, 0) if fixed else None
    sizes = {"b": 2, "pre": kind.n_inputs, "post": kind.size, "n": len(kind.geometry)} | dict(zip("oiyx", kind.weight_shape, strict=True))
    buffers = [
        Buffer("change", tuple("iyxo"), "state", change, outputs_last=True),
        Buffer("third", ("b", "post"), "work", format),
        Buffer("trace", ("b", "pre"), "state", format),
        Buffer("pre_active", ("b", "pre"), "work", index=True),
        Buffer("pre_count", ("b",), "state", index=True),
        Buffer("random_seed", (), "random"),
        Buffer("random_step", (), "random"),
        Buffer("kernel_geometry", ("n",), "table", index=True),
    ]
    events = {"events": "pre"} if by == "events" else {"trace": "trace"}
    operation = AccumulateProducts(change="change", third_factor="third", kind=kind, geometry="kernel_geometry", **events)
    network = tpl.Network.dense((3, 2, 2))
    return Circuit(network, sizes, {b.name: b for b in buffers}, (operation,), REAL, {}), operation


class _Narrow(Format):
    """A format whose limits are reached soon."""

    @property
    def high(self):
        return 5000
