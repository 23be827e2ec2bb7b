"""TESS: the error of a layer, seen through a fixed basis, and the third factors it leads to.

    error[b,c] = softmax_c(gain * sum_n B[c,n] * a[b,n]) - label[b,c]         B: +-1, gain: 1 / (n * temperature)
    m[b,n] = sum_c B[c,n] * error[b,c]                                        learning signal
    causal = -rate1 * m * psi,   acausal = -rate2 * m * h,   bias = -rate3 * m * psi
    h[t+1] = post_decay * h[t] + psi[t]                                       h excludes the present step's psi

a: the layer's spikes, or its spike traces. The causal factor meets the presynaptic trace, the acausal one the presynaptic
spike. Source: arXiv 2502.01837.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.functions import LOGIT, softmax
from tp_lava.dynamics.neuron import DECAY, spike_trace
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.surrogate import SURROGATE
from tp_lava.dynamics.symbols import Symbol, Trace, fit, multiply, total
from tp_lava.dynamics.third_factor import gated, learning_signal
from tp_lava.numbers import REGISTER_BITS, Format

BASIS = Format(2, 0)
_SPIKE = Format(1, 0, signed=False)


def error_program(
    sizes: Mapping[str, int], activity: Format | None = None, gain: Format | None = None, *, fixed: bool = False, name: str = "basis_error"
) -> Program:
    """sizes: largest b, c, n; activity: format of a, a spike's or a trace's.

    Inputs activity (b, n), label (b, c); parameters basis (c, n), gain; output error (b, c).
    """
    t = Trace(name, fixed=fixed, axes={axis: sizes[axis] for axis in "bcn"})
    basis, a = t.read("basis", "parameter", ("c", "n"), BASIS), t.read("activity", "input", ("b", "n"), activity)
    agreement = total(multiply(basis, a, Format(REGISTER_BITS, activity.frac) if activity else None), "n")
    logit = multiply(agreement, t.read("gain", "parameter", (), gain), LOGIT)
    error = fit(softmax(logit, "c") - t.read("label", "input", ("b", "c"), _SPIKE), ERROR)
    t.write("error", error, ("b", "c"), ERROR)
    return t.program()


@dataclass(frozen=True)
class ThirdFormats:
    """Formats of one third factor: its rate and its result."""

    rate: Format | None = None
    result: Format | None = None


def third_factors_program(
    classes: int, thirds: Mapping[str, ThirdFormats], post_trace: Format | None = None, *, fixed: bool = False, name: str = "third_factors"
) -> Program:
    """Over axes (r, c, n). thirds: those wanted among causal, acausal and bias.

    Inputs basis (c, n), error (r, c), surrogate (r, n); parameters causal_rate, acausal_rate, bias_rate, post_decay; state
    post_trace (r, n); outputs causal, acausal, bias (r, n).
    """
    t = Trace(name, fixed=fixed, axes={"r": 1, "c": classes, "n": 1})
    signal = learning_signal(t.read("basis", "parameter", ("c", "n"), BASIS), t.read("error", "input", ("r", "c"), ERROR))
    psi = t.read("surrogate", "input", ("r", "n"), SURROGATE)
    trace = t.read("post_trace", "state", ("r", "n"), post_trace)
    factors: Sequence[tuple[str, Symbol]] = (("causal", psi), ("acausal", trace), ("bias", psi))
    for third, factor in factors:
        if third in thirds:
            formats = thirds[third]
            rate = t.read(f"{third}_rate", "parameter", (), formats.rate)
            t.write(third, gated(signal, factor, rate, formats.result), ("r", "n"), formats.result)
    t.write("post_trace", spike_trace(trace, psi, t.read("post_decay", "parameter", (), DECAY)))
    return t.program()
