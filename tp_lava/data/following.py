"""Samples that follow one another, as arrays in which each begins where the one before ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Events, side_by_side, values_of


class Following(NamedTuple):
    """offsets: int32, those of all samples, of each (rows, T + 1), in a row; units: int32, the active inputs of all; values: float32,
    of the units, or None. Of each sample: n_offsets, n_units, how many of these arrays are its own; steps: T; constant: whether the
    events of all its steps are alike.
    """

    offsets: np.ndarray
    units: np.ndarray
    values: np.ndarray | None
    n_offsets: Sequence[int]
    n_units: Sequence[int]
    steps: Sequence[int]
    constant: Sequence[bool]


def one_after_another(samples: Sequence[Events], size: int, graded: bool) -> Following:
    """Samples, `size` at a time side by side. graded: whether their values are wanted, 1 of plain spikes."""
    if size == 1:
        offsets, units = [sample.offsets for sample in samples], [sample.units for sample in samples]
        steps, constant = [sample.n_steps for sample in samples], [sample.is_constant for sample in samples]
        values = [values_of(sample) for sample in samples] if graded else []
    else:
        together = [side_by_side(samples[first : first + size]) for first in range(0, len(samples), size)]
        offsets, units = [made[0].ravel() for made in together], [made[1] for made in together]
        steps, constant = [made[0].shape[1] - 1 for made in together], [False] * len(together)
        values = [made[2] if made[2] is not None else np.ones(len(made[1]), np.float32) for made in together] if graded else []
    own = list(map(len, offsets)), list(map(len, units)), steps, constant
    return Following(_joined(offsets), _joined(units), _joined(values) if graded else None, *own)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
