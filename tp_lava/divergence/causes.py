"""The likely cause of a difference, in words: which term of the replay is largest, and whether rounding explains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tp_lava.divergence.forms import Form, Trial
from tp_lava.divergence.replay import Replay, Side, incoming, replay
from tp_lava.numbers import DECAY_BITS, Format

_FLOAT_ROUNDING = 2.0**-18  # of the membrane: what sums of float32 in another order may differ by, with room


def rounded(a: np.ndarray, b: np.ndarray, formats: tuple[Format | None, Format | None]) -> bool:
    """Whether arrays differ by no more than their formats explain: one is the other rounded, or both are, of the same numbers."""
    steps = sum(format.resolution / 2 for format in formats if format)
    near = np.abs(np.asarray(a, np.float64) - b) <= steps
    for fine, coarse, format in ((b, a, formats[0]), (a, b, formats[1])):
        if format:
            near |= format.real(format.quantise(fine)) == coarse  # clipped ones too
    return bool(np.all(near | (np.asarray(a) == b)))


def rounded_decays(a: float, b: float, fixed: tuple[bool, bool]) -> bool:
    """Whether decay factors differ by no more than holding them in 12 bits explains."""
    return abs(a - b) <= sum(0.5 / 2**DECAY_BITS for each in fixed if each) + 1e-7


def formats_of(a: Form, b: Form, name: str) -> tuple[Format | None, Format | None]:
    """A buffer's formats in the two forms, None in float."""
    return a.formats.get(name), b.formats.get(name)


def float_noise(a: Form, b: Form, scale: float) -> float:
    """What rounding of float32 sums explains, for numbers of about `scale`; nothing where both forms are integers."""
    return 0.0 if a.formats and b.formats else _FLOAT_ROUNDING * scale


def why(a: Form, b: Form, trials: tuple[Trial, Trial], below: np.ndarray, number: int, neuron: int, step: int) -> tuple[str, Replay]:
    """The cause of a difference of a hidden neuron's spike or membrane, and the replay it is read from."""
    one, other = (Side.of(form, trial, number, neuron) for form, trial in zip((a, b), trials, strict=True))
    seen = replay(one, other, below, trials[0].spikes[number], neuron, step)
    fired = [bool(trial.spikes[number][step, neuron]) for trial in trials]
    saturated = _saturated(a, b, number, seen)
    if saturated:
        return saturated, seen
    kinds = _different_kinds(a, b, number, fired, seen)
    return kinds or _largest_term(a, b, number, neuron, fired, seen, (one, other), step), seen


def _saturated(a: Form, b: Form, number: int, seen: Replay) -> str:
    for form, largest in zip((a, b), seen.largest, strict=True):
        membrane = form.formats.get(f"hidden{number}_membrane")
        if membrane and largest > membrane.largest + membrane.resolution:
            return f"membrane saturated at {membrane.bits} bits: {largest:.6g} was reached where {membrane.largest:.6g} is the most"
    return ""


def _different_kinds(a: Form, b: Form, number: int, fired: list[bool], seen: Replay) -> str:
    """Another comparison or another kind of reset, where that is what tells here."""
    one, other = (form.network.layers[number].neuron for form in (a, b))
    thresholds = [form.constants[number]["threshold"] for form in (a, b)]
    if fired[0] != fired[1] and one.comparison != other.comparison:
        margin = max(abs(pre - threshold) for pre, threshold in zip(seen.before_reset, thresholds, strict=True))
        membranes = [form.formats.get(f"hidden{number}_membrane") for form in (a, b)]
        if margin <= _FLOAT_ROUNDING * max(thresholds) + sum(m.resolution for m in membranes if m):
            return f'different comparison: "{one.comparison}" and "{other.comparison}", and the membrane meets the threshold'
    spiked_here = fired[0] and fired[1]
    if one.reset != other.reset and (spiked_here or abs(seen.terms["reset"]) >= max(map(abs, seen.terms.values())) > 0):
        return f'different reset: "{one.reset}" and "{other.reset}"'
    return ""


def _largest_term(a: Form, b: Form, number: int, neuron: int, fired: list[bool], seen: Replay, sides: tuple[Side, Side], step: int) -> str:
    """The cause by size."""
    held = tuple(form.constants[number] for form in (a, b))
    differ = fired[0] != fired[1]
    terms = dict(seen.terms)
    if differ:
        terms["threshold"] = held[1]["threshold"] - held[0]["threshold"]
    elif fired[0] and not (sides[0].zeroed and sides[1].zeroed):
        terms["reset"] -= held[0]["reset_by"] - held[1]["reset_by"]
    found = seen.before_reset[0] - seen.before_reset[1]
    left = found - sum(seen.terms.values())
    name = max(terms, key=lambda term: abs(terms[term]))
    noise = float_noise(a, b, max(1.0, *seen.largest))
    if abs(terms[name]) > max(noise, abs(left)):
        tell: Mapping[str, Callable[[], str]] = {
            "weights": lambda: _weights(a, b, number, neuron, seen),
            "bias": lambda: _array(a, b, f"bias{number}", (neuron,), seen.terms["bias"]),
            "decay": lambda: _decay(a, b, number, "decay", seen.terms["decay"]),
            "current_decay": lambda: _decay(a, b, number, "current_decay", seen.terms["current_decay"]),
            "threshold": lambda: _threshold(a, b, number, "threshold"),
            "reset": lambda: _threshold(a, b, number, "reset_by"),
        }
        return tell[name]()
    return _rounding(a, b, number, differ, seen, left)


def _weights(a: Form, b: Form, number: int, neuron: int, seen: Replay) -> str:
    """Which weight into the neuron brings most, or that all are rounded."""
    layer = a.network.layers[number]
    forward, feedback = f"hidden{number}", f"recurrent{number}"
    part = 0 if abs(seen.shares[0]).max(initial=0.0) >= abs(seen.shares[1]).max(initial=0.0) else 1
    unit, name = int(np.argmax(np.abs(seen.shares[part]))), (forward, feedback)[part]
    kinds = [which for which in (forward, feedback) if which in a.weights]
    if all(rounded(a.weights[which], b.weights[which], formats_of(a, b, which)) for which in kinds):
        return f"weight rounding: accumulated difference {seen.terms['weights']:.3g}"
    if layer.connection is None or part:
        values = [float(form.weights[name][neuron, unit]) for form in (a, b)]
        return f"different weights: {name}[{neuron}, {unit}] is {values[0]:.6g} and {values[1]:.6g}"
    values = [float(incoming(form, number, neuron)[unit]) for form in (a, b)]
    return f"different weights: {name} from unit {unit} to neuron {neuron} is {values[0]:.6g} and {values[1]:.6g}"


def _array(a: Form, b: Form, name: str, where: tuple[int, ...], term: float) -> str:
    arrays = [np.asarray(form.weights.get(name, np.zeros(form.network.shapes[name]))) for form in (a, b)]
    if rounded(arrays[0], arrays[1], formats_of(a, b, name)):
        return f"rounding of {name}: accumulated difference {term:.3g}"
    place = ", ".join(map(str, where))
    return f"different weights: {name}[{place}] is {float(arrays[0][where]):.6g} and {float(arrays[1][where]):.6g}"


def _decay(a: Form, b: Form, number: int, attr: str, term: float) -> str:
    values = [form.constants[number][attr] for form in (a, b)]
    asked = [getattr(form.network.layers[number].neuron, attr) for form in (a, b)]
    if not rounded_decays(values[0], values[1], (bool(a.formats), bool(b.formats))):
        return f"different {attr.replace('_', ' ')}s: {values[0]:.6g} and {values[1]:.6g}"
    coarse = 0 if a.formats else 1
    mantissa = round(values[coarse] * 2**DECAY_BITS)
    return f"{attr.replace('_', ' ')} held as {mantissa}/{2**DECAY_BITS}, not {asked[coarse]:.6g}: accumulated difference {term:.3g}"


def _threshold(a: Form, b: Form, number: int, attr: str) -> str:
    values = [form.constants[number][attr] for form in (a, b)]
    steps = sum(f.resolution / 2 for f in formats_of(a, b, f"hidden{number}_membrane") if f)
    own = [form.network.layers[number].neuron.reset_by is not None for form in (a, b)]
    if attr == "reset_by" and not any(own):  # the threshold is what a spike subtracts
        attr = "threshold"
    what = "threshold" if attr == "threshold" else "amount subtracted by a spike"
    if abs(values[0] - values[1]) <= steps + 1e-7:
        return f"rounding of the {what}: {values[0]:.9g} and {values[1]:.9g}"
    return f"different {what}{'s' if attr == 'threshold' else ''}: {values[0]:.6g} and {values[1]:.6g}"


def _rounding(a: Form, b: Form, number: int, differ: bool, seen: Replay, left: float) -> str:
    """What no parameter explains."""
    margin = max(abs(pre - form.constants[number]["threshold"]) for pre, form in zip(seen.before_reset, (a, b), strict=True))
    scale = max(1.0, *seen.largest)
    if not a.formats and not b.formats:
        if differ and margin <= _FLOAT_ROUNDING * scale:
            return f"float rounding at the threshold: |membrane - threshold| is {margin:.1g}"
        return f"unknown: weights and constants are the same, and the membranes {abs(left):.3g} apart; suspect the order of steps"
    resolutions = [f.resolution for f in formats_of(a, b, f"hidden{number}_membrane") if f]
    if bool(a.formats) != bool(b.formats) or resolutions[0] != resolutions[-1]:
        return (
            f"membrane rounding: products with decays are cut to steps of {max(resolutions):.3g}; the membranes are {abs(left):.3g} apart"
        )
    return f"unknown: the same integers, and the membranes {abs(left):.3g} apart; suspect the order of steps"


def why_scores(a: Form, b: Form, cls: int) -> str:
    """The cause of different scores on the same spikes."""
    weights = [form.weights["readout"] for form in (a, b)]
    if not rounded(weights[0], weights[1], formats_of(a, b, "readout")):
        unit = int(np.argmax(np.abs(weights[0][cls] - weights[1][cls])))
        return f"different weights: readout[{cls}, {unit}] is {float(weights[0][cls, unit]):.6g} and {float(weights[1][cls, unit]):.6g}"
    biases = [np.asarray(form.weights.get("readout_bias", np.zeros(form.network.n_classes))) for form in (a, b)]
    if not rounded(biases[0], biases[1], formats_of(a, b, "readout_bias")):
        return f"different weights: readout_bias[{cls}] is {float(biases[0][cls]):.6g} and {float(biases[1][cls]):.6g}"
    decays = [form.network.readout_decay for form in (a, b)]
    if not rounded_decays(decays[0], decays[1], (bool(a.formats), bool(b.formats))):
        return f"different readout decays: {decays[0]:.6g} and {decays[1]:.6g}"
    if a.formats or b.formats:
        return "rounding of the readout's weights, bias or decay"
    return "float rounding of the scores"
