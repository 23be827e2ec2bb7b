"""Forms of a network that know chains of layers and some options of neurons refuse everything else by its name."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.circuit.formats import FixedPoint, plan
from tp_lava.dynamics.neuron import check_knows
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.quantisation.report import measure

EVENTS = [tpl.Events([0, 1], [0, 2], 5, 4)]


def in_torch(network):
    pytest.importorskip("torch")
    from tp_lava.torch import SpikingNetwork

    return SpikingNetwork(network)


FORMS = {
    "torch form": in_torch,
    "diverge": lambda network: tpl.diverge(network, network, EVENTS),
    "layer-by-layer simulation": lambda network: tpl.quantise(network, EVENTS),
    "quantisation report": lambda network: measure(network, plan(network, None, FixedPoint()), EVENTS, [None]),
}


@dataclass(frozen=True)
class Bursting(tpl.LIF):
    """A neuron of another kind."""

    burst: float = 0.0


def bursting(**options):
    network = tpl.Network.dense((4, 5, 3))
    return replace(network, populations=tuple(replace(p, neuron=Bursting(**options)) for p in network.populations))


@pytest.mark.parametrize("form", FORMS)
def test_a_neuron_of_another_kind_is_refused_by_its_name(form):
    with pytest.raises(
        tpl.InvalidValueError, match=f"{form}: neuron is a Bursting, but must be a LIF, the one neuron that it knows; use the engine"
    ):
        FORMS[form](bursting(burst=0.5))


def test_an_unknown_option_at_its_default_is_no_difference():
    check_knows(tpl.LIF(0.9), frozenset({"decay"}), "form")
    with pytest.raises(tpl.InvalidValueError, match="form: neuron.threshold is 0.5, but must be left at 1.0; use the engine"):
        check_knows(tpl.LIF(0.9, 0.5), frozenset({"decay"}), "form")


def test_a_graph_that_is_no_chain_is_refused_by_the_population():
    ways = (("input", "a", 4, 5), ("a", "b", 5, 6), ("input", "b", 4, 6), ("b", "readout", 6, 3))
    connections = tuple(Connection(post if post == "readout" else f"{pre}_{post}", pre, post, AllToAll(n, m)) for pre, post, n, m in ways)
    populations = tuple(Population(name, (size,), tpl.LIF()) for name, size in (("a", 5), ("b", 6)))
    network = Network((4,), populations, connections, 3, {c.name: np.ones(c.kind.weight_shape) for c in connections})
    with pytest.raises(tpl.InvalidValueError, match="Network: b: connections is reached from a, input, but must be reached from a alone"):
        in_torch(network)
