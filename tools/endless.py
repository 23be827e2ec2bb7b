"""A stream of many steps: resident memory and rate as it goes. Constant memory is what it shows.

    python tools/endless.py --steps 100000000
    python tools/endless.py --digits    # instead: the digits one right after the other, by what begins at zero with each (docs/streams.md)

The learner is small, 64-32-4; of class c 16 units of their own are busier than the others. Chunks of 1000 steps are drawn from 16
a class, the class changes every 5000 steps, and each fifth stretch has no label.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import tp_lava as tpl
from tp_lava.streams import Report

SIZES, CHUNK, DRAWN, LASTS = (64, 32, 4), 1000, 16, 5


def resident() -> float:
    """Memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def chunks(seed: int = 0) -> Iterator[tuple[tpl.Events, int | None]]:
    """Chunks without end, each with its label."""
    rng, classes = np.random.default_rng(seed), SIZES[-1]
    own = np.arange(SIZES[0]) * classes // SIZES[0]
    drawn = [
        [tpl.Events.from_dense(rng.random((CHUNK, SIZES[0])) < np.where(own == c, 0.15, 0.03)) for _ in range(DRAWN)]
        for c in range(classes)
    ]
    for number in itertools.count():
        stretch = number // LASTS
        label = stretch * 3 % classes
        yield drawn[label][int(rng.integers(DRAWN))], None if stretch % 5 == 4 else label


def described(stream: tpl.Stream, report: Report) -> str:
    """Rates, norms and accuracy in one line."""
    rates = ", ".join(f"{name} {value:.3f}" for name, value in report.rates.items())
    norms = ", ".join(f"{name} {size.norm:.2f}" for name, size in stream.weights().items())
    return f"rates {rates}; norms {norms}; accuracy {report.accuracy}"


def digits(presented: int = 3000, told: int = 400) -> Iterator[str]:
    """Rows of a table: accuracy of the last recordings while they are learned, from blank, and of test recordings in the same stream."""
    train, test = tpl.data.digits()
    silence = tpl.Events([], [], 60, 512)
    tess = tpl.TESS(0.2, 1e-3, basis="walsh", update="step", temperature=0.05, activity="trace")
    for name, rule in (("TP, K = 4", tpl.TP(7e-4)), ("TP, K = all", tpl.TP(7e-4, contrast="all")), ("TESS", tess)):
        for reset, gap in (("none", 0), ("none", 60), ("traces", 0), ("traces", 60), ("all", 0)):
            stream, rng = tpl.Stream(tpl.Learner(tpl.Network.dense((512, 200, 10)), rule), reset, recent=told), np.random.default_rng(0)
            for number in rng.integers(len(train), size=presented):
                _present(stream, train[int(number)].events, train[int(number)].label, silence if gap else None)
            right = [_present(stream, events, None, silence if gap else None) == label for events, label in test]
            yield f"| {name} | {reset} | {gap} | {stream.report().accuracy:.3f} | {np.mean(right):.3f} |"


def _present(stream: tpl.Stream, events: tpl.Events, label: int | None, silence: tpl.Events | None) -> int:
    """-> the prediction."""
    stream.label(label)
    prediction = stream.push(events).prediction
    if silence is not None:
        stream.label(None)
        stream.push(silence)
    return prediction


def main() -> None:
    """Run, and print a line every tenth of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--precision", choices=("float", "fixed"), default="fixed")
    parser.add_argument("--every", type=int, default=0, help="steps between two lines; a tenth of all")
    parser.add_argument("--digits", action="store_true")
    given = parser.parse_args()
    if given.digits:
        print("| rule | reset | silent steps between | while learning | test |\n|---|---|---|---|---|", *digits(), sep="\n")
        return
    every = given.every or max(CHUNK, given.steps // 10)
    stream = tpl.Stream(tpl.Learner(tpl.Network.dense(SIZES), tpl.TP(1e-3), given.precision))
    stream.push(next(chunks())[0])  # compiles
    began, shown = time.process_time(), stream.steps
    for report in stream.run(chunks()):
        if report.steps - shown >= every or report.steps >= given.steps:
            rate = (report.steps - shown) / (time.process_time() - began)
            print(
                f"{report.steps:>12,} steps {resident():8.2f} MiB {rate:>10,.0f} steps a second of CPU; {described(stream, report)}",
                flush=True,
            )
            began, shown = time.process_time(), report.steps
        if report.steps >= given.steps:
            break


if __name__ == "__main__":
    main()
