"""The readout's part of a circuit: the integrator and, with a rate, how it learns. Or none at all: the traces are matched."""

from __future__ import annotations

from tp_lava.dynamics.neuron import DECAY, count_program
from tp_lava.dynamics.readout import readout_program
from tp_lava.readouts import Readout
from tp_lava.rules import Rule
from tp_lava.wiring.builder import SPIKE, Wiring

_ERROR, _LEARN, _LEARN_BIAS = range(3)  # places of random bits


def wire_readout(w: Wiring, rule: Rule | None) -> None:
    """Append the readout, after the last hidden layer's events are gathered."""
    last = f"hidden{len(w.network.layers) - 1}"
    readout = rule.readout if rule and isinstance(rule.readout, Readout) and rule.readout_rate > 0 else None
    has_bias = "readout_bias" in w.network.weights
    names = {"input": "readout_input", "score": "score", "bias": "readout_bias", "potential": "readout_potential"}
    names |= {name: f"readout_{name}" for name in ("rate", "gain", "decay", "elapsed", "third", "score_decay")}
    formats = {name: w.format("score" if name == "potential" else buffer) for name, buffer in names.items()} if w.formats else {}
    leaky = w.network.readout_decay < 1
    program = readout_program(w.network.n_classes, formats, readout, bias=has_bias, leaky=leaky)
    w.deliver("readout", (last, "class"), last, "readout_input", "b")
    w.buffer("score", ("b", "class"), "state", w.format("score"))
    if has_bias:
        w.buffer("readout_bias", ("class",), "bias", w.format("readout_bias"))
    if leaky:
        w.parameter("readout_score_decay", DECAY, w.network.readout_decay)
    if readout:
        names |= {"label": w.buffer("sample_label", ("b", "class"), "work", SPIKE), "rate": w.rate("readout", "readout")}
        w.buffer("readout_third", ("b", "class"), "work", w.format("readout_third"))
        if program.has("decay"):
            w.parameter("readout_decay", DECAY, readout.decay)
        if program.has("gain"):
            w.parameter("readout_gain", w.format("readout_gain"), 1.0 / readout.temperature)
        for name, axes in (("potential", ("b", "class")), ("elapsed", ())):
            if program.has(name):
                w.buffer(names[name], axes, "state", program.port(name).format)
    w.run(program, names, place=_ERROR)
    if readout:
        events, trace = _features(w, last, readout.features)
        w.learn("readout", "readout_third", "readout", events=events, trace=trace, place=_LEARN, last=readout.learn_last)
        if has_bias:
            w.learn_bias("readout_bias", "readout_third", "readout", place=_LEARN_BIAS, last=readout.learn_last)


def _features(w: Wiring, last: str, features: str) -> tuple[str, str]:
    """The presynaptic term, as `Wiring.learn` takes it: events, or a trace."""
    if features == "spike":
        return last, ""
    if features == "trace":
        return "", f"{last}_trace"
    format = w.format("readout_count")
    bindings = {"spike": f"{last}_spike", "count": w.buffer("readout_count", ("b", last), "state", format)}
    w.run(count_program(format, "readout_count"), bindings)
    return "", "readout_count"
