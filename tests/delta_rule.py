"""A rule of one's own, in one file: a plain delta rule in every layer. CONTRIBUTING.md, "A rule", goes through it.

error[c] = sum_n B[c,n] * e[n] / size - label[c]          B: fixed random signs of +-1, e: spike traces of the layer
dW[n,i]  = -rate * psi[n] * sum_c B[c,n] * error[c] * s_below[i]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Trace, fit, multiply, total
from tp_lava.dynamics.third_factor import third_factor_program
from tp_lava.circuit.formats import scale_format
from tp_lava.numbers import REGISTER_BITS, Format
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.rules import Rule, Update
from tp_lava.wiring import RuleWiring, wires
from tp_lava.wiring.builder import SPIKE

SIGN = Format(2, 0)


# 1. What a user chooses
@dataclass(frozen=True)
class Delta(Rule):
    """A delta rule in each layer, towards its label through fixed random signs; seed: of the signs."""

    rate: float | tuple[float, ...] = 1e-2
    readout_rate: float = 5e-4
    update: Update = "step"
    readout: Readout = LEAKY
    seed: int = 0


# 2. Its credit, written once for every target
def credit_program(sizes: Mapping[str, int], trace: Format | None, gain: Format | None, name: str) -> Program:
    """sizes: largest b, c, n; trace, gain: formats (None: real)."""
    t = Trace(name, fixed=trace is not None, axes={axis: sizes[axis] for axis in "bcn"})
    signs, activity = t.read("signs", "parameter", ("c", "n"), SIGN), t.read("activity", "input", ("b", "n"), trace)
    seen = total(multiply(signs, activity, Format(REGISTER_BITS, trace.frac) if trace else None), "n")
    mean = multiply(seen, t.read("gain", "parameter", (), gain), Format(REGISTER_BITS, ERROR.frac))
    t.write("error", fit(mean - t.read("label", "input", ("b", "c"), SPIKE), ERROR), ("b", "c"), ERROR)
    return t.program()


# 3. Where it stands in a time step
@wires(Delta)
class DeltaWiring(RuleWiring[Delta]):
    """Credit, third factor and plasticity of each layer that learns."""

    def layer(self, number: int) -> None:
        """See RuleWiring."""
        if not self.learns(number):
            return
        self._credit(number)
        third = self._third(number)
        for place, (weights, events) in enumerate(self.connections(number).items(), 1):
            self.wiring.learn(weights, third, f"hidden{number}", events=events, place=self.wiring.place(number, place))

    def _credit(self, number: int) -> None:
        w, name = self.wiring, f"hidden{number}"
        sizes = {"b": w.students, "c": w.sizes["class"], "n": w.sizes[name]}
        signs = np.random.default_rng((self.rule.seed, number)).choice((-1, 1), (sizes["c"], sizes["n"]))
        gain = scale_format(1.0 / sizes["n"]) if w.formats else None
        bindings = {
            "signs": w.parameter(f"{name}_signs", SIGN, signs, ("class", name)),
            "gain": w.parameter(f"{name}_error_gain", gain, 1.0 / sizes["n"]),
            "activity": f"{name}_trace",
            "label": w.buffer("sample_label", ("b", "class"), "work", SPIKE),
            "error": w.buffer(f"{name}_error", ("b", "class"), "work", ERROR),
        }
        w.run(credit_program(sizes, w.format(f"{name}_trace"), gain, f"{name}_error"), bindings)

    def _third(self, number: int) -> str:
        w, name = self.wiring, f"hidden{number}"
        result = w.format(f"{name}_third")
        program = third_factor_program(
            w.sizes["class"], SIGN if w.formats else None, w.format(f"{name}_rate"), result, f"{name}_third_factor"
        )
        bindings = {
            "coefficient": f"{name}_signs",
            "error": f"{name}_error",
            "surrogate": f"{name}_surrogate",
            "rate": w.rate(name, name),
            "third": w.buffer(f"{name}_third", ("b", name), "work", result),
        }
        w.run(program, bindings, place=w.place(number, 0))
        return f"{name}_third"
