"""The parts of a network as Processes: connection, population, readout. Credits are in `credits`, what labels do in `labels`.

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
from tp_lava.circuit.formats import REAL, FixedPoint, plan
from tp_lava.lava.learning import check_stock
from tp_lava.graph.network import Network
from tp_lava.parts import Part, connection, delivered_rows, population, readout, thirds_of
from tp_lava.processes.base import VARS, Process, visible
from tp_lava.processes.protocol import SAMPLE_SIZE
from tp_lava.rules import Rule
from tp_lava.circuit.build import build_circuit


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
                VARS.add(name)
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

        a_out[t] = W s_in[t-1]         TP: dW = x0 * third_in         TESS: dW = x1 * causal_third_in + x0 * acausal_third_in

    x0: spike of the step; x1: its trace, kept here. The readout's is dW = x * third_in, x as its rule has it.
    weights: which of the network's, for example "hidden0", "recurrent0" or "readout".
    Ports: s_in (n_in,), a_out (n_out,); for the target streams, through the same weights: target_s_in (K, n_in),
    target_a_out (K, n_out); if it learns, from the population it feeds, in the same step: sample_in (4,), third_in (n_out,),
    target_third_in (K, n_out) or causal_third_in, acausal_third_in (n_out,).
    Vars: weights (n_out, n_in), learning (0: it keeps its weights), change (n_out, n_in), what it is to change by at the
    sample's end (update="sequence"), pre_trace and pre_decay (TESS), trace and trace_decay or count (readout).
    Hardware: synaptic memory and learning engine of neuro-cores.
    """

    RECEIVED = frozenset(("third", "target_third", "causal_third", "acausal_third", "spike"))

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
            self._ports(InPort, {"sample_in": (SAMPLE_SIZE,)})
            self._ports(InPort, {f"{third}_in": (rows, n_out) if third.startswith("target") else (n_out,) for third in thirds_of(part)})


class TraceLIF(LayerProcess):
    """Leaky integrate-and-fire neurons with spike traces, for the sample and for the target streams, and their third factors.

        TP:    third = -rate * psi * sum_k error[k] * target_trace[k]
        TESS:  causal_third = -rate * psi * m, acausal_third = -rate * post_trace * m, m = sum_c error[c] * basis[c]

    layer: number of the hidden layer. See tp_lava.dynamics.neuron, third_factor and tess for the equations.
    Ports: a_in (n,), s_out (n,), sample_in (4,), acted on one step later, sample_out (4,), of the step computed;
    recurrent layers: feedback_in (n,) from their own connection; with target streams: target_a_in, target_s_out (K, n),
    target_feedback_in; if it learns: trace_out (n,), target_trace_out (K, n) to the credit, error_in (K or classes,) from
    it; to the connections third_out (n,), target_third_out (K, n) (TP), causal_third_out, acausal_third_out (n,) (TESS).
    Vars: membrane, trace, target_membrane, target_trace, threshold, decay, trace_decay, learning (0: the third factors
    sent are zero), current and current_decay, bias where there are any; third, rate (TP); causal_third, causal_rate,
    acausal_third, acausal_rate, bias_third, bias_rate, bias_change, post_trace, post_decay, basis (TESS).
    Hardware: microcode of neuro-cores.
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
        number = checked_layer("TraceLIF", self.proc_params["layer"], circuit.network)
        n, recurrent = circuit.sizes[f"hidden{number}"], circuit.network.layers[number].recurrent
        part = population(circuit, number)
        self._ports(InPort, {"a_in": (n,), "sample_in": (SAMPLE_SIZE,)} | ({"feedback_in": (n,)} if recurrent else {}))
        self._ports(OutPort, {"s_out": (n,), "sample_out": (SAMPLE_SIZE,)})
        if part.has("target"):
            rows = (circuit.sizes["k"], n)
            self._ports(InPort, {"target_a_in": rows} | ({"target_feedback_in": rows} if recurrent else {}))
            self._ports(OutPort, {"target_s_out": rows, "target_trace_out": rows})
        if part.has("third"):
            self._ports(InPort, {self.error_port: part.memory["error"].shape[1:]})
            self._ports(OutPort, {"trace_out": (n,)})
            self._ports(OutPort, {f"{third}_out": rows if third.startswith("target") else (n,) for third in thirds_of(part)})


class LearningTraceLIF(TraceLIF):
    """A TraceLIF that speaks Lava's LearningNeuron protocol, for a first hidden layer whose connection is a stock LearningDense.

    Ports beside those of TraceLIF: a_third_factor_in (K or classes,), the credit's error, in place of error_in; s_out_bap
    (n,) its spikes; s_out_y1 and s_out_y2 (n,), the positive and the negative rail of the third factor (TESS: the causal one);
    s_out_y3 (n,), zero (TESS: the acausal one plus 64).
    Time: two Lava steps a time step, and with TESS a pause between samples (EventSource(period=2, pause=...)); see
    tp_lava.lava.learning. In fixed point its input and its rails are in units of the learning engine's weights.
    """

    error_port = "a_third_factor_in"

    def __init__(self, network: Network, rule: Rule, *, fixed: FixedPoint | None = None, **options) -> None:
        super().__init__(network, rule, 0, fixed=replace(fixed or FixedPoint(), stock=True), **options)

    def _add_ports(self, circuit: Circuit) -> None:
        check_stock(circuit.network, self.proc_params["rule"])
        super()._add_ports(circuit)
        n = (circuit.sizes["hidden0"],)
        self._ports(OutPort, dict.fromkeys(("s_out_bap", "s_out_y1", "s_out_y2", "s_out_y3"), n))


class Readout(LayerProcess):
    """The integrator without threshold and its error.

        score = score + a_in + bias         third = -rate * (softmax(potential) - label)

    The potential is as the rule's `readout` has it, the score itself if nothing else is said; only TP's Match() has none.
    Ports: a_in (classes,), sample_in (4,), acted on one step later, sample_out (4,), of the step computed, score_out
    (classes,); if it learns: third_out (classes,). Vars: score (classes,), third, rate, learning, bias and bias_change,
    potential, decay, gain and elapsed where there are any. Hardware: neuro-core, softmax on the embedded processor.
    """

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return readout(circuit, proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        if "readout" not in circuit.buffers:
            remedy = "use a tpl.Readout(), or Learner or OnChipLearner not opened into layers, which match"
            raise invalid("Readout", "rule", "one that learns by Match()", "one with a Readout", remedy)
        classes = (circuit.sizes["class"],)
        self._ports(InPort, {"a_in": classes, "sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"score_out": classes, "sample_out": (SAMPLE_SIZE,)})
        if "readout_third" in circuit.buffers:
            self._ports(OutPort, {"third_out": classes})


def checked_layer(obj: str, number: int, network: Network) -> int:
    """The number of a hidden layer of the network."""
    if not 0 <= number < len(network.layers):
        raise invalid(obj, "layer", number, f"in [0, {len(network.layers)})", "number the hidden layers from 0")
    return number
