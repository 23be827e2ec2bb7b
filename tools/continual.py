"""Adaptation without forgetting, measured: what each option does to the new task and to the old one, and what it costs.

    uv run python tools/continual.py digits
    uv run python tools/continual.py digits --sensor rotated --first-seed 200 --seeds 6 --only default "default of a camera"
    uv run python tools/continual.py speech --recordings spoken_digits.h5
    uv run python tools/continual.py mountings --seeds 3

digits: the shipped network gets a mirrored camera (or another of tp_lava.data.sensors) and learns 5 recordings a digit, 20 times, in fixed
point; 250 old recordings are kept.
speech: a network that has learned two speakers' digits learns 5 recordings a digit of the third; each of the three is the third once.
mountings: how often the shipped network tells a change of the camera's mounting, from 2 and 5 recordings a digit.
Mean over the seeds (and speakers); in brackets the worst. Settings were chosen on seeds from 100 on (--first-seed 100).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tp_lava as tpl
from tp_lava.data.mounting import Mounting, mountings
from tp_lava.data.sensors import through
from tp_lava.finetuning import ANCHOR, CAMERA_DEFAULTS, GATE, REPLAY, RULE, few, finetune
from tp_lava.pretrained import pretrained

SHOTS, HELD_BACK, SPEAKERS, EPOCHS = 5, 10, 3, 20
VARIED = tpl.Augmentation(shift=5, units=3, drop=0.2, stretch=0.12)  # chosen on ten words of pairs of speakers of other recordings
OPTIONS: dict[str, Mapping[str, Any]] = {
    "the new samples alone": {"replay": None, "gate": None, "anchor": None},
    "anchor 1e-3": {"replay": None, "gate": None, "anchor": tpl.Anchor(1e-3)},
    "hidden layer frozen": {"replay": None, "gate": None, "anchor": None, "freeze": "hidden0"},
    "rates x 0.3": {"replay": None, "gate": None, "anchor": None, "rates": {"hidden0": 0.3, "readout": 0.3}},
    "gate wrong": {"replay": None, "gate": tpl.Gate("wrong"), "anchor": None},
    "replay": {"replay": REPLAY, "gate": None, "anchor": None},
    "replay, gate wrong": {"replay": REPLAY, "gate": tpl.Gate("wrong"), "anchor": None},
    "replay, gate unsure 0.5": {"replay": REPLAY, "gate": tpl.Gate("unsure", margin=0.5), "anchor": None},
    "replay, gate wrong of old": {"replay": REPLAY, "gate": tpl.Gate("wrong", of="old"), "anchor": None},
    "replay, gate, anchor 1e-3": {"replay": REPLAY, "gate": GATE, "anchor": tpl.Anchor(1e-3)},
    "hidden rate x 2": {"replay": REPLAY, "gate": GATE, "anchor": ANCHOR, "rates": {"hidden0": 2.0}},
    "hidden rate x 3": {"replay": REPLAY, "gate": GATE, "anchor": ANCHOR, "rates": {"hidden0": 3.0}},
    "readout rate x 2": {"replay": REPLAY, "gate": GATE, "anchor": ANCHOR, "rates": {"readout": 2.0}},
    "readout rate x 0.5": {"replay": REPLAY, "gate": GATE, "anchor": ANCHOR, "rates": {"readout": 0.5}},
    "variants, no gate": {**CAMERA_DEFAULTS, "gate": None},
    "variants, gate wrong of old": {**CAMERA_DEFAULTS, "gate": GATE},
    "variants, gate unsure 0.2 of old": {**CAMERA_DEFAULTS, "gate": tpl.Gate("unsure", margin=0.2, of="old")},
    "default of a camera": CAMERA_DEFAULTS,
    "sensor's change found": {"replay": REPLAY, "gate": GATE, "anchor": ANCHOR, "sensor": "find"},
    "sensor's change found, default of a camera": {**CAMERA_DEFAULTS, "sensor": "find"},
    "default": {"replay": REPLAY, "gate": GATE, "anchor": ANCHOR},
}


class Task(NamedTuple):
    """network: that has learned `old`; new: to learn; test, old_test: of the new and of the old task."""

    network: tpl.Network
    old: list[tpl.Sample]
    new: list[tpl.Sample]
    test: list[tpl.Sample]
    old_test: list[tpl.Sample]


def another_sensor(sensor: str, seed: int) -> Iterator[Task]:
    train, test = tpl.data.digits()
    new = few(through(sensor, train), SHOTS, seed)
    yield Task(tpl.convert(pretrained("digits"), seed=seed), train, new, through(sensor, test), test)


@lru_cache(maxsize=1)
def _recordings(path: Path) -> tpl.data.Recordings:
    return tpl.data.from_shd(path)


def another_speaker(path: Path, seed: int) -> Iterator[Task]:
    """Each speaker as the new one, once."""
    samples = _recordings(path)
    speakers = samples.speakers
    for new in np.unique(speakers):
        rng = np.random.default_rng([seed, int(new)])
        known: list[tpl.Sample] = []
        old_test: list[tpl.Sample] = []
        shots: list[tpl.Sample] = []
        test: list[tpl.Sample] = []
        for speaker in np.unique(speakers):
            chosen = [samples[index] for index in rng.permutation(np.flatnonzero(speakers == speaker))]
            for digit in range(10):
                said = [sample for sample in chosen if sample.label == digit]
                if speaker == new:
                    shots, test = shots + said[:SHOTS], test + said[HELD_BACK:]
                else:
                    known, old_test = known + said[HELD_BACK:], old_test + said[:HELD_BACK]
        blank = tpl.Network.temporal((64, 200, 10), span=60, seed=seed)
        learner = tpl.Learner(blank, tpl.TP(3e-3, 1e-3, contrast="all"), "fixed", seed, schedule=tpl.Cosine(EPOCHS))
        learner.fit(known, EPOCHS, augmentation=VARIED)
        yield Task(learner.network, known, shots, test, old_test)


def prototypes(task: Task) -> tuple[float, float]:
    """(new, old) of prototypes on frozen features: of the old samples, then of the new ones beside them."""
    baseline = tpl.Prototypes(task.network, "fixed")
    baseline.fit(task.old)
    baseline.fit(task.new)
    return baseline.evaluate(task.test), baseline.evaluate(task.old_test)


def kind_of(change: Mounting) -> str:
    """The row of the table of mountings."""
    if change.down or change.right:
        return "moved by 2 pixels" if 2 in (abs(change.down), abs(change.right)) else "moved by 1 pixel"
    plain = {Mounting(): "nothing", Mounting(inverted=True): "ON and OFF exchanged"}
    return plain.get(change, "turned, mirrored")


def mountings_found(shots: int, seed: int) -> Iterator[tuple[str, bool]]:
    """(what has happened, whether it was found; where nothing explains the recordings, whether something was), one a change and sensor."""
    learner, (train, _), shape = tpl.Learner(tpl.convert(pretrained("digits")), None, "fixed"), tpl.data.digits(), (2, 16, 16)
    shown = few(train, shots, seed)
    for change in mountings(shape, 2):
        found = tpl.sensor_change(learner, [tpl.Sample(change.seen(events, shape), label) for events, label in shown]).found
        yield kind_of(change), found is not None if change == Mounting() else found == change
    for sensor in ("noisy", "half-dead"):
        yield sensor, tpl.sensor_change(learner, through(sensor, shown)).found is not None
    labels = np.random.default_rng(seed).integers(0, 10, (10, len(shown)))
    for row in labels:
        drawn = [tpl.Sample(events, int(label)) for (events, _), label in zip(through("mirrored", shown), row, strict=True)]
        yield "random labels", tpl.sensor_change(learner, drawn).found is not None


def print_mountings(seeds: range) -> None:
    for shots in (2, SHOTS):
        told: dict[str, list[bool]] = {}
        for seed in seeds:
            for what, found in mountings_found(shots, seed):
                told.setdefault(what, []).append(found)
        for what, all_found in told.items():
            print(f"{shots} a digit  {what:24} {sum(all_found):3} of {len(all_found)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("digits", "speech", "mountings"))
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--sensor", default="mirrored")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--precision", choices=("float", "fixed"), default="fixed")
    parser.add_argument("--only", nargs="*", default=list(OPTIONS), help="Names of options.")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if options.task == "mountings":
        print_mountings(seeds)
        return
    tasks = [
        (seed, task)
        for seed in seeds
        for task in (another_sensor(options.sensor, seed) if options.task == "digits" else another_speaker(options.recordings, seed))
    ]
    rule = RULE if options.task == "digits" else replace(RULE, rate=1e-3)
    usual: dict[str, Any] = {"rule": rule, "precision": options.precision, "epochs": EPOCHS}
    print(f"{'':28} new            old            samples learned  presentations  not learned  bytes", flush=True)
    for name in options.only:
        runs = [
            finetune(t.network, t.new, t.test, old=t.old, old_test=t.old_test, seed=seed, **usual, **OPTIONS[name]) for seed, t in tasks
        ]
        new, old = ([getattr(run, which) for run in runs] for which in ("after", "old_after"))
        told = f"{name:28} {np.mean(new):.3f} ({min(new):.3f})  {np.mean(old):.3f} ({min(old):.3f})"
        costs = [run.cost for run in runs if run.cost]
        if costs:
            learned, shown = (int(np.mean(n)) for n in ([c.learned + c.relearned for c in costs], [c.presentations for c in costs]))
            size = int(np.mean([c.replay_bytes + c.anchor_bytes for c in costs]))
            told += f"  {learned:15}  {shown:13}  {np.mean([c.saved for c in costs]):11.2f}  {size}"
        print(told, flush=True)
    before = [
        tuple(tpl.Learner(t.network, None, options.precision).evaluate(samples) for samples in (t.test, t.old_test)) for _, t in tasks
    ]
    for name, found in (("before", before), ("prototypes, cosine", [prototypes(t) for _, t in tasks])):
        new, old = (list(column) for column in zip(*found, strict=True))
        print(f"{name:28} {np.mean(new):.3f} ({min(new):.3f})  {np.mean(old):.3f} ({min(old):.3f})", flush=True)


if __name__ == "__main__":
    main()
