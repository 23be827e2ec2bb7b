"""A new speaker: a network that has learned two speakers' digits learns a third's from 1, 5 or 10 recordings a digit.

    uv run python tools/adaptation.py --recordings spoken_digits.h5

Recordings: SHD's layout with extra/speaker (see tp_lava.data.from_shd), three speakers. Streaming TP, one sample at a time.
Accuracy is on the third speaker's other recordings, with and without learning the two others first, and on held-out
recordings of those two, before and after: what is forgotten. Every speaker is the third one once per seed.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

import tp_lava as tpl

SPEAKERS, SHOTS, HELD_BACK = 3, (1, 5, 10), 10
EPOCHS, ADAPTING_EPOCHS, RATE, ADAPTING_RATE = 20, 20, 3e-3, 1e-3
Precision = Literal["float", "fixed"]


@lru_cache(maxsize=1)
def recordings(path: Path) -> tpl.data.Recordings:
    return tpl.data.from_shd(path)


def by_digit(path: Path, speaker: int, seed: int) -> list[list]:
    """The speaker's recordings of each digit, in an order drawn from the seed."""
    samples = recordings(path)
    speakers = samples.speakers
    rng = np.random.default_rng([seed, speaker])
    number = np.unique(speakers)[speaker]
    chosen = [samples[index] for index in rng.permutation(np.flatnonzero(speakers == number))]
    return [[sample for sample in chosen if sample.label == digit] for digit in range(10)]


def learned(network: tpl.Network, rate: float, epochs: int, samples: list, precision: Precision, seed: int) -> tpl.Learner:
    learner = tpl.Learner(network, tpl.TP(rate, contrast="all"), precision, seed, schedule=tpl.Cosine(epochs))
    learner.fit(samples, epochs)
    return learner


def accuracies(path: Path, precision: Precision, seed: int, new: int) -> list[list[float]]:
    """Rows: before, 1, 5, 10 recordings. Columns: the new speaker, without the others first, the others."""
    others = [digit for speaker in range(SPEAKERS) if speaker != new for digit in by_digit(path, speaker, seed)]
    known = [sample for digit in others for sample in digit[HELD_BACK:]]
    old = [sample for digit in others for sample in digit[:HELD_BACK]]
    digits = by_digit(path, new, seed)
    test = [sample for digit in digits for sample in digit[max(SHOTS) :]]
    blank = tpl.Network.dense((64, 200, 10), tpl.LIF(0.9), trace_decay=0.9, seed=seed)
    before = learned(blank, RATE, EPOCHS, known, precision, seed)
    rows = [[before.evaluate(test), 0.1, before.evaluate(old)]]
    for shots in SHOTS:
        support = [sample for digit in digits for sample in digit[:shots]]
        after = learned(before.network, ADAPTING_RATE, ADAPTING_EPOCHS, support, precision, seed)
        alone = learned(blank, RATE, ADAPTING_EPOCHS, support, precision, seed)
        rows.append([after.evaluate(test), alone.evaluate(test), after.evaluate(old)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    precisions: tuple[Precision, ...] = ("float", "fixed")
    jobs = [(options.recordings, p, seed, new) for p in precisions for seed in range(options.seeds) for new in range(SPEAKERS)]
    with ProcessPoolExecutor(options.processes) as pool:
        results = list(pool.map(accuracies, *zip(*jobs, strict=True)))
    print(f"mean over {options.seeds} seeds x {SPEAKERS} new speakers; {EPOCHS} epochs, then {ADAPTING_EPOCHS} of the new speaker")
    for precision in precisions:
        mean = np.mean([rows for (_, p, _, _), rows in zip(jobs, results, strict=True) if p == precision], axis=0)
        print(f"\n{precision:24} new speaker   without the others first   the others")
        for name, row in zip(("before", *(f"{shots} a digit" for shots in SHOTS)), mean, strict=True):
            print(f"{name:24} {row[0]:11.3f}   {row[1]:24.3f}   {row[2]:10.3f}")


if __name__ == "__main__":
    main()
