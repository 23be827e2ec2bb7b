"""Divergence: two forms of one network side by side, and the first step, layer and neuron in which they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tp_lava.circuit.names import SCORE
from tp_lava.data.events import Events, Sample, recordings_of
from tp_lava.divergence.causes import why, why_scores
from tp_lava.divergence.forms import FormPair, NetworkForm, Trial, form_of, is_foreign, resolutions
from tp_lava.divergence.forms import InLava as InLava
from tp_lava.divergence.replay import arriving, delayed, later, sent
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT, READOUT, READOUT_BIAS


@dataclass(frozen=True)
class Divergence:
    """The first difference of two forms.

    forms: their titles; sample, step: from 0; layer: name of the population, or "readout"; neuron: or class; quantity: "spike",
    "membrane" (at the end of the step), "score" or "prediction" (at the sample's end); values: of the two forms; membranes:
    of a hidden neuron in that step before its reset, threshold: as each form holds it; cause: the likely one, in words;
    layer_number: of the hidden layer, from 0, None for the readout.
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
    layer_number: int | None = None

    def __str__(self) -> str:
        a, b = self.forms
        unit = "class" if self.layer_number is None else "neuron"
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
    a: Any, b: Any, samples: Sequence[Events | Sample | tuple[Events, int]], *, tolerance: float | None = None, **options: Any
) -> Divergence | None:
    """The first difference of two forms of a network, in order of samples, steps and layers; None where they agree on all.

    a, b: a Network (in the engine, float), a Learner, a Quantised, a tp_lava.torch.SpikingNetwork or an InLava, of the same
    graph; nothing is learned. samples: recordings, labels are not used. Spikes and predictions must be equal;
    membranes and scores may differ by `tolerance` (0: not at all, math.inf: are not compared), by default by what the forms'
    own resolution explains: rounding of weights, decays and membranes in fixed point, of sums in float.
    One of both may be a foreign PyTorch module, as `convert` takes it: its spikes are those that it makes itself; options: those of
    `convert` for it, such as neurons=. Raises InvalidValueError.
    """
    if tolerance is not None and (not isinstance(tolerance, int | float) or math.isnan(tolerance) or tolerance < 0):
        raise invalid("diverge", "tolerance", repr(tolerance), "a number >= 0, or None", "None follows from the forms' resolution")
    forms = _forms(a, b, options)
    _check_shapes(*forms)
    network = forms[0].network
    recordings = recordings_of("diverge", samples, network.n_inputs, network.input_format)
    if forms[0].title == forms[1].title:
        for form, name in zip(forms, ("first", "second"), strict=True):
            form.title = f"{name} {form.title}"
    runs = (form.trials(recordings) for form in forms)
    for sample, (events, *trials) in enumerate(zip(recordings, *runs, strict=True)):
        found = _Comparison(FormPair(*forms), (trials[0], trials[1]), events, tolerance, sample).first()
        if found:
            return found
    return None


def _forms(a: Any, b: Any, options: dict[str, Any]) -> tuple[NetworkForm, NetworkForm]:
    foreign = [is_foreign(each) for each in (a, b)]
    if options and not any(foreign):
        raise invalid("diverge", "options", ", ".join(options), "given for a foreign PyTorch module alone", "leave them out")
    if not any(foreign) or all(foreign):
        return form_of(a), form_of(b)
    from tp_lava.divergence.foreign import ModuleForm  # here, for it cannot be imported without PyTorch

    if foreign[0]:
        other = form_of(b)
        return ModuleForm(a, other.network, options), other
    form = form_of(a)
    return form, ModuleForm(b, form.network, options)


class _Comparison:
    """Two forms on one recording."""

    def __init__(self, pair: FormPair, trials: tuple[Trial, Trial], events: Events, tolerance: float | None, sample: int) -> None:
        self._pair, self._trials, self._tolerance, self._sample = pair, trials, tolerance, sample
        layers = zip(pair.layers, trials[0].spikes, strict=True)
        self._sent = {INPUT: events.to_dense()} | {layer.name: sent(layer.population, spikes) for layer, spikes in layers}
        self._given = [arriving(layer, self._sent) for layer in pair.layers]

    def first(self) -> Divergence | None:
        """Earliest step, then lowest layer, then lowest neuron; the readout, which stands at the end, last."""
        found = [(int(steps[0]), n) for n in range(len(self._pair.layers)) if (steps := np.flatnonzero(self._differ(n).any(axis=1))).size]
        return self._hidden(*min(found)) if found else self._readout()

    def _differ(self, number: int) -> np.ndarray:
        """(T, n): where spikes differ, or membranes by more than is allowed."""
        a, b = self._trials
        apart = np.abs(a.membranes[number] - b.membranes[number])
        return (a.spikes[number] != b.spikes[number]) | (apart > self._allowed(number)[:, None])

    # What may differ --------------------------------------------------------------------------
    def _allowed(self, number: int) -> np.ndarray:
        """(T,): what the forms' resolution may bring to a layer's membranes, step by step."""
        steps = len(self._sent[INPUT])
        if self._tolerance is not None:
            return np.full(steps, self._tolerance)
        pair, membranes = self._pair, self._pair.membranes(number)
        held = {attr: pair.constants(number, attr) for attr in ("decay", "current_decay")}
        threshold = float(pair.constants(number, "threshold")[0].max())
        largest = max(1.0, *(float(np.abs(trial.membranes[number]).max(initial=0.0)) for trial in self._trials), threshold)
        each = pair.float_noise(largest) + (sum(resolutions(membranes)) if membranes[0] != membranes[1] else 0.0)
        differences, weights = self._arriving(number)
        slips = {attr: pair.slip(*decays) for attr, decays in held.items()}
        decay, current_decay = float(np.max(held["decay"])), float(np.max(held["current_decay"]))
        allowed, current, drift, total = np.zeros(steps), 0.0, 0.0, 0.0
        for step in range(steps):
            drift = current_decay * drift + differences[step] + slips["current_decay"] * current + (each if current_decay else 0.0)
            current = current_decay * current + weights[step]
            total = decay * total + drift + each + slips["decay"] * largest
            allowed[step] = total
        refractory = max(float(steps.max()) for steps in pair.constants(number, "refractory")) > 0
        return np.maximum.accumulate(allowed) if refractory else allowed  # a membrane that waits keeps what it had

    def _arriving(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(T,) each: the most that rounding of weights brings to an input in a step, and the most that arrives."""
        pair, layer = self._pair, self._pair.layers[number]
        differences = weights = np.zeros(len(self._sent[INPUT]))
        for connection in layer.connections:
            given = np.abs(delayed(later(self._sent[connection.pre], int(connection.recurrent)), connection.delays))
            count, largest = given.sum(axis=1), pair.largest_weight(connection.name)
            rounded = pair.rounded_values(connection.pre) * np.count_nonzero(given, axis=1)
            differences = differences + pair.explained(connection.name) * count + largest * rounded
            weights = weights + largest * count
        return differences, weights

    def _allowed_score(self) -> float:
        if self._tolerance is not None:
            return self._tolerance
        pair, steps = self._pair, len(self._sent[INPUT])
        largest = max(1.0, *(float(np.abs(trial.scores).max()) for trial in self._trials))
        readout = pair.a.network.readout
        last = self._sent[readout.pre]
        rounded = pair.rounded_values(readout.pre) * np.count_nonzero(last)
        weights = pair.explained(readout.name) * float(last.sum()) + pair.largest_weight(readout.name) * rounded
        bias = pair.explained(READOUT_BIAS) * steps
        decays, leaky = pair.readout_decays, min(pair.readout_decays) < 1
        slip = sum(pair.fixed) * 2.0**-13 * largest * steps if leaky and pair.rounded_decays(decays) else 0.0
        cut = sum(resolutions(pair.formats(SCORE))) * steps if leaky and not all(pair.fixed) else 0.0
        return weights + bias + slip + cut + pair.float_noise(largest) * math.sqrt(steps)

    # What is found ----------------------------------------------------------------------------
    def _hidden(self, step: int, number: int) -> Divergence:
        neuron = int(np.flatnonzero(self._differ(number)[step])[0])
        spikes = [float(trial.spikes[number][step, neuron]) for trial in self._trials]
        membranes = [float(trial.membranes[number][step, neuron]) for trial in self._trials]
        quantity, values = ("membrane", membranes) if spikes[0] == spikes[1] else ("spike", spikes)
        cause, seen = why(self._pair, self._trials, self._given[number], number, neuron, step)
        details = seen.before_reset, seen.threshold, cause, number
        return self._divergence(step, self._pair.layers[number].name, neuron, quantity, values, *details)

    def _readout(self) -> Divergence | None:
        a, b = (trial.scores for trial in self._trials)
        predictions = [int(scores.argmax()) for scores in (a, b)]
        classes = np.flatnonzero(np.abs(a - b) > self._allowed_score())
        if not classes.size and predictions[0] == predictions[1]:
            return None
        label = int(classes[0]) if classes.size else predictions[0]
        quantity, values = ("score", [a[label], b[label]]) if classes.size else ("prediction", predictions)
        return self._divergence(len(self._sent[INPUT]) - 1, READOUT, label, quantity, values, None, None, why_scores(self._pair, label))

    def _divergence(self, step: int, layer: str, neuron: int, quantity: str, values: Sequence[float], *details: Any) -> Divergence:
        first, second = map(float, values)
        titles = self._pair.a.title, self._pair.b.title
        return Divergence(titles, self._sample, step, layer, neuron, quantity, (first, second), *details)


def _check_shapes(a: NetworkForm, b: NetworkForm) -> None:
    if a.network.shapes != b.network.shapes:
        found = f"{a.network!r} and {b.network!r}"
        raise invalid("diverge", "forms", found, "of the same shape", "compare forms of one network")
    for one, other in zip(a.layers, b.layers, strict=True):
        if one.connections != other.connections:
            raise invalid("diverge", one.name, "connected in two ways", "the same connection", "compare forms of one network")
