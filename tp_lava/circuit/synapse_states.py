"""Learning by states of synapses: filtered products, derivatives of membranes, and those of adaptive thresholds."""

from __future__ import annotations

from tp_lava.circuit import names
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.delays import tables_of
from tp_lava.circuit.formats import change_format
from tp_lava.circuit.operations import UpdateWeights
from tp_lava.circuit.terms import Term
from tp_lava.dynamics.neuron import DECAY, LIF
from tp_lava.dynamics.parameters import is_per_neuron, spread
from tp_lava.dynamics.plasticity import (
    AdaptiveFormats,
    adaptive_plasticity_program,
    filtered_plasticity_program,
    membrane_plasticity_program,
)
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.surrogate import SURROGATE
from tp_lava.errors import invalid
from tp_lava.graph.network import Connection


def learn_by_state(b: Builder, connection: Connection, third: str, pre: str, term: Term, switch: str, stream: int) -> None:
    """Append what changes a connection's weights by a term with a state per synapse, at every step: where nothing is learned, third factors
    are zero (see Products).

    third, pre: buffers of the third factor and of the presynaptic part. Raises InvalidValueError where synapses have no state each.
    """
    weights = connection.name
    if b.batch_size > 1 or connection.kind.by_place or connection.standardisation or tables_of(connection):
        found = f"a batch of {b.batch_size}" if b.batch_size > 1 else "a convolution, standardised weights or synaptic delays"
        remedy = "learn sample by sample, all-to-all, or use a term without"
        raise invalid(weights, "term", f"with a state per synapse, in {found}", "where each synapse has one", remedy)
    layer, neuron = connection.post, b.network.population(connection.post).neuron
    factor = b.buffers[third].format
    changed = b.changes.of(weights, layer, switch, change_format(factor) if factor else None, None)
    bound = {"weight": changed, "x1": pre, "y1": third}
    adapts = term.follows_threshold(neuron)
    if not adapts or term.filter:
        bound["eligibility"] = _synaptic(b, connection, f"{term.prefix}eligibility")
    if term.filter:
        bound["filter"] = b.parameter(names.of(weights, f"{term.prefix}filter"), DECAY, term.filter, local=f"{term.prefix}filter")
    if term.membrane:
        bound["retention"] = names.of(layer, "retention")
    else:
        bound["a1"] = names.of(layer, {"surrogate": "surrogate", "spike_trace": "trace"}[term.post])
    if adapts:
        bound |= _of_threshold(b, connection, term)
    program = _state_program(b, bound, term, neuron, f"{weights}_plasticity")
    bindings = tuple((port.name, bound[port.name]) for port in program.ports)
    b.append(UpdateWeights(program=program, bindings=bindings, random_stream=stream, switch=switch))


def _synaptic(b: Builder, connection: Connection, local: str) -> str:
    """Declare a state of each synapse. -> its buffer."""
    name = names.of(connection.name, local)
    return b.buffer(name, b.buffers[connection.name].axes, "state", b.format(name), local=local, outputs_last=True)


def _of_threshold(b: Builder, connection: Connection, term: Term) -> dict[str, str]:
    """Declare what a term knows of adaptive thresholds: their derivatives, and the numbers of the neurons."""
    population = b.network.population(connection.post)
    bound = {"adaptive_derivative": _synaptic(b, connection, f"{term.prefix}adaptive_derivative")}
    for local, format in (("adaptation", b.format(names.of(population.name, "adaptation"))), ("adaptation_decay", DECAY)):
        value = getattr(population.neuron, local)
        axes = (population.name,) if is_per_neuron(value) else ()
        own = f"{term.prefix}own_{local}"  # a connection may have its population's name
        bound[local] = b.parameter(names.of(connection.name, own), format, spread(value, population.shape), axes, local=own)
    return bound


def _state_program(b: Builder, bound: dict[str, str], term: Term, neuron: LIF, name: str) -> Program:
    """What changes weights by a state per synapse. bound: its buffers, by port."""
    of = {port: b.buffers[buffer].format for port, buffer in bound.items()}
    weight, post, pre, kept = of["weight"], of["y1"], of["x1"], of.get("eligibility")
    if term.membrane:
        return membrane_plasticity_program(weight, post, pre, of["retention"], kept, name)
    own = (SURROGATE if term.post == "surrogate" else of["a1"]) if b.formats else None
    if term.follows_threshold(neuron):
        formats = AdaptiveFormats(post, pre, own, of["adaptation"], of["adaptive_derivative"], kept)
        return adaptive_plasticity_program(weight, formats, neuron=neuron, filtered=bool(term.filter), name=name)
    return filtered_plasticity_program(weight, post, pre, own, kept, name)
