"""What comes from outside: recordings as one tensor of spikes, labels as one of indices, both checked at the door."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tp_lava.data.events import Events, values_of
from tp_lava.errors import invalid

_MAKE_DENSE = "make it with tp_lava.torch.dense(events)"


def dense(events: Sequence[Events], device: torch.device | str | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Recordings side by side. -> (T, B, n_units) of 0 and 1, or values of graded spikes, T the longest one's steps; shorter ones end
    in silence.

    Only the events travel to the device. Raises InvalidValueError for none, for what is no Events, and for different n_units.
    """
    if not events:
        raise invalid("dense", "events", "empty", "at least one recording", "pass a list of tpl.Events")
    for sample in events:
        if not isinstance(sample, Events):
            remedy = "pass a list of them, without the labels"
            raise invalid("dense", "events", f"of type {type(sample).__name__}", "tpl.Events", remedy)
        if sample.n_units != events[0].n_units:
            found = f"of {events[0].n_units} and of {sample.n_units} units"
            raise invalid("dense", "events", found, "all of the same number of units", "give n_units=... when making them")
    steps, batch, units = max(sample.n_steps for sample in events), len(events), events[0].n_units
    rows = [sample.times.astype(np.int64) * batch + row for row, sample in enumerate(events)]
    places = np.concatenate([row * units + sample.units for row, sample in zip(rows, events, strict=True)])
    spikes = torch.zeros(steps * batch * units, device=device, dtype=dtype)
    spikes[torch.from_numpy(places).to(spikes.device)] = _values(events, spikes)
    return spikes.view(steps, batch, units)


def _values(events: Sequence[Events], spikes: Tensor) -> Tensor | float:
    """The value of each event, as `spikes` holds them; 1 where none is graded."""
    if not any(sample.is_graded for sample in events):
        return 1.0
    return torch.from_numpy(np.concatenate([values_of(sample) for sample in events])).to(spikes)


def checked_spikes(spikes: Tensor, n_inputs: int, device: torch.device) -> Tensor:
    """The spikes on that device. Raises InvalidValueError unless they are a tensor (T, B, n_inputs) with T, B >= 1."""
    if not isinstance(spikes, Tensor):
        raise invalid("SpikingNetwork", "spikes", f"of type {type(spikes).__name__}", "a tensor", _MAKE_DENSE)
    if spikes.ndim != 3 or spikes.shape[2] != n_inputs or 0 in spikes.shape:
        limit = f"(steps, samples, {n_inputs})"
        raise invalid("SpikingNetwork", "spikes", f"of shape {tuple(spikes.shape)}", limit, _MAKE_DENSE)
    return spikes.to(device)


def checked_labels(labels: Tensor | Sequence[int], count: int, n_classes: int, device: torch.device) -> Tensor:
    """The labels as (B,) int64 on that device. Raises InvalidValueError unless they are `count` integers in [0, n_classes)."""
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.shape != (count,):
        raise invalid("learn_batch", "labels", f"of shape {array.shape}", f"one for each of the {count} samples", "give a label for each")
    if array.dtype.kind not in "iu":
        raise invalid("learn_batch", "labels", f"of dtype {array.dtype}", "integers", "number the classes from 0")
    outside = np.flatnonzero((array < 0) | (array >= n_classes))
    if outside.size:
        found = f"{int(array[outside[0]])} at sample {int(outside[0])}"
        raise invalid("learn_batch", "labels", found, f"in [0, {n_classes})", "number the classes from 0")
    return torch.from_numpy(array.astype(np.int64)).to(device)
