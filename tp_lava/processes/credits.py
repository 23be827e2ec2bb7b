"""Credits as Processes: what tells a population how wrong its layer is, from what it has just said."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort

from tp_lava.circuit import Circuit
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.parts import Part, credit
from tp_lava.processes.layers import LayerProcess, checked_layer
from tp_lava.processes.protocol import SAMPLE_SIZE
from tp_lava.rules import Rule


class _Credit(LayerProcess):
    """The credit of one hidden layer."""

    def __init__(self, network: Network, rule: Rule, layer: int = 0, **options) -> None:
        super().__init__(network, rule, layer=layer, **options)

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return credit(circuit, proc_params["layer"], proc_params["seed"])

    def _number(self, circuit: Circuit, reads: str, kind: str) -> int:
        """The layer's number, if it learns by a credit that reads such an array."""
        obj = type(self).__name__
        number = checked_layer(obj, self.proc_params["layer"], circuit.network)
        if reads not in credit(circuit, number).buffers:
            limit = f"a rule by which layer {number} learns, {kind}"
            raise invalid(obj, "rule", self.proc_params["rule"], limit, "give it a rate above 0")
        return number


class Contrast(_Credit):
    """TP's credit of one layer: how far it tells the target streams apart as the layer below does.

        error = softmax_k(trace . target_trace[k]) - softmax_k(-|below[0] - below[k]|)

    layer: number of the hidden layer. Ports: trace_in (n,), target_trace_in (K, n) and sample_in (4,) from its population,
    below_in (K, m): target traces of the layer below (the label's for layer 0), error_out (K,).
    Var: error (K,). Hardware: embedded processor.
    """

    RECEIVED = frozenset(("trace", "target_trace", "below"))

    def _add_ports(self, circuit: Circuit) -> None:
        number = self._number(circuit, "target_trace", "with target streams, as TP")
        k, n, m = (circuit.sizes[axis] for axis in ("k", f"hidden{number}", f"hidden{number - 1}" if number else "class"))
        self._ports(InPort, {"trace_in": (n,), "target_trace_in": (k, n), "below_in": (k, m), "sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"error_out": (k,)})


class BasisError(_Credit):
    """The credit of one layer by its own activity: with TESS how far that, seen through a fixed basis, is from the label.

        error = softmax(error_gain * sum_n basis[n] * activity_in[n]) - label

    layer: number of the hidden layer. Ports: activity_in (n,), the spikes of its population (s_out) or its traces
    (trace_out), as the rule has it, and sample_in (4,) from it; error_out (classes,).
    Vars: error (classes,), basis (classes, n), error_gain, sample_label (classes,). Hardware: embedded processor.
    """

    RECEIVED = frozenset(("activity",))

    def _add_ports(self, circuit: Circuit) -> None:
        number = self._number(circuit, "activity", "from its own activity, as TESS")
        part = credit(circuit, number)
        self.sees_traces = part.names["activity"] == f"hidden{number}_trace"  # else spikes
        self._ports(InPort, {"activity_in": (circuit.sizes[f"hidden{number}"],), "sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"error_out": part.memory["error"].shape[1:]})
