"""Pictures, and recordings as frames of counts, as graded input: prepared when they are used, and varied to learn from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tp_lava as tpl
from experiments.config import Data, Preparation
from tp_lava.data.events import Sample

_PADDING = 4  # of random crops, pixels
_CUT, _ASPECT, _TRIES = (0.02, 0.4), (0.3, 3.3), 10  # of a cutout: share of the area, and side by side
Part = tuple[int, float | None]


class Images(Sequence):
    """Samples made of arrays.

    read: number -> (1, channels, height, width) of a picture, which is shown for n_steps, or (steps, channels, height, width) of frames.
    """

    def __init__(self, read: Callable[[int], np.ndarray], labels: Sequence[int], preparation: Preparation, n_steps: int) -> None:
        self._read, self._labels, self._preparation, self._n_steps = read, labels, preparation, n_steps
        self._seed: int | None = None
        self._uses = np.zeros(len(labels), np.int64)

    def varied(self, seed: int) -> Images:
        """The same, varied each time anew: by the seed and how often a sample was used before."""
        images = copy.copy(self)
        images._seed, images._uses = seed, np.zeros(len(self), np.int64)
        return images

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = int(index) % len(self)
        how, image = self._preparation, self._read(number)
        if self._seed is None:
            image = _normalised(image, how)
        else:
            rng = np.random.default_rng([self._seed, number, self._uses[number]])
            self._uses[number] += 1
            image = _varied(image, how, rng)
        rows = image.reshape(len(image), -1)
        events = tpl.Events.constant(rows, self._n_steps) if len(rows) == 1 else tpl.Events.from_dense(rows, graded=True)
        return Sample(events, int(self._labels[number]))


def _normalised(image: np.ndarray, how: Preparation) -> np.ndarray:
    mean, spread = (np.array(values, np.float32)[:, None, None] for values in (how.mean, how.spread))
    return (image - mean) / spread


def _varied(image: np.ndarray, how: Preparation, rng: np.random.Generator) -> np.ndarray:
    """All steps alike."""
    height, width = image.shape[2:]
    y, x = rng.integers(0, 2 * _PADDING + 1, 2)
    image = np.pad(image, ((0, 0), (0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING)))[:, :, y : y + height, x : x + width]
    if how.flip and rng.random() < 0.5:
        image = image[..., ::-1]
    image = _normalised(image, how)
    if how.cutout and rng.random() < 0.5:
        _cut_out(image, rng)
    return image


def _cut_out(image: np.ndarray, rng: np.random.Generator) -> None:
    """Set a rectangle to zero, if one of some tries fits."""
    height, width = image.shape[2:]
    for _ in range(_TRIES):
        area, aspect = rng.uniform(*_CUT) * height * width, np.exp(rng.uniform(*np.log(_ASPECT)))
        high, wide = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if high < height and wide < width:
            y, x = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
            image[:, :, y : y + high, x : x + wide] = 0
            return


# Frames -------------------------------------------------------------------------------------------


class Frames:
    """Reads recordings as frames, and keeps them.

    dataset: structured events and labels; parts: (recording, where its slice begins, in microseconds, None: the whole); longest: steps.
    """

    def __init__(self, dataset: Any, parts: Sequence[Part], data: Data, longest: int | None = None) -> None:
        self._dataset, self._parts, self._data, self._longest = dataset, parts, data, longest
        self._held: dict[int, np.ndarray] = {}

    def __call__(self, number: int) -> np.ndarray:
        """(steps, polarities, side, side) of a part."""
        if number not in self._held:
            self._held[number] = self._made(*self._parts[number])
        return self._held[number]

    def _made(self, recording: int, begin: float | None) -> np.ndarray:
        data, how = self._data, self._data.preparation
        assert how is not None
        events, _ = self._dataset[recording]
        times = elapsed(events)
        if begin is not None and how.slices:
            within = (times >= begin) & (times < begin + how.slices)
            events, times = events[within], times[within] - begin
        counts = counted(events, times, data)[: self._longest]
        return resized((-counts % 256) / np.float32(255) if how.as_bytes else counts, how.side, how.corners)


def elapsed(events: np.ndarray) -> np.ndarray:
    """Microseconds of each event since the first."""
    times = events["t"].astype(np.float64)
    return times - times.min(initial=np.inf)


def counted(events: np.ndarray, times: np.ndarray, data: Data) -> np.ndarray:
    """Counts of events, (steps, polarities, height, width)."""
    how, (width, height, polarities) = data.preparation, data.sensor_size
    assert how is not None
    span, steps = float(np.max(times, initial=0.0)), data.n_steps
    if data.step is not None:
        steps = max(1, int(span / data.step))
        step = np.floor(times / data.step).astype(np.int64)
    elif how.bins == "time":
        step = np.floor(times / max(1.0, span // steps)).astype(np.int64)
    else:
        step = np.arange(len(times)) // max(1, len(times) // steps)
    kept = step < steps
    place = ((step * polarities + events["p"]) * height + events["y"]) * width + events["x"]
    counts = np.bincount(place[kept], minlength=steps * polarities * height * width)
    return counts.reshape(steps, polarities, height, width).astype(np.float32)


def resized(frames: np.ndarray, side: int, corners: bool) -> np.ndarray:
    """(..., height, width) -> (..., side, side)."""
    down, across = (_resizing(n, side, corners) for n in frames.shape[-2:])
    return down @ frames @ across.T


def _resizing(n: int, m: int, corners: bool) -> np.ndarray:
    """(m, n): weights of n pixels in each of m, bilinear between the corners or, where there are fewer, averaged over what they cover."""
    scale = (n - 1) / max(1, m - 1) if corners else n / m
    centre = np.arange(m) * scale if corners else (np.arange(m) + 0.5) * scale - 0.5
    reach = 1.0 if corners else max(1.0, scale)
    weights = np.clip(1 - np.abs(np.arange(n) - centre[:, None]) / reach, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
