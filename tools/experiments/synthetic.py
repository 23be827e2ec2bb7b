"""Generated patterns in place of speech, to try the experiments on spoken words without recordings. Its figures say nothing about speech.

A word is two bands of channels that move over time, with noise; a speaker shifts the bands and has a tempo. The same seed gives the same
recordings.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

import tp_lava as tpl
from experiments.samples import SpokenWords
from tp_lava.data.events import Sample

N_CHANNELS, N_WORDS, N_SPEAKERS, N_RECORDINGS = 64, 10, 3, 40  # recordings of each word by each speaker
_STEPS, _BANDS, _PLACES = 60, 2, 4
_WIDTH, _PEAK, _NOISE = 2.0, 0.45, 0.01  # channels; spike probabilities of a channel and step
_SHIFTS, _TEMPI = (-2.0, 0.0, 2.5), (0.9, 1.0, 1.1)


@lru_cache(maxsize=2)
def speech(seed: int = 0) -> SpokenWords:
    """The recordings of three speakers, of whom the last differs most."""
    rng = np.random.default_rng(seed)
    words = rng.uniform(8, N_CHANNELS - 8, (N_WORDS, _BANDS, _PLACES))
    samples, speakers = [], []
    for speaker in range(N_SPEAKERS):
        for label in range(N_WORDS):
            for _ in range(N_RECORDINGS):
                samples.append(Sample(_recording(words[label], speaker, rng), label))
                speakers.append(speaker)
    patterns = f"{N_WORDS} patterns of {N_CHANNELS} channels in the place of words, {N_SPEAKERS} 'speakers'"
    what = f"SYNTHETIC, generated from a seed, not recorded from anyone: {patterns}"
    labels = np.array([sample.label for sample in samples])
    return SpokenWords(what, False, N_WORDS, samples, labels, np.array(speakers))


def _recording(places: np.ndarray, speaker: int, rng: np.random.Generator) -> tpl.Events:
    steps = round(_STEPS * _TEMPI[speaker] * rng.uniform(0.85, 1.15))
    bands_at = places + _SHIFTS[speaker] + rng.normal(0, 1.5, places.shape)
    progress = np.linspace(0, places.shape[1] - 1, steps)
    bands = np.stack([np.interp(progress, np.arange(places.shape[1]), band) for band in bands_at])  # (bands, steps)
    distance = bands[:, :, None] - np.arange(N_CHANNELS)
    probability = _NOISE + _PEAK * np.exp(-0.5 * (distance / _WIDTH) ** 2).sum(axis=0)
    return tpl.Events.from_dense(rng.random(probability.shape) < probability)
