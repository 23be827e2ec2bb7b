"""The readout: an integrator without threshold, and the error of its softmax.

m[t] = score_decay * m[t-1] + input + bias      scores; prediction: argmax of m at the end of a sample; score_decay: 1 unless given
p[t] = decay * p[t-1] + input + bias            potential; decay 1: p is m
y[c] = -rate * (softmax(p / temperature)[c] - label[c])      third factor; normalised: p divided by the steps so far
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tp_lava.checks import is_number, is_whole
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.functions import LOGIT, reciprocal, softmax
from tp_lava.dynamics.neuron import DECAY
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Symbol, Tracer, fit, multiply, saturate
from tp_lava.errors import invalid
from tp_lava.numbers import Format

FEATURES = ("trace", "count", "spike")


@dataclass(frozen=True)
class Readout:
    """How the readout learns; its scores are always m[t] = m[t-1] + W s[t] (+ bias), its prediction their argmax at the end.

        p[t] = decay * p[t-1] + W s[t] (+ bias);   dW = -readout_rate * (softmax(p / temperature) - label) x features

    decay: of the potential p, [0, 1]: 1 integrates, 0 sees the step alone; temperature: > 0; normalised: divide p by
    the number of steps so far; features: the last layer's "trace", its spike "count" so far, or its "spike" of the step;
    learn_last: steps at a sample's end in which it learns (None: all; 1: one update per sample).
    Readout() is TP's published rule; Readout(decay=0, features="spike") TESS's. Raises InvalidValueError.
    """

    decay: float = 1.0
    temperature: float = 1.0
    normalised: bool = False
    features: Literal["trace", "count", "spike"] = "trace"
    learn_last: int | None = None

    def __post_init__(self) -> None:
        if not is_number(self.decay, 0) or self.decay > 1:
            raise invalid("Readout", "decay", repr(self.decay), "a number in [0, 1]", "1 integrates, 0 sees the step alone")
        if not is_number(self.temperature) or self.temperature <= 0:
            raise invalid("Readout", "temperature", repr(self.temperature), "a number > 0", "1 is the published one")
        if self.features not in FEATURES:
            raise invalid("Readout", "features", repr(self.features), f"one of {', '.join(FEATURES)}", '"trace" is the published one')
        if self.learn_last is not None and not is_whole(self.learn_last, 1):
            raise invalid("Readout", "learn_last", repr(self.learn_last), "an integer of at least 1, or None", "1 learns once per sample")


LEAKY = Readout(decay=0.98)  # TP's default: see README, "Readouts"
LINEAR = Readout(decay=0.0, features="spike")  # published with TESS


@dataclass(frozen=True)
class Match:
    """No readout: the prediction is the class whose target trace the last layer's trace matches best.

        score[c] = sum over t of softmax_c(e[t] . g_c[t])          e: trace of the last layer, g_c: target trace of class c

    Only with TP. While it learns, only the contrasted classes have scores; to infer, all target streams run.
    """


_STEPS = Format(24, 0, signed=False)
_NO_FORMATS: Mapping[str, Format | None] = {}


def readout_program(
    classes: int,
    formats: Mapping[str, Format | None] = _NO_FORMATS,
    readout: Readout | None = None,
    *,
    bias: bool = False,
    leaky: bool = False,
    teaches: bool = True,
    tells_error: bool = False,
) -> Program:
    """Over axes (b, c). Input input (b, c); state score (b, c); bias (c), if there is one.

    leaky: the score decays, by parameter score_decay. formats: of input, score, rate, third_factor and, if the temperature is
    not 1, gain; {} for a real program. readout: how it learns, or None: then also input label (one-hot) (b, c), parameters
    rate, decay, gain, states potential (b, c) and elapsed () as far as they are needed, and the outputs third_factor (b, c), if it
    teaches, and error (b, c), if it tells_error, softmax less label.
    """
    t = Tracer("readout", fixed=bool(formats), axes={"b": 1, "c": classes})
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
        if tells_error:
            t.write("error", error, ("b", "c"), ERROR)
        if teaches:
            result = formats.get("third_factor")
            third = multiply(-error, t.read("rate", "parameter", (), formats.get("rate")), result, rounding="stochastic")
            t.write("third_factor", third, ("b", "c"), result)
    return t.program()


def _potential(t: Tracer, readout: Readout, arriving: Symbol, format: Format | None) -> Symbol:
    if readout.decay == 0:
        return arriving
    decayed = t.read("potential", "state", ("b", "c"), format) * t.read("decay", "parameter", (), DECAY)
    potential = saturate(decayed + arriving, format)
    t.write("potential", potential)
    return potential


def _logits(t: Tracer, readout: Readout, potential: Symbol, gain: Format | None) -> Symbol:
    if readout.temperature != 1:
        potential = _scaled(potential, t.read("gain", "parameter", (), gain))
    if readout.normalised:
        elapsed = t.read("elapsed", "state", (), _STEPS) + 1.0
        t.write("elapsed", elapsed)
        potential = _scaled(potential, reciprocal(elapsed))
    return potential


def _scaled(potential: Symbol, factor: Symbol) -> Symbol:
    """potential * factor as a logit; the potential saturates where the product could leave the register."""
    if not potential.tracer.fixed:
        return potential * factor
    room = LOGIT.bits + potential.format.frac + factor.format.frac - LOGIT.frac - factor.interval[1].bit_length()
    return multiply(saturate(potential, Format(room, potential.format.frac)), factor, LOGIT)
