"""The embedded data set: scikit-learn's real handwritten digits, seen by the simulated event camera."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from tp_lava.data.camera import EventCamera
from tp_lava.data.events import Sample

N_TRAIN = 1400
N_CLASSES = 10
_FULL_BRIGHTNESS = 16.0  # of scikit-learn's 8 x 8 pictures


@lru_cache(maxsize=1)
def _pictures() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 8, 8) brightness 0..1, (1797,) classes. Read from scikit-learn's file: importing it takes longer than all else here."""
    package = importlib.util.find_spec("sklearn")
    places = package.submodule_search_locations if package else None
    file = Path(places[0] if places else "") / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
    else:
        from sklearn.datasets import load_digits

        rows = np.column_stack(load_digits(return_X_y=True))
    return rows[:, :-1].reshape(-1, 8, 8) / _FULL_BRIGHTNESS, rows[:, -1].astype(int)


@lru_cache(maxsize=4)
def _recorded(seed: int, camera: EventCamera, begin: int, end: int | None) -> tuple[Sample, ...]:
    """Samples begin..end-1 in the order of the split."""
    pictures, classes = _pictures()
    which = np.random.default_rng(seed).permutation(len(pictures))[begin:end]
    recordings = camera.record(pictures, seed, which)
    return tuple(Sample(events, int(label)) for events, label in zip(recordings, classes[which], strict=True))


def digits(seed: int = 0, camera: EventCamera | None = None) -> tuple[list[Sample], list[Sample]]:
    """(train, test): 1400 and 397 samples of 60 steps and 512 units, 10 classes. Kept in memory, never written.

    seed: of the camera's noise and of the split; camera: another one, for example with other pixels.
    The pictures: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, CC BY 4.0.
    """
    every = _recorded(seed, camera or EventCamera(), 0, None)
    return list(every[:N_TRAIN]), list(every[N_TRAIN:])


def digits_to_test(seed: int = 0) -> list[Sample]:
    """The test samples of digits(seed) alone, in a third of the time."""
    return list(_recorded(seed, EventCamera(), N_TRAIN, None))
