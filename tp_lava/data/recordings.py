"""Recordings in files: spikes in SHD's HDF5 layout, and N-MNIST and others in NumPy archives. Nothing is downloaded or executed."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Events, Sample
from tp_lava.errors import ArchiveError, FormatUnavailableError, TpLavaError

_CAMERA_UNITS = 34 * 34 * 2  # N-MNIST's sensor
_SHD_UNITS = 700
UNREADABLE = (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)  # of np.load
_SLACK = 1e-3  # of a step: times are stored as float32, a little below the step they mean


class Recordings(NamedTuple):
    """Samples, and who spoke each, (N,) int; zeros where the file does not say."""

    samples: list[Sample]
    speakers: np.ndarray


def from_shd(path: str | os.PathLike, step: float | None = None, n_units: int | None = None) -> Recordings:
    """A file in the layout of the Spiking Heidelberg Digits: spikes/times (seconds), spikes/units, labels.

    step: seconds a step, by default the file's attribute step_s or 5 ms; n_units: by default the file's attribute n_units or
    700; extra/steps (N,), the length of each recording in steps of step_s, and extra/speaker (N,) are used where they are.
    Needs h5py (`pip install "tp-lava[hdf5]"`).
    Raises FileNotFoundError, FormatUnavailableError, ArchiveError for a file of another layout. Source: Cramer et al. 2022.
    """
    _present(path)
    try:
        import h5py
    except ImportError:
        raise FormatUnavailableError(f'{path}: needs h5py; pip install "tp-lava[hdf5]".', obj="h5py", attr="import") from None
    try:
        with h5py.File(path) as file:
            seconds = float(step or file.attrs.get("step_s", 0.005))
            units = int(n_units or file.attrs.get("n_units", _SHD_UNITS))
            times, which, labels = (file[name][:] for name in ("spikes/times", "spikes/units", "labels"))
            lengths = file["extra/steps"][:] * float(file.attrs["step_s"]) if "extra/steps" in file else np.zeros(len(labels))
            speakers = file["extra/speaker"][:] if "extra/speaker" in file else np.zeros(len(labels))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _refuse(path, "SHD's layout (spikes/times, spikes/units, labels)", error) from None
    try:
        rows = zip(times, which, lengths, labels, strict=True)
        samples = [Sample(_events(t, u, seconds, n, units), int(label)) for t, u, n, label in rows]
    except (TpLavaError, ValueError) as error:
        raise _refuse(path, "SHD's layout", error) from None
    return Recordings(samples, np.asarray(speakers, np.int64))


def _events(times: np.ndarray, units: np.ndarray, step: float, length: float, n_units: int) -> Events:
    """length: seconds, if it is longer than the last spike's."""
    when = np.floor(np.asarray(times, np.float64) / step + _SLACK).astype(np.int64)
    n_steps = max(int(when.max(initial=0)) + 1, math.ceil(length / step - _SLACK))
    return Events(when, np.asarray(units, np.int64), n_steps, n_units)


def from_nmnist(path: str | os.PathLike, n_steps: int = 300, step: int = 1000) -> tuple[list[Sample], list[Sample]]:
    """N-MNIST recordings in one .npz archive -> (train, test), 2312 units.

    Arrays: count, label, split (0: train) of each recording; of each event dt_lo, dt_hi (microseconds since the one before,
    low and high byte) and addr_lo, addr_hi (p * 1156 + y * 34 + x). step: microseconds; events after n_steps steps are left
    out: 100 steps of 1 ms are the first saccade. Raises FileNotFoundError, ArchiveError. Source of the recordings: Orchard et al. 2015.
    """
    _present(path)
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            apart, unit = (archive[f"{name}_lo"] | (archive[f"{name}_hi"].astype(np.uint16) << 8) for name in ("dt", "addr"))
            counts, splits, labels = archive["count"], archive["split"], archive["label"]
        ends = np.cumsum(counts, dtype=np.int64)
        for begin, end, split, label in zip(ends - counts, ends, splits, labels, strict=True):
            when = np.cumsum(apart[begin:end], dtype=np.int64) // step
            kept = when < n_steps
            events = Events(when[kept], unit[begin:end][kept].astype(np.int64), n_steps, _CAMERA_UNITS)
            parts[int(split != 0)].append(Sample(events, int(label)))
    except UNREADABLE as error:
        raise _refuse(path, "the layout of from_nmnist", error) from None
    return parts


def from_spike_lists(path: str | os.PathLike, n_units: int, n_steps: int, merged: int = 1) -> Recordings:
    """Spikes of many recordings in one .npz archive, one after the other.

    Arrays: step and unit of each spike; count, label and, where it is known, speaker of each recording. n_units: inputs; n_steps:
    steps of each recording; merged: so many of them become one, in which a unit spikes once if it did at all.
    Raises FileNotFoundError, ArchiveError.
    """
    _present(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            steps, units, counts, labels = (archive[name] for name in ("step", "unit", "count", "label"))
            speakers = archive["speaker"] if "speaker" in archive else np.zeros(len(labels))
        ends = np.cumsum(counts, dtype=np.int64)
        samples = []
        for begin, end, label in zip(ends - counts, ends, labels, strict=True):
            spikes = np.unique(steps[begin:end].astype(np.int64) // merged * n_units + units[begin:end])
            events = Events(spikes // n_units, spikes % n_units, -(-n_steps // merged), n_units)
            samples.append(Sample(events, int(label)))
    except (*UNREADABLE, TpLavaError) as error:
        raise _refuse(path, "the layout of from_spike_lists", error) from None
    return Recordings(samples, np.asarray(speakers, np.int64))


def _present(path: str | os.PathLike) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")


def _refuse(path: object, layout: str, error: Exception) -> ArchiveError:
    return ArchiveError(f"{path}: is not in {layout} ({error}); convert it, or use from_tonic.", obj=str(path), attr="file")
