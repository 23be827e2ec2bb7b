"""The forms a network has, each turned into one thing: spikes, membranes and scores of a recording, and the constants it holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from tp_lava.data.events import Events
from tp_lava.errors import invalid
from tp_lava.circuit.formats import REAL, FixedPoint, Formats, plan
from tp_lava.lava.hardware import run_configuration
from tp_lava.lava.running import connected_processes
from tp_lava.learner import Learner
from tp_lava.graph.network import Network
from tp_lava.quantisation import Quantised

_CONSTANTS = ("decay", "current_decay", "threshold", "reset_by")


@dataclass(frozen=True)
class InLava:
    """A network, or a Quantised, as it runs in Lava on this machine, without learning.

    tag: "fixed_pt" or "floating_pt"; layers: opened into one Process per part; fixed: options of fixed point (of a
    Quantised: its own); timeout: seconds without a finished sample after which the run is given up. Raises InvalidValueError.
    """

    network: Network | Quantised
    tag: Literal["fixed_pt", "floating_pt"] = "fixed_pt"
    layers: bool = False
    fixed: FixedPoint | None = None
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network | Quantised):
            raise invalid("InLava", "network", repr(self.network)[:60], "a Network or a Quantised", "make one with tpl.Network.dense(...)")
        if self.tag not in ("fixed_pt", "floating_pt"):
            raise invalid("InLava", "tag", repr(self.tag), '"fixed_pt" or "floating_pt"', 'use tag="fixed_pt" for integers')
        if not isinstance(self.layers, bool):
            remedy = "the stock engine differs in its weights only: give a Learner FixedPoint(stock=True)"
            raise invalid("InLava", "layers", repr(self.layers), "True or False", remedy)


@dataclass(frozen=True)
class Trial:
    """One recording in one form. Per hidden layer: spikes (T, n) bool, membranes (T, n) at the end of each step; scores (C,)."""

    spikes: tuple[np.ndarray, ...]
    membranes: tuple[np.ndarray, ...]
    scores: np.ndarray


class Form(Protocol):
    """A network that runs.

    network: as asked for; weights: as held, physical; constants: per hidden layer, as held; formats: {} in float.
    """

    title: str
    network: Network
    weights: Mapping[str, np.ndarray]
    constants: Sequence[Mapping[str, float]]
    formats: Formats

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        """Of each recording, in order."""


class _InEngine:
    def __init__(self, learner: Learner, title: str) -> None:
        self.learner, self.title, self.network = learner, title, learner.network
        self.weights: Mapping[str, np.ndarray] = dict(learner.weights)
        self.formats: Formats = {name: buffer.format for name, buffer in learner.buffers.items() if buffer.format}
        self.constants: Sequence[Mapping[str, float]] = [self._constants(number) for number in range(len(self.network.layers))]

    def _constants(self, number: int) -> dict[str, float]:
        """From its memory: they may be changed there while it runs."""
        held = _asked(self.network, number)
        for attr in _CONSTANTS:
            name = f"hidden{number}_{attr}"
            if name in self.learner.memory:
                held[attr] = float(self.learner.buffers[name].decode(self.learner.memory[name])[0])
        return _completed(held, f"hidden{number}_reset_by" in self.learner.memory)

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        for events in recordings:
            told = self.learner.infer(events, record=True)
            assert told.spikes is not None
            assert told.membranes is not None
            yield Trial(told.spikes, tuple(m.astype(np.float64) for m in told.membranes), told.scores.astype(np.float64))


class _InTorch:
    def __init__(self, module: Any) -> None:
        self.module, self.title, self.formats = module, "PyTorch", REAL
        self.network: Network = module.network()
        self.weights: Mapping[str, np.ndarray] = self.network.weights
        constants = (_asked(self.network, number) for number in range(len(self.network.layers)))
        self.constants: Sequence[Mapping[str, float]] = [_completed(held, False) for held in constants]

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        import torch

        from tp_lava.torch import dense

        with torch.no_grad():
            for events in recordings:
                given = dense([events])
                spikes, membranes = (
                    tuple(layer[:, 0].cpu().numpy() for layer in layers)
                    for layers in (self.module.hidden_spikes(given), self.module.membranes(given))
                )
                scores = self.module(given)[0].cpu().numpy().astype(np.float64)
                yield Trial(tuple(s > 0 for s in spikes), tuple(m.astype(np.float64) for m in membranes), scores)


class _InLavasRunTime(_InEngine):
    """Its constants are the engine's, which Lava's models are given; what it does is recorded in Lava."""

    def __init__(self, given: InLava, network: Network, fixed: FixedPoint | None) -> None:
        self._given, self._start, self._fixed = given, network, fixed
        opened = ", opened into layers" if given.layers else ""
        super().__init__(_engine(network, fixed or FixedPoint() if given.tag == "fixed_pt" else None), f"Lava ({given.tag}{opened})")

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        from tp_lava import lava

        given, layers = self._given, range(len(self._start.layers))
        samples = [(events, 0) for events in recordings]
        source, chip, sink = connected_processes(self._start, None, samples, fixed=self._fixed, layers=given.layers)
        steps = source.steps + (chip.lag if given.layers else 0)
        names = [f"hidden{number}_{what}" for number in layers for what in ("spike", "membrane")]
        recorder = lava.Recorder([getattr(chip, name) for name in names], capacity=steps)
        configuration = run_configuration("cpu", given.tag, layers=given.layers)
        with lava.Session(chip, configuration, (source, chip, sink)) as running:
            running.run(steps, given.timeout, lambda: sink.done)
            scores = chip.buffer("score").decode(sink.scores).astype(np.float64)
        # Opened into layers, layer l is l + 1 steps behind the source.
        lags = [number + 1 if given.layers else 0 for number in layers]
        ends = np.cumsum([events.n_steps for events in recordings])
        for index, (end, events) in enumerate(zip(ends.tolist(), recordings, strict=True)):
            rows = [slice(end - events.n_steps + lag, end + lag) for lag in lags]
            spikes = tuple(recorder[f"hidden{number}_spike"][rows[number]] > 0 for number in layers)
            membranes = tuple(recorder[f"hidden{number}_membrane"][rows[number]].astype(np.float64) for number in layers)
            yield Trial(spikes, membranes, scores[index])


def form_of(thing: object) -> Form:
    """What `diverge` takes, as a Form. Raises InvalidValueError for anything else."""
    match thing:
        case Learner():
            return _InEngine(thing, f"engine ({thing.precision})")
        case Network():
            return _InEngine(Learner(thing), "engine (float)")
        case Quantised():
            return _InEngine(_engine(thing.network, thing.fixed), "engine (fixed)")
        case InLava(network=Quantised() as held):
            return _InLavasRunTime(thing, held.network, thing.fixed or held.fixed)
        case InLava(network=Network() as network):
            return _InLavasRunTime(thing, network, thing.fixed)
    if "torch" in sys.modules:  # nobody has a module who has not imported it
        from tp_lava.torch import SpikingNetwork

        if isinstance(thing, SpikingNetwork):
            return _InTorch(thing)
    remedy = "wrap a network that is to run in Lava: tp_lava.InLava(network)"
    raise invalid("diverge", "form", repr(thing)[:60], "a Network, Learner, Quantised, SpikingNetwork or InLava", remedy)


def _engine(network: Network, fixed: FixedPoint | None) -> Learner:
    if fixed is not None:
        plan(network, None, fixed)  # refuse what does not fit before anything runs
    return Learner(network, None, fixed or "float")


def _asked(network: Network, number: int) -> dict[str, float]:
    neuron = network.layers[number].neuron
    return {attr: getattr(neuron, attr) for attr in _CONSTANTS if getattr(neuron, attr) is not None}


def _completed(held: dict[str, float], own_reset: bool) -> dict[str, float]:
    """A spike subtracts the threshold, as it is held, unless something else is said."""
    return held if own_reset or "reset_by" in held else {**held, "reset_by": held["threshold"]}
