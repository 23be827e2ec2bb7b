"""The parts of a network as Processes: connection, population, credit, label projection, readout.

Each is one part of a `Network` that learns by a rule, and works alone in any Lava network. Time: a connection hands
on what arrived the step before, as Lava's and the hardware's do, so a population acts on the sample message of the
step before, and layer l runs l + 1 steps behind the source. Within a layer, what must come back in the same step does:
population -> credit -> population -> connection.

Where a Process has rows, row k is target stream k. Vars are physical before they run and what the target holds while
they do (`buffer(name)` has the format).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from tp_lava.circuit import Circuit
from tp_lava.errors import invalid
from tp_lava.fixedpoint import REAL, FixedPoint, plan
from tp_lava.network import Network
from tp_lava.parts import Part, connection, credit, label_projection, population, readout
from tp_lava.processes.base import Process, visible
from tp_lava.processes.protocol import SAMPLE_SIZE
from tp_lava.rules import Rule
from tp_lava.wiring import build_circuit


class LayerProcess(Process):
    """A part of a network.

    network, rule: which the part is of (rule None: it only infers); seed: of the rounding, as for Learner; fixed: options
    of fixed point, used where the run configuration's tag is "fixed_pt". The whole network gives the scales.
    """

    RECEIVED: frozenset[str] = frozenset()  # arrays of the part that arrive in each step, and are no Vars

    def __init__(self, network: Network, rule: Rule | None = None, *, seed: int = 0, fixed: FixedPoint | None = None, **options) -> None:
        super().__init__(network=network, rule=rule, seed=seed, fixed=fixed or FixedPoint(), **options)
        circuit = build_circuit(network, rule)
        self._add_ports(circuit)
        self._add_vars(self.make_part(circuit, self.proc_params))

    @staticmethod
    @abstractmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """What computes behind a Process with these parameters."""

    @abstractmethod
    def _add_ports(self, circuit: Circuit) -> None:
        """The ports that the network and the rule call for."""

    def _add_vars(self, part: Part) -> None:
        """A Var for each array that is this part's own."""
        self.names = {}
        for name, buffer in part.buffers.items():
            if visible(buffer) and name not in self.RECEIVED:
                init = buffer.decode(part.memory[name]).astype(np.float64)
                setattr(self, name, Var(shape=init.shape, init=init))
                self.names[name] = part.names[name]

    def _ports(self, kind: type, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            setattr(self, name, kind(shape=shape))


def part_of(process: type[LayerProcess], proc_params, fixed: bool) -> Part:
    """The part in a number system."""
    network, rule = proc_params["network"], proc_params["rule"]
    formats = plan(network, rule, proc_params["fixed"].resolved(network, rule)) if fixed else REAL
    return process.make_part(build_circuit(network, rule, formats), proc_params)


class PlasticDense(LayerProcess):
    """Synapses from all to all: delivers spikes and, if the rule changes these weights, learns.

        a_out[t] = W s_in[t-1]         dW = x0 * y1 with y1 = third_in (readout: x1 * y1)

    weights: which of the network's, for example "hidden0", "recurrent0" or "readout".
    Ports: s_in (n_in,), a_out (n_out,); for the target streams, through the same weights: target_s_in (K, n_in),
    target_a_out (K, n_out); if it learns: third_in (n_out,), target_third_in (K, n_out) and sample_in (4,), from the
    population it feeds, in the same step.
    Vars: weights (n_out, n_in), learning (0: it keeps its weights), trace and trace_decay (readout).
    Hardware: synaptic memory and learning engine of neuro-cores.
    """

    RECEIVED = frozenset(("third", "target_third", "spike"))

    def __init__(self, network: Network, rule: Rule | None = None, weights: str = "hidden0", **options) -> None:
        super().__init__(network, rule, connection=weights, **options)

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return connection(circuit, proc_params["connection"], proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        weights = self.proc_params["connection"]
        if weights not in circuit.buffers:
            remedy = "use TargetProjection for the label's weights"
            raise invalid("PlasticDense", "weights", repr(weights), f"one of {', '.join(circuit.names('weight'))}", remedy)
        part = connection(circuit, weights)
        n_in, n_out = (circuit.sizes[axis] for axis in circuit.buffers[weights].axes)
        rows = delivered_rows(part)
        self._ports(InPort, {"s_in": (n_in,)} | ({"target_s_in": (rows, n_in)} if rows else {}))
        self._ports(OutPort, {"a_out": (n_out,)} | ({"target_a_out": (rows, n_out)} if rows else {}))
        if part.has("learn"):
            self._ports(InPort, {"sample_in": (SAMPLE_SIZE,), "third_in": (n_out,)})
            if "target_third" in part.buffers:
                self._ports(InPort, {"target_third_in": (rows, n_out)})


def delivered_rows(part: Part) -> int:
    """Target streams that go through a connection's weights; 0: none."""
    return part.sizes["k"] if any(name.startswith("target") and name.endswith("_count") for name in part.buffers) else 0


class TraceLIF(LayerProcess):
    """Leaky integrate-and-fire neurons with spike traces, for the sample and for the target streams, and their third factor.

        third = -rate * psi * sum_k error[k] * target_trace[k]

    layer: number of the hidden layer. See tp_lava.dynamics.neuron and third_factor for the equations.
    Ports: a_in (n,), s_out (n,), sample_in (4,), acted on one step later, sample_out (4,), of the step computed;
    recurrent layers: feedback_in (n,) from their own connection; with target streams: target_a_in, target_s_out (K, n),
    target_feedback_in; if it learns: trace_out (n,), target_trace_out (K, n) to the credit, error_in (K,) from it,
    third_out (n,), target_third_out (K, n) to the connections.
    Vars: membrane, trace, target_membrane, target_trace, third, threshold, decay, trace_decay, rate, learning (0: the third
    factor sent is zero), current and current_decay, bias where there are any. Hardware: microcode of neuro-cores.
    """

    RECEIVED = frozenset(("error", "target_error"))

    error_port = "error_in"

    def __init__(self, network: Network, rule: Rule | None = None, layer: int = 0, **options) -> None:
        super().__init__(network, rule, layer=layer, **options)

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return population(circuit, proc_params["layer"], proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        number = _checked_layer("TraceLIF", self.proc_params["layer"], circuit.network)
        n, recurrent = circuit.sizes[f"hidden{number}"], circuit.network.layers[number].recurrent
        part = population(circuit, number)
        self._ports(InPort, {"a_in": (n,), "sample_in": (SAMPLE_SIZE,)} | ({"feedback_in": (n,)} if recurrent else {}))
        self._ports(OutPort, {"s_out": (n,), "sample_out": (SAMPLE_SIZE,)})
        if part.has("target"):
            rows = (circuit.sizes["k"], n)
            self._ports(InPort, {"target_a_in": rows} | ({"target_feedback_in": rows} if recurrent else {}))
            self._ports(OutPort, {"target_s_out": rows, "target_trace_out": rows})
        if part.has("third"):
            self._ports(InPort, {self.error_port: (rows[0],)})
            self._ports(OutPort, {"trace_out": (n,), "third_out": (n,)})
            if "target_third" in part.buffers:
                self._ports(OutPort, {"target_third_out": rows})


class LearningTraceLIF(TraceLIF):
    """A TraceLIF that speaks Lava's LearningNeuron protocol, for a first hidden layer whose connection is a stock LearningDense.

    Ports beside those of TraceLIF: a_third_factor_in (K,), the credit's error, in place of error_in; s_out_bap (n,) its
    spikes; s_out_y1 and s_out_y2 (n,), the positive and the negative rail of the third factor; s_out_y3 (n,), zero.
    Time: two Lava steps a time step (EventSource(period=2)); see tp_lava.lava.learning. In fixed point its input and its
    rails are in units of the learning engine's weights.
    """

    error_port = "a_third_factor_in"

    def __init__(self, network: Network, rule: Rule, *, fixed: FixedPoint | None = None, **options) -> None:
        super().__init__(network, rule, 0, fixed=replace(fixed or FixedPoint(), stock=True), **options)

    def _add_ports(self, circuit: Circuit) -> None:
        network, rates = circuit.network, self.proc_params["rule"].rates(len(circuit.network.layers))
        if len(network.layers) > 1 or network.layers[0].recurrent or rates[0] == 0:
            found = f"{network!r}, rates {rates}"
            remedy = "deeper layers share their weights with the target streams, which one LearningDense cannot serve; use PlasticDense"
            raise invalid("LearningTraceLIF", "network", found, "with one hidden layer, not recurrent, that learns", remedy)
        super()._add_ports(circuit)
        n = (circuit.sizes["hidden0"],)
        self._ports(OutPort, dict.fromkeys(("s_out_bap", "s_out_y1", "s_out_y2", "s_out_y3"), n))


class Contrast(LayerProcess):
    """TP's credit of one layer: how far it tells the target streams apart as the layer below does.

        error = softmax_k(trace . target_trace[k]) - softmax_k(-|below[0] - below[k]|)

    layer: number of the hidden layer. Ports: trace_in (n,), target_trace_in (K, n) and sample_in (4,) from its population,
    below_in (K, m): target traces of the layer below (the label's for layer 0), error_out (K,).
    Var: error (K,). Hardware: embedded processor.
    """

    RECEIVED = frozenset(("trace", "target_trace", "below"))

    def __init__(self, network: Network, rule: Rule, layer: int = 0, **options) -> None:
        super().__init__(network, rule, layer=layer, **options)

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return credit(circuit, proc_params["layer"], proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        number = _checked_layer("Contrast", self.proc_params["layer"], circuit.network)
        if f"hidden{number}_error" not in circuit.buffers:
            raise invalid("Contrast", "rule", self.proc_params["rule"], f"one by which layer {number} learns", "give it a rate above 0")
        k, n, m = (circuit.sizes[axis] for axis in ("k", f"hidden{number}", f"hidden{number - 1}" if number else "class"))
        self._ports(InPort, {"trace_in": (n,), "target_trace_in": (k, n), "below_in": (k, m), "sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"error_out": (k,)})


class TargetProjection(LayerProcess):
    """The label's way in: K target streams, each a label, its trace and its projection S to the first hidden layer.

    It draws the labels of a sample's streams (its own first) and says in sample_out how many there are.
    Ports: sample_in (4,) from the source, sample_out (4,), the same with the label as it counts (-1: nothing is learned);
    one step later a_out (K, n) and trace_out (K, classes); target_third_in (K, n) where S is trained.
    Vars: weights (n, classes), trace (K, classes), trace_decay, contrast (streams of the next sample, 2..K), all_learning
    (0: samples count as unlabelled). Hardware: synaptic memory; the drawing, embedded processor.
    """

    RECEIVED = frozenset(("target_third",))

    def __init__(self, network: Network, rule: Rule, **options) -> None:
        super().__init__(network, rule, **options)
        self.all_learning = Var(shape=(1,), init=1)

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return label_projection(circuit, proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        if "k" not in circuit.sizes:
            raise invalid("TargetProjection", "rule", None, "a rule that learns by target streams", "use for example tpl.TP()")
        rows = (circuit.sizes["k"], circuit.sizes["hidden0"])
        self._ports(InPort, {"sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"sample_out": (SAMPLE_SIZE,)})
        part = label_projection(circuit)
        if part.has("label"):
            self._ports(OutPort, {"a_out": rows, "trace_out": (rows[0], circuit.sizes["class"])})
        if part.has("learn"):
            self._ports(InPort, {"target_third_in": rows})


class Readout(LayerProcess):
    """The integrator without threshold and its error.

        score = score + a_in         third = -rate * (softmax(score) - label)

    Ports: a_in (classes,), sample_in (4,), acted on one step later, sample_out (4,), of the step computed, score_out
    (classes,); if it learns: third_out (classes,). Vars: score (classes,), third, rate, learning.
    Hardware: neuro-core, softmax on the embedded processor.
    """

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return readout(circuit, proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        classes = (circuit.sizes["class"],)
        self._ports(InPort, {"a_in": classes, "sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"score_out": classes, "sample_out": (SAMPLE_SIZE,)})
        if "readout_third" in circuit.buffers:
            self._ports(OutPort, {"third_out": classes})


def _checked_layer(obj: str, number: int, network: Network) -> int:
    if not 0 <= number < len(network.layers):
        raise invalid(obj, "layer", number, f"in [0, {len(network.layers)})", "number the hidden layers from 0")
    return number
