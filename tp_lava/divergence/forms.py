"""The forms a network runs in, each seen alike: spikes, membranes and scores of a recording, and the constants it holds.

And two of them: which differences of what they hold their number formats explain.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.formats import REAL, FixedPoint, Formats, own_fixed_point, plan
from tp_lava.circuit.payloads import sent_format
from tp_lava.data.events import Events
from tp_lava.dynamics.neuron import PER_NEURON, check_knows
from tp_lava.dynamics.parameters import spread
from tp_lava.errors import invalid
from tp_lava.graph.chain import GraphLayer, layers_of
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Network
from tp_lava.lava.hardware import run_configuration
from tp_lava.lava.running import connected_processes
from tp_lava.learner import Learner
from tp_lava.numbers import DECAY_BITS, Format
from tp_lava.quantisation import Quantised

_KNOWN = frozenset({*PER_NEURON, "comparison", "reset", "surrogate", "bias_to"})


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


class NetworkForm(ABC):
    """A network that runs.

    title: what it is called; network, layers: as asked for; weights: as held, physical; formats: by buffer, empty in float;
    constants: per hidden layer, as held, (n,) each. Raises InvalidValueError for neurons it does not know.
    """

    def __init__(self, title: str, network: Network, weights: Mapping[str, np.ndarray], formats: Formats = REAL) -> None:
        self.title, self.network, self.weights, self.formats = title, network, weights, formats
        self.layers = layers_of(network)
        for layer in self.layers:
            check_knows(layer.neuron, _KNOWN, "diverge")
        self.constants = [self._constants(layer) for layer in self.layers]

    def _constants(self, layer: GraphLayer) -> dict[str, np.ndarray]:
        """As asked for, or held; a spike subtracts the threshold, as it is held, unless something else is said."""
        held = {attr: self._held(layer, attr) for attr in PER_NEURON}
        constants = {attr: np.broadcast_to(value, layer.size) for attr, value in held.items() if value is not None}
        return {"reset_by": constants["threshold"], **constants}

    def _held(self, layer: GraphLayer, attr: str) -> float | np.ndarray | None:
        """A constant of a layer as the form holds it, one number or (n,); None: it has none."""
        value = getattr(layer.neuron, attr)
        return None if value is None else spread(value, layer.population.shape)

    @abstractmethod
    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        """Of each recording, in order."""


class EngineForm(NetworkForm):
    """A Learner, which infers. Its constants are those of its memory, where they may be changed while it runs."""

    def __init__(self, learner: Learner, title: str) -> None:
        self.learner = learner
        formats = {name: buffer.format for name, buffer in learner.buffers.items() if buffer.format}
        super().__init__(title, learner.network, dict(learner.weights), formats)

    def _held(self, layer: GraphLayer, attr: str) -> float | np.ndarray | None:
        name = names.of(layer.name, attr)
        if name not in self.learner.memory:
            return super()._held(layer, attr)
        return self.learner.buffers[name].decode(self.learner.memory[name]).astype(np.float64)

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        """See NetworkForm."""
        for events in recordings:
            outcome = self.learner.infer(events, record=True)
            assert outcome.spikes is not None
            assert outcome.membranes is not None
            yield Trial(outcome.spikes, tuple(map(_real, outcome.membranes)), _real(outcome.scores))


class TorchForm(NetworkForm):
    """A tp_lava.torch.SpikingNetwork."""

    def __init__(self, module: Any) -> None:
        self.module, network = module, module.network()
        super().__init__("PyTorch", network, network.weights)

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        """See NetworkForm."""
        import torch

        from tp_lava.torch import dense

        with torch.no_grad():
            for events in recordings:
                given = dense([events])
                spikes, membranes = self.module.hidden_spikes(given), self.module.membranes(given)
                scores = _real(self.module(given)[0].cpu().numpy())
                yield Trial(_first_rows(spikes, lambda s: s > 0), _first_rows(membranes, _real), scores)


class LavaForm(EngineForm):
    """A network in Lava's run time. Its constants are the engine's, which Lava's models are given."""

    def __init__(self, given: InLava, network: Network, fixed: FixedPoint | None) -> None:
        self._given, self._start, self._fixed = given, network, fixed
        opened = ", opened into layers" if given.layers else ""
        super().__init__(
            _engine(network, fixed or own_fixed_point(network) if given.tag == "fixed_pt" else None), f"Lava ({given.tag}{opened})"
        )

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        """See NetworkForm; recorded in one run."""
        from tp_lava import lava

        given = self._given
        samples = [(events, 0) for events in recordings]
        source, chip, sink = connected_processes(self._start, None, samples, fixed=self._fixed, layers=given.layers)
        steps = source.steps + (chip.lag if given.layers else 0)
        spikes, membranes = ([names.of(layer.name, local) for layer in self.layers] for local in ("spike", "membrane"))
        recorder = lava.Recorder([getattr(chip, name) for name in (*spikes, *membranes)], capacity=steps)
        configuration = run_configuration("cpu", given.tag, layers=given.layers)
        with lava.Session(chip, configuration, (source, chip, sink)) as running:
            running.run(steps, given.timeout, lambda: sink.done)
            scores = _real(chip.buffer(names.SCORE).decode(sink.scores))
        # Opened into layers, a layer is one step behind the last of those that it waits for; the first ones behind the source.
        behind = {INPUT: 0}
        for layer in self.layers:
            behind[layer.name] = 1 + max(behind[connection.pre] for connection in layer.forward)
        lags = [behind[layer.name] if given.layers else 0 for layer in self.layers]
        ends = np.cumsum([events.n_steps for events in recordings]).tolist()
        for end, events, score in zip(ends, recordings, scores, strict=True):
            rows = [slice(end - events.n_steps + lag, end + lag) for lag in lags]
            spiked = tuple(recorder[name][row] > 0 for name, row in zip(spikes, rows, strict=True))
            yield Trial(spiked, tuple(_real(recorder[name][row]) for name, row in zip(membranes, rows, strict=True)), score)


def form_of(thing: object) -> NetworkForm:
    """The form of what `diverge` takes. Raises InvalidValueError for anything else."""
    match thing:
        case Learner():
            return EngineForm(thing, f"engine ({thing.precision})")
        case Network():
            return EngineForm(Learner(thing), "engine (float)")
        case Quantised():
            return EngineForm(_engine(thing.network, thing.fixed), "engine (fixed)")
        case InLava(network=Quantised() as held):
            return LavaForm(thing, held.network, thing.fixed or held.fixed)
        case InLava(network=Network() as network):
            return LavaForm(thing, network, thing.fixed)
    if "torch" in sys.modules:  # nobody has a module who has not imported it
        from tp_lava.torch import SpikingNetwork

        if isinstance(thing, SpikingNetwork):
            return TorchForm(thing)
    if is_foreign(thing):
        limit, remedy = "one beside a form that is none", "give convert(module, ...) in place of one of them"
        raise invalid("diverge", "form", "a foreign module", limit, remedy)
    remedy = "wrap a network that is to run in Lava: tp_lava.InLava(network)"
    raise invalid("diverge", "form", repr(thing)[:60], "a Network, Learner, Quantised, SpikingNetwork or InLava", remedy)


def is_foreign(thing: object) -> bool:
    """Whether it is a PyTorch module of others."""
    if "torch" not in sys.modules:
        return False
    from torch.nn import Module

    from tp_lava.torch import SpikingNetwork

    return isinstance(thing, Module) and not isinstance(thing, SpikingNetwork)


def _engine(network: Network, fixed: FixedPoint | None) -> Learner:
    if fixed is not None:
        plan(network, None, fixed)  # refuse what does not fit before anything runs
    return Learner(network, None, fixed or "float")


def _real(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)


def _first_rows(layers: Sequence[Any], change: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, ...]:
    """The first sample of each layer's tensor (T, B, n)."""
    return tuple(change(layer[:, 0].cpu().numpy()) for layer in layers)


FLOAT_ROUNDING = 2.0**-18  # of the membrane: what sums of float32 in another order may differ by, with room


def rounded(a: np.ndarray, b: np.ndarray, formats: tuple[Format | None, Format | None]) -> bool:
    """Whether arrays differ by no more than their formats explain: one is the other rounded, or both are, of the same numbers."""
    steps = sum(format.resolution / 2 for format in formats if format)
    near = np.abs(np.asarray(a, np.float64) - b) <= steps
    for fine, coarse, format in ((b, a, formats[0]), (a, b, formats[1])):
        if format:
            near |= format.real(format.quantise(fine)) == coarse  # clipped ones too
    return bool(np.all(near | (np.asarray(a) == b)))


def rounded_decays(a: np.ndarray | float, b: np.ndarray | float, fixed: tuple[bool, bool]) -> np.ndarray:
    """Whether decay factors differ by no more than holding them in 12 bits explains; any shape."""
    return np.abs(np.asarray(a) - b) <= sum(0.5 / 2**DECAY_BITS for each in fixed if each) + 1e-7


@dataclass(frozen=True)
class FormPair:
    """Both forms; what is asked of it comes in pairs, in their order."""

    a: NetworkForm
    b: NetworkForm

    def each(self, ask: Callable[[NetworkForm], float]) -> tuple[float, float]:
        """A number of each form."""
        return ask(self.a), ask(self.b)

    @property
    def layers(self) -> tuple[GraphLayer, ...]:
        """Of the first, whose shapes are those of both."""
        return self.a.layers

    @property
    def fixed(self) -> tuple[bool, bool]:
        """Whether their numbers are integers."""
        return bool(self.a.formats), bool(self.b.formats)

    def formats(self, name: str) -> tuple[Format | None, Format | None]:
        """Of a buffer, None in float."""
        return self.a.formats.get(name), self.b.formats.get(name)

    def membranes(self, number: int) -> tuple[Format | None, Format | None]:
        """Formats of a layer's membranes."""
        return self.formats(names.of(self.layers[number].name, "membrane"))

    def weights(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Weights or biases as held; zeros where a form has no such biases."""
        zeros = np.zeros(self.a.network.shapes[name])
        return np.asarray(self.a.weights.get(name, zeros), np.float64), np.asarray(self.b.weights.get(name, zeros), np.float64)

    def constants(self, number: int, attr: str) -> tuple[np.ndarray, np.ndarray]:
        """A constant of a layer's neurons as held, (n,)."""
        return self.a.constants[number][attr], self.b.constants[number][attr]

    @property
    def readout_decays(self) -> tuple[float, float]:
        """Of the scores, as asked for."""
        return self.each(lambda form: form.network.readout_decay)

    # What rounding explains -------------------------------------------------------------------
    def rounded(self, name: str) -> bool:
        """Whether rounding explains every difference of these weights."""
        return rounded(*self.weights(name), self.formats(name))

    def rounded_decays(self, decays: tuple[float, float]) -> bool:
        """Whether rounding explains their difference."""
        return bool(rounded_decays(*decays, self.fixed))

    def slip(self, a: np.ndarray, b: np.ndarray) -> float:
        """The most by which rounding parts decays of a layer's neurons, (n,) of each form."""
        return float(np.where(rounded_decays(a, b, self.fixed), np.abs(a - b), 0.0).max())

    def explained(self, name: str) -> float:
        """The largest difference of weights where rounding explains all of them; else none."""
        a, b = self.weights(name)
        return float(np.abs(a - b).max()) if self.rounded(name) else 0.0

    def rounded_values(self, name: str) -> float:
        """By how much rounding parts the values that the input or a population sends: averages, and graded input."""
        network = self.a.network
        graded = network.input_format is not None if name == INPUT else any(p.mode == "average" for p in network.population(name).pooling)
        return sent_format(network, name).resolution / 2 if graded and self.fixed[0] != self.fixed[1] else 0.0

    def largest_weight(self, name: str) -> float:
        """Of both forms."""
        return max(float(np.abs(held).max(initial=0.0)) for held in self.weights(name))

    def float_noise(self, scale: float) -> float:
        """What rounding of float32 sums explains, for numbers of about `scale`; nothing where both forms are integers."""
        return 0.0 if all(self.fixed) else FLOAT_ROUNDING * scale


def resolutions(formats: tuple[Format | None, Format | None]) -> list[float]:
    """Steps of the formats there are."""
    return [format.resolution for format in formats if format]
