"""The error of a layer, seen through coefficients: TESS's basis, DECOLLE's random classifier.

    r[b,c] = gain * sum_n B[c,n] * a[b,n]                  B: within +-1, gain: 1 / (n * temperature)
    error[b,c] = softmax_c(r[b,c]) - label[b,c]            or, of a smooth L1 loss, r[b,c] - label[b,c], held to -1..1

a: the layer's spikes, or its spike traces. Sources: arXiv 2502.01837 (TESS), arXiv 1811.10766 (DECOLLE).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.functions import LOGIT, softmax
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Tracer, fit, maximum, minimum, multiply, total
from tp_lava.numbers import REGISTER_BITS, Format

Loss = Literal["softmax", "smooth_l1"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
BASIS = Format(2, 0)
_NO_FORMATS: Mapping[str, Format | None] = {}
_SPIKE = Format(1, 0, signed=False)


def activity_program(
    sizes: Mapping[str, int], formats: Mapping[str, Format | None] = _NO_FORMATS, *, fixed: bool = False, name: str = "activity"
) -> Program:
    """third_factor = -rate * (a - mean of a), by which coefficients learn: dB[c,n] = error[c] * third_factor[n].

    Without the mean, what all units have in common would be learned first, and tell them all the same. sizes: largest b, n; formats: of
    activity, share, rate and third_factor. Input activity (b, n); parameters share, 1 / n, and rate; output third_factor (b, n).
    """
    t, seen, result = (
        Tracer(name, fixed=fixed, axes={axis: sizes[axis] for axis in "bn"}),
        formats.get("activity"),
        formats.get("third_factor"),
    )
    a = t.read("activity", "input", ("b", "n"), seen)
    mean = multiply(
        total(a, "n"), t.read("share", "parameter", (), formats.get("share")), Format(REGISTER_BITS, seen.frac) if seen else None
    )
    third = multiply(mean - a, t.read("rate", "parameter", (), formats.get("rate")), result, rounding="stochastic")
    t.write("third_factor", third, ("b", "n"), result)
    return t.program()


def error_program(
    sizes: Mapping[str, int],
    activity: Format | None = None,
    gain: Format | None = None,
    *,
    fixed: bool = False,
    name: str = "basis_error",
    coefficient: Format = BASIS,
    learned: bool = False,
    loss: Loss = "softmax",
) -> Program:
    """sizes: largest b, c, n; activity: format of a, a spike's or a trace's; coefficient: of B.

    Inputs activity (b, n), label (b, c); parameters basis (c, n), gain; output error (b, c). learned: B is the input weight instead.
    """
    t = Tracer(name, fixed=fixed, axes={axis: sizes[axis] for axis in "bcn"})
    basis = t.read("weight" if learned else "basis", "input" if learned else "parameter", ("c", "n"), coefficient)
    a = t.read("activity", "input", ("b", "n"), activity)
    agreement = total(multiply(basis, a, Format(REGISTER_BITS, activity.frac) if activity else None), "n")
    logit = multiply(agreement, t.read("gain", "parameter", (), gain), LOGIT)
    error = (softmax(logit, "c") if loss == "softmax" else logit) - t.read("label", "input", ("b", "c"), _SPIKE)
    held = error if loss == "softmax" else minimum(maximum(error, -1.0), 1.0)
    t.write("error", fit(held, ERROR), ("b", "c"), ERROR)
    return t.program()
