"""What comparisons and reports ask about a learning rule: a short name, and what it stores to learn one sample."""

from __future__ import annotations

from tp_lava.circuit import Circuit, Run
from tp_lava.graph.names import hidden, recurrent
from tp_lava.graph.network import Network
from tp_lava.rules import TESS, TP, Rule


def label(rule: Rule) -> str:
    """A short name for tables."""
    if isinstance(rule, TP):
        return f"TP, K = {rule.contrast}"
    return f"TESS, {rule.basis}, {rule.update}" if isinstance(rule, TESS) else type(rule).__name__


def remembered(rule: Rule, network: Network, n_steps: int) -> tuple[int, ...]:
    """Numbers per hidden layer that learning one sample of n_steps steps stores, beside the weights and the neurons' own state.

    TP:   n (2 K + 1): the layer's trace and, of each target stream, a membrane and a trace; first layer K C + C n more, for the labels
          and the label projection; 0 where no layer learns
    TESS: n_in + n: presynaptic traces and a postsynaptic trace; update="sequence": n n_in more, summed changes of weights;
          activity="trace": n more
    """
    if not any(rule.rates(len(network.layers))):
        return (0,) * len(network.layers)
    if isinstance(rule, TP):
        streams, classes = rule.streams(network.n_classes), network.n_classes
        first, *others = (layer.size * (2 * streams + 1) for layer in network.layers)
        return (first + classes * (streams + network.layers[0].size), *others)
    assert isinstance(rule, TESS)
    traces, sums = 1 + (rule.activity == "trace"), rule.update == "sequence"
    return tuple(n_in + n.size * (traces + sums * n_in) for n_in, n in zip(network.sizes, network.layers, strict=False))


def learning_state(circuit: Circuit, number: int) -> set[str]:
    """Buffers that hold what hidden layer `number` stores for learning."""
    own = f"{hidden(number)}_"
    if f"{own}learning" not in circuit.buffers:
        return set()
    prefixes = (own, f"{recurrent(number)}_", f"target{number}_", *(("label_trace",) if number == 0 else ()))
    of_neuron = {f"{own}membrane", f"{own}current"} | ({f"{own}trace"} - _read_by_learning(circuit, own))
    states = {name for name in circuit.names("state") if name.startswith(prefixes) and not circuit.buffers[name].index}
    return (states - of_neuron) | ({"target"} & set(circuit.buffers) if number == 0 else set())


def _read_by_learning(circuit: Circuit, own: str) -> set[str]:
    """Buffers that a layer's programs other than its neuron bind."""
    programs = (o for o in circuit.step if isinstance(o, Run) and o.program.name.startswith(own) and o.program.name != f"{own}neuron")
    return {buffer for operation in programs for _, buffer in operation.bindings}
