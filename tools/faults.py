"""Breaks Lava runs at random and looks for survivors; counts what many runs leave behind.

    uv run python tools/faults.py                 # 100 faults: what, where and when by chance
    uv run python tools/faults.py --leaks 200     # 200 runs in one Python process

A fault: an exception in a random model, phase and step; Ctrl-C; SIGTERM to the parent (of a program of its own); SIGKILL
of a child, each in turn. After each: was the right error raised, how long did it take, is everything gone, and does the
next run give what it should? The network is the chain of tests/chains.py, in Loihi's protocol and asynchronous.
"""

from __future__ import annotations

import argparse
import collections
import gc
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import chains  # type: ignore[import-not-found]

import tp_lava as tpl

KINDS = ("raise", "SIGINT", "SIGTERM", "SIGKILL")
LONG_RUN, WARM_UP, BETWEEN = 10**7, 20, 20
MIB = 2**20


class Outcome(NamedTuple):
    """Of a fault: where, whether the right error was raised, and since when its time counts."""

    where: str
    reported: bool
    start: float


def later(act: Callable[[], None], seconds: float) -> None:
    threading.Timer(seconds, act).start()


def failure(session: tpl.lava.Session, steps: int, act: Callable[[], None] = lambda: None) -> BaseException | None:
    """Run a session, and act once it is entered. -> the exception that ends it"""
    try:
        with session:
            act()
            session.run(steps)
    except (tpl.LavaRunError, KeyboardInterrupt) as error:
        return error
    return None


def broken_by_exception(rng: random.Random, number: int) -> Outcome:
    """ValueError in a random place."""
    start = time.monotonic()
    asynchronous = rng.random() < 0.5
    phase = rng.choice(chains.ASYNC_PHASES if asynchronous else chains.STEPPED_PHASES)
    member, step = rng.choice(chains.MEMBERS), rng.randint(1, 200)
    error = failure(chains.chain(asynchronous, **{member: (phase, step, chains.broken)})[1], 300)
    return Outcome(
        f"{member}.{phase}", error is not None and isinstance(error.__cause__, ValueError) and "it is broken" in str(error), start
    )


def broken_by_interrupt(rng: random.Random, number: int) -> Outcome:
    """Ctrl-C while it starts, runs or stops."""
    start = time.monotonic()
    _, session = chains.chain(rng.random() < 0.5)
    try:
        later(lambda: os.kill(os.getpid(), signal.SIGINT), rng.uniform(0, 0.5))
        error = failure(session, LONG_RUN)
    except KeyboardInterrupt as before:
        error = before
    return Outcome("parent", isinstance(error, KeyboardInterrupt), start)


def broken_by_lost_child(rng: random.Random, number: int) -> Outcome:
    """SIGKILL to one child after the other."""
    start = time.monotonic()
    which = number % 5

    def kill_one() -> None:
        victims = sorted(child.pid for child in multiprocessing.active_children() if child.pid)
        later(lambda: os.kill(victims[which], signal.SIGKILL), rng.uniform(0, 0.5))

    error = failure(chains.chain(rng.random() < 0.5)[1], LONG_RUN, kill_one)
    return Outcome(("manager", *chains.MEMBERS, "service")[which], "killed by SIGKILL" in str(error), start)


def broken_by_termination(rng: random.Random, number: int) -> Outcome:
    """SIGTERM to a program that runs a network."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"""
_, session = chain({rng.random() < 0.5})
print("ready", flush=True)
with session:
    session.run({LONG_RUN})
"""
        with chains.program(code, Path(folder)) as parent:
            assert parent.stdout is not None
            parent.stdout.readline()
            time.sleep(rng.uniform(0, 0.7))
            children = psutil.Process(parent.pid).children(recursive=True)
            start = time.monotonic()
            parent.send_signal(signal.SIGTERM)
            parent.communicate(timeout=chains.HANG_SECONDS)
            chains.assert_gone(parent, children)
            return Outcome("parent", parent.returncode == -signal.SIGTERM, start)


BREAK = dict(zip(KINDS, (broken_by_exception, broken_by_interrupt, broken_by_termination, broken_by_lost_child), strict=True))


def inject(count: int, seed: int) -> bool:
    """Break `count` runs, print a table. -> whether all went as it should."""
    rng, rows, failures = random.Random(seed), collections.defaultdict(list), []
    chains.assert_next_run_works()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        before = chains.belongings()
        where, reported, start = BREAK[kind](rng, number // len(KINDS))
        seconds = time.monotonic() - start
        gone = right = True
        try:
            chains.assert_left(before)
        except AssertionError:
            gone = False
            print({key: value for key, value in chains.belongings().items() if value != before[key]})
        try:
            chains.assert_next_run_works(rng.random() < 0.5)
        except Exception as error:
            right = False
            print(error)
        rows[kind].append((reported, seconds, gone, right))
        if not (reported and gone and right and seconds < chains.HANG_SECONDS):
            failures.append(f"{number}: {kind} {where}: reported {reported}, gone {gone}, next run correct {right}, {seconds:.1f} s")
    print("| fault | times | reported | nothing left | next run correct | slowest |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        reported_all, times, gone_all, right_all = zip(*rows[kind], strict=True)
        print(f"| {kind} | {len(times)} | {sum(reported_all)} | {sum(gone_all)} | {sum(right_all)} | {max(times):.1f} s |")
    print("\n".join(failures))
    return not failures


def leaks(count: int) -> bool:
    """Many runs of a small network in this process, print what grew. -> whether nothing did but a little memory."""
    from lava.magma.core.process.process import ProcessServer
    from lava.magma.core.process.variable import VarServer

    me, samples = psutil.Process(), [(tpl.Events([0], [1], 5, 4), 1)]
    figures = []
    for number in range(count + 1):
        if number % BETWEEN == 0:
            gc.collect()
            held = ProcessServer().num_processes, len(VarServer().vars), *map(len, chains.handlers())
            counts = len(threading.enumerate()), me.num_fds(), len(me.children(recursive=True)), len(chains.segments())
            figures.append((number, me.memory_info().rss / MIB, *counts, *held))
        chains.assert_next_run_works(number % 2 == 0)
        tpl.lava.run(tpl.Network.dense((4, 3, 2)), tpl.TP(contrast=2), samples, stepwise=number % 3 == 0)
    print("| after runs (twice) | MiB | threads | descriptors | children | segments | Processes | Vars | root handlers | compiler's |")
    print("|" + "---|" * 10)
    for row in figures:
        print(f"| {row[0]} | {row[1]:.1f} | " + " | ".join(map(str, row[2:])) + " |")
    warm = next(row for row in figures if row[0] >= min(WARM_UP, count))
    growth = figures[-1][1] - warm[1]
    print(f"memory grew by {growth:.1f} MiB after the first {warm[0]} runs")
    return all(row[2:] == warm[2:] for row in figures if row[0] >= warm[0]) and growth < 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100, metavar="N", help="how many faults (100)")
    parser.add_argument("--leaks", type=int, metavar="N", help="instead, so many runs in one process")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faults (0)")
    arguments = parser.parse_args()
    start = time.monotonic()
    good = leaks(arguments.leaks) if arguments.leaks else inject(arguments.faults, arguments.seed)
    print(f"{time.monotonic() - start:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
