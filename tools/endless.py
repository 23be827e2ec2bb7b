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
from multiprocessing import active_children
from pathlib import Path

import numpy as np

import tp_lava as tpl
from tp_lava.circuit.labels import Reset
from tp_lava.streams import Report
from tp_lava.streams.stream import BaseStream

SIZES, CHUNK, DRAWN, LASTS = (64, 32, 4), 1000, 16, 5


def resident(process: int | None = None) -> float:
    """Memory of a process, by default this one, MiB."""
    pages = int(Path(f"/proc/{process or 'self'}/statm").read_text().split()[1])
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


def described(stream: BaseStream, report: Report) -> str:
    """Rates, norms and accuracy in one line."""
    rates = ", ".join(f"{name} {value:.3f}" for name, value in report.rates.items())
    norms = ", ".join(f"{name} {size.norm:.2f}" for name, size in stream.weights().items())
    return f"rates {rates}; norms {norms}; accuracy {report.accuracy}"


def digits(presented: int = 3000, told: int = 400) -> Iterator[str]:
    """Rows of a table: accuracy of the last recordings while they are learned, from blank, and of test recordings in the same stream."""
    train, test = tpl.data.digits()
    silence = tpl.Events([], [], 60, 512)
    tess = tpl.TESS(0.2, 1e-3, basis="walsh", update="step", temperature=0.05, activity="trace")
    modes: tuple[tuple[Reset, int], ...] = (("none", 0), ("none", 60), ("traces", 0), ("traces", 60), ("all", 0))
    for name, rule in (("TP, K = 4", tpl.TP(7e-4)), ("TP, K = all", tpl.TP(7e-4, contrast="all")), ("TESS", tess)):
        for reset, gap in modes:
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


def follow(stream: BaseStream, steps: int, every: int) -> None:
    """Push chunks until there were so many steps, and print a line after every so many."""
    began, shown = time.process_time(), stream.steps
    for report in stream.run(chunks()):
        if report.steps - shown >= every or report.steps >= steps:
            rate = (report.steps - shown) / (time.process_time() - began)
            size = " + ".join(f"{resident(process):.2f}" for process in (None, *(child.pid for child in active_children())))
            print(f"{report.steps:>12,} steps {size} MiB {rate:>10,.0f} steps a second of CPU; {described(stream, report)}", flush=True)
            began, shown = time.process_time(), report.steps
        if report.steps >= steps:
            break


def main() -> None:
    """Run, and print a line every tenth of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--precision", choices=("float", "fixed"), default="fixed")
    parser.add_argument("--every", type=int, default=0, help="steps between two lines; a tenth of all")
    parser.add_argument("--lava", action="store_true", help="in Lava; memory of its processes beside, time of this process alone")
    parser.add_argument("--digits", action="store_true")
    given = parser.parse_args()
    if given.digits:
        print("| rule | reset | silent steps between | while learning | test |\n|---|---|---|---|---|", *digits(), sep="\n")
        return
    network, rule, every = tpl.Network.dense(SIZES), tpl.TP(1e-3), given.every or max(CHUNK, given.steps // 10)
    if given.lava:
        with tpl.lava.stream(network, rule, "fixed_pt" if given.precision == "fixed" else "floating_pt") as in_lava:
            follow(in_lava, given.steps, every)
        return
    stream = tpl.Stream(tpl.Learner(network, rule, given.precision))
    stream.push(next(chunks())[0])  # compiles
    follow(stream, given.steps, every)


if __name__ == "__main__":
    main()
