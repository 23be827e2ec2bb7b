"""Weight updates as Lava writes the rules of Loihi 2's learning engine: sums of products, "dw = 2^-4*x0*y1 - 2^-4*x0*y2".

x0 is the spike of now, x1 and x2 are traces of a synapse's source; y1, y2 and y3 are numbers that its target neuron writes, none of
them negative, so that a signed one takes two. The engine changes a weight by what its own synapse sees, and a synapse keeps a weight
and two tags of 8 bits and a sign.
"""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.circuit import AccumulateProducts, Circuit, Operation, UpdateWeights
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD, PlasticityRule
from tp_lava.errors import invalid


def loihi_string(rule: PlasticityRule, shifts: Mapping[str, int], trace: str = "x1") -> str:
    """The rule in Lava's learning-rule syntax. shifts: post term -> k of its factor 2^-k; trace: the engine's name of the rule's x1.

    The signed term number i becomes the rails y(2i+1), positive, and y(2i+2), negative.
    """
    pieces = []
    for i, term in enumerate(rule.terms):
        pre = "x0" if term.pre == "x0" else f"u0*{trace}"
        for rail, sign in ((2 * i + 1, "+"), (2 * i + 2, "-")):
            pieces.append(f"{sign} 2^{-shifts[term.post]}*{pre}*y{rail}")
    return " ".join(pieces).removeprefix("+ ")


def presynaptic_trace(operation: UpdateWeights) -> str:
    """The buffer of traces that it multiplies third factors with, "" for spikes."""
    return dict(operation.bindings).get("x1", "")


def synapse_states(operation: UpdateWeights) -> tuple[str, ...]:
    """Buffers of the states of its synapses, beside their weights."""
    return tuple(name for name in operation.writes if name != operation.weights)


def engine_trace(circuit: Circuit, trace: str) -> str:
    """Which of the learning engine's traces a buffer of presynaptic traces is."""
    return "x2" if circuit.buffers[trace].local == "second_trace" else "x1"


def unsuited(operation: Operation) -> tuple[str, str] | None:
    """What of an update the learning engine does not have, and a remedy; None if it can carry it out."""
    if isinstance(operation, AccumulateProducts):
        return "a weight that synapses share", f'use network.unshare("{operation.owner.name}")'
    if isinstance(operation, UpdateWeights) and synapse_states(operation):
        return "a state per synapse that decays", "use a term without filter"
    return None


def learning_string(circuit: Circuit, operation: UpdateWeights) -> str:
    """What learns in a fixed-point circuit: "dw = ...", or "dd = ..." where changes are summed up.

    Raises InvalidValueError for what the learning engine cannot carry out.
    """
    if found := unsuited(operation):
        what, remedy = found
        raise invalid(operation.owner.name, "learning rule", f"with {what}", "a sum of products of spikes or traces", remedy)
    trace = presynaptic_trace(operation)
    rule, named = (TRACE_TIMES_THIRD, engine_trace(circuit, trace)) if trace else (SPIKE_TIMES_THIRD, "")
    fracs = {name: format.frac for name, b in circuit.buffers.items() if (format := b.format)}
    shift = fracs[operation.third_factor] + (fracs[trace] if trace else 0) - fracs[operation.weights]
    change = "dw" if circuit.buffers[operation.weights].role in ("weight", "kernel") else "dd"
    return f"{change} = {loihi_string(rule, {'y1': shift}, named)}"
