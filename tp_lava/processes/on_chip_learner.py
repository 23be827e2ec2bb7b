"""OnChipLearner: a whole network, its learning rule included, as one Process."""

from __future__ import annotations

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from tp_lava.circuit import Circuit
from tp_lava.engine import parameters
from tp_lava.fixedpoint import FixedPoint
from tp_lava.learner import Learner
from tp_lava.network import Network
from tp_lava.processes.base import Process, visible
from tp_lava.processes.protocol import SAMPLE_SIZE, packet_size
from tp_lava.rules import Rule
from tp_lava.wiring import build_circuit


class OnChipLearner(Process):
    """Infers and, given a rule, learns, step by step, from spikes and labels.

    network, rule, seed: as for Learner, in physical units, once; the tag of the run configuration, "floating_pt" or
    "fixed_pt", decides the number system; fixed: options of fixed point. The same seed and samples give the same
    weights as Learner.

    Ports: s_in (n_inputs,) spikes; sample_in (3,) start, label or -1, last (see EventSource); packet_in, the same
    asynchronously; score_out (n_classes,) the readout after each step, or after each sample asynchronously.
    Vars: every weight (n_out, n_in), state, third factor, error and parameter by the name of its buffer, for example
    hidden0, hidden0_membrane, target0_trace, hidden0_rate, hidden0_learning (0: this layer keeps its weights) and
    contrast (target streams from the next sample on, 2..K); learning (1,): 0 switches all learning off. Initial values
    are physical; once running they are what the target holds: float32, or mantissas in fixed point (`buffer(name)` has
    the format). Hardware: neuro-cores, learning engine and embedded processor together.
    """

    def __init__(self, network: Network, rule: Rule | None = None, seed: int = 0, fixed: FixedPoint | None = None, **options) -> None:
        circuit = build_circuit(network, rule)
        super().__init__(network=network, rule=rule, seed=seed, fixed=fixed or FixedPoint(), **options)
        self.s_in = InPort(shape=(network.n_inputs,))
        self.sample_in = InPort(shape=(SAMPLE_SIZE,))
        self.packet_in = InPort(shape=(packet_size(network.n_inputs),))
        self.score_out = OutPort(shape=(network.n_classes,))
        self.learning = Var(shape=(1,), init=1)
        self._add_vars(circuit, rule)

    def _add_vars(self, circuit: Circuit, rule: Rule | None) -> None:
        network = circuit.network
        values = parameters(network, rule)
        for name, buffer in circuit.buffers.items():
            if visible(buffer):
                shape = tuple(circuit.sizes[axis] for axis in buffer.axes) or (1,)
                init: object = 0.0
                if buffer.role == "weight":
                    shape, init = shape[::-1], network.weights[name].astype(np.float64)
                elif buffer.role in ("parameter", "switch"):
                    init = np.broadcast_to(np.asarray(values[name], np.float64), shape)
                setattr(self, name, Var(shape=shape, init=init))

    @property
    def learner(self) -> Learner | None:
        """The running learner's twin: same memory, live; None until the run time is made."""
        return self.unit
