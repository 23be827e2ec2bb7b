"""A learner as a graph of Lava Processes, without Lava: which there are, of which class, and what is connected.

It is the graph that OnChipLearner opens into (tp_lava/models/hierarchy.py), with stock Processes where they map: LearningDense for
hidden weights that Lava's own learning engine learns, Dense for weights that nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tp_lava.circuit import Circuit
from tp_lava.dynamics.readout import Match
from tp_lava.errors import InvalidValueError, invalid
from tp_lava.graph.network import Network
from tp_lava.lava.learning import PERIOD, check_stock
from tp_lava.learner import Learner
from tp_lava.numbers import WEIGHT_BITS
from tp_lava.parts import Part, connection, credit, delivered_rows, label_projection, population, thirds_of
from tp_lava.rules import Rule

CORE, ENGINE, EMBEDDED, HOST = "neuro-core", "neuro-core and its learning engine", "embedded processor", "host or embedded processor"
STOCK = ("Dense", "LearningDense")


@dataclass(frozen=True)
class Node:
    """One Process. name: also of its variable in the script; what: class; of: layer number or weights it is given; lag: steps behind
    the source; place: where it belongs on Loihi 2, by the public description of the chip."""

    name: str
    what: str
    place: str
    lag: int = 0
    of: int | str | None = None

    @property
    def stock(self) -> bool:
        """Whether the class is Lava's own."""
        return self.what in STOCK


@dataclass(frozen=True)
class Graph:
    """nodes: in the order of a step; links: (port that sends, port that receives), as "process.port"; period: Lava steps of a time step."""

    nodes: tuple[Node, ...]
    links: tuple[tuple[str, str], ...]
    period: int


def why_not_in_engine(network: Network, rule: Rule | None) -> str:
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


def check_graph(learner: Learner) -> None:
    """Raise InvalidValueError for a network that is no graph of Processes."""
    for number, layer in enumerate(learner.network.layers):
        if layer.connection:
            found, limit = "a convolution", "all-to-all, for which there are Processes"
            raise invalid(f"export: hidden{number}", "connection", found, limit, "export it as C")
    if learner.rule is not None and isinstance(learner.rule.readout, Match):
        raise invalid("export", "rule.readout", "Match()", "a Readout on Loihi 2", "use tpl.Readout(), or export it as C")


def graph_of(learner: Learner) -> Graph:
    """The graph of a fixed-point learner. Raises InvalidValueError for what has none."""
    check_graph(learner)
    return _Wiring(learner).graph()


class _Wiring:
    """Nodes and links as they are found, from the source on."""

    def __init__(self, learner: Learner) -> None:
        inference, learning = learner.circuits
        self._circuit: Circuit = learning or inference
        self._rule, self._stock = learner.rule, in_engine(learner)
        self._nodes: list[Node] = []
        self._links: list[tuple[str, str]] = []

    def graph(self) -> Graph:
        layers = len(self._circuit.network.layers)
        self._add(Node("source", "EventSource", HOST))
        sample_from = below = self._first()
        spikes_from, targets = "source", False
        for number in range(layers):
            part = population(self._circuit, number)
            name = f"population{number}"
            self._connection(f"hidden{number}", f"hidden{number}", number, spikes_from, "a_in", targets, part)
            neurons, of = ("LearningTraceLIF", None) if self._stock else ("TraceLIF", number)
            self._add(Node(name, neurons, CORE, number + 1, of))
            self._link(sample_from, "sample_out", name, "sample_in")
            if number == 0 and part.has("target"):
                self._link(below, "a_out", name, "target_a_in")
                if label_projection(self._circuit).has("learn"):
                    self._link(name, "target_third_out", below, "target_third_in")
            if self._circuit.network.layers[number].recurrent:
                self._connection(f"recurrent{number}", f"recurrent{number}", number, name, "feedback_in", part.has("target"), part)
            if part.has("third"):
                self._credit(number, below)
            sample_from = spikes_from = below = name
            targets = part.has("target")
        self._readout(spikes_from, layers)
        return Graph(tuple(self._nodes), tuple(self._links), PERIOD if self._stock else 1)

    def _add(self, node: Node) -> None:
        self._nodes.append(node)

    def _link(self, sender: str, out: str, receiver: str, into: str) -> None:
        self._links.append((f"{sender}.{out}", f"{receiver}.{into}"))

    def _first(self) -> str:
        """What the label comes to first; the source where nothing is learned."""
        if self._rule is None:
            return "source"
        streams = self._rule.streams(self._circuit.network.n_classes) > 0
        name, what, place = ("target", "TargetProjection", CORE) if streams else ("gate", "LabelGate", EMBEDDED)
        self._add(Node(name, what, place, 1))
        self._link("source", "sample_out", name, "sample_in")
        return name

    def _connection(self, weights: str, name: str, number: int, spikes_from: str, into: str, targets: bool, fed: Part) -> None:
        """Weights into a population. targets: whether target streams go through them too."""
        part, to = connection(self._circuit, weights), f"population{number}"
        learns, lag = part.has("learn"), number + 1
        link = partial(self._link, spikes_from)
        link("s_out", name, "s_in")
        self._link(name, "a_out", to, into)
        if self._stock:
            self._add(Node(name, "LearningDense", ENGINE, lag, weights))
            for port in ("bap", "y1", "y2", "y3"):
                self._link(to, f"s_out_{port}", name, f"s_in_{port}")
            return
        self._add(Node(name, self._what(weights, part), ENGINE if learns else CORE, lag, weights))
        if delivered_rows(part) and targets:
            link("target_s_out", name, "target_s_in")
            self._link(name, "target_a_out", to, f"target_{into}")
        if learns:
            self._link(to, "sample_out", name, "sample_in")
            for third in thirds_of(part):
                self._link(to, f"{third}_out", name, f"{third}_in")

    def _what(self, weights: str, part: Part) -> str:
        """Lava's Dense where nothing changes the weights and no target stream goes through them."""
        format = self._circuit.buffers[weights].format
        plain = not part.has("learn") and not delivered_rows(part) and format is not None and format.bits <= WEIGHT_BITS
        return "Dense" if plain else "PlasticDense"

    def _credit(self, number: int, below: str) -> None:
        name, of = f"credit{number}", f"population{number}"
        seen = credit(self._circuit, number).names.get("activity")  # only a credit from a layer's own activity sees any
        if seen:
            self._add(Node(name, "BasisError", EMBEDDED, number + 1, number))
            self._link(of, "trace_out" if seen.endswith("_trace") else "s_out", name, "activity_in")
        else:
            self._add(Node(name, "Contrast", EMBEDDED, number + 1, number))
            self._link(of, "trace_out", name, "trace_in")
            self._link(of, "target_trace_out", name, "target_trace_in")
            self._link(below, "target_trace_out" if number else "trace_out", name, "below_in")
        self._link(of, "sample_out", name, "sample_in")
        self._link(name, "error_out", of, "a_third_factor_in" if self._stock else "error_in")

    def _readout(self, last: str, layers: int) -> None:
        part, lag = connection(self._circuit, "readout"), layers + 1
        learns = part.has("learn")
        self._add(Node("readout_weights", self._what("readout", part), ENGINE if learns else CORE, lag, "readout"))
        self._add(Node("readout", "Readout", f"{CORE}; its softmax, {EMBEDDED}" if learns else CORE, lag))
        self._add(Node("sink", "ScoreSink", HOST))
        self._link(last, "s_out", "readout_weights", "s_in")
        self._link(last, "sample_out", "readout", "sample_in")
        self._link("readout_weights", "a_out", "readout", "a_in")
        if learns:
            self._link("readout", "third_out", "readout_weights", "third_in")
            self._link("readout", "sample_out", "readout_weights", "sample_in")
        self._link("readout", "score_out", "sink", "score_in")
        self._link("readout", "sample_out", "sink", "sample_in")
