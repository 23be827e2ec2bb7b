"""Threads that share the work of a large operation: the same bits with any number of them.

A shared operation carries out one of n fixed parts. Each part has units of its own, whose sums are made in the order in which one thread
makes them. The thread that carries out the circuit publishes a job by its number. It takes the first part, then every part that nobody has
taken; it goes on when all are done. Each of its helpers takes one part, always the same, so that weights stay in the cache of a core. Who
carries out a part, and when, changes nothing. So helpers may be missing, as in a process that was forked: nothing waits for a thread that
does not come. And a team times itself, and works alone where that is faster.

A part of job k is taken by changing its claim from k - 1 to k, so a thread that is late cannot take it once more. The memory of a team is
made of words; those that different threads write are far apart.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import numpy as np

from tp_lava.alignment import aligned
from tp_lava.backends import cpu_code
from tp_lava.backends.cpu_calls import Argument, slots_of, where
from tp_lava.backends.cpu_operation import Source
from tp_lava.backends.cpu_text import Loops, Text, V, literal, operation_text
from tp_lava.backends.protocol import MOST_THREADS

_APART = 16  # words between those that different threads write: two cache lines, which some processors fetch together
_JOB, _DONE, _OPEN, _CLAIMS = (_APART * k for k in range(4))  # words of a team's memory; a claim for each part
_NUMBER, _FUNCTION, _SLOTS, _KEY = range(_JOB, _JOB + 4)
_YIELD, _ALONE = _OPEN + 1, _JOB + 4
_PATIENCE, _AFTERWARDS = 1 << 22, 1 << 12  # rounds without work after which a helper leaves: within a call, between calls
_SPINS = 1 << 10  # rounds between two times that other threads may run
_PAUSES = {"x86_64": "llvm.x86.sse2.pause()", "AMD64": "llvm.x86.sse2.pause()", "aarch64": "llvm.aarch64.hint(i32 1)"}
_HELPED = (Argument("team", np.dtype(np.int64), 1),)
_SHARED = (*_HELPED, Argument("job", np.dtype(np.int64), 1), Argument("counts", np.dtype(np.int32), 1))
CHOOSES = True  # whether a team works alone where that is faster
_FIRST, _TRIES = 6, 32  # calls of which every other is made together; then one of so many is made the slower way
_ZERO, _ONE = literal(0, "i64"), literal(1, "i64")


# Code --------------------------------------------------------------------------------------------


class _Team(Loops):
    """Writes what threads do with the memory of their team."""

    def word(self, number: int | V) -> str:
        """The address of a word."""
        return self.at("team", number if isinstance(number, V) else literal(number, "i64")).name

    def read(self, number: int | V, order: str = "monotonic") -> V:
        """A word that other threads may write."""
        return self.t.op(f"load atomic i64, ptr {self.word(number)} {order}, align 8", "i64")

    def write(self, number: int, value: V, order: str = "monotonic") -> None:
        """The inverse."""
        self.t.line(f"store atomic {value}, ptr {self.word(number)} {order}, align 8")

    def pointer(self, value: V) -> V:
        """Of an address."""
        return self.t.op(f"inttoptr {value} to ptr", "ptr")

    def carry_out(self, function: V, slots: V, part: V, key: V) -> None:
        """A part of a job."""
        own = self.t.load("i64", self.t.op(f"getelementptr inbounds i64, {slots}, {part}", "ptr").name)
        self.t.line(f"call void {self.pointer(function).name}({key}, {self.pointer(V(own, 'i64'))})")

    def take(self, job: V, part: V, idle: str) -> None:
        """Carry out a part of a job, by its number, unless another thread has taken it; `idle` is zero then."""
        t, claim = self.t, self.t.binary("add", self.t.word("mul", part, _APART), literal(_CLAIMS, "i64"))
        before = t.word("sub", job, 1)
        with t.when(t.binary("icmp eq", self.read(claim), before)):
            taken = t.op(f"cmpxchg ptr {self.word(claim)}, {before}, {job} acq_rel monotonic", "{ i64, i1 }")
            with t.when(t.op(f"extractvalue {taken}, 1", "i1")):
                function, slots, key = (self.read(number) for number in (_FUNCTION, _SLOTS, _KEY))
                self.carry_out(function, self.pointer(slots), part, t.op(f"trunc {key} to i32", "i32"))
                t.op(f"atomicrmw add ptr {self.word(_DONE)}, i64 1 release", "i64")
                t.line(f"store i64 0, ptr {idle}")

    def rest(self, idle: str) -> V:
        """One more round without work. -> how many there were; now and then another thread may run."""
        t, pause = self.t, _PAUSES.get(platform.machine())
        if pause:
            name, taken = pause.split("(", 1)
            t.declared[f"declare void @{name}({'i32' if 'i32' in taken else ''})"] = None
            t.line(f"call void @{pause}")
        rounds = t.binary("add", V(t.load("i64", idle), "i64"), _ONE)
        t.line(f"store {rounds}, ptr {idle}")
        yields = self.read(_YIELD)
        often = t.word("icmp eq", t.word("and", rounds, _SPINS - 1), 0)
        with t.when(t.binary("and", often, t.word("icmp ne", yields, 0))):
            t.op(f"call i32 {self.pointer(yields).name}()", "i32")
        return rounds


def _share_source() -> Source:
    """Publish a job, take its first part, then every other that nobody has taken, and wait for the rest.

    Where the sum of `counts` is below the least, or the team does not work together, carry it out alone. job: address of the function,
    that least sum, addresses of the slots of the whole and of each part.
    """
    t = Text()
    team, idle, total = _Team(t, _SHARED), t.variable("i64"), t.variable("i32")
    function, least = team.load("job", _ZERO), team.load("job", _ONE)
    whole, slots = (team.at("job", literal(k, "i64")) for k in (2, 3))
    parts = t.word("sub", team.arrays["job"][1], 3)
    t.line(f"store i32 0, ptr {total}")
    with t.loop(_ZERO, team.arrays["counts"][1]) as r:
        t.line(f"store {t.binary('add', V(t.load('i32', total), 'i32'), team.load('counts', r))}, ptr {total}")
    few = t.binary("icmp slt", t.op(f"sext i32 {t.load('i32', total)} to i64", "i64"), least)
    few = t.binary("or", few, t.word("icmp ne", team.read(_ALONE), 0))
    t.line(f"br {few}, label %alone, label %together")
    t.block("alone", jump=False)
    team.carry_out(function, whole, _ZERO, V("%key", "i32"))
    t.line("br label %done")
    t.block("together", jump=False)
    team.write(_DONE, _ZERO)
    team.write(_FUNCTION, function)
    team.write(_SLOTS, t.op(f"ptrtoint {slots} to i64", "i64"))
    team.write(_KEY, t.op("zext i32 %key to i64", "i64"))
    number = t.word("add", team.read(_NUMBER), 1)
    team.write(_NUMBER, number, "release")
    t.line(f"store i64 0, ptr {idle}")
    with t.loop(_ZERO, parts) as part:
        team.take(number, part, idle)
    t.block("wait")
    t.line(f"br {t.binary('icmp eq', team.read(_DONE, 'acquire'), parts)}, label %done, label %rest")
    t.block("rest", jump=False)
    team.rest(idle)
    t.line("br label %wait")
    t.block("done", jump=False)
    return operation_text(t)


def _help_source() -> Source:
    """Take one part of each job, that of the helper's number, the key, as long as the team is at work."""
    t = Text()
    team, idle, last = _Team(t, _HELPED), t.variable("i64"), t.variable("i64")
    t.line(f"store i64 0, ptr {idle}")
    t.line(f"store i64 0, ptr {last}")
    part = t.op("zext i32 %key to i64", "i64")
    with t.without_denormals():
        t.block("help")
        number = team.read(_NUMBER, "acquire")
        with t.when(t.binary("icmp ne", number, V(t.load("i64", last), "i64"))):
            t.line(f"store {number}, ptr {last}")
            team.take(number, part, idle)
        is_open = t.word("icmp ne", team.read(_OPEN, "acquire"), 0)
        patience = t.select(is_open, literal(_PATIENCE, "i64"), literal(_AFTERWARDS, "i64"))
        t.line(f"br {t.binary('icmp slt', team.rest(idle), patience)}, label %help, label %leave")
        t.block("leave", jump=False)
    return operation_text(t)


_SHARE, _HELP = _share_source(), _help_source()


# Threads -----------------------------------------------------------------------------------------


@cache
def _yield_address() -> int:
    """Of the function by which a thread lets others run; 0 where there is none."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
    return 0


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of a process: one that was forked has none of its parent's."""
    return ThreadPoolExecutor(MOST_THREADS, "tp_lava")


class Choice:
    """Whether to work together: as it took less time a step of late, and now and then the other way. Results do not depend on it.

    Cores may be far from one another: what one has written then costs the other more than it saves.
    """

    def __init__(self) -> None:
        self._calls, self._seconds = 0, dict[bool, float]()

    def next(self) -> bool:
        """For the next call."""
        self._calls += 1
        if self._calls <= _FIRST or len(self._seconds) < 2:
            return self._calls % 2 == 1
        return (self._seconds[True] <= self._seconds[False]) != (self._calls % _TRIES == 0)

    def told(self, together: bool, seconds: float) -> None:
        """So long a step took in the call."""
        if self._calls > 2:  # the first of both find caches empty
            self._seconds[together] = (3 * self._seconds.get(together, seconds) + seconds) / 4


class Team:
    """So many threads that carry out calls together. It is used by one thread at a time."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._memory, self._share = aligned((_CLAIMS + threads * _APART,), np.int64), cpu_code.address_of(_SHARE)
        self._memory[_YIELD] = _yield_address()
        self._slots, self._helps = slots_of(_HELPED, (self._memory,)), cpu_code.called(_HELP)
        self._process, self._helpers, self._choice = 0, list[Future | None](), Choice()

    def shared(
        self, function: int, whole: np.ndarray, parts: Sequence[np.ndarray], counts: np.ndarray, least: int
    ) -> tuple[int, np.ndarray, list[np.ndarray]]:
        """A function in parts. whole, parts: slots of all of its work, and of each part; counts: int32, see cpu_shares.Share.

        -> an operation, its slots, what these point to.
        """
        job = np.array([function, least, where(whole), *map(where, parts)], np.int64)
        return self._share, slots_of(_SHARED, (self._memory, job, counts)), [job, counts, whole, *parts]

    @contextlib.contextmanager
    def for_steps(self, steps: int) -> Iterator[None]:
        """A call of so many steps within the block: the other threads help, if that is faster."""
        together, begun = self._choice.next() or not CHOOSES, time.perf_counter()
        self._memory[_ALONE] = not together
        with self.at_work() if together else contextlib.nullcontext():
            yield
        self._choice.told(together, (time.perf_counter() - begun) / max(1, steps))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """The other threads help within the block."""
        if self._process != (process := os.getpid()):
            self._process, self._helpers = process, [None] * (self.threads - 1)
        try:
            self._memory[_OPEN] = 1
            with contextlib.suppress(RuntimeError):  # no more threads, or the process ends: it needs none
                for k, helper in enumerate(self._helpers):
                    if helper is None or helper.done():
                        self._helpers[k] = _pool(process).submit(self._help, 1 + k)
            yield
        finally:
            self._memory[_OPEN] = 0

    def _help(self, number: int) -> None:
        self._helps(number, where(self._slots))
