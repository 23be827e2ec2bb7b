"""The readout: an integrator without threshold, and the error of its softmax.

m[t] = score_decay * m[t-1] + input + bias      scores; prediction: argmax of m at the end of a sample; score_decay: 1 unless given
p[t] = decay * p[t-1] + input + bias            potential; decay 1: p is m
y[c] = -rate * (softmax(p / temperature)[c] - label[c])      third factor; normalised: p divided by the steps so far
"""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.functions import LOGIT, reciprocal, softmax
from tp_lava.dynamics.neuron import DECAY
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Symbol, Trace, fit, multiply, saturate
from tp_lava.numbers import Format
from tp_lava.readouts import Readout

_STEPS = Format(24, 0, signed=False)
_NO_FORMATS: Mapping[str, Format | None] = {}


def readout_program(
    classes: int,
    formats: Mapping[str, Format | None] = _NO_FORMATS,
    readout: Readout | None = None,
    *,
    bias: bool = False,
    leaky: bool = False,
    name: str = "readout",
) -> Program:
    """Over axes (b, c). Input input (b, c); state score (b, c); bias (c), if there is one.

    leaky: the score decays, by parameter score_decay. formats: of input, score, rate, third and, if the temperature is
    not 1, gain; {} for a real program. readout: how it learns, or None: then also input label (one-hot) (b, c), parameters
    rate, decay, gain, states potential (b, c) and elapsed () as far as they are needed, output third (b, c).
    """
    t = Trace(name, fixed=bool(formats), axes={"b": 1, "c": classes})
    score = formats.get("score")
    arriving = t.read("input", "input", ("b", "c"), formats.get("input"))
    if bias:
        arriving = arriving + t.read("bias", "parameter", ("c",), formats.get("bias"))
    before = t.read("score", "state", ("b", "c"), score)
    integral = saturate((before * t.read("score_decay", "parameter", (), DECAY) if leaky else before) + arriving, score)
    t.write("score", integral)
    if readout:
        logits = _logits(t, readout, integral if readout.decay == 1 else _potential(t, readout, arriving, score), formats.get("gain"))
        label = t.read("label", "input", ("b", "c"), Format(1, 0, signed=False))
        error = fit(softmax(logits, "c") - label, ERROR)
        third = multiply(-error, t.read("rate", "parameter", (), formats.get("rate")), formats.get("third"), rounding="stochastic")
        t.write("third", third, ("b", "c"), formats.get("third"))
    return t.program()


def _potential(t: Trace, readout: Readout, arriving: Symbol, format: Format | None) -> Symbol:
    if readout.decay == 0:
        return arriving
    decayed = t.read("potential", "state", ("b", "c"), format) * t.read("decay", "parameter", (), DECAY)
    potential = saturate(decayed + arriving, format)
    t.write("potential", potential)
    return potential


def _logits(t: Trace, readout: Readout, potential: Symbol, gain: Format | None) -> Symbol:
    if readout.temperature != 1:
        potential = _scaled(potential, t.read("gain", "parameter", (), gain))
    if readout.normalised:
        elapsed = t.read("elapsed", "state", (), _STEPS) + 1.0
        t.write("elapsed", elapsed)
        potential = _scaled(potential, reciprocal(elapsed))
    return potential


def _scaled(potential: Symbol, factor: Symbol) -> Symbol:
    """potential * factor as a logit; the potential saturates where the product could leave the register."""
    if not potential.trace.fixed:
        return potential * factor
    room = LOGIT.bits + potential.format.frac + factor.format.frac - LOGIT.frac - factor.interval[1].bit_length()
    return multiply(saturate(potential, Format(room, potential.format.frac)), factor, LOGIT)
