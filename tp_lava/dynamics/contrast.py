"""Credit of TP (Traces Propagation): how far this layer tells the streams apart as the layer below does.

    z[b,k] = sum_n e[b,n] * g[k,n]                        similarity of student trace e and target trace g
    y[b,k] = softmax_k(-|| g_below[own b] - g_below[k] ||) soft targets, from the layer below's target traces
    P[b,k] = softmax_k(z) - y                             the error vector, broadcast to the layer

b: samples; k: target streams, one of them a sample's own; n, m: neurons of this layer and of the one below.
P is the derivative of the cross entropy between y and softmax(z) with respect to z, per sample.
Source: arXiv 2509.13053; run over labels instead of a batch, one sample at a time is enough.
"""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.dynamics.functions import softmax, sqrt
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Symbol, Tracer, fit, multiply, total
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import ERROR_BITS, REGISTER_BITS, Format

ERROR = Format(ERROR_BITS, ERROR_BITS - 1)  # s8, Q0.7
_FRAC = 8  # fractional bits wished for in similarities and squared distances


def similarity(trace: Symbol, target: Symbol, format: Format | None) -> Symbol:
    """z[b,k] = sum_n e[b,n] * g[k,n]."""
    return total(multiply(trace, target, format), "n")


def distance(own: Symbol, other: Symbol, format: Format | None) -> Symbol:
    """Euclidean distance over m."""
    apart = own - other
    return sqrt(total(multiply(apart, apart, format), "m"), format)


def contrast(trace: Symbol, target: Symbol, own_below: Symbol, below: Symbol, formats) -> Symbol:
    """P[b,k]. formats: of similarity and squared distance (fixed), or (None, None)."""
    z = similarity(trace, target, formats[0])
    y = softmax(-distance(own_below, below, formats[1]), "k")
    return fit(softmax(z, "k") - y, ERROR)


def contrast_program(sizes: Mapping[str, int], trace: Format | None = None, below: Format | None = None, name: str = "contrast") -> Program:
    """The credit program. sizes: largest b, k, n, m; trace, below: formats of the traces (None: real).

    Inputs trace (b, n), target_trace (k, n), own_below (b, m), below (k, m); outputs error (b, k), error_t (k, b).
    """
    fixed = trace is not None
    t = Tracer(name, fixed=fixed, axes={axis: sizes[axis] for axis in "bknm"})
    e = t.read("trace", "input", ("b", "n"), trace)
    g = t.read("target_trace", "input", ("k", "n"), trace)
    own = t.read("own_below", "input", ("b", "m"), below)
    others = t.read("below", "input", ("k", "m"), below)
    formats = (sum_format(name, trace, sizes["n"]), sum_format(name, below, sizes["m"])) if trace and below else (None, None)
    error = contrast(e, g, own, others, formats)
    t.write("error", error, ("b", "k"), ERROR)
    t.write("error_t", error, ("k", "b"), ERROR)
    return t.program()


def sum_format(name: str, trace: Format, size: int) -> Format:
    """The format in which a sum of `size` products of two traces fits a register, with up to _FRAC fractional bits."""
    whole = (size * trace.high**2).bit_length() - 2 * trace.frac
    frac = min(_FRAC, REGISTER_BITS - 2 - whole, 2 * trace.frac)
    if frac < 0:
        raise NumberRangeError(
            f"{name}: the sum of {size} products of traces up to {trace.largest:.0f} needs {whole} integer bits, "
            f"a register holds {REGISTER_BITS - 2}; use a smaller trace_decay or fewer neurons.",
            obj=name,
            attr="trace_decay",
        )
    return Format(REGISTER_BITS, frac)
