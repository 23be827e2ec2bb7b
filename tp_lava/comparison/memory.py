"""What learning has to remember from step to step, beside the weights and the neurons' own state: numbers per hidden layer.

    TP:   n (2 K + 1): the layer's trace, and of each target stream a membrane and a trace; first layer: K C + C n for labels and S
    batch TP: the same with B samples and B streams: B (3 n), first layer B C + C n
    TESS: n_in + n: presynaptic traces, and the postsynaptic trace; "sequence": and n (n_in + bias) summed changes;
          activity="trace": and n
    BPTT: B T (n_in + 2 n): of every step the spikes that came in, the membranes and the spikes; counted: what PyTorch keeps
    e-prop: n n_in, and n n where recurrent: an eligibility trace for each synapse (Bellec et al., Nature Communications 11, 3625, 2020)
Adam's moments, two numbers a weight, are the optimiser's and not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tp_lava.circuit import Circuit, Run
from tp_lava.comparison.forms import Form
from tp_lava.graph.network import Network
from tp_lava.rules import TESS, TP, Rule
from tp_lava.circuit.build import build_circuit


def by_formula(form: Form, rule: Rule | None, network: Network, n_steps: int, batch: int) -> tuple[int, ...]:
    """For one sample, or for a batch."""
    fan_in = (network.n_inputs, *(layer.size for layer in network.layers))
    sizes, classes = [layer.size for layer in network.layers], network.n_classes
    if form.kind == "frozen":
        return tuple(0 for _ in sizes)
    if form.kind == "bptt":
        return tuple(batch * n_steps * (below + 2 * n) for below, n in zip(fan_in, sizes, strict=False))
    if isinstance(rule, TESS):
        summed = rule.update == "sequence"
        return tuple(below + n + n * (rule.activity == "trace") + summed * n * below for below, n in zip(fan_in, sizes, strict=False))
    assert isinstance(rule, TP)
    streams = batch if form.kind == "batch" else rule.streams(classes)
    first = streams * classes + classes * sizes[0]
    return tuple(n * (2 * streams + batch) + (first if number == 0 else 0) for number, n in enumerate(sizes))


def eprop(network: Network) -> tuple[int, ...]:
    """For e-prop, one sample at a time; it is not run here, so by formula alone. A convolution has as many as its kernel is copied out."""
    own = (layer.size**2 * layer.recurrent for layer in network.layers)
    into = (
        len(layer.connection.synapses().targets) if layer.connection else layer.size * below
        for layer, below in zip(network.layers, network.sizes, strict=False)
    )
    return tuple(a + b for a, b in zip(into, own, strict=True))


def by_counting(form: Form, rule: Rule, network: Network, batch: int) -> tuple[int, ...]:
    """The numbers in the arrays of the circuit that learns."""
    circuit = build_circuit(network, rule, students=batch)
    return tuple(sum(_of_layer(circuit, number).values()) for number in range(len(network.layers)))


def _of_layer(circuit: Circuit, number: int) -> Mapping[str, int]:
    """Arrays that hold what a hidden layer's learning remembers -> their sizes."""
    own = f"hidden{number}_"
    if f"{own}learning" not in circuit.buffers:
        return {}
    prefixes = (own, f"recurrent{number}_", f"target{number}_", *(("label_trace",) if number == 0 else ()))
    of_neuron = {f"{own}membrane", f"{own}current"} | ({f"{own}trace"} - _read_by_learning(circuit, own))
    states = {name for name in circuit.names("state") if name.startswith(prefixes) and not circuit.buffers[name].index}
    kept = (states - of_neuron) | ({"target"} & set(circuit.buffers) if number == 0 else set())
    return {name: math.prod(circuit.sizes[axis] for axis in circuit.buffers[name].axes) for name in kept}


def _read_by_learning(circuit: Circuit, own: str) -> set[str]:
    """Buffers that a layer's programs other than its neuron bind."""
    programs = (o for o in circuit.step if isinstance(o, Run) and o.program.name.startswith(own) and o.program.name != f"{own}neuron")
    return {buffer for operation in programs for _, buffer in operation.bindings}
