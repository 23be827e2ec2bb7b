"""TESS: the error of a layer, seen through a fixed basis.

    error[b,c] = softmax_c(gain * sum_n B[c,n] * a[b,n]) - label[b,c]         B: +-1, gain: 1 / (n * temperature)

a: the layer's spikes, or its spike traces. Source: arXiv 2502.01837.
"""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.functions import LOGIT, softmax
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Tracer, fit, multiply, total
from tp_lava.numbers import REGISTER_BITS, Format

BASIS = Format(2, 0)
_SPIKE = Format(1, 0, signed=False)


def error_program(
    sizes: Mapping[str, int], activity: Format | None = None, gain: Format | None = None, *, fixed: bool = False, name: str = "basis_error"
) -> Program:
    """sizes: largest b, c, n; activity: format of a, a spike's or a trace's.

    Inputs activity (b, n), label (b, c); parameters basis (c, n), gain; output error (b, c).
    """
    t = Tracer(name, fixed=fixed, axes={axis: sizes[axis] for axis in "bcn"})
    basis, a = t.read("basis", "parameter", ("c", "n"), BASIS), t.read("activity", "input", ("b", "n"), activity)
    agreement = total(multiply(basis, a, Format(REGISTER_BITS, activity.frac) if activity else None), "n")
    logit = multiply(agreement, t.read("gain", "parameter", (), gain), LOGIT)
    error = fit(softmax(logit, "c") - t.read("label", "input", ("b", "c"), _SPIKE), ERROR)
    t.write("error", error, ("b", "c"), ERROR)
    return t.program()
