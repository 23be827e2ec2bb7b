"""Recordings in files: spikes in SHD's HDF5 layout, and N-MNIST and others in NumPy archives. Nothing is downloaded or executed.

Every size is checked before anything is allocated; how much is read at most says tp_lava.reading.limits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.data.events import Events, Sample
from tp_lava.errors import ArchiveError, TpLavaError, invalid
from tp_lava.reading.hdf5 import opened
from tp_lava.reading.limits import MOST_CLASSES, MOST_INPUTS, MOST_RECORDINGS, MOST_STEPS, MOST_STEPS_IN_ALL, damaged
from tp_lava.reading.npz import read_arrays

_CAMERA_SIDE = 34
_CAMERA_UNITS = _CAMERA_SIDE**2 * 2  # N-MNIST's sensor
_OVERFLOW = 240  # y of an entry that is no event, but says that 2**13 microseconds more have passed
_SHD_UNITS, _SHD_STEP = 700, 0.005  # inputs, and seconds a step, where a file does not say
_SLACK = 1e-3  # of a step: times are stored as float32, a little below the step they mean
_SPLITS = {"train": "Train", "test": "Test"}  # folders of N-MNIST


class Recordings(list[Sample]):
    """A list of samples. speakers: who spoke each, (N,) int; zeros where the file does not say."""

    def __init__(self, samples: Iterable[Sample], speakers: np.ndarray) -> None:
        super().__init__(samples)
        self.speakers = speakers

    @property
    def samples(self) -> list[Sample]:
        """The samples alone, in a list of their own."""
        return list(self)


# SHD ----------------------------------------------------------------------------------------------


def from_shd(path: str | os.PathLike, step: float | None = None, n_units: int | None = None) -> Recordings:
    """A file in the layout of the Spiking Heidelberg Digits: spikes/times (seconds), spikes/units, labels.

    step: seconds a step, by default the file's attribute step_s or 5 ms; n_units: by default the file's attribute n_units or
    700; extra/steps (N,), the length of each recording in steps of step_s, and extra/speaker (N,) are used where they are.
    Needs h5py (`pip install "tp-lava[hdf5]"`).
    Raises FileNotFoundError, FormatUnavailableError, InvalidValueError for a step or n_units that is none, ArchiveError for a file of
    another layout, one that is damaged, or one beyond tp_lava.reading.limits. Source: Cramer et al. 2022.
    """
    if step is not None and (not is_number(step) or step <= 0):
        raise invalid("from_shd", "step", repr(step), "a number of seconds > 0", "0.005 is usual")
    if n_units is not None and not is_whole(n_units, 1, MOST_INPUTS + 1):
        raise invalid("from_shd", "n_units", repr(n_units), f"an integer from 1 to {MOST_INPUTS}", "give the number of channels")
    with opened(path) as file:
        own_step, own_units = file.attribute("step_s"), file.attribute("n_units")
        labels = _column(path, "labels", file.numbers("labels"), None)
        lengths = _column(path, "extra/steps", file.numbers("extra/steps"), len(labels)) if "extra/steps" in file else None
        speakers = _column(path, "extra/speaker", file.numbers("extra/speaker"), len(labels)) if "extra/speaker" in file else None
        times, units = file.ragged("spikes/times"), file.ragged("spikes/units")
    check_labels(path, labels)
    seconds = float(step or _of_file(path, "step_s", own_step, _SHD_STEP))
    inputs = int(n_units or _of_file(path, "n_units", own_units, _SHD_UNITS))
    least = np.zeros(len(labels)) if lengths is None else lengths * _of_file(path, "step_s", own_step, 0.0)
    rows = _same_length(path, {"labels": labels, "spikes/times": times, "spikes/units": units})
    steps = np.array([_last_step(path, number, times[number], seconds, least[number]) for number in range(rows)])
    check_steps(path, steps)
    samples = []
    for number, (when, which) in enumerate(zip(times, units, strict=True)):
        binned = np.floor(np.asarray(when, np.float64) / seconds + _SLACK).astype(np.int64)
        samples.append(_sample(path, number, binned, which, int(steps[number]), inputs, int(labels[number])))
    return Recordings(samples, np.zeros(rows, np.int64) if speakers is None else speakers)


def _of_file(path: object, name: str, found: float | None, usual: float) -> float:
    """The number in a file's attributes, or the usual one."""
    if found is None and usual:
        return usual
    if found is None or not is_number(found) or found <= 0 or (name == "n_units" and not is_whole(found, 1, MOST_INPUTS + 1)):
        limit = f"an integer from 1 to {MOST_INPUTS}" if name == "n_units" else "a number of seconds > 0"
        raise damaged(path, f"{name} is {found}, but must be {limit}", f"correct the attribute {name} of the file")
    return found


def _last_step(path: object, number: int, times: np.ndarray, step: float, length: float) -> float:
    """Steps of a recording of these times; length: seconds, if it is longer than the last spike's."""
    if times.size and not np.isfinite(times).all():
        raise damaged(path, f"spikes/times[{number}] is NaN or infinite somewhere, but must be seconds", "correct the file")
    last = float(times.max()) / step if times.size else -1.0
    return max(np.floor(last + _SLACK) + 1, np.ceil(length / step - _SLACK), 1.0)


# N-MNIST ------------------------------------------------------------------------------------------


def from_nmnist(path: str | os.PathLike, n_steps: int = 300, step: int = 1000) -> tuple[list[Sample], list[Sample]]:
    """N-MNIST recordings, in one .npz archive or in the folder of the published files -> (train, test), 2312 units.

    Arrays of the archive: count, label, split (0: train) of each recording; of each event dt_lo, dt_hi (microseconds since the one before,
    low and high byte) and addr_lo, addr_hi (p * 1156 + y * 34 + x). Files of the folder: Train/0/00002.bin and so on, Test/... .
    step: microseconds; events after n_steps steps are left out: 100 steps of 1 ms are the first saccade. Raises FileNotFoundError,
    InvalidValueError, ArchiveError. Source of the recordings: Orchard et al. 2015.
    """
    for name, value, most in (("n_steps", n_steps, MOST_STEPS + 1), ("step", step, 2**31)):
        if not is_whole(value, 1, most):
            raise invalid("from_nmnist", name, repr(value), f"an integer from 1 to {most - 1}", "300 steps of 1000 microseconds are usual")
    if Path(path).is_dir():
        return _folder(Path(path), n_steps, step)
    held = read_arrays(path, ("dt_lo", "dt_hi", "addr_lo", "addr_hi", "count", "label", "split"))
    apart, unit = (_bytes(path, held, name) for name in ("dt", "addr"))
    if held["split"].dtype == bool:  # 0 or not is what counts
        held["split"] = held["split"].astype(np.uint8)
    counts, labels, splits = (_column(path, name, held[name], None) for name in ("count", "label", "split"))
    _same_length(path, {"count": counts, "label": labels, "split": splits})
    check_labels(path, labels)
    ends = _ends(path, counts, {"dt": apart, "addr": unit})
    check_steps(path, np.broadcast_to(np.int64(n_steps), len(labels)))
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for number, (begin, end) in enumerate(zip(ends - counts, ends, strict=True)):
        events = np.cumsum(apart[begin:end], dtype=np.int64) // step, unit[begin:end]
        kept = events[0] < n_steps
        sample = _sample(path, number, events[0][kept], events[1][kept], n_steps, _CAMERA_UNITS, int(labels[number]))
        parts[int(splits[number] != 0)].append(sample)
    return parts


def _bytes(path: object, held: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Numbers of two bytes, each in an array of its own."""
    low, high = held[f"{name}_lo"], held[f"{name}_hi"]
    for which, array in (("lo", low), ("hi", high)):
        if array.dtype != np.uint8 or array.ndim != 1 or len(array) != len(low):
            found = f"{name}_{which} is {array.dtype} {array.shape}, but must be uint8 ({len(low)},)"
            raise damaged(path, found, "write bytes, as many of each kind as there are events")
    return low | high.astype(np.uint16) << 8


def _folder(folder: Path, n_steps: int, step: int) -> tuple[list[Sample], list[Sample]]:
    """The published files, in the order of their names."""
    parts: list[list[Sample]] = []
    for name in _SPLITS.values():
        files = sorted((folder / name).glob("[0-9]/*.bin"))
        check_steps(folder / name, np.broadcast_to(np.int64(n_steps), len(files)))
        parts.append([Sample(_camera_events(file, n_steps, step), int(file.parent.name)) for file in files])
    if not any(parts):
        raise damaged(
            folder, "has no Train/0/*.bin to Test/9/*.bin", "give the folder into which N-MNIST's Train.zip and Test.zip were unpacked"
        )
    return parts[0], parts[1]


def _camera_events(path: Path, n_steps: int, step: int) -> Events:
    """One recording: five bytes an event, x, y, polarity (1 bit) and microseconds (23 bits, high byte first)."""
    data = np.fromfile(path, np.uint8)
    if data.size % 5:
        raise damaged(path, f"has {data.size} bytes, but must have 5 for each event")
    x, y, high, middle, low = data.reshape(-1, 5).T.astype(np.int64)
    passed = np.cumsum(y == _OVERFLOW) * 2**13
    when = ((high & 127) << 16 | middle << 8 | low) + passed
    kept = (y != _OVERFLOW) & (when // step < n_steps)
    for name, values in (("x", x[kept]), ("y", y[kept])):
        if values.max(initial=0) >= _CAMERA_SIDE:
            raise damaged(path, f"{name} is {values.max()}, but must be at most {_CAMERA_SIDE - 1}")
    unit = (high >> 7) * _CAMERA_SIDE**2 + y * _CAMERA_SIDE + x
    return Events(when[kept] // step, unit[kept], n_steps, _CAMERA_UNITS)


# Others -------------------------------------------------------------------------------------------


_USUAL_STEPS = 64  # that delay lines of at most 63 steps span


def from_spike_lists(path: str | os.PathLike, n_units: int | None = None, n_steps: int | None = None, merged: int | None = 1) -> Recordings:
    """Spikes of many recordings in one .npz archive, one after the other.

    Arrays: step and unit of each spike; count, label and, where it is known, speaker of each recording. n_units: inputs, by
    default the largest unit + 1; n_steps: steps of each recording, by default the last of all + 1; merged: so many of them become one,
    in which a unit spikes once if it did at all; None: so many that at most 64 are left, one more than the longest delay.
    Raises FileNotFoundError, InvalidValueError, ArchiveError.
    """
    for name, value, most in (("n_units", n_units, MOST_INPUTS), ("n_steps", n_steps, MOST_STEPS), ("merged", merged, MOST_STEPS)):
        if value is not None and not is_whole(value, 1, most + 1):
            raise invalid("from_spike_lists", name, repr(value), f"an integer from 1 to {most}", "see where the recordings come from")
    held = read_arrays(path, ("step", "unit", "count", "label"), ("speaker",))
    steps, units, counts, labels = (_column(path, name, held[name], None) for name in ("step", "unit", "count", "label"))
    speakers = _column(path, "speaker", held["speaker"], len(labels)) if "speaker" in held else np.zeros(len(labels), np.int64)
    _same_length(path, {"count": counts, "label": labels})
    check_labels(path, labels)
    n_units = 1 + int(units.max(initial=0)) if n_units is None else n_units
    n_steps = 1 + int(steps.max(initial=0)) if n_steps is None else n_steps
    merged = -(-n_steps // _USUAL_STEPS) if merged is None else merged
    ends, length = _ends(path, counts, {"step": steps, "unit": units}), -(-n_steps // merged)
    check_steps(path, np.broadcast_to(np.int64(length), len(labels)))
    rows = zip(ends - counts, ends, labels, strict=True)
    samples = [
        _sample(path, number, steps[begin:end] // merged, units[begin:end], length, n_units, int(label))
        for number, (begin, end, label) in enumerate(rows)
    ]
    return Recordings(samples, speakers)


# Checks -------------------------------------------------------------------------------------------


def check_labels(path: object, labels: np.ndarray) -> None:
    """Refuse labels that are no classes, and more recordings than are read."""
    if not 1 <= len(labels) <= MOST_RECORDINGS:
        raise damaged(path, f"has {len(labels)} recordings, and 1 to {MOST_RECORDINGS} are read", "split the file")
    outside = np.flatnonzero((labels < 0) | (labels >= MOST_CLASSES))
    if outside.size:
        found = f"the label of recording {outside[0]} is {labels[outside[0]]}, but must be from 0 to {MOST_CLASSES - 1}"
        raise damaged(path, found, "number the classes from 0")


def check_steps(path: object, steps: np.ndarray) -> None:
    """Refuse recordings that are too long, alone or together, before anything as long is allocated. steps: (N,) numbers."""
    if steps.max(initial=0) > MOST_STEPS:
        found = f"recording {steps.argmax()} has {steps.max():g} steps, but must have at most {MOST_STEPS}"
        raise damaged(path, found, "correct the file, or use longer steps")
    if steps.sum(dtype=np.float64) > MOST_STEPS_IN_ALL:
        found = f"its recordings have {steps.sum(dtype=np.float64):g} steps together, but must have at most {MOST_STEPS_IN_ALL}"
        raise damaged(path, found, "split the file, or use longer steps")


def _column(path: object, name: str, array: np.ndarray, length: int | None) -> np.ndarray:
    """One whole number a recording or a spike, as int64."""
    if array.dtype.kind not in "iu" or array.ndim != 1 or (length is not None and len(array) != length):
        limit = f"whole numbers ({'N' if length is None else length},)"
        raise damaged(path, f"{name} is {array.dtype} {array.shape}, but must be {limit}", "correct the file")
    return array.astype(np.int64)


def _same_length(path: object, columns: dict[str, Sequence | np.ndarray]) -> int:
    """How many recordings there are. Refuse columns of different lengths."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        found = ", ".join(f"{name} has {length} entries" for name, length in lengths.items())
        raise damaged(path, f"{found}, but must have one a recording", "correct the file")
    return next(iter(lengths.values()))


def _ends(path: object, counts: np.ndarray, events: dict[str, np.ndarray]) -> np.ndarray:
    """Where each recording's events end; refuse counts that do not add up to the number of events."""
    for name, array in events.items():
        fits = counts.min(initial=0) >= 0 and counts.max(initial=0) <= len(array) and counts.sum(dtype=np.float64) == len(array)
        if not fits:
            found = f"count adds up to {counts.sum(dtype=np.float64):.0f} events, or is negative somewhere"
            raise damaged(path, f"{found}, but must add up to the {len(array)} of {name}", "correct the file")
    return np.cumsum(counts)


def _sample(path: object, number: int, when: np.ndarray, which: np.ndarray, n_steps: int, n_units: int, label: int) -> Sample:
    try:
        return Sample(Events(when, which, n_steps, n_units), label)
    except TpLavaError as error:
        raise ArchiveError(f"{path}: recording {number}: {error}", obj=str(path), attr=f"recordings[{number}]") from None
