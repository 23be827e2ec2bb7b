"""A graph of NIR without subgraphs, in the order in which a step computes it: recurrence is set aside, every other circle refused."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.values import array_of, refuse

MOST_NODES = 1000
DEEPEST = 32  # graphs within graphs
_REMEDY = "every node stands on a way from Input to Output, and recurrence is a Linear or Affine from a neuron back to itself"

Named = tuple[str, Any]  # path of a node, the node


def is_spiking(nir: ModuleType, node: Any) -> bool:
    """Whether a node is a spiking neuron."""
    return isinstance(node, nir.LIF | nir.CubaLIF | nir.IF)


class Ordered(NamedTuple):
    """nodes: from Input to Output by path, each after what it is given; before: the paths of that; feedback: the map from a neuron back
    to itself by the neuron's path.
    """

    nodes: dict[str, Any]
    before: dict[str, list[str]]
    feedback: dict[str, Named]


def ordered(nir: ModuleType, graph: Any, name: str, builder: SourceBuilder) -> Ordered:
    """A graph in the order of a step.

    name: of the graph, for errors; builder: takes the records of nodes without effect. Raises InvalidValueError.
    """
    flat = _FlatGraph(nir, name)
    flat.add_graph(graph, "", 0)
    flat.remove_delays(builder)
    feedback = flat.take_recurrences()
    order = flat.order()
    return Ordered({path: flat.nodes[path] for path in order}, {path: flat.before(path) for path in order}, feedback)


class _FlatGraph:
    """A graph without subgraphs: nodes by path, and edges between them."""

    def __init__(self, nir: ModuleType, name: str) -> None:
        self.nir, self.name = nir, name
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.inner_ends: list[str] = []  # Inputs and Outputs of subgraphs
        self.count = 0

    def add_graph(self, graph: Any, prefix: str, depth: int) -> None:
        """Add a graph and those within it, whose nodes are called `graph.node`."""
        where = prefix[:-1] or self.name
        if depth > DEEPEST:
            raise refuse(where, "nodes", f"graphs more than {DEEPEST} deep", "fewer", "flatten the graph")
        if not isinstance(graph.nodes, Mapping):
            raise refuse(where, "nodes", type(graph.nodes).__name__, "a dict", "build it with nir.NIRGraph")
        ends: dict[str, tuple[str, str]] = {}  # of each node: where its edges arrive and where they leave
        for name, node in graph.nodes.items():
            path = f"{prefix}{name}"
            self.count += 1
            if self.count > MOST_NODES:
                raise refuse(self.name, "nodes", f"more than {MOST_NODES}", "fewer", "convert a smaller graph")
            if isinstance(node, self.nir.NIRGraph):
                self.add_graph(node, f"{path}.", depth + 1)
                ends[str(name)] = (
                    f"{path}.{_only(node.nodes, self.nir.Input, path)}",
                    f"{path}.{_only(node.nodes, self.nir.Output, path)}",
                )
                continue
            if path in self.nodes:
                raise refuse(path, "name", "given to two nodes", "unique", "rename one")
            self.nodes[path] = node
            ends[str(name)] = (path, path)
            if depth and isinstance(node, self.nir.Input | self.nir.Output):
                self.inner_ends.append(path)
        self.edges += [(ends[a][1], ends[b][0]) for a, b in _pairs(graph.edges, where, ends)]

    def after(self, path: str) -> list[str]:
        return [b for a, b in self.edges if a == path]

    def before(self, path: str) -> list[str]:
        return [a for a, b in self.edges if b == path]

    def remove_delays(self, builder: SourceBuilder) -> None:
        """Join the neighbours of nodes without effect: delays of zero, Inputs and Outputs of subgraphs."""
        found = {path: node.delay for path, node in self.nodes.items() if isinstance(node, self.nir.Delay)}
        delays = [path for path, delay in found.items() if not array_of(path, "delay", delay, integers=True).any()]
        for path in delays:
            builder.record(path, "delay", "ignored", "zero")
        for path in (*self.inner_ends, *delays):
            before, after = self.before(path), self.after(path)
            self.remove(path)
            self.edges += [(a, b) for a in before for b in after]

    def remove(self, path: str) -> None:
        self.edges = [edge for edge in self.edges if path not in edge]
        del self.nodes[path]

    def take_recurrences(self) -> dict[str, Named]:
        """Remove the maps that lead from a neuron back to itself. -> by the neuron's path."""
        found: dict[str, Named] = {}
        for path, node in list(self.nodes.items()):
            before = self.before(path)
            if not isinstance(node, self.nir.Linear | self.nir.Affine) or len(before) != 1 or before != self.after(path):
                continue
            (neuron,) = before
            if not is_spiking(self.nir, self.nodes[neuron]):
                continue
            if neuron in found:
                both = f"{found[neuron][0]!r} and {path!r}"
                raise refuse(neuron, "recurrence", both, "a single Linear or Affine", "add their weights")
            found[neuron] = (path, node)
            self.remove(path)
        return found

    def order(self) -> list[str]:
        """The nodes from Input to Output, of which there must be one each, all others between them, each after what it is given."""
        start, end = (_only(self.nodes, kind, self.name) for kind in (self.nir.Input, self.nir.Output))
        for name in self.nodes:
            for what, found, none_at in (("predecessors", self.before(name), start), ("successors", self.after(name), end)):
                if bool(found) == (name == none_at):
                    limit = "none" if name == none_at else "at least one node"
                    raise refuse(name, what, _listed(found) or "none", limit, _REMEDY)
        places = {name: place for place, name in enumerate(self.nodes)}
        missing = {name: len(self.before(name)) for name in self.nodes}
        ready, order = [places[start]], list[str]()
        names = list(self.nodes)
        while ready:
            name = names[heapq.heappop(ready)]
            order.append(name)
            for other in self.after(name):
                missing[other] -= 1
                if not missing[other]:
                    heapq.heappush(ready, places[other])
        if others := [name for name in self.nodes if name not in order]:
            raise refuse(self.name, "nodes", f"{_listed(others)} in a circle or behind one", "without circles", _REMEDY)
        return order


def _only(nodes: Mapping[str, Any], kind: type, where: str) -> str:
    """The name of the single Input or Output of a graph."""
    found = [str(name) for name, node in nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        limit = f"a graph with one {kind.__name__}"
        raise refuse(where, "nodes", f"with {len(found)} {kind.__name__} nodes {found[:4]}", limit, "convert its parts one by one")
    return found[0]


def _pairs(edges: Any, where: str, names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Edges, which must be between nodes, and each once."""
    try:
        pairs = [(str(a), str(b)) for a, b in edges]
    except (TypeError, ValueError):
        raise refuse(where, "edges", type(edges).__name__, "pairs of names", "build it with nir.NIRGraph") from None
    for (a, b), count in Counter(pairs).items():
        for end in (a, b):
            if end not in names:
                limit = f"between nodes, which {end!r} is not"
                raise refuse(where, "edges", f"from {a!r} to {b!r}", limit, "add the node or remove the edge")
        if count > 1:
            raise refuse(where, "edges", f"{a!r} to {b!r} more than once", "one between two nodes", "remove the duplicates")
    return pairs


def _listed(names: list[str]) -> str:
    """The first few names."""
    return ", ".join(repr(name) for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
