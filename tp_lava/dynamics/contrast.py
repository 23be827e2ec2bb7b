"""Credit of TP (Traces Propagation): how far this layer tells the streams apart as the layer below does.

    z[b,k] = 1/P * sum_n e[b,n] * g[k,n]                  similarity of student trace e and target trace g
    y[b,k] = softmax_k(-mean_p || g_below[own b,p] - g_below[k,p] ||)
                                                           soft targets, from the layer below's target traces
    P[b,k] = softmax_k(z) - y                             the error vector, broadcast to the layer

b: samples; k: target streams, one of them a sample's own; n: units of this layer, at P positions (1 where it has no maps);
m: channels of the layer below at each of its positions p.
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
_SHARE_BITS = 16  # of 1 / P


def similarity(trace: Symbol, target: Symbol, format: Format | None) -> Symbol:
    """z[b,k] = sum_n e[b,n] * g[k,n]."""
    return total(multiply(trace, target, format), "n")


def distance(own: Symbol, other: Symbol, format: Format | None, positions: int) -> Symbol:
    """Euclidean distance over m, averaged over positions."""
    apart = own - other
    norms = sqrt(total(multiply(apart, apart, format), "m"), format)
    return norms if positions == 1 else averaged(total(norms, "p"), positions)


def averaged(summed: Symbol, count: int) -> Symbol:
    """summed / count, in the same binary point."""
    share = summed.tracer.constant(1.0 / count, share_format(count))
    return multiply(summed, share, Format(REGISTER_BITS, summed.format.frac) if summed.tracer.fixed else None)


def share_format(count: int) -> Format:
    """Of 1 / count: 15 bits of it."""
    return Format(_SHARE_BITS, _SHARE_BITS - 1 + (count - 1).bit_length() - 1, signed=False)


def contrast_program(
    sizes: Mapping[str, int],
    trace: Format | None = None,
    below: Format | None = None,
    name: str = "contrast",
    positions: int = 1,
) -> Program:
    """The credit program. sizes: largest b, k, n, m and, where the layer below has maps, p; trace, below: formats of the traces
    (None: real); positions: P.

    Inputs trace (b, n), target_trace (k, n), own_below (b, m) or (b, m, p), below (k, m) or (k, m, p); outputs error (b, k) and
    error_t (k, b).
    """
    fixed, below_positions = trace is not None, sizes.get("p", 1)
    maps = ("m", "p") if below_positions > 1 else ("m",)
    t = Tracer(name, fixed=fixed, axes={axis: sizes[axis] for axis in ("b", "k", "n", *maps)})
    e = t.read("trace", "input", ("b", "n"), trace)
    g = t.read("target_trace", "input", ("k", "n"), trace)
    own = t.read("own_below", "input", ("b", *maps), below)
    others = t.read("below", "input", ("k", *maps), below)
    formats = (sum_format(name, trace, sizes["n"]), sum_format(name, below, sizes["m"])) if trace and below else (None, None)
    z = similarity(e, g, formats[0])
    y = softmax(-distance(own, others, formats[1], below_positions), "k")
    error = fit(softmax(z if positions == 1 else averaged(z, positions), "k") - y, ERROR)
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
