"""A stream without end in Lava: the program pushes chunks, and waits while the chip is behind."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit.formats import FixedPoint
from tp_lava.circuit.labels import Reset
from tp_lava.circuit.names import SCORE
from tp_lava.data.events import Events
from tp_lava.errors import LavaRunError, invalid
from tp_lava.graph.network import Network
from tp_lava.lava.cleanup import all_or_none
from tp_lava.lava.hardware import TAGS, run_configuration
from tp_lava.lava.running import link
from tp_lava.lava.session import Session
from tp_lava.lava.shim import make_importable
from tp_lava.lava.snapshot import TIMEOUT
from tp_lava.learner import Learner
from tp_lava.parts.messages import BEGINS, GOES_ON, NO_LABEL
from tp_lava.rules import BaseRule
from tp_lava.streams.stream import RECENT, BaseStream

_WAIT_SECONDS = 0.02
_STARTS = {reset: start for start, reset in GOES_ON.items()}


class LavaStream(BaseStream):
    """A stream into an OnChipLearner in Lava, see `stream`; a context manager. Methods and attributes as tp_lava.Stream.

    push returns once the chunk is in the queue; steps, scores and rates of its report are those of the chip, which may be behind:
    wait with flush(). When the block ends, all that was pushed is learned first; an exception inside ends the run at once.
    """

    obj = "lava.stream"

    def __init__(
        self,
        chip: Any,
        source: Any,
        configuration: Any,
        stepwise: bool,
        timeout: float | None,
        reset: Reset,
        longest: int | None,
        recent: int,
    ) -> None:
        super().__init__(chip.proc_params["network"], chip.proc_params["rule"], reset, longest, recent)
        self._chip, self._source, self._stepwise, self._timeout = chip, source, stepwise, timeout
        self._session = Session(chip, configuration, (source, chip))
        self._runs, self._start = False, BEGINS
        self._ended: deque[int | None] = deque()  # labels of stretches whose scores are still to come: no more than packets wait
        self._ends = self._heard = 0  # stretches whose end was pushed, and whose scores have come
        self._learner: Learner | None = None

    def __enter__(self) -> LavaStream:
        self._session.__enter__()
        try:
            self._learner = self._chip.learner
            self._session.start()
        except BaseException as error:
            self._session.__exit__(type(error), error, error.__traceback__)
            raise
        self._runs = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._runs = False
            self._session.__exit__(kind, error, trace)

    @property
    def learner(self) -> Learner:
        """The learner behind the chip, live; after the block, as the stream left it. Raises InvalidValueError before it."""
        if self._learner is None:
            raise invalid(self.obj, "learner", "asked for before it runs", "asked for once it runs", "write `with stream:` around it")
        return self._learner

    @property
    def steps(self) -> int:
        """Time steps that the chip has carried out."""
        return self._source.steps if self._stepwise else int(self._chip.proc_params["shared_state"].steps[0])

    def flush(self) -> None:
        """Wait until the chip has carried out all that was pushed. Raises LavaRunError."""
        self._wait(lambda: self.steps == self._pushed and self._source.stretches == self._ends)
        self._hear()

    # What differs from the engine's -----------------------------------------------------------
    def _ready(self) -> None:
        if not self._runs:
            raise invalid(self.obj, "push or label", "outside of its block", "inside of it", "write `with stream:` around it")

    def _play(self, events: Events, renewed: bool) -> None:
        from tp_lava.processes.protocol import packet_size, packets

        start = _STARTS[self._reset] if renewed and not self._start else self._start
        self._ends += bool(start) and not self._start
        self._start = 0
        label = NO_LABEL if self._label is None else self._label
        for packet in packets(events, label, packet_size(self._inputs, self._format), self._format, start, ends=False):
            self._put(packet)
        self._hear()

    def _end(self, label: int | None) -> None:
        self._ended.append(label)

    def _read(self, names: Sequence[str]) -> list[np.ndarray]:
        memory = self.learner.memory
        if not self._runs:
            return [memory[name].copy() for name in names]
        with self._chip.proc_params["shared_state"].between_steps(TIMEOUT) as free:
            if not free:
                raise LavaRunError(f"OnChipLearner: its step did not end within {TIMEOUT:g} s.", obj="OnChipLearner", attr="step")
            return [memory[name].copy() for name in names]

    # Inside -----------------------------------------------------------------------------------
    def _put(self, packet: np.ndarray) -> None:
        """Wait for room in the queue."""
        self._wait(lambda: self._source.queue.put(packet, _WAIT_SECONDS))

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait, supervising the run. Raises LavaRunError if it fails, or does nothing for too long."""
        count, since = self.steps, time.monotonic()
        while not done():
            self._session.wait(_WAIT_SECONDS / 10)
            if self.steps != count:
                count, since = self.steps, time.monotonic()
            elif self._timeout is not None and time.monotonic() - since > self._timeout:
                raise LavaRunError(f"Lava run given up: no step for {self._timeout:g} s.", obj="Lava", attr="timeout")

    def _hear(self) -> None:
        """Take over the scores of stretches that have come."""
        while self._heard < self._source.stretches:
            self._told(self._ended.popleft(), int(np.argmax(self._source.scores(self._heard))))
            self._heard += 1

    def _finish(self) -> None:
        """Let the chip learn what waits, and end its run."""
        from tp_lava.processes.protocol import end_packet, packet_size

        self.flush()
        self._put(end_packet(packet_size(self._inputs, self._format)))
        if not self._stepwise:
            self._session.wait(TIMEOUT)  # until both have ended
        self._hear()
        for label in self._ended:  # of the last stretch, after which nothing was pushed
            self._told(label, int(np.argmax(self.learner.memory[SCORE][0])))
        self._ended.clear()


def stream(
    network: Network,
    rule: BaseRule | None = None,
    tag: Literal["floating_pt", "fixed_pt"] = "fixed_pt",
    seed: int = 0,
    *,
    fixed: FixedPoint | None = None,
    stepwise: bool = False,
    reset: Reset = "traces",
    longest: int | None = None,
    recent: int = RECENT,
    capacity: int = 16,
    timeout: float | None = 60.0,
) -> LavaStream:
    """A stream without end into a network that runs in Lava.

        with tpl.lava.stream(network, rule) as stream:
            for report in stream.run(camera):
                print(report.steps, report.accuracy)
        stream.learner.save("learned.safetensors")

    network to fixed, stepwise: as for lava.run; reset, longest, recent: as for tp_lava.Stream; capacity: packets, of at least 8192
    integers, that wait for the chip, beside 64 in Lava's channel, before push waits; timeout: seconds without a step after which the run
    is given up while push or flush waits. The same seed, chunks and labels give the same weights as tp_lava.Stream, bit for bit in fixed
    point.
    Raises InvalidValueError, LavaUnavailableError; inside the block LavaRunError.
    """
    if tag not in TAGS:
        raise invalid("lava.stream", "tag", repr(tag), f"one of {', '.join(TAGS)}", 'use tag="fixed_pt" for integers')
    if not is_whole(capacity, 1):
        raise invalid("lava.stream", "capacity", repr(capacity), "an integer of at least 1", "16 is usual")
    make_importable()
    with all_or_none():
        from tp_lava.processes import OnChipLearner, StreamSource

        chip = OnChipLearner(network, rule, seed, fixed)
        source = StreamSource(network.n_inputs, network.n_classes, capacity, network.input_format)
        link(source, chip, source, stepwise)
        configuration = run_configuration("cpu", tag if stepwise else f"{tag}_async")
        return LavaStream(chip, source, configuration, stepwise, timeout, reset, longest, recent)
