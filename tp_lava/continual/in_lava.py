"""A continual learner in Lava: FeedbackSource plays, hears the scores, and decides; the chip infers and learns.

The decisions are the engine's, for the same generator makes them: in the source's process as the scores arrive, and here again, from
the scores that it has kept, so that buffer and costs are known here too. The pull of an anchor is done by the host, on the arrays of
the chip's Vars, between two runs of the session.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tp_lava.continual.presenter import Presenter, Pull, Round, following
from tp_lava.engine import COUNTERS
from tp_lava.errors import invalid
from tp_lava.lava.cleanup import all_or_none
from tp_lava.lava.hardware import run_configuration
from tp_lava.lava.running import link
from tp_lava.lava.session import Session
from tp_lava.lava.shim import make_importable
from tp_lava.learner import Learner
from tp_lava.progress import follow

if TYPE_CHECKING:
    from tp_lava.continual.continual import Continual

_CHUNK = 256  # Lava steps between two looks at the source, step by step


@dataclass(frozen=True)
class ContinualRun:
    """What a run gave. accuracies: of each round, of the first presentation of each sample; scores: (presentations, C), mantissas in
    fixed point; seconds: of the run, without making and compiling the network.
    """

    accuracies: list[float]
    scores: np.ndarray = field(repr=False)
    seconds: float


def play_in_lava(
    continual: Continual,
    rounds: Sequence[Round],
    *,
    stepwise: bool = False,
    layers: bool = False,
    timeout: float | None = 60.0,
    progress: bool = False,
) -> ContinualRun:
    """Present all rounds in one session in Lava, which begins with the learner as it is and changes it as learning here would.

    stepwise: one handshake a time step; layers: step by step, opened into one Process per part; timeout: seconds without a finished
    presentation after which the run is given up. In fixed point the result equals that of the engine, bit for bit. Rates are those of
    the rule: no schedule. Raises InvalidValueError for an anchor in opened layers, whose weights are not in one memory; as lava.run.
    """
    if layers and continual.anchor:
        raise invalid("play_in_lava", "layers", True, "False with an anchor", "the host pulls the weights of one Process; use layers=False")
    if not rounds or any(len(part.samples) == 0 for part in rounds):
        raise invalid("play_in_lava", "rounds", "empty, or one of them is", "rounds of at least one sample", "leave empty ones out")
    learner, presenter = continual.learner, continual.presenter
    stepwise = stepwise or layers
    tag = "fixed_pt" if learner.fixed else "floating_pt"
    configuration = run_configuration("cpu", tag if stepwise else f"{tag}_async", layers=layers)
    source, chip = _connected(learner, copy.deepcopy(presenter), rounds, stepwise, layers)
    with (
        Session(chip, configuration, (source, chip)) as session,
        follow("in Lava", presenter.most(rounds), lambda: source.done, progress),
    ):
        start = time.perf_counter()
        _put(learner, chip, layers)
        number = presenter.cost.pulls
        while not source.finished:
            session.run(_CHUNK if stepwise else 1, timeout, lambda: source.done)
            if source.waits:
                continual.pull(chip.learner.memory, number)
                number += 1
                source.resume()
        seconds = time.perf_counter() - start
        _take(learner, chip.learner)
        scores = source.scores
    return ContinualRun(list(_replayed(presenter, rounds, scores)), scores, seconds)


def _connected(learner: Learner, presenter: Presenter, rounds: Sequence[Round], stepwise: bool, layers: bool) -> tuple[Any, Any]:
    """FeedbackSource <-> OnChipLearner. Neither is kept if one is refused."""
    make_importable()
    network, rule = learner.network, learner.rule
    with all_or_none():
        from tp_lava.processes import FeedbackSource, OnChipLearner

        chip = OnChipLearner(network, rule, learner.seed, learner.fixed)
        timing = chip.timing() if layers else {}
        format = network.input_format
        source = FeedbackSource(presenter, rounds, network.n_inputs, network.n_classes, format=format, **timing)
    link(source, chip, source, stepwise)
    return source, chip


def _put(learner: Learner, chip: Any, layers: bool) -> None:
    """The counters of random bits and labels go on where the learner's stand."""
    parts = [part.simulator.memory for part in chip.layers.values()] if layers else [chip.learner.memory]
    for memory in parts:
        for name in ("random_step", "samples_seen"):
            if name in memory:
                memory[name][...] = learner.memory[name]


def _take(learner: Learner, other: Learner) -> None:
    """Weights and counters of another learner."""
    for name in (*learner.weights, *COUNTERS):
        learner.memory[name][...] = other.memory[name]
    learner.begin()


def _replayed(presenter: Presenter, rounds: Sequence[Round], scores: np.ndarray) -> Iterator[float]:
    """Take the decisions again, from the scores. -> accuracy of each round."""
    given = iter(scores)
    for samples, learns, keep in rounds:
        right = 0
        for sample in samples:
            steps, answer, first = presenter.offer(sample, learns, keep), None, True
            while (step := following(steps, answer)) is not None:
                answer = None if isinstance(step, Pull) else next(given)
                if first and answer is not None:
                    right += int(np.argmax(answer)) == sample.label
                    first = False
        yield right / len(samples)
