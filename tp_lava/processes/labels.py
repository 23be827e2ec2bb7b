"""What labels do, as Processes: say which samples are learned, and where the rule has target streams lead them in."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var

from tp_lava.circuit import Circuit
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.parts import Part, gate, label_projection
from tp_lava.processes.base import VARS
from tp_lava.processes.layers import LayerProcess
from tp_lava.processes.protocol import SAMPLE_SIZE
from tp_lava.rules import Rule


class LabelGate(LayerProcess):
    """Lets the labels of samples through, or not, and counts those it let through; for rules without target streams.

    Ports: sample_in (4,) from the source, sample_out (4,), in the same step, with the label as it counts (-1: nothing is
    learned). Var: all_learning (0: samples count as unlabelled). Hardware: embedded processor.
    """

    def __init__(self, network: Network, rule: Rule, **options) -> None:
        super().__init__(network, rule, **options)
        self.all_learning = Var(shape=(1,), init=1)
        VARS.add("all_learning")

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return gate(circuit, proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        self._ports(InPort, {"sample_in": (SAMPLE_SIZE,)})
        self._ports(OutPort, {"sample_out": (SAMPLE_SIZE,)})


class TargetProjection(LabelGate):
    """The label's way in: K target streams, each a label, its trace and its projection S to the first hidden layer.

    It draws the labels of a sample's streams (its own first) and says in sample_out how many there are.
    Ports: sample_in (4,) from the source, sample_out (4,), the same with the label as it counts (-1: nothing is learned);
    one step later a_out (K, n) and trace_out (K, classes); target_third_in (K, n) where S is trained.
    Vars: weights (n, classes), trace (K, classes), trace_decay, contrast (streams of the next sample, 2..K), all_learning
    (0: samples count as unlabelled), change (n, classes) (update="sequence"). Hardware: synaptic memory; the drawing,
    embedded processor.
    """

    RECEIVED = frozenset(("target_third",))

    @staticmethod
    def make_part(circuit: Circuit, proc_params) -> Part:
        """See LayerProcess."""
        return label_projection(circuit, proc_params["seed"])

    def _add_ports(self, circuit: Circuit) -> None:
        if "k" not in circuit.sizes:
            remedy = "use for example tpl.TP(), or LabelGate"
            raise invalid("TargetProjection", "rule", self.proc_params["rule"], "a rule that learns by target streams", remedy)
        super()._add_ports(circuit)
        rows = (circuit.sizes["k"], circuit.sizes["hidden0"])
        part = label_projection(circuit)
        if part.has("label"):
            self._ports(OutPort, {"a_out": rows, "trace_out": (rows[0], circuit.sizes["class"])})
        if part.has("learn"):
            self._ports(InPort, {"target_third_in": rows})
