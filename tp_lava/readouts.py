"""The readout as data: from which potential it takes its error, which presynaptic term it learns with, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tp_lava.checks import is_number, is_whole
from tp_lava.errors import invalid

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
