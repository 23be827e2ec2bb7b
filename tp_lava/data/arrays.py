"""Own recordings: arrays of events to samples, and the plain .npz file that keeps them. No pickle, any NumPy reads it.

times    (E,) int     step of each event, sample after sample
units    (E,) int     input unit of each
offsets  (N + 1,) int where each sample's events begin; the last one is E
labels   (N,) int     class of each sample, from 0
n_steps  (N,) int     length of each sample, or one number for all; may be left out: the last event's step + 1
n_units  () int       inputs of the network; may be left out: the largest unit + 1
classes  (C,) text    names of the classes, by label; may be left out
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.data.events import LARGEST_WHOLE, Events, Sample
from tp_lava.data.recordings import check_labels
from tp_lava.errors import ArchiveError, TpLavaError, invalid, writing
from tp_lava.reading.limits import MOST_CLASSES, MOST_STEPS, MOST_STEPS_IN_ALL
from tp_lava.reading.npz import read_arrays

_NEEDED, _OPTIONAL = ("times", "units", "offsets", "labels"), ("n_steps", "n_units")


def from_arrays(
    times: Sequence[np.ndarray] | np.ndarray,
    units: Sequence[np.ndarray] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    *,
    offsets: np.ndarray | None = None,
    n_steps: int | Sequence[int] | np.ndarray | None = None,
    n_units: int | None = None,
    step: float | None = None,
) -> list[Sample]:
    """Samples of event arrays.

    times, units: one array a sample, or, with offsets (N + 1,), all of them in one array, sample i from offsets[i] to
    offsets[i + 1]; labels: (N,) ints from 0; step: length of a step in the unit of times, which are then any numbers >= 0,
    floor(time / step) is the step; without it times are steps; n_steps: of every sample, or of each; by default up to the
    last event of all; n_units: by default the largest unit + 1. Several events of a unit in one step are one spike. At most 2**24 steps
    a sample, 2**27 in all, and labels below 2**16. Raises InvalidValueError naming the sample.
    """
    if offsets is not None:
        times, units = _cut("times", times, offsets), _cut("units", units, offsets)
    which = [np.asarray(part) for part in units]
    when = [_steps(part, step) for part in times]
    if not len(when) == len(which) == len(labels) or not when:
        found = f"{len(labels)}, with times of {len(when)} samples and units of {len(which)}"
        raise invalid("from_arrays", "number of labels", found, "one a sample, and at least one", "count the arrays")
    if n_units is None:
        n_units = 1 + _largest("units", which)
    if n_steps is None:
        n_steps = 1 + _largest("times", when)
    lengths = list(n_steps) if np.ndim(n_steps) else [n_steps] * len(when)  # type: ignore[arg-type]
    if len(lengths) != len(when):
        raise invalid("from_arrays", "n_steps", f"{len(lengths)} numbers", f"one, or one a sample, {len(when)}", "give one for all")
    _check_lengths(lengths)
    return [_sample(number, *row, n_units) for number, row in enumerate(zip(when, which, lengths, labels, strict=True))]


def save_samples(path: str | os.PathLike, samples: Sequence[Sample | tuple[Events, int]], classes: Sequence[str] = ()) -> None:
    """Write samples as the .npz file above; load_samples gives them back. The same samples give the same bytes.

    classes: names of the classes, by label, one for each. Raises InvalidValueError for another suffix, no samples, samples of different
    inputs, or fewer names than classes.
    """
    if Path(path).suffix != ".npz":
        raise invalid("save_samples", "path", str(path), "a file ending in .npz", "rename it; commands know the layout by it")
    events, labels = [sample[0] for sample in samples], [sample[1] for sample in samples]
    if len({one.n_units for one in events}) != 1:
        found = sorted({one.n_units for one in events})
        raise invalid("save_samples", "samples", f"of {found} units", "at least one, all of the same units", "give Events n_units=...")
    arrays = {
        "times": np.concatenate([one.times for one in events]),
        "units": np.concatenate([one.units for one in events]),
        "offsets": np.cumsum([0, *(len(one) for one in events)], dtype=np.int64),
        "labels": np.array(labels, np.int64),
        "n_steps": np.array([one.n_steps for one in events], np.int32),
        "n_units": np.int32(events[0].n_units),
    }
    if len(classes):
        if len(classes) <= max(labels) or not all(isinstance(name, str) and name for name in classes):
            limit = f"a text for each label, 0 to {max(labels)}"
            raise invalid("save_samples", "classes", f"{list(classes)!r:.80}", limit, "leave classes out to show labels as numbers")
        arrays["classes"] = np.array([*classes], np.str_)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    with writing(path), open(path, "wb") as file:
        file.write(packed.getvalue())


def load_samples(path: str | os.PathLike) -> list[Sample]:
    """The samples of such a file. Raises FileNotFoundError, ArchiveError for another layout; executes nothing."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    found: dict[str, Any] = read_arrays(path, _NEEDED, _OPTIONAL)
    try:
        for name, dimensions in (("labels", (1,)), ("offsets", (1,)), ("n_units", (0,)), ("n_steps", (0, 1))):
            if name in found and (found[name].ndim not in dimensions or found[name].dtype.kind not in "iu"):
                held = f"{found[name].dtype} {found[name].shape}"
                raise invalid(
                    "load_samples", name, held, "whole numbers of the layout in tp_lava.data.arrays", "write it with save_samples"
                )
        check_labels(path, found["labels"])
        if "n_units" in found:
            found["n_units"] = int(found["n_units"])
        if "n_steps" in found and not found["n_steps"].ndim:
            found["n_steps"] = int(found["n_steps"])
        return from_arrays(**found)
    except ArchiveError:
        raise
    except TpLavaError as error:
        layout = "the layout of tp_lava.data.save_samples"
        raise ArchiveError(f"{path}: is not in {layout} ({error}); write it with save_samples.", obj=str(path), attr="file") from None


def _cut(name: str, values: object, offsets: np.ndarray) -> list[np.ndarray]:
    flat, edges = np.asarray(values), np.asarray(offsets)
    if edges.ndim != 1 or edges.size < 2 or edges.dtype.kind not in "iu":
        raise invalid("from_arrays", "offsets", f"{edges.dtype} {edges.shape}", "whole numbers (samples + 1,)", "begin with 0")
    if flat.ndim != 1:
        raise invalid("from_arrays", name, f"of shape {flat.shape}", "one-dimensional", "flatten it")
    if edges[0] != 0 or edges[-1] != flat.size or (np.diff(edges.astype(np.int64)) < 0).any():
        limit = f"from 0 up to the number of {name}, {flat.size}, never falling"
        raise invalid("from_arrays", "offsets", f"{edges[0]}...{edges[-1]}", limit, "use np.cumsum([0, *events_per_sample])")
    return np.split(flat, edges[1:-1].astype(np.int64))


def _steps(times: object, step: float | None) -> np.ndarray:
    array = np.asarray(times)
    if step is None:
        return array
    if not is_number(step) or step <= 0:
        raise invalid("from_arrays", "step", repr(step), "a number > 0", "give the length of a step in the unit of times")
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise invalid("from_arrays", "times", f"{array.dtype}, or not finite", "finite numbers", "look where the recording was made")
    steps = np.floor(array / step)
    if not (np.abs(steps) < LARGEST_WHOLE).all():
        raise invalid("from_arrays", "times", f"{np.abs(steps).max():g} steps of {step}", "in the unit of step", "give a larger step")
    return steps.astype(np.int64)


def _largest(name: str, parts: Sequence[np.ndarray]) -> int:
    """0 where there is none; what is no number is refused with its sample."""
    largest = [part.max().item() for part in parts if part.size and part.dtype.kind in "iuf"]
    if not all(-LARGEST_WHOLE < value < LARGEST_WHOLE for value in largest):  # NaN is neither
        found = next(value for value in largest if not -LARGEST_WHOLE < value < LARGEST_WHOLE)
        raise invalid("from_arrays", name, repr(found), "whole numbers", "look where the recording was made")
    return max((int(value) for value in largest), default=0)


def _check_lengths(lengths: Sequence[Any]) -> None:
    """Refuse lengths beyond what is read; those that are no whole numbers are refused with their sample."""
    whole = [int(length) for length in lengths if is_whole(length)]
    if max(whole, default=0) > MOST_STEPS or sum(whole) > MOST_STEPS_IN_ALL:
        found = f"{max(whole)} at most, {sum(whole)} in all"
        limit = f"at most {MOST_STEPS} a sample and {MOST_STEPS_IN_ALL} in all"
        raise invalid("from_arrays", "n_steps", found, limit, "give step=..., the length of a step in the unit of times, or split the data")


def _sample(number: int, when: np.ndarray, which: np.ndarray, n_steps: Any, label: Any, n_units: int) -> Sample:
    if not is_whole(label, 0):
        raise invalid("from_arrays", f"labels[{number}]", repr(label), "an integer of at least 0", "number the classes from 0")
    if label >= MOST_CLASSES:
        raise invalid("from_arrays", f"labels[{number}]", repr(label), f"less than {MOST_CLASSES}", "number the classes from 0")
    try:
        return Sample(Events(when, which, n_steps, n_units), int(label))
    except TpLavaError as error:
        raise type(error)(f"from_arrays: sample {number}: {error}", obj="from_arrays", attr=f"samples[{number}]") from None
