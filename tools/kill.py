"""Kills `tp-lava train`, `Learner.save`, `tp-lava report` and `tp-lava sweep` at random places, and looks at what is left.

    uv run python tools/kill.py                # 100 kills, the four kinds in turn
    uv run python tools/kill.py -n 300 --seed 1
    uv run python tools/kill.py -n 60 --signal INT

A kill is SIGKILL, or with `--signal INT` a Ctrl-C, after which the exit code must be 130 and which comes while operations are compiled,
too. It comes every other time at a random moment, else at a random one of the calls that write (open, write, fsync, rename, before or
after it). After each: is every file whole, is all that was said to be saved there, and, once gone on with (mostly killed again),
do the same bytes come of it, with nothing left beside them? The killed are forked from this process, which has imported and compiled all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl
from tp_lava import cli, saving
from tp_lava.backends import cpu_code
from tp_lava.commands import configuration, runs
from tp_lava.commands.options import INTERRUPTED
from tp_lava.sweeps import results

EPOCHS = 3
CALLS = ("open", "write", "fsync", "replace")
TRAIN = ("--hidden", "6", "--epochs", str(EPOCHS), "--validation", "0.25", "--keep-best", "--precision", "fixed", "--no-plot", "--json")
Tell = Callable[[int], None]


class BrokenError(Exception):
    """What a kill has broken."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenError(what)


# Killing -----------------------------------------------------------------------------------------


class Killer:
    """Forks processes and kills them by a signal. Attribute killed: how many were killed before they ended, by how."""

    def __init__(self, seed: int, by: signal.Signals) -> None:
        self.random, self.by, self.killed = random.Random(seed), by, Counter[str]()

    def run(self, work: Callable[[Tell], None], seconds: float = 0.0, calls: int = 0) -> tuple[bool, int]:
        """Do work in another process, killed within `seconds`, or at one of the first `calls`. -> (whether it came to its end, the number
        that it told last, -1 for none). With neither it is not killed."""
        at = self.random.uniform(0, seconds)
        place, after = self.random.randrange(calls) if calls else -1, self.random.random() < 0.5
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            os.close(told)
            if self.by == signal.SIGINT and not calls:
                _forget_code()
            _work(work, tell, place, after, self.by)
        os.close(tell)
        if seconds:
            _wait(child, at, self.by)
        _, status = os.waitpid(child, 0)
        with os.fdopen(told) as lines:
            numbers = [int(line) for line in lines.read().split()]
        code = os.waitstatus_to_exitcode(status)
        ended = code == 0
        demand(ended or code == (INTERRUPTED if self.by == signal.SIGINT else -self.by), f"exit code {code}")
        self.killed["" if ended else "moment" if seconds else "place"] += 1
        return ended, numbers[-1] if numbers else -1

    def seconds_of(self, work: Callable[[Tell], None]) -> float:
        """How long work takes in another process that is not killed."""
        start = time.monotonic()
        self.run(work)
        return time.monotonic() - start

    def by_chance(self, work: Callable[[Tell], None], seconds: float, calls: int) -> tuple[bool, int]:
        """The same, killed by a moment or by a place."""
        return self.run(work, seconds=seconds) if self.random.random() < 0.5 else self.run(work, calls=calls)


def _wait(child: int, seconds: float, by: signal.Signals) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(min(0.002, max(0.0, end - time.monotonic())))
    os.kill(child, by)


def _forget_code() -> None:
    """Have this process compile everything again."""
    os.environ["TP_LAVA_CACHE"] = "off"
    cpu_code._addresses.clear()
    cpu_code.called.cache_clear()


def _work(work: Callable[[Tell], None], tell: int, place: int, after: bool, by: signal.Signals) -> None:
    """The other process; does not return."""
    status = 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be ignored
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        telling = os.fdopen(tell, "w")
        if place >= 0:
            _die_at(place, after, by)
        work(lambda number: print(number, file=telling, flush=True))
        status = 0
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as left:
        status = int(left.code or 0)
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
    os._exit(status)


def _die_at(place: int, after: bool, by: signal.Signals) -> None:
    """Have this process killed at a call of saving.py."""
    passed = 0

    class Calls:
        def __getattr__(self, name: str) -> Any:
            found = getattr(os, name)
            return wrapped(found) if name in CALLS else found

        @staticmethod
        def fdopen(opened: int, *options: Any) -> Any:
            file = os.fdopen(opened, *options)
            return contextlib.closing(File(file))

    class File:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: bytes) -> None:
            half = len(data) // 2
            self.file.write(data[:half])
            self.file.flush()
            wrapped(self.file.write)(data[half:])

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **options: Any) -> Any:
            nonlocal passed
            passed += 1
            due = passed == place + 1
            if due and not after:
                os.kill(os.getpid(), by)
            result = call(*arguments, **options)
            if due and after:
                os.kill(os.getpid(), by)
            return result

        return function

    saving.os = Calls()  # type: ignore[assignment]


# What is killed ----------------------------------------------------------------------------------


def command(*words: object) -> None:
    sys.argv = ["tp-lava", *map(str, words)]
    try:
        cli.main()
    except SystemExit as left:
        if left.code:
            raise


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class Train:
    """Runs of a few epochs in fixed point, killed and resumed until they end."""

    def __init__(self, killer: Killer, room: Path) -> None:
        self.killer, self.room = killer, room
        rng = np.random.default_rng(0)
        samples = [tpl.Sample(tpl.Events.from_dense(rng.random((12, 8)) < 0.4), number % 3) for number in range(24)]
        tpl.data.save_samples(room / "own.npz", samples)
        self.options = ("train", "--data", room / "own.npz", *TRAIN)
        self._run(room / "whole")(lambda _: None)
        self.seconds = killer.seconds_of(self._run(room / "again"))
        self.whole = contents(room / "again")
        self.calls = 4 + 6 * (3 + 3 * EPOCHS)

    def _run(self, folder: Path) -> Callable[[Tell], None]:
        def work(tell: Tell) -> None:
            save = runs.Run.save

            def saved(run: runs.Run, **more: Any) -> None:
                save(run, **more)
                tell(run.learner.epochs_done)

            runs.Run.save = saved  # type: ignore[method-assign, assignment]
            if (folder / configuration.NAME).exists():
                command("train", "--resume", folder, "--no-plot", "--json")
            else:
                command(*self.options, "--out", folder)

        return work

    def __call__(self, number: int) -> None:
        """One trial. Raises BrokenError."""
        folder, killed, told = self.room / f"run{number}", True, -1
        while killed:
            ended, last = self.killer.by_chance(self._run(folder), 1.2 * self.seconds, self.calls)
            told, killed = max(told, last), not ended and self.killer.random.random() < 0.75
            self._check(folder, told)
        self.killer.run(self._run(folder))
        done = contents(folder)
        demand(set(done) == set(self.whole), f"files {sorted(done)}")
        for name in (runs.LEARNER, runs.BEST, configuration.NAME):
            demand(done[name] == self.whole[name], f"{name} differs from that of a run that was not killed")
        accuracies, whole = ([e["accuracy"] for e in json.loads(files[runs.RESULTS])["epochs"]] for files in (done, self.whole))
        demand(accuracies == whole, f"accuracies {accuracies}, not {whole}")

    def _check(self, folder: Path, told: int) -> None:
        for name in (runs.LEARNER, runs.BEST):
            if (folder / name).exists():
                tpl.Learner.load(folder / name)
        if (folder / runs.RESULTS).exists():
            json.loads((folder / runs.RESULTS).read_text())
        if told >= 0:
            kept = tpl.Learner.load(folder / runs.LEARNER).epochs_done
            demand(kept >= told, f"{told} epochs were saved, {kept} are kept")
        if (folder / runs.LEARNER).exists():
            demand((folder / configuration.NAME).exists(), "a learner without a configuration")


class Save:
    """A learner saved over and over to one file."""

    def __init__(self, killer: Killer, room: Path) -> None:
        self.killer, self.file = killer, room / "saves" / "learner.safetensors"
        self.file.parent.mkdir()
        self.learners = [tpl.Learner(tpl.Network.dense((40, 200, 3), seed=seed), tpl.TP(contrast=3)) for seed in range(20)]
        self.bytes = []
        for learner in self.learners:
            learner.save(self.file)
            self.bytes.append(self.file.read_bytes())
        self.seconds = killer.seconds_of(self._save_all)

    def _save_all(self, tell: Tell) -> None:
        for count, learner in enumerate(self.learners):
            learner.save(self.file)
            tell(count)

    def __call__(self, number: int) -> None:
        """One trial. Raises BrokenError."""
        self.learners[0].save(self.file)
        _, last = self.killer.by_chance(self._save_all, 1.1 * self.seconds, 6 * len(self.learners))
        kept = self.bytes.index(self.file.read_bytes())
        demand(kept in (max(0, last), last + 1), f"save {last} was told, save {kept} is kept")
        saving.remove_left_over(self.file, 0)
        demand(os.listdir(self.file.parent) == [self.file.name], "something is left beside the file")


class Report:
    """A page written where an older one is."""

    def __init__(self, killer: Killer, room: Path) -> None:
        self.killer, self.out = killer, room / "reports" / "report.html"
        tpl.Learner(tpl.Network.dense((8, 6, 3), seed=1), tpl.TP(contrast=3), "fixed").save(room / "made.safetensors")
        self.model, self.data = room / "made.safetensors", room / "own.npz"
        self._write(2)(lambda _: None)
        self.old = contents(self.out.parent)
        self.seconds = killer.seconds_of(self._write(1))
        self.new = contents(self.out.parent)

    def _write(self, counted: int) -> Callable[[Tell], None]:
        def work(tell: Tell) -> None:
            command("report", self.model, "--data", self.data, "--samples", 2, "--counted", counted, "--out", self.out, "--json")
            tell(0)

        return work

    def __call__(self, number: int) -> None:
        """One trial. Raises BrokenError."""
        for name, data in self.old.items():
            (self.out.parent / name).write_bytes(data)
        ended, told = self.killer.by_chance(self._write(1), 1.1 * self.seconds, 14)
        for name in self.old:
            found = (self.out.parent / name).read_bytes()
            demand(
                found in ((self.new[name],) if told == 0 else (self.old[name], self.new[name])),
                f"{name} is neither the old one nor the new",
            )
        if not ended:
            for name in self.old:
                saving.remove_left_over(self.out.parent / name, 0)
        demand(sorted(os.listdir(self.out.parent)) == sorted(self.old), "something is left beside the report")


class Sweep:
    """Sweeps of a few short runs, which write 27 files, killed and given again until they end."""

    def __init__(self, killer: Killer, room: Path) -> None:
        self.killer, self.room, self.plan = killer, room, room / "plan.toml"
        settings = {"data": str(room / "own.npz"), "hidden": [6], "epochs": 1, "validation": 0.25, "precision": "fixed"}
        self.plan.write_text(configuration.to_toml({"train": settings, "grid": {"rate": [1e-3, 3e-3, 1e-2]}}))
        self.seconds = killer.seconds_of(self._run(room / "whole sweep"))
        self.whole = self._table(room / "whole sweep")

    def _run(self, folder: Path) -> Callable[[Tell], None]:
        def work(tell: Tell) -> None:
            add = results.Store.add

            def added(store: results.Store, *trial: Any) -> None:
                add(store, *trial)
                tell(len(list(store.out.glob("trials/*.json"))))

            results.Store.add = added  # type: ignore[method-assign, assignment]
            command("sweep", self.plan, "--workers", 1, "--out", folder, "--json")

        return work

    def _table(self, folder: Path) -> tuple[dict[str, bytes], list[str]]:
        names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))
        return {name: (folder / name).read_bytes() for name in (results.TABLE, results.BEST)}, names

    def __call__(self, number: int) -> None:
        """One trial. Raises BrokenError."""
        folder, killed, told = self.room / f"sweep{number}", True, 0
        while killed:
            ended, last = self.killer.by_chance(self._run(folder), 1.2 * self.seconds, 6 * 27)
            told, killed = max(told, last), not ended and self.killer.random.random() < 0.75
            kept = [json.loads(file.read_text()) for file in folder.glob("trials/*.json")]
            demand(len(kept) >= told, f"{told} trials were kept, {len(kept)} are there")
        self.killer.run(self._run(folder))
        done = self._table(folder)
        demand(done[1] == self.whole[1], f"files {done[1]}")
        demand(done[0] == self.whole[0], "the table or the best settings differ from those of a sweep that was not killed")


KINDS: dict[str, Callable[[Killer, Path], Callable[[int], None]]] = {"train": Train, "save": Save, "report": Report, "sweep": Sweep}


# All ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def silent() -> Iterator[None]:  # on the screen
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=100, help="kills (100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=("KILL", "INT"), default="KILL", help="KILL, or INT, a Ctrl-C")
    asked = parser.parse_args()
    kills, broken = {kind: Counter[str]() for kind in KINDS}, 0
    with tempfile.TemporaryDirectory() as made:
        tempfile.tempdir = made  # where the killed leave what nobody can remove for them
        killer, room = Killer(asked.seed, signal.Signals[f"SIG{asked.signal}"]), Path(made)
        with silent():
            kinds = {kind: of(killer, room) for kind, of in KINDS.items()}
        number = 0
        while sum(sum(count.values()) for count in kills.values()) < asked.n:
            kind, killer.killed = list(KINDS)[number % len(KINDS)], Counter()
            try:
                kinds[kind](number)
            except (BrokenError, tpl.TpLavaError, ValueError, OSError) as error:
                broken += 1
                print(f"{kind} {number}: {error}", flush=True)
            kills[kind] += Counter({how: count for how, count in killer.killed.items() if how})
            number += 1
    print(f"{'':8}{'at a moment':>14}{'at a call':>14}")
    for kind, count in kills.items():
        print(f"{kind:8}{count['moment']:14}{count['place']:14}")
    print(f"{sum(sum(count.values()) for count in kills.values())} kills; broken: {broken}")
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
