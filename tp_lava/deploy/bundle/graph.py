"""A learner as Lava Processes, as a bundle writes them: the graph that OnChipLearner opens into, with stock Processes where they map.

LearningDense holds hidden weights that Lava's own learning engine learns, Dense those that nothing changes.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass

from tp_lava.circuit import Owner
from tp_lava.errors import InvalidValueError, invalid
from tp_lava.graph.network import Network
from tp_lava.lava.learning import PERIOD, check_stock
from tp_lava.learner import Learner
from tp_lava.numbers import WEIGHT_BITS
from tp_lava.parts.graph import LEARNING_DENSE, SINK, SOURCE, Graph, PartSpec, in_learning_engine
from tp_lava.parts.graph import graph_of as parts_of
from tp_lava.rules import BaseRule

CORE, ENGINE, EMBEDDED, HOST = "neuro-core", "neuro-core and its learning engine", "embedded processor", "host or embedded processor"
DENSE = "Dense"  # Lava's own
_PLACES = {"population": CORE, "credit": EMBEDDED, "readout": CORE}
_TAKEN = (SOURCE, SINK, "samples", "labelled", "learner", "network", "rule", "options", "weights")  # names in the script


@dataclass(frozen=True)
class Node:
    """One Process. name: also of its variable in the script; what: class; of: layer number or weights it is given; lag: steps behind
    the source; place: where it belongs on Loihi 2, by the public description of the chip; owners: of what it carries out."""

    name: str
    what: str
    place: str
    lag: int = 0
    of: int | str | None = None
    owners: tuple[Owner, ...] = ()

    @property
    def stock(self) -> bool:
        """Whether the class is Lava's own."""
        return self.what in (DENSE, LEARNING_DENSE)


@dataclass(frozen=True)
class Bundled:
    """nodes: in the order of a step; links: (port that sends, port that receives), as "process.port"; period: Lava steps of a time step;
    parts: what the nodes are made of.
    """

    nodes: tuple[Node, ...]
    links: tuple[tuple[str, str], ...]
    period: int
    parts: Graph


def why_not_in_engine(network: Network, rule: BaseRule | None) -> str:
    """Why Lava's LearningDense cannot learn the hidden weights to foreseen bits; "" if it can."""
    try:
        check_stock(network, rule)
    except InvalidValueError as error:
        return str(error).partition("; ")[0]
    if rule is not None and rule.keeps_pre_trace:
        return "the engine keeps the presynaptic trace in 7 bits, rounded by one random number for all synapses: not to be foreseen"
    return ""


def in_engine(learner: Learner) -> bool:
    """Whether the hidden weights of a learner go into a LearningDense."""
    return learner.fixed is not None and learner.fixed.stock and not why_not_in_engine(learner.network, learner.rule)


def graph_of(learner: Learner) -> Bundled:
    """The Processes of a fixed-point learner. Raises InvalidValueError for what has none."""
    _check(learner.network)
    formats = learner.circuits[0].formats
    graph = parts_of(learner.network, learner.rule, formats, "export")
    if in_engine(learner):
        graph = in_learning_engine(graph, PERIOD)
    nodes = [_node(graph, part) for part in graph.parts.values()]
    for node in nodes:
        if not node.name.isidentifier() or keyword.iskeyword(node.name) or node.name in _TAKEN:
            limit = f"a Python name other than {', '.join(_TAKEN)}"
            raise invalid("export", "connections", f"one of the name {node.name!r}", limit, "rename it for the script")
    return Bundled((Node(SOURCE, "EventSource", HOST), *nodes, Node(SINK, "ScoreSink", HOST)), graph.links, graph.period, graph)


def _check(network: Network) -> None:
    """Raise InvalidValueError for connections and input that bundles have no form for."""
    found = [f"{c.name}, a convolution" for c in network.connections if c.kind.by_place]
    found += ["graded input"] if network.input_format else []
    if found:
        remedy = "run it in Lava from here, tpl.lava.run(..., layers=True), or as C, export_c"
        raise invalid("export", "network", f"with {found[0]}", "of all-to-all connections and plain spikes", remedy)


def _node(graph: Graph, part: PartSpec) -> Node:
    """The Process of a part; the lag of the label's is that of what it computes."""
    process = DENSE if _is_plain(graph, part) else part.process
    lag = max(part.lag, 1)
    of = part.subject if part.process != "LearningTraceLIF" else None
    return Node(part.name, process, _place(part), lag, of, part.owners)


def _place(part: PartSpec) -> str:
    if part.kind == "connection":
        return ENGINE if part.learns else CORE
    if part.kind == "label":
        return CORE if part.stages else EMBEDDED
    return f"{CORE}; its softmax, {EMBEDDED}" if part.kind == "readout" and len(part.outputs) > 1 else _PLACES[part.kind]


def _is_plain(graph: Graph, part: PartSpec) -> bool:
    """Whether Lava's Dense does what a part does: nothing changes its weights, spikes go one way through them, a step later."""
    if part.kind != "connection" or part.sample_from or len(part.inputs) > 1 or part.inputs[0].delay != 1:
        return False
    format = graph.circuit.buffers[str(part.subject)].format
    return format is not None and format.bits <= WEIGHT_BITS
