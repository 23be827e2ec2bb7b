"""Whether each layer of a module is given what the layer before it gave: else forward does something that no chain of layers has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tp_lava.convert.stages import Reading
from tp_lava.convert.verification.recording import Recording, Use
from tp_lava.errors import ConversionError

MEANT = "pass verify=False if that is meant"
_READ = "leave order and factors out, so that forward itself is read"
_CLOSE = 1e-5  # of the largest number: sums in another order
_INPUT = "the input"


def check_flow(reading: Reading, recording: Recording) -> None:
    """Compare what arrives at each layer with what left the layer before it. Raises ConversionError at the first that differs."""
    _check_calls(reading, recording)
    before, given = _INPUT, recording.frames
    for number, (layer, use) in enumerate(zip(reading.layers, recording.uses, strict=True)):
        if use is None:
            continue
        given = given * np.float32(layer.factor)
        if not _same(use.arrived, given):
            raise _parted(reading, recording, number, before, given)
        before, given = layer.path, use.left
    _check_returned(recording, before, given)


def _check_calls(reading: Reading, recording: Recording) -> None:
    for path, count in recording.counts.items():
        found = f"forward calls it {count} times in {len(recording.frames)} steps"
        raise ConversionError(path, found, "it is used in more than one place", f"make a layer for each place, or {MEANT}")
    for layer, use in zip(reading.layers, recording.uses, strict=True):
        if use is None and layer.needed:
            raise ConversionError(
                layer.path, "forward does not use it", "a layer that is left over", f"remove it from the model, or {MEANT}"
            )


def _parted(reading: Reading, recording: Recording, number: int, before: str, given: np.ndarray) -> ConversionError:
    """The error of a layer that is given something else."""
    layer, use = reading.layers[number], recording.uses[number]
    assert use is not None
    cause, remedy = _cause(reading, recording, number, before, given)
    if use.operations:
        computing = [each for each in use.operations if each.computes] or use.operations
        cause += f": forward calls {', '.join(map(str, computing[-4:]))} before it"
    arrived = use.arrived
    if arrived.shape != given.shape:
        found = f"{arrived.shape[1]} numbers arrive, where {before} gives {given.shape[1]}"
        return ConversionError(layer.path, found, cause, f"{remedy}, or {MEANT}")
    step, unit = (int(place) for place in np.argwhere(~_close(arrived, given))[0])
    found = f"{arrived[step, unit]:.6g} arrives, where {before} gives {given[step, unit]:.6g}"
    return ConversionError(layer.path, found, cause, f"{remedy}, or {MEANT}", step, unit)


def _cause(reading: Reading, recording: Recording, number: int, before: str, given: np.ndarray) -> tuple[str, str]:
    """-> (the likely cause, the remedy)."""
    use = recording.uses[number]
    assert use is not None
    others = list(_others(reading, recording, number))
    arrived = use.arrived
    for path, other in others:
        if _same(arrived, other):
            used = [(seen.began, layer.path) for layer, seen in zip(reading.layers, recording.uses, strict=True) if seen is not None]
            listed = ", ".join(repr(name) for _, name in sorted(used))
            return f"forward gives it what {path} makes, not what {before} makes", f"pass order=[{listed}] if that is a chain"
    if arrived.shape != given.shape:
        return _of_another_size(arrived, given, others)
    if (factor := _factor(arrived, given)) is not None:
        layer = reading.layers[number]
        return f"a factor of {factor:.6g}", f"pass factors={{{layer.path!r}: {layer.factor * factor:.6g}}}, which takes it into the weights"
    for path, other in others:
        if _same(arrived - given, other):
            return f"a skip connection adds what {path} gives", _READ
        if _same(arrived, given * other):
            return f"it is multiplied by what {path} gives", "train without that gate"
    return _of_each_number(arrived, given)


def _of_another_size(arrived: np.ndarray, given: np.ndarray, others: list[tuple[str, np.ndarray]]) -> tuple[str, str]:
    for path, other in others:
        for pair in ((given, other), (other, given)):
            if _same(arrived, np.concatenate(pair, axis=1)):
                return f"a concatenation with what {path} gives", _READ
    if arrived.shape[1] < given.shape[1]:
        return "a pooling or a selection that is no module", "use modules, such as nn.AvgPool2d, in forward"
    return "an operation that is no module", "use modules in forward"


def _of_each_number(arrived: np.ndarray, given: np.ndarray) -> tuple[str, str]:
    """A constant, another order of the units, or a function of each number."""
    if np.ptp(arrived - given) <= _CLOSE * max(np.abs(arrived).max(), 1.0):
        return f"a constant of {(arrived - given).flat[0]:.6g} is added", "put it into a bias, and leave it out of forward"
    if np.allclose(np.sort(arrived, axis=1), np.sort(given, axis=1)):
        return "units in another order", "change the order of the next layer's weights, and leave it out of forward"
    return "an operation that is no module", "use modules in forward, and spikes in place of activations"


def _factor(arrived: np.ndarray, given: np.ndarray) -> float | None:
    """What all numbers are multiplied by, if it is one number."""
    apart = np.abs(given) > 0
    if not apart.any() or arrived[~apart].any():
        return None
    factors = arrived[apart] / given[apart]
    return float(factors[0]) if np.ptp(factors) <= _CLOSE * np.abs(factors).max() else None


def _others(reading: Reading, recording: Recording, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """What else there is to be given: the input, and what left the other layers, those nearest before it first."""
    uses = list(zip(reading.layers, recording.uses, strict=True))
    for layer, use in (*reversed(uses[:number]), *uses[number + 1 :]):
        if use is not None:
            yield layer.path, use.left
    yield _INPUT, recording.frames


# What forward returns ---------------------------------------------------------------------------


def _check_returned(recording: Recording, path: str, given: np.ndarray) -> None:
    """Refuse a result that ranks the outputs otherwise than the last layer does."""
    last = max((use for use in recording.uses if use is not None), key=lambda use: use.began)
    operations = [each for each in recording.operations if each.computes]
    if not operations or not recording.returned:
        return
    if any(_ranks_alike(returned, expected) for returned in recording.returned for expected in _results(last, given)):
        return
    named = ", ".join(map(str, operations[-4:]))
    found = "what forward returns ranks the outputs otherwise"
    raise ConversionError(path, found, f"forward goes on with {named}", f"use modules in forward, or {MEANT}")


def _results(last: Use, given: np.ndarray) -> Iterator[np.ndarray]:
    """(T, n) or (1, n): what a module may return of its last layer."""
    for made in (given, last.left, *(() if last.potential is None else (last.potential,))):
        yield made
        yield from (made.sum(axis=0, keepdims=True), made.max(axis=0, keepdims=True), made[-1:])


def _ranks_alike(returned: np.ndarray, expected: np.ndarray) -> bool:
    if returned.size != expected.size:
        return False
    returned = returned.reshape(expected.shape)
    if expected.shape[1] == 1:
        return _same(returned, expected)
    order = np.argsort(expected, axis=1, kind="stable")
    along = np.take_along_axis(returned, order, axis=1)
    return bool((np.diff(along, axis=1) >= -_CLOSE * max(float(np.abs(along).max()), 1e-30)).all())


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(_close(a, b).all())


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where numbers are equal but for rounding."""
    return np.abs(a - b) <= _CLOSE * max(float(np.abs(b).max(initial=0.0)), 1e-30)
