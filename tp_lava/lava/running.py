"""Runs a network, a rule and samples in Lava, with Processes made for the purpose."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tp_lava.circuit.formats import FixedPoint
from tp_lava.data.events import Events
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.lava.cleanup import all_or_none
from tp_lava.lava.hardware import TAGS, Target, run_configuration
from tp_lava.lava.session import Session
from tp_lava.lava.shim import make_importable
from tp_lava.learner import Learner
from tp_lava.progress import follow
from tp_lava.rules import BaseRule


@dataclass(frozen=True)
class LavaResult:
    """The result of a run.

    predictions (N,) and scores (N, C), physical units, of each sample as it was presented; learner: a Learner with the
    weights and state at the end of the run, to evaluate, save or continue with; seconds: of the run, without making
    and compiling the network.
    """

    predictions: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    learner: Learner
    seconds: float

    @property
    def weights(self):
        """name -> float32 (n_out, n_in), physical units."""
        return self.learner.weights


def run(
    network: Network,
    rule: BaseRule | None,
    samples: Sequence[tuple[Events, int]],
    learn: bool | Sequence[bool] = True,
    tag: Literal["floating_pt", "fixed_pt"] = "fixed_pt",
    seed: int = 0,
    *,
    fixed: FixedPoint | None = None,
    stepwise: bool = False,
    layers: bool | Literal["stock"] = False,
    timeout: float | None = 60.0,
    progress: bool = False,
    target: Target = "cpu",
) -> LavaResult:
    """Present samples, in order, to a network running in Lava.

    rule: None only infers; learn: whether each sample is learned, one bool or one per sample; tag: number system;
    fixed: options of fixed point; stepwise: in Loihi's protocol, one handshake a time step, instead of asynchronously;
    layers: step by step, opened into one Process per part, or, with "stock", the hidden weights in Lava's LearningDense;
    timeout: seconds without a finished sample after which the run is given up; progress: draw a bar; target: "cpu", or
    "loihi2", step by step and in fixed point, with Intel's lava-loihi (not verified on hardware).
    The same seed and samples give the same weights as Learner, bit for bit in fixed point. Always stops the run time;
    raises LavaRunError with the type and text of an exception inside a model, LavaUnavailableError if Lava or the
    target is missing.
    """
    if tag not in TAGS:
        raise invalid("lava.run", "tag", repr(tag), f"one of {', '.join(TAGS)}", 'use tag="fixed_pt" for integers')
    if layers not in (False, True, "stock"):
        raise invalid("lava.run", "layers", repr(layers), 'False, True or "stock"', "use True for our own Processes")
    stepwise = bool(stepwise or layers or target == "loihi2")
    configuration = run_configuration(target, tag if stepwise else f"{tag}_async", layers=bool(layers))
    source, chip, sink = connected_processes(network, rule, samples, learn, seed, fixed, stepwise=stepwise, layers=layers)
    steps = (source.steps + chip.lag if layers else source.steps) if stepwise else 1
    with (
        Session(chip, configuration, (source, chip, sink)) as session,
        follow("in Lava", len(samples), lambda: sink.done, progress),
    ):
        start = time.perf_counter()
        session.run(steps, timeout, lambda: sink.done)
        seconds = time.perf_counter() - start
        learner, scores = chip.learner, chip.buffer("score").decode(sink.scores)
    learner.begin()
    return LavaResult(sink.predictions, scores, learner, seconds)


def connected_processes(
    network: Network,
    rule: BaseRule | None,
    samples: Sequence[tuple[Events, int]],
    learn: bool | Sequence[bool] = True,
    seed: int = 0,
    fixed: FixedPoint | None = None,
    *,
    stepwise: bool = True,
    layers: bool | Literal["stock"] = False,
) -> tuple[Any, Any, Any]:
    """EventSource -> OnChipLearner -> ScoreSink, with arguments as for run. None of them is kept if one is refused."""
    make_importable()
    with all_or_none():
        from tp_lava.processes import EventSource, OnChipLearner, ScoreSink

        chip = OnChipLearner(network, rule, seed, fixed, stock=layers == "stock")
        timing = chip.timing() if layers else {}
        source = EventSource(samples, labelled=learn if rule is not None else False, format=network.input_format, **timing)
        sink = ScoreSink(network.n_classes, len(samples))
    link(source, chip, sink, stepwise)
    return source, chip, sink


def link(source: Any, chip: Any, sink: Any, stepwise: bool) -> None:
    """Connect what plays samples, what learns them, and what hears the scores; the first and the last may be one Process."""
    if stepwise:
        source.s_out.connect(chip.s_in)
        source.sample_out.connect(chip.sample_in)
        chip.sample_out.connect(sink.sample_in)
    else:
        source.packet_out.connect(chip.packet_in)
    chip.score_out.connect(sink.score_in)
