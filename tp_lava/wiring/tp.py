"""TP's part of a circuit: target streams, contrast and third factors, layer by layer."""

from __future__ import annotations

from tp_lava.dynamics.contrast import ERROR, contrast_program
from tp_lava.dynamics.match import VOTES, match_program
from tp_lava.dynamics.neuron import DECAY, trace_program
from tp_lava.dynamics.third_factor import third_factor_program
from tp_lava.readouts import Match
from tp_lava.rules import TP
from tp_lava.wiring.builder import SPIKE, Wiring
from tp_lava.wiring.rule import RuleWiring, wires

_THIRD, _THIRD_TARGET, _LEARN, _LEARN_TARGET, _LEARN_FEEDBACK, _LEARN_FEEDBACK_TARGET = range(6)  # parts of a layer


@wires(TP)
class TPWiring(RuleWiring[TP]):
    """Target path, credit and learning of each layer that learns, and the target path of those below one that does."""

    def __init__(self, wiring: Wiring, rule: TP) -> None:
        super().__init__(wiring, rule)
        classes, matches = wiring.network.n_classes, isinstance(rule.readout, Match)
        learning = (number for number, rate in enumerate(self.rates) if rate > 0)
        self.top = len(self.rates) - 1 if matches else max(learning, default=-1)  # of the layers with a target path
        streams = rule.streams(classes)
        rows = classes if matches else streams  # to infer by matching takes a stream of every class
        wiring.sizes["k"] = rows if wiring.students == 1 else wiring.students
        if self.top >= 0:
            self._label()
            if wiring.students == 1:
                wiring.switch("contrast", streams)

    def _label(self) -> None:
        """The label as a population below layer 0: one unit a class, active at every step."""
        w = self.wiring
        w.population("label", "k", "class")
        format = w.format("label_trace")
        bindings = {
            "spike": w.buffer("label_spike", ("k", "class"), "work", SPIKE),
            "trace": w.buffer("label_trace", ("k", "class"), "state", format),
            "trace_decay": w.parameter("hidden0_trace_decay", DECAY, w.network.layers[0].trace_decay),
        }
        w.run(trace_program(format, "label_trace"), bindings)

    def layer(self, number: int) -> None:
        """See RuleWiring."""
        if number > self.top:
            return
        name, w = f"hidden{number}", self.wiring
        weights, pre, events = (name, f"hidden{number - 1}", f"target{number - 1}") if number else ("target", "class", "label")
        w.path(number, f"target{number}", "k", weights, pre, events, self._learns_target(number))
        if self.learns(number):
            self._contrast(number)
            self._learn(number, events)
        if number < self.top or w.network.layers[number].recurrent:
            w.gather(f"target{number}", "k")

    def match(self) -> None:
        """In place of a readout: see dynamics/match.py."""
        w, last = self.wiring, len(self.rates) - 1
        name, trace = f"hidden{last}", w.format(f"hidden{last}_trace")
        sizes = {"b": w.students, "k": w.sizes["k"], "c": w.sizes["class"], "n": w.sizes[name]}
        bindings = {"trace": f"{name}_trace", "target_trace": f"target{last}_trace", "label": "label_spike"}
        w.run(match_program(sizes, trace), bindings | {"score": w.buffer("score", ("b", "class"), "state", VOTES)})

    def _learns_target(self, number: int) -> bool:
        """Whether the target path's term changes any weight: the shared ones, the recurrent ones, or S."""
        return self.learns(number) and (number > 0 or self.wiring.network.layers[number].recurrent or self.rule.train_target)

    def _contrast(self, number: int) -> None:
        w, name = self.wiring, f"hidden{number}"
        below = f"target{number - 1}_trace" if number else "label_trace"
        below_axis = f"hidden{number - 1}" if number else "class"
        sizes = {"b": w.students, "k": w.sizes["k"], "n": w.sizes[name], "m": w.sizes[below_axis]}
        program = contrast_program(sizes, w.format(f"{name}_trace"), w.format(below), f"{name}_contrast")
        bindings = {
            "trace": f"{name}_trace",
            "target_trace": f"target{number}_trace",
            "own_below": below,
            "below": below,
            "error": w.buffer(f"{name}_error", ("b", "k"), "work", ERROR),
            "error_t": w.buffer(f"target{number}_error", ("k", "b"), "work", ERROR),
        }
        w.run(program, bindings, first=("own_below",) if w.students == 1 else ())

    def _third(self, number: int, population: str, other: str, part: int) -> str:
        w, name = self.wiring, f"hidden{number}"
        row, sources = ("b", w.sizes["k"]) if population == name else ("k", w.students)
        rate, result = w.format(f"{name}_rate"), w.format(f"{name}_third")
        program = third_factor_program(sources, w.format(f"{name}_trace"), rate, result, f"{population}_third_factor")
        bindings = {
            "coefficient": f"{other}_trace",
            "error": f"{population}_error",
            "surrogate": f"{population}_surrogate",
            "rate": w.rate(name, name),
            "third": w.buffer(f"{population}_third", (row, name), "work", result),
        }
        w.run(program, bindings, place=w.place(number, part))
        return f"{population}_third"

    def _learn(self, number: int, target_events: str) -> None:
        """Both paths' updates: of the shared weights, of S if it is trained, and of the recurrent weights."""
        w, name, target = self.wiring, f"hidden{number}", f"target{number}"
        recurrent = w.network.layers[number].recurrent
        third = self._third(number, name, target, _THIRD)
        w.learn(name, third, name, events=f"hidden{number - 1}" if number else "input", place=w.place(number, _LEARN))
        if self._learns_target(number):
            third_target = self._third(number, target, name, _THIRD_TARGET)
            if number or self.rule.train_target:
                w.learn(name if number else "target", third_target, name, events=target_events, place=w.place(number, _LEARN_TARGET))
            if recurrent:
                w.learn(f"recurrent{number}", third, name, events=name, place=w.place(number, _LEARN_FEEDBACK))
                w.learn(f"recurrent{number}", third_target, name, events=target, place=w.place(number, _LEARN_FEEDBACK_TARGET))
