"""A converted network runs beside the PyTorch module it was read from, on the same spikes: what differs is an error.

    what arrives at a layer[t] = what left the layer before it[t]          (flow.py: forward does nothing but call its layers)
    spikes of a population here[t] = those of its layer there[t]           (spikes.py: weights, neurons, foldings)

Neurons that were declared, which the module does not have, run in it in place of their layer (substitutes.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tp_lava.convert.stages import Reading, Source
from tp_lava.convert.verification.flow import check_flow
from tp_lava.convert.verification.recording import CannotRunError, Recording, record
from tp_lava.convert.verification.spikes import SpikeCheck
from tp_lava.convert.verification.substitutes import Substitute, reading_of, substitutes_of
from tp_lava.data.events import Events, recordings_of
from tp_lava.graph.network import Network

RATES = (0.1, 0.3, 0.6)  # of random input: a sample each
STEPS = 20


def verify(source: Source, network: Network, samples: Sequence[Any] | None = None, module: Any = None, seed: int = 0) -> str:
    """Run the module that a source was read from beside the network.

    samples: Events, or (Events, label) pairs; None: random ones of RATES, STEPS steps each, from `seed`; module: whose spikes are
    compared, layer by layer in the order of use, where the source was not read from one. -> what was compared, or why the module
    cannot be run, in words. Raises ConversionError where they part, InvalidValueError for samples or a module that do not fit.
    """
    reading = source.reading or reading_of(module)
    recordings = _random(network, seed) if samples is None else recordings_of("convert", samples, network.n_inputs, network.input_format)
    frames = [events.to_dense().astype(np.float32).reshape(-1, *(source.frame_shape or source.input_shape)) for events in recordings]
    try:
        recorded, stand_in = _recorded(reading, source, frames)
    except CannotRunError as error:
        return f"not verified: the module cannot be run beside it, for {error}"
    check = SpikeCheck(source, network, reading)
    if not reading.whole and (different := check.other_layers(recorded[0])):
        return f"not verified: {different}"
    for recording in recorded:
        if reading.whole and reading.chain:
            check_flow(reading, recording)
        check.compare(recording)
    if reading.whole and reading.chain and check.silent:
        with contextlib.suppress(CannotRunError):
            check_flow(reading, record(reading, stand_in, frames[0], np.random.default_rng(seed)))
    return _summary(check, len(recorded), samples is None)


def _summary(check: SpikeCheck, count: int, random: bool) -> str:
    said = f"verified beside the module on {count}{' random' if random else ''} samples: no spike differs in {check.steps} steps"
    if check.steps < check.asked:
        said += f" of {check.asked}; the rest come after a potential that met its threshold but for rounding"
    if check.silent:
        said += f"; without a spike: {', '.join(sorted(check.silent))} (give samples=... on which it spikes)"
        said += "; forward was run with random spikes in their place" if check.reading.whole and check.reading.chain else ""
    return said


def _recorded(reading: Reading, source: Source, frames: list[np.ndarray]) -> tuple[list[Recording], dict[str, Substitute]]:
    """The module on all samples, and what stands in: declared neurons take the place of what gives no spikes."""
    substitutes = substitutes_of(source)
    # What stands in place of a layer of others than PyTorch may be neurons itself, unless what the layer gives is graded.
    own = [layer for layer in reading.layers if not layer.replaced or type(layer.leaf).__module__.startswith("torch.")]
    chosen = {layer.path: layer for layer in own if layer.declared}
    while True:
        stand_in = {path: substitutes[layer.declared[-1].path] for path, layer in chosen.items()}
        recorded = [record(reading, stand_in, each) for each in frames]
        pairs = [pair for recording in recorded for pair in zip(reading.layers, recording.uses, strict=True)]
        several = [layer for layer, use in pairs if use is not None and len(np.unique(use.left[use.left != 0])) > 1]  # no spikes
        graded = {layer.path: layer for layer in several if layer.replaced and layer.path not in chosen}
        if not graded:
            return recorded, stand_in
        chosen |= graded


def recorded_on(source: Source, frames: np.ndarray) -> dict[str, np.ndarray]:
    """The spikes of each population, path -> (T, n) bool, as the module makes them that a source was read from, where it makes any.

    frames: (T, *input_shape). Raises CannotRunError.
    """
    reading = source.reading
    if reading is None:
        raise CannotRunError("there is none")
    (recording,), _ = _recorded(reading, source, [frames])
    made: dict[str, np.ndarray] = {}
    for layer, use in zip(reading.layers, recording.uses, strict=True):
        if use is not None:
            made |= dict.fromkeys([layer.spikes] if layer.spikes else [stage.path for stage in layer.declared], use.left != 0)
    return made


def _random(network: Network, seed: int) -> list[Events]:
    """Events of each rate; graded ones are any numbers that the input's format holds."""
    rng, n, format = np.random.default_rng(seed), network.n_inputs, network.input_format
    found = []
    for rate in RATES:
        frames = (rng.random((STEPS, n)) < rate).astype(np.float32)
        if format is not None:
            frames *= rng.integers(1, max(2, min(format.high, round(1 / format.resolution)) + 1), frames.shape) * np.float32(
                format.resolution
            )
        found.append(Events.from_dense(frames, graded=format is not None))
    return found
