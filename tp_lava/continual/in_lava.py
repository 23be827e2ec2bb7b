"""Rounds of samples in Lava: FeedbackSource plays, hears the scores, and decides; the chip infers and learns.

The decisions are the engine's, for the same generator makes them: in the source's process as the scores arrive, and here again, from
the scores that it has kept, so that buffer and costs are known here too. Where the generator asks for more than a presentation the source
waits for the host: an anchor pulls the weights, and at the end of an epoch the learner's schedule sets the rates, in the arrays of
the chip's Vars, between two runs of the session.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tp_lava.continual.continual import Continual
from tp_lava.continual.presenter import Presentation, Presenter, Pull, Round, RoundEnd, following
from tp_lava.data.events import check_samples
from tp_lava.engine import COUNTERS
from tp_lava.errors import invalid
from tp_lava.lava.cleanup import all_or_none
from tp_lava.lava.hardware import run_configuration
from tp_lava.lava.running import link
from tp_lava.lava.session import Session
from tp_lava.lava.shim import make_importable
from tp_lava.learner import Learner
from tp_lava.learner_checks import checked_in_order
from tp_lava.progress import follow

_CHUNK = 256  # Lava steps between two looks at the source, step by step


@dataclass(frozen=True)
class PlayedRun:
    """What a run gave. accuracies: of each round, see RoundEnd; scores: (presentations, C), mantissas in fixed point; seconds: of the run,
    without making and compiling the network.
    """

    accuracies: list[float]
    scores: np.ndarray = field(repr=False)
    seconds: float

    @property
    def predictions(self) -> np.ndarray:
        """(presentations,), the class of the largest score."""
        return self.scores.argmax(axis=1)


def play_in_lava(
    trained: Learner | Continual,
    rounds: Sequence[Round],
    *,
    stepwise: bool = False,
    layers: bool = False,
    timeout: float | None = 60.0,
    progress: bool = False,
) -> PlayedRun:
    """Present all rounds in one session in Lava, which begins with the learner as it is and changes it as learning here would.

    A round that learns is an epoch, as of fit: a schedule of the learner's sets the rates of the next. stepwise: one handshake a time
    step; layers: step by step, opened into one Process per part; timeout: seconds without a finished presentation after which the run is
    given up. In fixed point the result equals that of the engine, bit for bit. Raises InvalidValueError; as lava.run.
    """
    learner, presenter, pull = _taken_apart(trained)
    _check(learner, rounds)
    stepwise = stepwise or layers
    tag = "fixed_pt" if learner.fixed else "floating_pt"
    configuration = run_configuration("cpu", tag if stepwise else f"{tag}_async", layers=layers)
    source, chip = _connected(learner, copy.deepcopy(presenter), rounds, stepwise, layers)
    accuracies, due = list[float](), _due(presenter, rounds, source)
    with (
        Session(chip, configuration, (source, chip)) as session,
        follow("in Lava", presenter.most(rounds), lambda: source.done, progress),
    ):
        start = time.perf_counter()
        chip.put({name: learner.memory[name] for name in ("random_step", "samples_seen", *_rates(learner))})
        while len(accuracies) < len(rounds):
            while not source.waits:
                session.run(_CHUNK if stepwise else 1, timeout, lambda: source.done)
            step = next(due)  # every part has learned the sample whose scores have come, for none is behind the readout
            if isinstance(step, Pull):
                pull({name: chip.held(name)[0] for name in learner.weights}, step.number)
            else:
                accuracies.append(step.accuracy)
                if step.learned:
                    learner.end_epoch(step.accuracy)
                    chip.put({name: learner.memory[name] for name in _rates(learner)})
            source.resume()
        seconds = time.perf_counter() - start
        _take(learner, chip.learner)
        scores = source.scores
    return PlayedRun(accuracies, scores, seconds)


def _check(learner: Learner, rounds: Sequence[Round]) -> None:
    """Refuse what cannot be played."""
    if not rounds:
        raise invalid("play_in_lava", "rounds", "empty", "at least one Round", "give for example [Round(samples, learns=True)]")
    for part in rounds:
        check_samples("play_in_lava", part.samples)
        for samples in (part.samples, part.validation):
            deque(checked_in_order(learner.network, samples, range(len(samples))), maxlen=0)
    circuit = learner.circuits[1]
    if circuit and circuit.names("moment") and any(part.learns for part in rounds):
        raise invalid("play_in_lava", "optimiser", "of a learner with moments", "SGD()", "a chip has no memory for moments: use tpl.SGD()")


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


def _taken_apart(trained: Learner | Continual) -> tuple[Learner, Presenter, Callable[[Mapping[str, np.ndarray], int], None]]:
    """-> the learner, what decides, what pulls the weights."""
    if isinstance(trained, Continual):
        return trained.learner, trained.presenter, trained.pull
    return trained, Presenter(None, None, 0), lambda memory, number: None


def _rates(learner: Learner) -> Sequence[str]:
    """Buffers that its schedule sets."""
    circuit = learner.circuits[1]
    return circuit.rates if circuit else ()


def _take(learner: Learner, other: Learner) -> None:
    """Weights and counters of another learner."""
    for name in (*learner.weights, *COUNTERS):
        learner.memory[name][...] = other.memory[name]
    learner.begin()


def _due(presenter: Presenter, rounds: Sequence[Round], source: Any) -> Iterator[Pull | RoundEnd]:
    """Take the decisions again, from the scores that have come. -> what the host has to do, each once the source waits for it."""
    steps, number, answer = presenter.play(rounds), 0, None
    while (step := following(steps, answer)) is not None:
        if isinstance(step, Presentation):
            number, answer = number + 1, source.score(number)
        else:
            yield step
            answer = None
