"""The parts of a network as Processes: connections, populations, credits, labels and the readout.

Each is one part of a `Network` that learns by a rule, and works alone in any Lava network. Its ports follow from the rule
(tp_lava.parts.graph). Time: a connection hands on what arrived the step before, as Lava's and the hardware's do, so a population of
layer l runs l + 1 steps behind the source. Within a layer, what must come back in the same step does: population -> credit ->
population -> connection. What comes back from above takes more steps: then a time step is several Lava steps long, see
OnChipLearner.timing.

Ports of (K, n) have a row for each of a rule's own signals, as TP's targets. Vars are physical before they run and what the target holds
while they do (`buffer(name)` has the format). A port that is not connected counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from tp_lava.circuit.formats import REAL, FixedPoint, own_fixed_point, plan
from tp_lava.errors import invalid
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.network import Network
from tp_lava.lava.learning import check_stock
from tp_lava.parts.graph import Graph, PartSpec, graph_of
from tp_lava.parts.messages import SAMPLE_SIZE
from tp_lava.parts.part import Part, make_part
from tp_lava.parts.stages import PartKind
from tp_lava.processes.base import VARS, Process, visible
from tp_lava.rules import BaseRule


class LayerProcess(Process):
    """A part of a network.

    network, rule: which the part is of (rule None: it only infers); subject: which part of its kind; seed: of the rounding, as for
    Learner; fixed: options of fixed point, used where the run configuration's tag is "fixed_pt". The whole network gives the scales;
    its standardised connections are folded.
    Raises InvalidValueError for a part that the network and the rule do not have.
    """

    kind: ClassVar[PartKind]

    def __init__(
        self,
        network: Network,
        rule: BaseRule | None = None,
        subject: str | int | None = None,
        *,
        seed: int = 0,
        fixed: FixedPoint | None = None,
        **options,
    ) -> None:
        network = network.folded()
        super().__init__(network=network, rule=rule, subject=subject, seed=seed, fixed=fixed or own_fixed_point(network), **options)
        graph = graph_of(network, rule, obj=type(self).__name__)
        self.spec = self._found(graph, graph.part(self.kind, subject))
        self._add_ports()
        self._add_vars(make_part(graph, self.spec))

    def _found(self, graph: Graph, spec: PartSpec | None) -> PartSpec:
        """The part, if there is one and it can be such a Process."""
        if spec is None:
            raise invalid(type(self).__name__, "rule", self.proc_params["rule"], f"one with a {self.kind} part here", "use another rule")
        return spec

    def _add_ports(self) -> None:
        """The ports that the network and the rule call for."""
        spec = self.spec
        self._ports(InPort, {each.name: each.shape for each in spec.inputs})
        self._ports(OutPort, {each.name: each.shape for each in spec.outputs})
        if spec.sample_from:
            self._ports(InPort, {"sample_in": (SAMPLE_SIZE,)})
        if spec.sends_samples:
            self._ports(OutPort, {"sample_out": (SAMPLE_SIZE,)})

    def _ports(self, kind: type, shapes: dict[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            setattr(self, name, kind(shape=shape))

    def _add_vars(self, part: Part) -> None:
        """A Var for each array that does not arrive at a port. names: of a Var -> of its buffer in the circuit."""
        self.names = {}
        for here in part.own:
            buffer = part.buffers[here]
            if visible(buffer):
                init = buffer.decode(part.memory[here]).astype(np.float64)
                setattr(self, here, Var(shape=init.shape, init=init))
                VARS.add(here)
                self.names[here] = buffer.name


def part_of(process: type[LayerProcess], proc_params: Any, *, fixed: bool) -> Part:
    """The part behind a Process, in a number system."""
    network, rule = proc_params["network"], proc_params["rule"]
    formats = plan(network, rule, proc_params["fixed"].resolved(network, rule)) if fixed else REAL
    graph = graph_of(network, rule, formats)
    spec = graph.part(process.kind, proc_params["subject"])
    assert spec is not None
    return make_part(graph, spec, proc_params["seed"])


class PlasticDense(LayerProcess):
    """Synapses from all to all: delivers spikes and, if the rule changes these weights, learns.

        a_out[t] = W s_in[t-1]         dW = sum of the rule's terms, each a third factor (n_out,) times x (n_in,)

    x: spikes of the step, or their traces, kept here; the readout's, x as its rule has it, for example the trace that arrives.
    weights: which of the network's, for example "hidden0", "recurrent0" or "readout".
    Ports: s_in (n_in,), a_out (n_out,); TP: target_s_in (K, n_in), target_a_out (K, n_out), for the target rows, through the same
    weights; if it learns, from the population it feeds, in the same step: sample_in (4,), and third_factor_in (n_out,), with TP
    target_third_factor_in (K, n_out), with TESS causal_third_factor_in and acausal_third_factor_in; surrogate_in (n_out,) for a rule
    with a state per synapse; trace_in (n_in,) for a readout that learns by traces.
    Vars: weights (n_out, n_in), learning (0: it keeps its weights), change (n_out, n_in), what it is to change by at the
    sample's end (update="sequence"), pre_trace, second_trace and their decays, eligibility (n_out, n_in) and count, as the rule has them.
    Hardware: synaptic memory and learning engine of neuro-cores.
    """

    kind = "connection"
    connection: ClassVar[type] = AllToAll

    def __init__(self, network: Network, rule: BaseRule | None = None, weights: str = "hidden0", **options) -> None:
        known = [each.name for each in network.connections if isinstance(each.kind, self.connection)]
        if weights not in known:
            remedy = "use PlasticDense for all-to-all weights, PlasticConv for convolutions, TargetProjection for those of a rule's own"
            raise invalid(type(self).__name__, "weights", repr(weights), f"one of {', '.join(known)}", remedy)
        super().__init__(network, rule, weights, **options)


class PlasticConv(PlasticDense):
    """The same by a convolution, after sum poolings of its own if it has any; a weight learns the sum of what its synapses learn.

    s_in: spikes, or what pooled spikes and graded input carry. Vars: as PlasticDense, but weights and change are (channels, channels
    below, y, x), with (height, width) after the channels where positions do not share their weights.
    """

    connection = Convolution


class TraceLIF(LayerProcess):
    """Leaky integrate-and-fire neurons with spike traces, and their third factors.

        third_factor = -rate * A * sum_c error[c] * coefficient[c]          A: surrogate derivative, or what a rule's term has

    TP: coefficients are the target traces, which neurons for the target rows have too; TESS: those of its basis, and one third factor
    for each term. A population that pools sends what its windows make of its spikes. layer: number of the population. See
    tp_lava.dynamics.neuron, third_factor and the rules for the equations.
    Ports: a_in (n,), s_out (n,), sample_in (4,), acted on one step later, sample_out (4,), of the step computed; feedback_in (n,) from
    a recurrent connection, input_<weights>_in (n,) from further ones; error_in (K or classes,) from the credit, or the readout;
    third_factor_out (n,), with a rule of several terms for example causal_third_factor_out, to the connections; trace_out,
    surrogate_out (n,) for whoever needs them. TP: the same with target_ and (K, n).
    Vars: membrane, trace, spike, threshold, decay, trace_decay, learning (0: the third factors sent are zero); current, current_decay,
    bias, adaptation, adaptation_decay, adaptation_trace, refractory and refractory_left where there are any, numbers that each neuron has
    of its own over (n,); of each third factor its value and its rate, such as third_factor and rate, or causal_third_factor and
    causal_rate; what else the rule has, for example post_trace, post_decay and basis; TP: the same with target_.
    Hardware: microcode of neuro-cores.
    """

    kind = "population"

    def __init__(self, network: Network, rule: BaseRule | None = None, layer: int = 0, **options) -> None:
        super().__init__(network, rule, checked_layer(type(self).__name__, layer, network), **options)


class LearningTraceLIF(TraceLIF):
    """A TraceLIF that speaks Lava's LearningNeuron protocol, for a first hidden layer whose connection is a stock LearningDense.

    Ports beside those of TraceLIF: s_out_bap (n,) its spikes; s_out_y1 and s_out_y2 (n,), the positive and the negative rail of the
    third factor (TESS: the causal one); s_out_y3 (n,), zero (TESS: the acausal one plus 64).
    Time: two Lava steps a time step, and with TESS a pause between samples (EventSource(period=2, pause=...)); see
    tp_lava.lava.learning. In fixed point its input and its rails are in units of the learning engine's weights.
    """

    def __init__(self, network: Network, rule: BaseRule, *, fixed: FixedPoint | None = None, **options) -> None:
        check_stock(network, rule)
        super().__init__(network, rule, 0, fixed=replace(fixed or own_fixed_point(network), stock=True), **options)

    def _add_ports(self) -> None:
        super()._add_ports()
        self._ports(OutPort, dict.fromkeys(("s_out_bap", "s_out_y1", "s_out_y2", "s_out_y3"), self.s_out.shape))


class Credit(LayerProcess):
    """What tells a population how wrong it is, from what it and others have just said.

        TP:    error = softmax_k(trace . target_trace[k]) - softmax_k(-|below[0] - below[k]|)
        TESS:  error = softmax(error_gain * sum_n basis[n] * activity[n]) - label

    layer: number of the population. Ports: sample_in (4,) from it, error_out (K,) or (classes,), and what the rule looks at. TP:
    trace_in (n,), target_trace_in (K, n), label_trace_in (K, classes) or, for example, target0_trace_in (K, m), the target traces of
    the population below; TESS: s_in or trace_in (n,).
    Vars: error, and what else the rule has, for example basis (classes, n), error_gain and sample_label (classes,).
    Hardware: embedded processor.
    """

    kind = "credit"

    def __init__(self, network: Network, rule: BaseRule, layer: int = 0, **options) -> None:
        super().__init__(network, rule, checked_layer("Credit", layer, network), **options)

    def _found(self, graph: Graph, spec: PartSpec | None) -> PartSpec:
        if spec is None:
            limit = f"one by which layer {self.proc_params['subject']} learns from an error of its own"
            raise invalid("Credit", "rule", self.proc_params["rule"], limit, "give it a rate above 0, or leave the Credit out")
        return spec


class LabelGate(LayerProcess):
    """Lets the labels of samples through, or not, and counts those it let through.

    Ports: sample_in (4,) from the source, sample_out (4,), in the same step, with the label as it counts (-1: nothing is
    learned). Var: all_learning (0: samples count as unlabelled). Hardware: embedded processor.
    """

    kind = "label"

    def __init__(self, network: Network, rule: BaseRule, **options) -> None:
        super().__init__(network, rule, **options)
        self.all_learning = Var(shape=(1,), init=1)
        VARS.add("all_learning")


class TargetProjection(LabelGate):
    """A LabelGate that also has what a rule does with labels before they reach a population: TP's K target rows and their projection.

    Each row is a label, its trace and its projection S to a population. It draws the labels of a sample's rows (its own first) and says in
    sample_out how many there are.
    Ports: those of LabelGate; one step later a_out (K, n) and trace_out (K, classes); target_third_factor_in (K, n) where S is trained.
    Vars: weights (n, classes), trace (K, classes), trace_decay, contrast (rows of the next sample, 2..K), all_learning
    (0: samples count as unlabelled), change (n, classes) (update="sequence"). Hardware: synaptic memory; the drawing,
    embedded processor.
    """

    def _found(self, graph: Graph, spec: PartSpec | None) -> PartSpec:
        if spec is None or not spec.stages:
            limit, remedy = "one that does something with labels before they reach a population", "use for example tpl.TP(), or LabelGate"
            raise invalid("TargetProjection", "rule", self.proc_params["rule"], limit, remedy)
        return spec


class Readout(LayerProcess):
    """The integrator without threshold and its error.

        score = score + a_in + bias         third_factor = -rate * error,  error = softmax(potential) - label

    The potential is as the rule's `readout` has it, the score itself if nothing else is said; only TP's Match() has none.
    Ports: a_in (classes,), sample_in (4,), acted on one step later, sample_out (4,), of the step computed, score_out
    (classes,); if it learns: third_factor_out (classes,); if a rule learns by its error: error_out (classes,). Vars: score (classes,),
    third_factor, error, rate, learning, bias and bias_change, potential, decay, gain and elapsed where there are any. Hardware:
    neuro-core, softmax on the embedded processor.
    """

    kind = "readout"


def checked_layer(obj: str, number: int, network: Network) -> int:
    """The number of a population of the network."""
    count = len(network.populations)
    if number not in range(count):
        raise invalid(obj, "layer", number, f"in [0, {count})", "number the hidden layers from 0")
    return number
