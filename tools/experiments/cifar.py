"""CIFAR10 and CIFAR100 in their binary version: rows of labels and pixels, plain bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


class LayoutError(Exception):
    """A file is not what it should be."""


def pictures(paths: list[Path], n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3, 32, 32) uint8, and (count,) labels: the last of those before the pixels; CIFAR100 has a coarse one before it."""
    row = _PIXELS + (2 if n_classes == 100 else 1)
    rows = np.concatenate([_rows(path, row) for path in paths])
    labels = rows[:, -_PIXELS - 1].astype(np.int64)
    if labels.max() >= n_classes:
        raise LayoutError(f"{paths[0].parent}: a label of {labels.max()}, of {n_classes} classes; get the binary version again")
    return rows[:, -_PIXELS:].reshape(-1, *SHAPE), labels


def _rows(path: Path, row: int) -> np.ndarray:
    held = np.fromfile(path, np.uint8)
    if not len(held) or len(held) % row:
        raise LayoutError(f"{path} has {len(held)} bytes, no multiple of {row}: it is incomplete, or not the binary version; get it again")
    return held.reshape(-1, row)
