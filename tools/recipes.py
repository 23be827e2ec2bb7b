"""The two recipes of fine-tuning, measured: another sensor, and a class that the training never saw. In fixed point.

    uv run python tools/recipes.py

(a) The shipped digits network, trained in PyTorch, gets a mirrored, then a rotated camera, and learns 5 recordings a digit,
20 times each, in Lava. (b) The network whose training never saw a 9 learns all nines, and 40 recordings of each other digit
again, then all of those.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

import tp_lava as tpl
from tp_lava.commands.finetuning import changed_sensor, new_class_data
from tp_lava.finetuning import FineTuned
from tp_lava.pretrained import pretrained

SHOTS, EPOCHS = 5, 20


def another_sensor(sensor: str, seed: int) -> FineTuned:
    task = changed_sensor("digits", sensor, SHOTS, seed)
    network = tpl.convert(pretrained("digits"), seed=seed)
    return tpl.finetune(network, task.samples, task.test, old_test=task.old_test, epochs=EPOCHS, in_lava=True, seed=seed)


def a_nine(rehearse: int | None, seed: int) -> FineTuned:
    task = new_class_data("digits", 9, None, rehearse, seed)
    network = tpl.convert(pretrained("digits_0_to_8"), seed=seed)
    return tpl.finetune(network, task.samples, task.test, old_test=task.old_test, epochs=EPOCHS, seed=seed)


def measured(seeds: int) -> Iterator[tuple[str, list[FineTuned]]]:
    for sensor in ("mirrored", "rotated"):
        yield f"{sensor} camera, {SHOTS} a digit", [another_sensor(sensor, seed) for seed in range(seeds)]
    for rehearse in (40, None):
        again = f"{rehearse} of each" if rehearse else "all"
        yield f"a 9, with {again} of the other digits again", [a_nine(rehearse, seed) for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(f"{'mean of ' + str(seeds) + ' seeds':44} new: before  after (each)                 regained  old: before  after")
    for title, runs in measured(seeds):
        mean = {name: np.mean([getattr(run, name) for run in runs]) for name in ("before", "after", "old_before", "old_after")}
        regained = [(run.after - run.before) / (run.old_before - run.before) for run in runs]
        each = " ".join(f"{run.after:.3f}" for run in runs)
        told = f"{title:44} {mean['before']:11.3f} {mean['after']:6.3f} ({each})"
        print(f"{told:82} {min(regained):6.2f}+ {mean['old_before']:12.3f} {mean['old_after']:6.3f}", flush=True)


if __name__ == "__main__":
    main()
