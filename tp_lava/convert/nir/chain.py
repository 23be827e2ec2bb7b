"""A graph of NIR as a chain: subgraphs put in place, recurrence set aside, everything else refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from tp_lava.convert.nir.values import extent, listed, numbers
from tp_lava.convert.stages import Source, refuse

MOST_NODES = 1000
DEEPEST = 32  # graphs within graphs
REMEDY = "only chains can be converted, with recurrence as a Linear or Affine from a neuron back to itself"


@dataclass
class Chain:
    """Nodes in order, from the Input to the Output, and the maps from neurons back to themselves, by the neuron's path."""

    nodes: dict[str, Any]
    feedback: dict[str, tuple[str, Any]]


def spikes(nir: ModuleType, node: Any) -> bool:
    """Whether a node is a spiking neuron."""
    return isinstance(node, nir.LIF | nir.CubaLIF | nir.IF)


def chain_of(nir: ModuleType, graph: Any, name: str, source: Source) -> Chain:
    """The chain that a NIRGraph is; source: takes the fates of what is no stage."""
    flat = _Flat(nir, name)
    flat.inline(graph, "", 0)
    flat.without_passing(source)
    feedback = flat.recurrences()
    return Chain({path: flat.nodes[path] for path in flat.order()}, feedback)


@dataclass(eq=False)
class _Flat:
    """A graph without subgraphs: nodes by path, and their edges."""

    nir: ModuleType
    name: str
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)  # nodes that only hand on: inner Inputs and Outputs, delays of zero
    seen: int = 0

    def after(self, path: str) -> list[str]:
        return [b for a, b in self.edges if a == path]

    def before(self, path: str) -> list[str]:
        return [a for a, b in self.edges if b == path]

    def inline(self, graph: Any, prefix: str, depth: int) -> None:
        """Take in a graph and those within it, whose nodes are called `graph.node`."""
        where = prefix[:-1] or self.name
        if depth > DEEPEST:
            raise refuse(where, "nodes", f"graphs more than {DEEPEST} deep", "fewer", "flatten the graph")
        if not isinstance(graph.nodes, Mapping):
            raise refuse(where, "nodes", type(graph.nodes).__name__, "a dict", "build it with nir.NIRGraph")
        ends: dict[str, tuple[str, str]] = {}  # of each node: where its edges arrive and where they leave
        for name, node in graph.nodes.items():
            path = f"{prefix}{name}"
            self.seen += 1
            if self.seen > MOST_NODES:
                raise refuse(self.name, "nodes", f"more than {MOST_NODES}", "fewer", "convert a smaller graph")
            if isinstance(node, self.nir.NIRGraph):
                self.inline(node, f"{path}.", depth + 1)
                ends[str(name)] = (self.only(node, self.nir.Input, path), self.only(node, self.nir.Output, path))
            else:
                self.take(path, node, depth)
                ends[str(name)] = (path, path)
        for a, b in self.pairs(graph.edges, where, ends):
            self.edges.append((ends[a][1], ends[b][0]))

    def take(self, path: str, node: Any, depth: int) -> None:
        if path in self.nodes:
            raise refuse(path, "name", "given to two nodes", "unique", "rename one")
        self.nodes[path] = node
        if depth and isinstance(node, self.nir.Input | self.nir.Output):
            self.passing.append(path)

    def pairs(self, edges: Any, where: str, ends: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Edges, which must be between nodes, and each once."""
        try:
            pairs = [(str(a), str(b)) for a, b in edges]
        except (TypeError, ValueError):
            raise refuse(where, "edges", type(edges).__name__, "pairs of names", "build it with nir.NIRGraph") from None
        for a, b in pairs:
            for end in (a, b):
                if end not in ends:
                    found = f"from {a!r} to {b!r}"
                    raise refuse(where, "edges", found, f"between nodes, which {end!r} is not", "add the node or remove the edge")
        (edge, count), *_ = Counter(pairs).most_common(1) or [(("", ""), 1)]
        if count > 1:
            found = f"{edge[0]!r} to {edge[1]!r} more than once"
            raise refuse(where, "edges", found, "one between two nodes", "remove the duplicates")
        return pairs

    def only(self, graph: Any, kind: type, path: str) -> str:
        """The single Input or Output of a graph."""
        found = [str(name) for name, node in graph.nodes.items() if isinstance(node, kind)]
        if len(found) != 1:
            limit = f"a graph with one {kind.__name__}"
            raise refuse(path, "nodes", f"with {len(found)} {kind.__name__} nodes {found[:4]}", limit, "convert its parts one by one")
        return f"{path}.{found[0]}"

    def without_passing(self, source: Source) -> None:
        """Join the neighbours of nodes that only hand on."""
        for path, node in self.nodes.items():
            if isinstance(node, self.nir.Delay):
                if np.any(numbers(path, node, "delay") != 0):
                    limit = "zero, as connections here have no delays"
                    raise refuse(path, "delay", extent(node.delay), limit, "leave the Delay node out")
                source.note(path, "delay", "ignored", "zero")
                self.passing.append(path)
        for path in self.passing:
            before, after = self.before(path), self.after(path)
            if len(before) > 1 and len(after) > 1:
                raise refuse(path, "predecessors", listed(before), "a single node", REMEDY)
            self.edges = [edge for edge in self.edges if path not in edge] + [(a, b) for a in before for b in after]
            del self.nodes[path]

    def recurrences(self) -> dict[str, tuple[str, Any]]:
        """Maps that lead from a neuron back to itself, taken out of the graph. -> by the neuron's path."""
        found: dict[str, tuple[str, Any]] = {}
        for path, node in list(self.nodes.items()):
            before = self.before(path)
            if not isinstance(node, self.nir.Linear | self.nir.Affine) or len(before) != 1 or before != self.after(path):
                continue
            (neuron,) = before
            if not spikes(self.nir, self.nodes[neuron]):
                continue
            if neuron in found:
                both = f"{found[neuron][0]!r} and {path!r}"
                raise refuse(neuron, "recurrence", both, "a single Linear or Affine", "add their weights")
            found[neuron] = (path, node)
            self.edges = [edge for edge in self.edges if path not in edge]
            del self.nodes[path]
        return found

    def order(self) -> list[str]:
        """The nodes from Input to Output, of which there must be one each, and no other way."""
        for kind in (self.nir.Input, self.nir.Output):
            found = [path for path, node in self.nodes.items() if isinstance(node, kind)]
            if len(found) != 1:
                some = f"{len(found)} {kind.__name__} nodes {found[:4]}"
                raise refuse(self.name, "nodes", some, f"a chain with one {kind.__name__}", "convert its parts one by one")
        path = next(path for path, node in self.nodes.items() if isinstance(node, self.nir.Input))
        order = {path: None}
        while following := self.after(path):
            if len(following) > 1:
                raise refuse(path, "successors", listed(following), "a single node", REMEDY)
            if following[0] in order or len(self.before(following[0])) > 1:
                raise refuse(following[0], "predecessors", listed(self.before(following[0])), "a single node", REMEDY)
            (path,) = following
            order[path] = None
        if not isinstance(self.nodes[path], self.nir.Output):
            raise refuse(path, "successors", "none", "a node or the Output", "connect it")
        left = [name for name in self.nodes if name not in order]
        if left:
            raise refuse(self.name, "nodes", f"{listed(left)} aside", "all on the way from Input to Output", REMEDY)
        return list(order)
