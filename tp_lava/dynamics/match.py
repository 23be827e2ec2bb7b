"""No readout: each class is credited with how well its target trace matches the layer's trace.

    score[b,c] = score[b,c] + sum_k softmax_k(z[b,k]) * label[k,c]        z[b,k] = sum_n e[b,n] * g[k,n]

e: trace of the last layer; g[k]: target trace of stream k, whose label is one-hot in label[k]. TP teaches softmax(z) to
be largest for the sample's own label; summed over time it is a vote.
"""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.dynamics.contrast import similarity, sum_format
from tp_lava.dynamics.functions import POWER, softmax
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Tracer, multiply, saturate, total
from tp_lava.numbers import REGISTER_BITS, SCORE_BITS, Format

VOTES = Format(SCORE_BITS, POWER.frac)


def match_program(sizes: Mapping[str, int], trace: Format | None = None) -> Program:
    """sizes: largest b, k, c, n; trace: format of the traces (None: real).

    Inputs trace (b, n), target_trace (k, n), label (k, c); state score (b, c).
    """
    t = Tracer("match", fixed=trace is not None, axes={axis: sizes[axis] for axis in "bkcn"})
    e, g = t.read("trace", "input", ("b", "n"), trace), t.read("target_trace", "input", ("k", "n"), trace)
    label = t.read("label", "input", ("k", "c"), Format(1, 0, signed=False))
    vote = softmax(similarity(e, g, sum_format("match", trace, sizes["n"]) if trace else None), "k")
    credited = total(multiply(vote, label, Format(REGISTER_BITS, VOTES.frac)), "k")
    t.write("score", saturate(t.read("score", "state", ("b", "c"), VOTES) + credited, VOTES))
    return t.program()
