"""A simulated event camera: still pictures moved along three saccades, as N-MNIST was recorded.

Each pixel remembers the logarithm of the brightness at its last event; when the brightness has moved by its
contrast threshold it sends an event, ON for brighter and OFF for darker (Lichtsteiner et al. 2008). Thresholds
differ a little between pixels, and a few events are noise, both drawn from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tp_lava.data.events import Events

POLARITIES = 2  # ON, OFF
_CORNERS = np.array([[-0.5, -0.5], [0.0, 0.5], [0.5, -0.5], [-0.5, -0.5]])  # (y, x): a triangle, walked once


@dataclass(frozen=True)
class EventCamera:
    """side: pixels across the square sensor; extent: pixels across the picture; amplitude: of the saccades, pixels;
    threshold: log-brightness step of an event; mismatch: its relative spread over pixels; noise: spurious events per
    pixel, polarity and step; dark: brightness added before the logarithm; n_steps: of the three saccades together."""

    side: int = 16
    extent: float = 14.0
    amplitude: float = 4.0
    threshold: float = 0.3
    mismatch: float = 0.03
    noise: float = 5e-4
    dark: float = 0.1
    n_steps: int = 60

    @property
    def n_units(self) -> int:
        """Polarities times pixels; unit = polarity * side**2 + y * side + x."""
        return POLARITIES * self.side**2

    def record(self, pictures: np.ndarray, seed: int = 0, which: np.ndarray | None = None) -> list[Events]:
        """Events of each picture. pictures: (N, h, w), brightness 0..1; which: (M,) numbers of pictures, for those alone, as among all."""
        which = np.arange(len(pictures)) if which is None else which
        drawn, pictures = len(pictures), pictures[which]
        rng = np.random.default_rng(seed)
        thresholds = self.threshold * (1 + self.mismatch * rng.standard_normal((POLARITIES, self.side**2)))
        reference = np.log(self._view(pictures, _CORNERS[0]) + self.dark)
        spikes = np.zeros((len(pictures), self.n_steps, POLARITIES, self.side**2), bool)
        for step, gaze in enumerate(self._path()):
            change = np.log(self._view(pictures, gaze) + self.dark) - reference
            on, off = change >= thresholds[0], -change >= thresholds[1]
            reference += on * thresholds[0] - off * thresholds[1]
            spurious = rng.random((drawn, POLARITIES, self.side**2))[which] < self.noise
            spikes[:, step] = np.stack([on, off], axis=1) | spurious
        return [Events.from_dense(recording.reshape(self.n_steps, -1)) for recording in spikes]

    def _path(self) -> np.ndarray:
        """Gaze at each step, in units of the amplitude: straight lines between the corners."""
        where = np.arange(1, self.n_steps + 1) * (len(_CORNERS) - 1) / self.n_steps
        return np.stack([np.interp(where, np.arange(len(_CORNERS)), _CORNERS[:, axis]) for axis in (0, 1)], axis=1)

    def _view(self, pictures: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """(N, side**2): the pictures as the sensor sees them, interpolated bilinearly, black outside."""
        margin = 2
        padded = np.pad(pictures, ((0, 0), (margin, margin), (margin, margin)))
        axes = []
        for length, offset in zip(pictures.shape[1:], gaze * self.amplitude, strict=True):
            place = (np.arange(self.side) - (self.side - 1) / 2 - offset) * length / self.extent + (length - 1) / 2 + margin
            place = np.clip(place, 0, length + 2 * margin - 1 - 1e-9)
            axes.append((place.astype(int), place % 1.0))
        (y, fy), (x, fx) = axes
        rows = padded[:, y] * (1 - fy)[:, None] + padded[:, y + 1] * fy[:, None]
        view = rows[:, :, x] * (1 - fx) + rows[:, :, x + 1] * fx
        return view.reshape(len(pictures), -1)
