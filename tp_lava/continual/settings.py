"""What a continual learner is told: how much it keeps to replay, when it learns, and what pulls its weights back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.data.augmentation import Augmentation, check_augmentation
from tp_lava.errors import invalid

MARGIN_BITS = 8  # fractional bits of a margin
STRENGTH_BITS = 16  # fractional bits of a pull


@dataclass(frozen=True)
class Replay:
    """A bounded memory of old samples, some of which are presented again beside each new one.

    size: samples kept at most, >= 1; per_sample: old samples presented for each new one, drawn with replacement, >= 0; bytes: of
    compressed samples kept at most. At least one of size and bytes is given. balanced: draw a class first, then one of its samples, so
    that a class of few samples is replayed as often as the others; else every sample is as likely; augmentation: how a kept sample varies
    each time it is presented again. Raises InvalidValueError.
    Source of what is kept: class-balancing reservoir sampling, Chrysakis and Moens 2020.
    """

    size: int | None = None
    per_sample: int = 1
    bytes: int | None = None
    balanced: bool = False
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        for attr in ("size", "bytes"):
            if getattr(self, attr) is not None and not is_whole(getattr(self, attr), 1):
                raise invalid("Replay", attr, repr(getattr(self, attr)), "an integer of at least 1", "250 samples are usual")
        if self.size is None and self.bytes is None:
            raise invalid("Replay", "size", None, "given, or bytes", "a buffer without a bound grows for ever; use tpl.Replay(250)")
        if not is_whole(self.per_sample, 0):
            raise invalid("Replay", "per_sample", repr(self.per_sample), "an integer of at least 0", "1 to 5 are usual")
        if not isinstance(self.balanced, bool):
            raise invalid("Replay", "balanced", repr(self.balanced), "True or False", "True suits classes of different size")
        if isinstance(self.augmentation, dict):  # of a file
            object.__setattr__(self, "augmentation", Augmentation(**self.augmentation))
        check_augmentation("Replay", self.augmentation)


@dataclass(frozen=True)
class Gate:
    """Where a sample is learned: only where an inference beforehand says that there is something to learn.

        wrong:   argmax(s) != label
        unsure:  argmax(s) != label  or  2^8 * (best - second) <= round(2^8 * margin) * max|s|

    s: the scores at the sample's end, in fixed point the integers themselves; best, second: the two largest of them. So the margin is
    a share of the largest score, in eight bits, and a chip compares two integers. margin: in (0, 1], for "unsure" alone; of: "all"
    samples, or "old" ones alone, so that new ones are always learned. Raises InvalidValueError.
    """

    when: Literal["wrong", "unsure"] = "wrong"
    margin: float | None = None
    of: Literal["all", "old"] = "all"

    def __post_init__(self) -> None:
        if self.of not in ("all", "old"):
            raise invalid("Gate", "of", repr(self.of), '"all" or "old"', '"old" learns new samples always')
        if self.when not in ("wrong", "unsure"):
            raise invalid("Gate", "when", repr(self.when), '"wrong" or "unsure"', "leave the gate out to learn always")
        if self.when == "wrong" and self.margin is not None:
            raise invalid("Gate", "margin", repr(self.margin), 'left out for "wrong"', 'use tpl.Gate("unsure", margin=...)')
        if self.when == "unsure" and not (is_number(self.margin, 2.0 ** -(MARGIN_BITS + 1), 1 + 1e-12)):
            limit = f"a number in ({2.0 ** -(MARGIN_BITS + 1):g}, 1]"
            raise invalid("Gate", "margin", repr(self.margin), limit, "0.1 learns where the lead is below a tenth of the best score")

    def opens(self, scores: np.ndarray, label: int) -> bool:
        """Whether a sample with these scores is learned. scores: (C,), integers or real; label: in [0, C)."""
        if int(np.argmax(scores)) != label:
            return True
        if self.margin is None:
            return False
        exact = scores.astype(np.int64 if np.issubdtype(scores.dtype, np.integer) else np.float64)
        second, best = np.sort(exact)[-2:] if len(exact) > 1 else (exact[0] - exact[0], exact[0])
        return bool((best - second) * 2**MARGIN_BITS <= round(self.margin * 2**MARGIN_BITS) * np.abs(exact).max())


@dataclass(frozen=True)
class Anchor:
    """An elastic pull of every weight that learns towards a copy of eight bits, taken when learning begins.

        float:        w <- w + strength * (a - w)
        fixed point:  m <- m + floor((k * (a - m) + r) / 2^16),  k = round(2^16 * strength)

    w, m: a weight and its mantissa; a: the copy, which in float has one binary point an array and in fixed point the weight's own
    format; r: 16 random bits, so that the pull is right on the mean. strength: in (0, 1); every: learned samples, replayed ones among
    them, from one pull to the next, >= 1. Raises InvalidValueError.
    """

    strength: float
    every: int = 1

    def __post_init__(self) -> None:
        if not is_number(self.strength, 2.0**-STRENGTH_BITS, 1):
            limit = f"a number in [{2.0**-STRENGTH_BITS:g}, 1)"
            raise invalid("Anchor", "strength", repr(self.strength), limit, "leave the anchor out for none; 1e-3 is usual")
        if not is_whole(self.every, 1):
            raise invalid("Anchor", "every", repr(self.every), "an integer of at least 1", "1 pulls after each learned sample")
