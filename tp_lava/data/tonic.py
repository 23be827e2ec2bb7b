"""Adapter: any data set of event arrays, such as tonic's, as a sequence of samples, binned when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tp_lava.data.events import Events, Sample
from tp_lava.errors import invalid


class EventDataset(Protocol):
    """What tonic's data sets are: len() and (events, label) by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, Any]: ...


class _Binned(Sequence):
    def __init__(self, dataset: EventDataset, n_steps: int, sensor_size: tuple[int, ...], step: float | None) -> None:
        self._dataset, self._n_steps, self._sensor_size, self._step = dataset, n_steps, sensor_size, step

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        recording, label = self._dataset[index]
        array = np.asarray(recording)
        events = self._frames(array) if array.dtype.names is None else self._events(array)
        return Sample(events, int(label))

    def _events(self, events: np.ndarray) -> Events:
        """Structured events: fields t, x, optionally y and p."""
        missing = {"t", "x"} - set(events.dtype.names or ())
        if missing:
            raise invalid("from_tonic", "events", f"with fields {events.dtype.names}", "with fields t and x", "rename the fields")
        width, height = self._sensor_size[0], self._sensor_size[1] if len(self._sensor_size) > 1 else 1
        unit = events["x"].astype(np.int64)
        polarities = self._sensor_size[2] if len(self._sensor_size) > 2 else 1  # tonic numbers a single one 1
        for field, stride in (("y", width), *((("p", width * height),) if polarities > 1 else ())):
            if field in (events.dtype.names or ()):
                unit = unit + events[field].astype(np.int64) * stride
        time = events["t"].astype(np.float64)
        start = time.min() if len(time) else 0.0
        step = self._step or (np.ptp(time) + 1.0 if len(time) else 1.0) / self._n_steps
        when = np.floor((time - start) / step).astype(np.int64)
        kept = when < self._n_steps
        return Events(when[kept], unit[kept], self._n_steps, int(np.prod(self._sensor_size)))

    def _frames(self, frames: np.ndarray) -> Events:
        """Frames as tonic's ToFrame makes them: (T, ...) counts; one event where a count is not zero."""
        dense = frames.reshape(len(frames), -1)[: self._n_steps]
        times, units = np.nonzero(dense)
        return Events(times, units, self._n_steps, dense.shape[1])


def from_tonic(
    dataset: EventDataset, n_steps: int, sensor_size: tuple[int, ...] | None = None, step: float | None = None
) -> Sequence[Sample]:
    """A data set of (events, label) as samples, read and binned lazily; its own transforms stay in force.

    dataset: structured arrays with fields t, x (y, p), or frames (T, ...) where tonic's ToFrame is among its
    transforms; n_steps: of every sample; sensor_size: (width, height, polarities), taken from the data set if it
    has one; step: length of a step in the unit of t, or None to stretch each recording over n_steps. Time starts at
    a recording's first event; events after n_steps steps are left out. unit = p * width * height + y * width + x.
    """
    size = sensor_size if sensor_size is not None else getattr(dataset, "sensor_size", None)
    if size is None:
        raise invalid("from_tonic", "sensor_size", None, "(width, height, polarities)", "give sensor_size=..., the data set does not say")
    if step is not None and not step > 0:
        raise invalid("from_tonic", "step", step, "> 0", "give the length of a step, for example 1000 microseconds")
    return _Binned(dataset, n_steps, tuple(int(s) for s in size), step)
