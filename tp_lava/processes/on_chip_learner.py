"""OnChipLearner: a whole network, its learning rule included, as one Process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from tp_lava.circuit import Buffer, Circuit, Owner
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import FixedPoint, own_fixed_point
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Network
from tp_lava.lava.learning import PERIOD, check_stock, first_weights, pause
from tp_lava.lava.snapshot import TIMEOUT, between_steps
from tp_lava.learner import Learner
from tp_lava.parts.graph import Graph, graph_of, in_learning_engine
from tp_lava.parts.messages import SAMPLE_SIZE
from tp_lava.parts.stages import lags_of
from tp_lava.processes.base import VARS, Process, visible
from tp_lava.processes.protocol import packet_size
from tp_lava.rules import BaseRule
from tp_lava.rules.base import check_local


class OnChipLearner(Process):
    """Infers and, given a rule, learns, step by step, from spikes and labels.

    network, rule, seed: as for Learner, in physical units, once; the tag of the run configuration, "floating_pt" or
    "fixed_pt", decides the number system; fixed: options of fixed point; stock: where it is opened into layers, hold the
    hidden weights in Lava's own LearningDense (one hidden layer, not recurrent; two Lava steps a time step, see
    tp_lava.lava.learning). The same seed and samples give the same weights as Learner, stock in fixed
    point as Learner with FixedPoint(stock=True).

    Standardised connections are folded: they deliver the same, and learn plain weights.

    Ports: s_in (n_inputs,) spikes, of graded input their values as integers of its format; sample_in (4,) start, label or
    -1, steps left (see EventSource); packet_in, the same asynchronously; score_out (n_classes,) the readout after each
    step, or after each sample asynchronously; sample_out
    (4,) the sample message of the step that score_out tells of. Opened into layers (select_sub_proc_model=True), that is
    `lag` steps behind sample_in: one for each connection.
    Vars: every weight, in the shape that Network.shapes has, state, third factor, error and parameter by the name of its
    buffer, for example hidden0, hidden0_membrane, target0_trace, hidden0_rate, hidden0_learning (0: this layer keeps its weights) and
    contrast (target streams from the next sample on, 2..K); learning (1,): 0 switches all learning off. Initial values
    are physical; once running they are what the target holds: float32, or mantissas in fixed point (`buffer(name)` has
    the format). Hardware: neuro-cores, learning engine and embedded processor together.
    """

    _graph: Graph | None = None

    def __init__(
        self,
        network: Network,
        rule: BaseRule | None = None,
        seed: int = 0,
        fixed: FixedPoint | None = None,
        *,
        stock: bool = False,
        **options,
    ) -> None:
        check_local(rule, "OnChipLearner")
        network = network.folded()
        circuit = build_circuit(network, rule)
        fixed = replace(fixed or own_fixed_point(network), stock=stock)
        super().__init__(network=network, rule=rule, seed=seed, fixed=fixed, stock=stock, **options)
        self.s_in = InPort(shape=(network.n_inputs,))
        self.sample_in = InPort(shape=(SAMPLE_SIZE,))
        self.packet_in = InPort(shape=(packet_size(network.n_inputs, network.input_format),))
        self.score_out = OutPort(shape=(network.n_classes,))
        self.sample_out = OutPort(shape=(SAMPLE_SIZE,))
        self.learning = Var(shape=(1,), init=1)
        self._add_vars(circuit)

    def _add_vars(self, circuit: Circuit) -> None:
        elsewhere = _in_engine(circuit) if self.proc_params["stock"] else ()
        for name, buffer in circuit.buffers.items():
            if visible(buffer) and name not in elsewhere:
                shape = circuit.shape(name)
                init: object = 0.0
                if buffer.outputs_last:
                    shape = shape[-1:] + shape[:-1]
                if name in circuit.values:
                    init = np.broadcast_to(np.asarray(circuit.values[name], np.float64), shape)
                setattr(self, name, SharedVar(shape=shape, init=init))
                VARS.add(name)

    @property
    def learner(self) -> Learner | None:
        """The running learner's twin: same memory, live; None until the run time is made.

        Opened into layers: a Learner with the weights and counters as they are now, a copy.
        """
        return self.simulator if self.simulator or not self.layers or self.layers["readout"].simulator is None else self._assembled()

    def held(self, name: str) -> list[np.ndarray]:
        """The live arrays of a buffer, in each part that has it: to be written between two runs alone."""
        parts = [(getattr(part, "names", {}), part.simulator.memory) for part in self.parts().values()]
        return [memory[here] for names, memory in parts for here in memory if names.get(here, here) == name]

    def put(self, arrays: Mapping[str, np.ndarray], timeout: float = TIMEOUT) -> None:
        """Write arrays by the names of their buffers, as a Learner's memory has them, into each part that has them, between two steps.

        timeout: seconds to wait for the present step to end. Raises LavaRunError as snapshot does.
        """
        with between_steps(type(self).__name__, self.parts(), timeout):
            for name, values in arrays.items():
                for array in self.held(name):
                    array[...] = values

    # Opened into layers -----------------------------------------------------------------------
    def graph(self) -> Graph:
        """The parts that it is opened into. Raises InvalidValueError for a network that cannot be."""
        if self._graph is None:
            network, rule, stock = (self.proc_params[key] for key in ("network", "rule", "stock"))
            if stock:
                check_stock(network, rule)
            graph = graph_of(network, rule)
            self._graph = in_learning_engine(graph, PERIOD) if stock else graph
        return self._graph

    @property
    def lag(self) -> int:
        """Lava steps from an input spike to its effect on the scores, where opened into layers."""
        return lags_of(self.proc_params["network"])[READOUT]  # Lava reads every property when it makes a Process: derive no graph here

    def timing(self) -> Mapping[str, int]:
        """period and pause of an EventSource that feeds it, where opened into layers: EventSource(samples, **chip.timing()).

        A time step takes one Lava step, but more where something comes back from above. Raises InvalidValueError as graph does.
        """
        return {"period": self.graph().period, "pause": pause(self.proc_params["rule"]) if self.proc_params["stock"] else 0}

    @property
    def layers(self) -> Mapping[str, Any]:
        """The Processes it was opened into, by name: hidden0, population0, credit0, target or gate, readout...; else empty."""
        return self.proc_params.get("layers") or {}

    def parts(self) -> Mapping[str, Process]:
        """See Process."""
        if self._stock_dense:
            remedy = "read its Vars, or use stock=False"
            raise invalid("OnChipLearner", "snapshot or recorder", "asked for with stock=True", "asked for of our own Processes", remedy)
        return self.layers or super().parts()

    def _ours(self) -> Mapping[str, Any]:
        return {name: layer for name, layer in self.layers.items() if isinstance(layer, Process)}

    @property
    def _stock_dense(self) -> Any:
        """The stock LearningDense it was opened into, if any."""
        return next((layer for layer in self.layers.values() if not isinstance(layer, Process)), None)

    @property
    def _gate(self) -> Any:
        """What says which samples are learned, if the network learns."""
        return next((layer for layer in self._ours().values() if layer.kind == "label"), None)

    def open_into(self, layers: Mapping[str, Any]) -> None:
        """Called by the model that opens it: its Vars become those of the parts."""
        self.proc_params.overwrite("layers", dict(layers))
        homes: dict[str, list[Var]] = {}
        for layer in self._ours().values():
            for here, name in layer.names.items():
                homes.setdefault(name, []).append(getattr(layer, here))
        if self._stock_dense:
            homes[first_weights(self.proc_params["network"])] = [self._stock_dense.weights]
        if self._gate:
            homes["learning"] = [self._gate.all_learning]
        for name, (first, *others) in homes.items():
            var = getattr(self, name)
            var.alias(first)
            if others:
                var.shared_with = tuple(others)

    def buffer(self, name: str) -> Buffer:
        """See Process."""
        for layer in self._ours().values():
            for here, whole in layer.names.items():
                if whole == name:
                    return layer.buffer(here)
        return super().buffer(name)

    def _assembled(self) -> Learner:
        given, layers = self.proc_params, self.layers
        fixed = layers["readout"].buffer("score").format is not None
        learner = Learner(given["network"], given["rule"], given["fixed"] if fixed else "float", given["seed"])
        for layer in self._ours().values():
            for here, name in layer.names.items():
                if name in learner.memory:
                    learner.memory[name][...] = layer.simulator.memory[here]
        learner.memory["random_step"][...] = layers["readout"].simulator.memory["random_step"]
        if self._stock_dense:
            learner.memory[first_weights(self.proc_params["network"])][...] = self._stock_dense.weights.get().T
        if self._gate:
            learner.memory["samples_seen"][...] = self._gate.simulator.memory["samples_seen"]
        return learner


def _in_engine(circuit: Circuit) -> set[str]:
    """Buffers that a LearningDense has in its own way: of the learning of the first connection, and the sums that it delivers."""
    name = first_weights(circuit.network)
    sums = {buffer for operation in circuit.of(Owner("connection", name)) for buffer in operation.writes}
    return sums | {buffer.name for buffer in circuit.owned(Owner("plasticity", name))}


class SharedVar(Var):
    """A Var that several parts hold: who sets it sets it in all of them."""

    shared_with: tuple[Var, ...] = ()

    def set(self, value, idx=None) -> None:
        """As Var.set."""
        super().set(value, idx)
        for var in self.shared_with:
            var.set(value, idx)
