"""States: the least interval that a program does not leave, from where a sample starts, however long it is.

A decaying sum or a membrane maps its interval X to F(X), and F only grows with X; so any X that holds the start and F(X)
holds every step. The whole format is one, for what is written saturates. From it, each bound is halved down, element by
element, as long as F(X) stays within X: the answer is proven whatever the program is, and the least one where F moves
two points no further apart, as a decay, a clamp and a reset do. What only adds up (a score, a count) has none short of its
format: it grows by at most its largest summand a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

import numpy as np

from tp_lava.numbers import Format
from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import Interval

_STEPS = 4  # after which a state that still moves is bounded from above


def closed(step: Callable[[Interval], Interval], start: Interval, format: Format) -> Interval:
    """The least interval found that contains `start` and what `step` makes of it. step: monotone, into the format."""
    x = start
    for _ in range(_STEPS):
        grown = x.hull(step(x))
        if grown.within(x):
            return x
        x = grown
    whole = Interval(np.full_like(x.low, format.low), np.full_like(x.high, format.high)).hull(start)
    high = _halved(lambda bound: Interval(whole.low, bound), x.high - 1, whole.high, lambda y: step(y).high <= y.high)
    low = _halved(lambda bound: Interval(bound, high), x.low + 1, whole.low, lambda y: step(y).low >= y.low)
    found = Interval(low, high)
    return found if step(found).within(found) else whole


def _halved(
    made: Callable[[np.ndarray], Interval], inside: np.ndarray, outside: np.ndarray, holds: Callable[[Interval], np.ndarray]
) -> np.ndarray:
    """The nearest bound to `inside`, which is too near, that holds, as `outside` does; element by element."""
    inside, outside = np.broadcast_arrays(inside, outside)
    while (apart := np.abs(outside - inside) > 1).any():
        middle = np.where(apart, (inside + outside) // 2, outside)
        good = holds(made(middle)) | ~apart
        inside, outside = np.where(good, inside, middle), np.where(good, middle, outside)
    return outside


def bits_needed(evaluator: Evaluator, port: str, reads: Mapping[str, Interval], format: Format) -> int:
    """How many bits more a decaying state would need never to saturate."""
    for more in count():
        whole = Format(format.bits + more, format.frac, format.signed)
        bound = evaluator.read(port, reads[port]).hull(Interval.of(whole.low, whole.high))
        found = evaluator.values({**reads, port: bound}, port, clamped=False)[dict(evaluator.program.writes)[port]]
        if found.within(bound):
            break
    return more
