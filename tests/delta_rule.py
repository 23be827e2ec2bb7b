"""A rule of one's own, in one file: a plain delta rule in every layer. CONTRIBUTING.md, "A rule", goes through it.

error[c] = sum_n B[c,n] * e[n] / size - label[c]          B: fixed random signs of +-1, e: spike traces of the layer
dW[n,i]  = -rate * psi[n] * sum_c B[c,n] * error[c] * s_below[i]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.formats import scale_format
from tp_lava.circuit.names import sample_path
from tp_lava.circuit.payloads import SPIKE
from tp_lava.circuit.products import Signal
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.dynamics.symbols import Tracer, fit, multiply, total
from tp_lava.graph.network import Population
from tp_lava.numbers import REGISTER_BITS, Format
from tp_lava.rules import BaseRule, Credit
from tp_lava.rules.base import Update, sample_events

SIGN = Format(2, 0)


# 1. What a user chooses. The terms are those of BaseRule: the surrogate derivative times the spike of now.
@dataclass(frozen=True)
class Delta(BaseRule):
    """A delta rule in each layer, towards its label through fixed random signs; seed: of the signs."""

    rate: float | tuple[float, ...] = 1e-2
    readout_rate: float = 5e-4
    update: Update = "step"
    readout: Readout = LEAKY
    seed: int = 0

    @property
    def credit(self) -> SignedError:
        """See BaseRule."""
        return SignedError(self.seed)


# 2. The error, written once for every target
def credit_program(sizes: Mapping[str, int], trace: Format | None, gain: Format | None, name: str) -> Program:
    """sizes: largest b, c, n; trace, gain: formats (None: real)."""
    t = Tracer(name, fixed=trace is not None, axes={axis: sizes[axis] for axis in "bcn"})
    signs, activity = t.read("signs", "parameter", ("c", "n"), SIGN), t.read("activity", "input", ("b", "n"), trace)
    seen = total(multiply(signs, activity, Format(REGISTER_BITS, trace.frac) if trace else None), "n")
    mean = multiply(seen, t.read("gain", "parameter", (), gain), Format(REGISTER_BITS, ERROR.frac))
    t.write("error", fit(mean - t.read("label", "input", ("b", "c"), SPIKE), ERROR), ("b", "c"), ERROR)
    return t.program()


# 3. The credit: where the error stands in a circuit, and through which coefficients a layer sees it
@dataclass(frozen=True)
class SignedError(Credit):
    """How far a layer's traces, through random signs, are from the label."""

    seed: int = 0
    largest: ClassVar[float | None] = None

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        b, path, size = builder, sample_path(population), population.size
        gain, label = scale_format(1.0 / size) if b.formats else None, b.labels()
        with b.owned(Owner("credit", population.name), "error"):
            bindings = {
                "signs": b.parameter(path.of("signs"), SIGN, self.signs(b, population), (CLASSES, population.name), local="signs"),
                "gain": b.parameter(path.of("error_gain"), gain, 1.0 / size, local="error_gain"),
                "activity": path.of("trace"),
                "label": label,
                "error": b.buffer(path.of("error"), (SAMPLES, CLASSES), "work", ERROR, local="error"),
            }
            sizes = {"b": b.batch_size, "c": b.sizes[CLASSES], "n": size}
            b.run(credit_program(sizes, b.format(path.of("trace")), gain, path.of("error")), bindings)
        return [Signal(path, bindings["signs"], bindings["error"], sample_events(b, population))]

    def signs(self, b: Builder, population: Population) -> np.ndarray:
        """B of a layer."""
        number = b.network.populations.index(population)
        return np.random.default_rng((self.seed, number)).choice((-1, 1), (b.sizes[CLASSES], population.size))
