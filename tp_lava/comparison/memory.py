"""Numbers that learning stores from step to step, beside the weights and the neurons' own state, per hidden layer.

    TP in batches of B:  B (3 n), first layer B C + C n more: TP with B target streams, for B samples at a time
    BPTT:                B T (n_in + 2 n): for every step the input spikes, the membranes and the spikes
    e-prop:              n n_in, and n n if recurrent: an eligibility trace for each synapse
                         (Bellec et al., Nature Communications 11, 3625, 2020)

n: neurons of the layer, n_in: its inputs, C: classes, T: steps. The formulas of other rules: `rule_facts`. Adam's moments, two numbers
a weight, belong to the optimiser and are not counted.
"""

from __future__ import annotations

import math

from tp_lava.comparison.rule_facts import learning_state, remembered
from tp_lava.comparison.variants import Variant
from tp_lava.graph.network import Network
from tp_lava.rules import Rule
from tp_lava.circuit.build import build_circuit


def by_formula(variant: Variant, rule: Rule | None, network: Network, n_steps: int, batch: int) -> tuple[int, ...]:
    """What a variant stores for one sample of n_steps steps or, in PyTorch, for a batch. rule: None for BPTT."""
    if variant.kind == "batch":
        return tp_in_batches(network, batch)
    return bptt(network, n_steps, batch) if rule is None else remembered(rule, network, n_steps)


def by_counting(rule: Rule, network: Network, batch: int = 1) -> tuple[int, ...]:
    """The sizes of the arrays that the rule adds to the circuit."""
    circuit = build_circuit(network, rule, students=batch)
    buffers = ([circuit.buffers[name] for name in learning_state(circuit, number)] for number in range(len(network.layers)))
    return tuple(sum(math.prod(circuit.sizes[axis] for axis in buffer.axes) for buffer in kept) for kept in buffers)


def tp_in_batches(network: Network, batch: int) -> tuple[int, ...]:
    """TP on batches whose samples are contrasted with each other."""
    first, *others = (3 * batch * layer.size for layer in network.layers)
    return (first + network.n_classes * (batch + network.layers[0].size), *others)


def bptt(network: Network, n_steps: int, batch: int = 1) -> tuple[int, ...]:
    """Backpropagation through time."""
    return tuple(batch * n_steps * (n_in + 2 * layer.size) for n_in, layer in zip(network.sizes, network.layers, strict=False))


def eprop(network: Network) -> tuple[int, ...]:
    """e-prop, one sample at a time. A convolution stores a trace for every synapse, not for every weight of its kernel."""
    own = (layer.size**2 * layer.recurrent for layer in network.layers)
    into = (
        len(layer.connection.synapses().targets) if layer.connection else layer.size * n_in
        for layer, n_in in zip(network.layers, network.sizes, strict=False)
    )
    return tuple(a + b for a, b in zip(into, own, strict=True))
