"""What learning one sample keeps beside the weights and the neurons' own state: a count of numbers for each population.

Adam's moments, two numbers a weight, are the optimiser's and not counted.
"""

from __future__ import annotations

from math import prod

from tp_lava.circuit import Circuit, Owner
from tp_lava.circuit.build import TeachingRule, build_circuit
from tp_lava.circuit.circuit import touched
from tp_lava.graph.network import Connection, Network, Population


def counted(network: Network, rule: TeachingRule, batch: int = 1) -> tuple[int, ...]:
    """As the arrays of the circuit that learns have it. batch: samples learned together."""
    circuit, own = build_circuit(network, rule, batch_size=batch), rule.connections(network)
    return tuple(sum(prod(circuit.shape(name)) for name in _kept(circuit, own, population)) for population in network.populations)


def bptt(network: Network, n_steps: int, batch: int = 1) -> tuple[int, ...]:
    """Backpropagation through time: B T (n_in + 2 n), of every step the spikes that came in, the membranes and the spikes."""
    forward = {p.name: sum(c.kind.n_inputs for c in network.into(p) if not c.recurrent) for p in network.populations}
    return tuple(batch * n_steps * (forward[p.name] + 2 * p.size) for p in network.populations)


def eprop(network: Network) -> tuple[int, ...]:
    """e-prop, one sample at a time: an eligibility trace for each synapse. Source: Bellec et al., Nature Communications 11, 3625, 2020."""
    return tuple(sum(c.kind.synapse_count for c in network.into(p)) for p in network.populations)


def summed(network: Network, population: Population) -> int:
    """Changes of a step that are summed up before they are applied: of weights that synapses share, or that are standardised."""
    into = network.into(population)
    return sum(prod(c.kind.weight_shape) for c in into if c.kind.shares_weights or c.standardisation)


def _kept(circuit: Circuit, own: tuple[Connection, ...], population: Population) -> set[str]:
    """Buffers that a population's learning keeps: its states but for those that inference steps and learning does not read.

    own: connections of the rule, to or from populations, whose weights count; what they come from counts with the first population that
    they reach.
    """
    neurons, reaching = Owner("population", population.name), [c for c in own if population.name in (c.pre, c.post)]
    first_reached = {c.pre: c.post for c in reversed(own)}
    plastic = [population.bias, *(c.name for c in (*circuit.network.into(population), *reaching))]
    owners = [neurons, Owner("credit", population.name), *(Owner("plasticity", name) for name in plastic)]
    labels = [Owner("rule", pre) for pre, post in first_reached.items() if post == population.name]
    inference = [o for o in circuit.of(neurons) if o.stage == "neurons"]
    learning = [o for o in circuit.of(*owners) if o not in inference]
    states = {b.name for b in circuit.owned(*owners, *labels) if b.role == "state" and not b.index}
    return states - ({*touched(inference)} - {*touched(learning)}) | {c.name for c in reaching if c.name in circuit.buffers}
