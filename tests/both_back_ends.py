"""What tests of circuits share: one circuit in the interpreter and on the CPU, each on memory of its own."""

import numpy as np

import tp_lava as tpl
from tp_lava.backends.interpreter import Interpreter
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import REAL, FixedPoint, plan
from tp_lava.data.events import side_by_side
from tp_lava.engine import Engine, add_memory, shared_memory


def engine_for(network, rule, fixed, batch_size=1, seed=5, optimiser=tpl.SGD()):  # noqa: B008 (frozen)
    formats = plan(network, rule, FixedPoint().resolved(network, rule), batch_size) if fixed else REAL
    circuit = build_circuit(network, rule, formats, batch_size, optimiser)
    memory = shared_memory({}, {}, seed)
    add_memory(memory, circuit)
    return Engine(circuit, memory)


class BothBackEnds:
    """A circuit twice. interpreted, compiled: engines; memory: of the interpreted one."""

    def __init__(self, network, rule, fixed=True, batch_size=1, **options):
        self.fixed = fixed
        self.interpreted, self.compiled = (engine_for(network, rule, fixed, batch_size, **options) for _ in range(2))
        self.memory = self.interpreted.memory

    def present(self, labels, events, given=None):
        """Samples side by side, in both; every array is the same then."""
        offsets, units, _ = side_by_side(events)
        steps = offsets.shape[1] - 1
        for engine in (self.interpreted, self.compiled):
            engine.begin(labels, steps, given)
        Interpreter().compile(self.interpreted.circuit).steps(self.memory, offsets, units, 0, steps)
        self.compiled.run(offsets, units, 0, steps)
        assert_same(self.interpreted.circuit, self.memory, self.compiled.memory, self.fixed)


def assert_same(circuit, interpreted, compiled, fixed):
    for name, buffer in circuit.buffers.items():
        a, b = interpreted[name], compiled[name]
        if name.endswith("_active"):
            continue  # beyond its count a list holds whatever it held before
        if fixed or buffer.index:
            np.testing.assert_array_equal(a, b, name)
        else:
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4, err_msg=name)
