"""A voice that was never heard: each speaker of a file is left out once, the others are learned, one sample at a time.

    uv run python tools/unseen_speaker.py spoken_digits.h5
    uv run python tools/unseen_speaker.py spoken_digits.h5 --precision fixed --plain

Recordings in SHD's layout with speakers (tp_lava.data.from_shd). Prints the accuracy on each speaker left out, mean and deviation over
the seeds. --plain: neither delay lines nor recordings that vary.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tp_lava as tpl

VARIED = tpl.Augmentation(shift=5, units=3, drop=0.3, stretch=0.16)  # chosen on other recordings, see docs/temporal.md
RULE = tpl.TP(3e-3, 1e-3, contrast="all")


def accuracy(recordings: tpl.data.Recordings, speaker: int, seed: int, epochs: int, precision: str, plain: bool) -> float:
    """On a speaker of whom nothing was learned."""
    pairs = list(zip(recordings.samples, recordings.speakers, strict=True))
    known = [sample for sample, who in pairs if who != speaker]
    unheard = [sample for sample, who in pairs if who == speaker]
    sizes = known[0].events.n_units, 200, 1 + max(sample.label for sample in recordings.samples)
    neuron = tpl.LIF(0.9)
    network = tpl.Network.dense(sizes, neuron, 0.9, seed=seed) if plain else tpl.Network.temporal(sizes, neuron, span=60, seed=seed)
    learner = tpl.Learner(network, RULE, precision, seed, schedule=tpl.Cosine(epochs))  # type: ignore[arg-type]
    learner.fit(known, epochs, augmentation=None if plain else VARIED)
    return learner.evaluate(unheard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--precision", choices=("float", "fixed"), default="float")
    parser.add_argument("--plain", action="store_true")
    given = parser.parse_args()
    recordings = tpl.data.from_shd(given.recordings)
    for speaker in np.unique(recordings.speakers):
        found = [accuracy(recordings, speaker, seed, given.epochs, given.precision, given.plain) for seed in range(given.seeds)]
        print(f"speaker {speaker}: {np.mean(found):.3f} +- {np.std(found):.3f}", flush=True)


if __name__ == "__main__":
    main()
