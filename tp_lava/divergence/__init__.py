"""Divergence: two forms of one network side by side, and the first step, layer and neuron where they part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tp_lava.data.events import Events, Sample, check_events
from tp_lava.divergence.causes import float_noise, formats_of, rounded, rounded_decays, why, why_scores
from tp_lava.divergence.forms import Form, Trial, form_of
from tp_lava.divergence.forms import InLava as InLava
from tp_lava.errors import invalid


@dataclass(frozen=True)
class Divergence:
    """Where two forms part.

    forms: their titles; sample, step: from 0; layer: "hidden0", ... or "readout"; neuron: or class; quantity: "spike",
    "membrane" (at the end of the step), "score" or "prediction" (at the sample's end); values: of the two forms; membranes:
    of a hidden neuron in that step before its reset, threshold: as each form holds it; cause: the likely one, in words.
    """

    forms: tuple[str, str]
    sample: int
    step: int
    layer: str
    neuron: int
    quantity: str
    values: tuple[float, float]
    membranes: tuple[float, float] | None
    threshold: tuple[float, float] | None
    cause: str

    def __str__(self) -> str:
        a, b = self.forms
        unit = "class" if self.layer == "readout" else "neuron"
        where = f"sample {self.sample}, step {self.step}, {self.layer}, {unit} {self.neuron}"
        if self.quantity == "spike":
            first, second = (a, b) if self.values[0] else (b, a)
            found = f"it spikes in {first} and not in {second}"
        else:
            found = f"its {self.quantity} is {self.values[0]:.9g} in {a} and {self.values[1]:.9g} in {b}"
        held = ""
        if self.membranes and self.threshold:
            held = f" Before the reset the membranes were {self.membranes[0]:.9g} and {self.membranes[1]:.9g}"
            same = self.threshold[0] == self.threshold[1]
            held += f", the threshold {self.threshold[0]:.9g}{'' if same else f' and {self.threshold[1]:.9g}'}."
        return f"The forms {a} and {b} part at {where}: {found}.{held} Likely cause: {self.cause}."


def diverge(
    a: Any, b: Any, samples: Sequence[Events | Sample | tuple[Events, int]], *, tolerance: float | None = None
) -> Divergence | None:
    """The first difference of two forms of a network, in order of samples, steps and layers; None where they agree on all.

    a, b: a Network (in the engine, float), a Learner, a Quantised, a tp_lava.torch.SpikingNetwork or an InLava, of the same
    shape; nothing is learned. samples: recordings, labels are not looked at. Spikes and predictions must be equal; membranes
    and scores may differ by `tolerance` (0: not at all, math.inf: are not compared), by default by what the forms' own
    resolution can bring: rounding of weights, decays and membranes in fixed point, of sums in float.
    Raises InvalidValueError.
    """
    if tolerance is not None and (not isinstance(tolerance, int | float) or math.isnan(tolerance) or tolerance < 0):
        raise invalid("diverge", "tolerance", repr(tolerance), "a number >= 0, or None", "None follows from the forms' resolution")
    forms = form_of(a), form_of(b)
    _check_shapes(*forms)
    recordings = _recordings(samples, forms[0].network.n_inputs)
    if forms[0].title == forms[1].title:
        for form, name in zip(forms, ("first", "second"), strict=True):
            form.title = f"{name} {form.title}"
    for index, (events, *trials) in enumerate(zip(recordings, *(form.trials(recordings) for form in forms), strict=True)):
        found = _Comparison(forms, (trials[0], trials[1]), events, tolerance, index).first()
        if found:
            return found
    return None


class _Comparison:
    """Two forms on one recording."""

    def __init__(self, forms: tuple[Form, Form], trials: tuple[Trial, Trial], events: Events, tolerance: float | None, sample: int) -> None:
        self._forms, self._trials, self._tolerance, self._sample = forms, trials, tolerance, sample
        self._below = (events.to_dense(), *trials[0].spikes)

    def first(self) -> Divergence | None:
        """Earliest step, then lowest layer, then lowest neuron; the readout, which stands at the end, last."""
        earliest: tuple[int, int] | None = None
        for number in range(len(self._trials[0].spikes)):
            steps = np.flatnonzero(self._parted(number).any(axis=1))
            if steps.size and (earliest is None or steps[0] < earliest[0]):
                earliest = int(steps[0]), number
        return self._hidden(*earliest) if earliest else self._readout()

    def _parted(self, number: int) -> np.ndarray:
        """(T, n): where spikes differ, or membranes by more than is allowed."""
        a, b = self._trials
        apart = np.abs(a.membranes[number] - b.membranes[number])
        return (a.spikes[number] != b.spikes[number]) | (apart > self._allowed(number)[:, None])

    def _allowed(self, number: int) -> np.ndarray:
        """(T,): what the forms' resolution may bring, step by step."""
        steps = len(self._below[0])
        if self._tolerance is not None:
            return np.full(steps, self._tolerance)
        (a, b), trials, name = self._forms, self._trials, f"hidden{number}"
        fixed = bool(a.formats), bool(b.formats)
        one, other = (form.constants[number] for form in (a, b))
        largest = max(1.0, *(float(np.abs(trial.membranes[number]).max(initial=0.0)) for trial in trials), one["threshold"])
        each = sum(f.resolution for f in formats_of(a, b, f"{name}_membrane") if f and fixed[0] != fixed[1]) + float_noise(a, b, largest)
        if fixed[0] and fixed[1] and len(set(formats_of(a, b, f"{name}_membrane"))) > 1:
            each += sum(f.resolution for f in formats_of(a, b, f"{name}_membrane") if f)
        arriving = self._explained(name) * self._below[number].sum(axis=1)
        weights = self._largest_weight(name) * self._below[number].sum(axis=1)
        if self._forms[0].network.layers[number].recurrent:
            fed = np.concatenate([[0], trials[0].spikes[number][:-1].sum(axis=1)])
            arriving, weights = (
                arriving + self._explained(f"recurrent{number}") * fed,
                weights + self._largest_weight(f"recurrent{number}") * fed,
            )
        slips = {attr: _slip(one[attr], other[attr], fixed) for attr in ("decay", "current_decay")}
        decay, current_decay = (max(one[attr], other[attr]) for attr in ("decay", "current_decay"))
        allowed, current, drift, total = np.zeros(steps), 0.0, 0.0, 0.0
        for step in range(steps):
            drift = current_decay * drift + arriving[step] + slips["current_decay"] * current + (each if current_decay else 0.0)
            current = current_decay * current + weights[step]
            total = decay * total + drift + each + slips["decay"] * largest
            allowed[step] = total
        return allowed

    def _explained(self, name: str) -> float:
        """The largest difference of weights where rounding explains all of them; else none."""
        arrays = [np.asarray(form.weights[name], np.float64) for form in self._forms]
        return float(np.abs(arrays[0] - arrays[1]).max()) if rounded(arrays[0], arrays[1], formats_of(*self._forms, name)) else 0.0

    def _largest_weight(self, name: str) -> float:
        return max(float(np.abs(form.weights[name]).max(initial=0.0)) for form in self._forms)

    # What is told -----------------------------------------------------------------------------
    def _hidden(self, step: int, number: int) -> Divergence:
        neuron = int(np.flatnonzero(self._parted(number)[step])[0])
        spikes = [bool(trial.spikes[number][step, neuron]) for trial in self._trials]
        quantity = "membrane" if spikes[0] == spikes[1] else "spike"
        values = (
            [float(trial.membranes[number][step, neuron]) for trial in self._trials] if quantity == "membrane" else list(map(float, spikes))
        )
        cause, seen = why(*self._forms, self._trials, self._below[number], number, neuron, step)
        thresholds = [form.constants[number]["threshold"] for form in self._forms]
        return self._told(step, f"hidden{number}", neuron, quantity, values, cause, seen.before_reset, (thresholds[0], thresholds[1]))

    def _readout(self) -> Divergence | None:
        a, b = (trial.scores for trial in self._trials)
        last, apart = len(self._below[0]) - 1, np.abs(a - b)
        classes = np.flatnonzero(apart > self._allowed_score())
        if classes.size:
            cls = int(classes[0])
            return self._told(last, "readout", cls, "score", [float(a[cls]), float(b[cls])], why_scores(*self._forms, cls))
        if a.argmax() != b.argmax():
            cls = int(a.argmax())
            return self._told(last, "readout", cls, "prediction", [float(a.argmax()), float(b.argmax())], why_scores(*self._forms, cls))
        return None

    def _allowed_score(self) -> float:
        if self._tolerance is not None:
            return self._tolerance
        a, b = self._forms
        fixed = bool(a.formats), bool(b.formats)
        largest = max(1.0, *(float(np.abs(trial.scores).max()) for trial in self._trials))
        spikes, steps = int(self._below[-1].sum()), len(self._below[0])
        bias = self._explained("readout_bias") if all("readout_bias" in form.weights for form in self._forms) else 0.0
        decays = [form.network.readout_decay for form in self._forms]
        slip = (
            sum(2.0**-13 for each in fixed if each) * largest * steps
            if min(decays) < 1 and rounded_decays(decays[0], decays[1], fixed)
            else 0.0
        )
        cut = sum(f.resolution for f in formats_of(a, b, "score") if f) * steps if min(decays) < 1 and fixed != (True, True) else 0.0
        return self._explained("readout") * spikes + bias * steps + slip + cut + float_noise(a, b, largest) * math.sqrt(steps)

    def _told(
        self,
        step: int,
        layer: str,
        neuron: int,
        quantity: str,
        values: Sequence[float],
        cause: str,
        membranes: tuple[float, float] | None = None,
        threshold: tuple[float, float] | None = None,
    ) -> Divergence:
        titles = self._forms[0].title, self._forms[1].title
        return Divergence(titles, self._sample, step, layer, neuron, quantity, (values[0], values[1]), membranes, threshold, cause)


def _slip(a: float, b: float, fixed: tuple[bool, bool]) -> float:
    """A difference of decays that 12 bits explain."""
    return abs(a - b) if rounded_decays(a, b, fixed) else 0.0


def _check_shapes(a: Form, b: Form) -> None:
    if a.network.shapes != b.network.shapes:
        found = f"{a.network!r} and {b.network!r}"
        raise invalid("diverge", "forms", found, "of the same shape", "compare forms of one network")
    for number, layers in enumerate(zip(a.network.layers, b.network.layers, strict=True)):
        if layers[0].connection != layers[1].connection:
            raise invalid("diverge", f"hidden{number}", "connected in two ways", "the same connection", "compare forms of one network")


def _recordings(samples: Any, n_inputs: int) -> list[Events]:
    recordings = [
        sample if isinstance(sample, Events) else sample[0] if isinstance(sample, tuple) and sample else sample for sample in samples
    ]
    if not recordings:
        raise invalid("diverge", "samples", "empty", "at least one recording", "give some that both forms should agree on")
    for events in recordings:
        check_events(events, n_inputs)
    return recordings
