"""SpikingNetwork: a tp_lava Network as a PyTorch module, and back again.

Decay and threshold of a layer are things that can be trained: a free number each, or one a neuron, mapped to where it may lie.
decay = sigmoid(x) stays in (0, 1); threshold = max(x, floor). A number that was not trained gives back, to the last bit, the value it
was made from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tp_lava.checks import is_number
from tp_lava.dynamics.parameters import Parameter, lowest
from tp_lava.errors import invalid
from tp_lava.graph.chain import ChainLayer, chain_of
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.graph.network import Network, Population
from tp_lava.rules import BaseRule
from tp_lava.torch.delivery import DelayLine, Delivery
from tp_lava.torch.inputs import checked_spikes
from tp_lava.torch.neuron import Neurons, check_neuron, constant
from tp_lava.torch.pooling import Pooling


class ForwardLayer:
    """A hidden layer of some rows, silent at first. weights: of the module, by name; neurons: of the rows.

    Attributes membrane (rows, n): after the last step; outputs (rows, units): what others get of the last step's spikes.
    """

    def __init__(self, layer: ChainLayer, weights: dict[str, nn.Parameter], neurons: Neurons) -> None:
        self._neurons, self._bias = neurons, weights.get(layer.population.bias)
        self._forward = Delivery.of(layer.forward, weights[layer.forward.name])
        self._feedback = Delivery.of(layer.recurrent, weights[layer.recurrent.name]) if layer.recurrent else None
        self._arriving, self._coming_back = DelayLine(layer.forward), DelayLine(layer.recurrent)
        self._pooling = Pooling(layer.population.pooling, layer.population.shape)
        self._at_once = layer.forward.kind.by_place is None
        self._values = self._forward.values()
        self._feedback_values = self._feedback.values() if self._feedback else None
        self._silent = True
        self.outputs = neurons.membrane.new_zeros(len(neurons.membrane), layer.population.output_size)

    @property
    def membrane(self) -> Tensor:
        """(rows, n), after the last step's reset."""
        return self._neurons.membrane

    def drives(self, below: Tensor) -> Iterable[Tensor]:
        """What comes from below at each step; below: (T, rows, units). Of dense layers in one product, for nothing acts back on it."""
        below = self._arriving.whole(below)
        return self._drive(below) if self._at_once else (self._drive(x) for x in below)

    def step(self, drive: Tensor) -> Tensor:
        """-> spikes (rows, n)."""
        if self._feedback is not None and self._feedback_values is not None and not self._silent:
            drive = drive + self._feedback.drive(self._coming_back.step(self.outputs), self._feedback_values)
        spikes = self._neurons.step(drive, self._bias)
        self.outputs, self._silent = self._pooling(spikes), False
        return spikes

    def advance(self, below: Tensor) -> Tensor:
        """One step from what is below, (rows, units). -> outputs."""
        self.step(self._drive(self._arriving.step(below)))
        return self.outputs

    def _drive(self, below: Tensor) -> Tensor:
        return self._forward.drive(below, self._values)


TRAINABLE = ("decay", "threshold")
_LARGEST_DECAY = 1.0 - 2.0**-24  # the largest float32 below 1


class _Floor(torch.autograd.Function):
    """max(x, floor), whose derivative vanishes at the floor only for what would push x further down: so x can come back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, floor: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.floor = floor
        return x.clamp(min=floor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ((x > ctx.floor) | (gradients[0] < 0)), None


def free_name(attr: str, number: int) -> str:
    """Name of the parameter that holds the free number of hidden layer `number`."""
    return f"{attr}{number}"


def to_free(attr: str, value: Parameter) -> Parameter:
    """The free number of a decay or threshold, or those of several."""
    if isinstance(value, tuple):
        return tuple(math.log(one / (1.0 - one)) for one in value) if attr == "decay" else value
    return math.log(value / (1.0 - value)) if attr == "decay" else value


def from_free(attr: str, free: Tensor, floor: float) -> Tensor:
    """The decay or threshold of a free number, differentiable."""
    if attr == "decay":
        return torch.sigmoid(free).clamp(max=_LARGEST_DECAY)
    return _Floor.apply(free, floor)


def check_trainable(train: Iterable[str] | str) -> tuple[str, ...]:
    """What is trained beside the weights. Raises InvalidValueError for another name."""
    names = (train,) if isinstance(train, str) else tuple(train)
    for name in names:
        if name not in TRAINABLE:
            remedy = 'weights and biases are always trained; for example train=("decay",)'
            raise invalid("SpikingNetwork", "train", repr(name), f"among {', '.join(TRAINABLE)}", remedy)
    return names


_DTYPES = (torch.float32, torch.float64)
_KEPT = (
    "input_shape",
    "connections",
    "n_classes",
    "readout_decay",
    "provenance",
    "seed",
    "drawn",
    "input_format",
    "class_names",
)  # of a network, as they are


class SpikingNetwork(nn.Module):
    """A chain of layers of LIF neurons, differentiable by their surrogates. Layers, neurons and readout are tp_lava's.

    network: where it starts; its arrays become parameters of the same names and shapes; those of standardised connections are the
    weights before that. Spikes of maps are rows of their units, in C order. train: "decay", "threshold" or both, to be trained too,
    one number a layer, or one a neuron where the layer has such: parameters decay<l> and threshold<l>, which are free numbers (see
    above). device, dtype: float32 or float64; least_threshold: below which no trained threshold falls (TESS: 0.5).
    Attributes n_inputs, n_classes; layers: as they were given, for trained decays and thresholds see network().
    Raises InvalidValueError for other graphs than chains, leaky readouts and neurons that it does not know.
    """

    def __init__(
        self,
        network: Network,
        train: Iterable[str] | str = (),
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        least_threshold: float = 1e-3,
    ) -> None:
        super().__init__()
        self.trained, self.least_threshold = check_trainable(train), least_threshold
        self._rule: BaseRule | None = None
        self._check(network)
        if dtype not in _DTYPES:
            raise invalid("SpikingNetwork", "dtype", dtype, "torch.float32 or torch.float64", "others do not hold the network's weights")
        if not is_number(least_threshold) or least_threshold <= 0:
            raise invalid("SpikingNetwork", "least_threshold", repr(least_threshold), "a number > 0", "TESS has 0.5")
        self._adopt(network)
        for name, value in self._values(network).items():
            # A copy: the network's own arrays are read-only.
            self.register_parameter(name, nn.Parameter(torch.tensor(value, device=device, dtype=dtype)))

    # What it is -------------------------------------------------------------------------------
    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The network's arrays by name, live: weights and the biases there are."""
        return {name: self.get_parameter(name) for name in self._names}

    @property
    def rule_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of a rule's own by name, live; see learn_by."""
        return {name: self.get_parameter(name) for name in self._rule_names}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.get_parameter(READOUT).device

    @property
    def dtype(self) -> torch.dtype:
        """In which numbers."""
        return self.get_parameter(READOUT).dtype

    # tp_lava's network, both ways -------------------------------------------------------------
    def network(self) -> Network:
        """The network as it is now, with what has been trained. Raises InvalidValueError where training diverged."""
        populations = tuple(self._present(number, layer.population) for number, layer in enumerate(self.layers))
        own = {**self._given_parameters, **_arrays(self.rule_parameters)}
        return Network(populations=populations, weights=_arrays(self.weights), rule_parameters=own, **self._kept)

    def load_network(self, network: Network) -> None:
        """Become that network: weights, biases, neurons, trace decays. Parameters stay the same objects, so optimisers go on.

        Raises InvalidValueError, and changes nothing, for another shape or other biases than the module has.
        """
        self._check(network)
        if network.shapes != self._shapes:
            raise invalid("SpikingNetwork", "network", repr(network), f"a {self._title}", "make a new SpikingNetwork of it")
        if set(network.weights) != set(self._names):
            names = sorted(set(network.weights) ^ set(self._names))
            found = f"{'with' if names[0] in network.weights else 'without'} {names[0]}"
            raise invalid("SpikingNetwork", "network", found, "of the biases the module has", "make a new SpikingNetwork of it")
        with torch.no_grad():
            for name, value in self._values(network).items():
                parameter = self.get_parameter(name)
                parameter.copy_(torch.tensor(value, dtype=parameter.dtype))
        self._adopt(network)

    def learn_by(self, rule: BaseRule) -> None:
        """Take in the parameters of a rule's own, as its trainer asks: the network's, or drawn; network() gives them back."""
        self._rule = rule
        for name, value in rule.parameters(self.network()).items():
            if name not in self._rule_names:
                self.register_parameter(name, nn.Parameter(torch.tensor(value, device=self.device, dtype=self.dtype)))
                self._rule_names += (name,)

    # What it does -----------------------------------------------------------------------------
    def forward(self, spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores m = sum over steps of W o (+ bias), o: what the last layer gives on. -> (B, n_classes).

        spikes: (T, B, n_inputs) of 0 and 1, or the values of a network of graded input; lengths: (B,) steps after which a sample's
        scores stand, for samples made longer by silence; without it, T.
        """
        last = self._last_outputs(spikes)
        steps = torch.full((last.shape[1],), len(last), device=last.device) if lengths is None else lengths.to(last.device)
        if lengths is not None:
            within = torch.arange(len(last), device=last.device)[:, None] < steps
            last = last * within[..., None]
        readout = self._readout()
        scores = readout.drive(last.sum(dim=0), readout.values())
        bias = self.weights.get(READOUT_BIAS)
        return scores if bias is None else scores + steps[:, None] * bias

    def scores(self, spikes: Tensor, detach_reset: bool = False) -> Tensor:
        """The scores of every step. spikes: (T, B, n_inputs). -> (T, B, n_classes)."""
        readout, bias = self._readout(), self.weights.get(READOUT_BIAS)
        return readout.drive(self._last_outputs(spikes, detach_reset), readout.values(), bias).cumsum(dim=0)

    def hidden_spikes(self, spikes: Tensor, detach_reset: bool = False, membranes: list[Tensor] | None = None) -> list[Tensor]:
        """Spikes of each hidden layer's neurons, (T, B, n). detach_reset: keep the reset out of the derivative.

        membranes: a list to which each layer's membranes are appended, (T, B, n), at the end of each step.
        """
        below = self._given(spikes)
        every = []
        for number in range(len(self.layers)):
            fired, below = self._through(number, below, detach_reset, membranes)
            every.append(fired)
        return every

    def membranes(self, spikes: Tensor) -> list[Tensor]:
        """Membranes of each hidden layer at the end of each step, (T, B, n). spikes: (T, B, n_inputs)."""
        membranes: list[Tensor] = []
        self.hidden_spikes(spikes, membranes=membranes)
        return membranes

    def neurons(self, number: int, rows: int, detach_reset: bool = False) -> Neurons:
        """A silent population of hidden layer `number`, with its present decay and threshold."""
        neuron = self.layers[number].neuron
        silence = torch.zeros(rows, self.layers[number].size, device=self.device, dtype=self.dtype)
        decay, threshold = (self._constant(number, attr, silence) for attr in ("decay", "threshold"))
        return Neurons(neuron, decay, threshold, silence, detach_reset)

    # Inside -----------------------------------------------------------------------------------
    def _adopt(self, network: Network) -> None:
        """Keep what is no parameter."""
        self.layers, self.n_inputs, self.n_classes = chain_of(network), network.n_inputs, network.n_classes
        self.readout_connection, self.input_format = network.readout, network.input_format
        self._kept: dict[str, Any] = {name: getattr(network, name) for name in _KEPT}
        self._given_parameters = dict(network.rule_parameters)
        self._names, self._shapes, self._title = tuple(network.weights), network.shapes, repr(network)
        self._rule_names: tuple[str, ...] = tuple(self._rule.parameters(network)) if self._rule else ()

    def _readout(self) -> Delivery:
        return Delivery.of(self.readout_connection, self.get_parameter(READOUT))

    def _given(self, spikes: Tensor) -> Tensor:
        return checked_spikes(spikes, self.n_inputs, self.device).to(self.dtype)

    def _last_outputs(self, spikes: Tensor, detach_reset: bool = False) -> Tensor:
        """What the last layer gives on, (T, B, units); with maps all layers step by step, for all steps of a map are much to hold."""
        below = self._given(spikes)
        if all(not layer.forward.kind.by_place for layer in self.layers):
            for number in range(len(self.layers)):
                below = self._through(number, below, detach_reset, None)[1]
            return below
        layers = [self._layer(number, below.shape[1], detach_reset) for number in range(len(self.layers))]
        return torch.stack([reduce(lambda x, layer: layer.advance(x), layers, inputs) for inputs in below])

    def _layer(self, number: int, rows: int, detach_reset: bool) -> ForwardLayer:
        return ForwardLayer(self.layers[number], self.weights, self.neurons(number, rows, detach_reset))

    def _through(self, number: int, below: Tensor, detach_reset: bool, membranes: list[Tensor] | None) -> tuple[Tensor, Tensor]:
        """One layer for all steps. -> spikes, and what others get of them."""
        layer = self._layer(number, below.shape[1], detach_reset)
        fired: list[Tensor] = []
        outputs: list[Tensor] = []
        kept: list[Tensor] = []
        for drive in layer.drives(below):
            fired.append(layer.step(drive))
            outputs.append(layer.outputs)
            if membranes is not None:
                kept.append(layer.membrane)
        if membranes is not None:
            membranes.append(torch.stack(kept))
        spikes = torch.stack(fired)
        return spikes, torch.stack(outputs) if self.layers[number].population.pooling else spikes

    def _constant(self, number: int, attr: str, rows: Tensor) -> Tensor | float:
        """A neuron's decay or threshold as it is now, beside a tensor of neurons, (rows, n)."""
        if attr not in self.trained:
            return constant(getattr(self.layers[number].neuron, attr), rows)
        present = from_free(attr, self.get_parameter(free_name(attr, number)), self.least_threshold)
        return present.repeat_interleave(rows.shape[1] // len(present)) if present.ndim else present

    def _present(self, number: int, population: Population) -> Population:
        """The population with its trained constants; those that have not moved are given back as they came."""
        changed: dict[str, Any] = {}
        for attr in self.trained:
            free, given = self.get_parameter(free_name(attr, number)).detach().cpu(), getattr(population.neuron, attr)
            moved = free != torch.tensor(to_free(attr, given), dtype=free.dtype)
            if moved.any():
                present = from_free(attr, free, self.least_threshold)
                changed[attr] = torch.where(moved, present.double(), torch.tensor(given, dtype=torch.float64)).tolist()
        return replace(population, neuron=replace(population.neuron, **changed))

    def _values(self, network: Network) -> dict[str, np.ndarray | Parameter]:
        """Every parameter's value for a network."""
        values: dict[str, np.ndarray | Parameter] = {**network.weights, **(self._rule.parameters(network) if self._rule else {})}
        for attr in self.trained:
            for number, population in enumerate(network.populations):
                values[free_name(attr, number)] = to_free(attr, getattr(population.neuron, attr))
        return values

    def _check(self, network: object) -> None:
        if not isinstance(network, Network):
            raise invalid("SpikingNetwork", "network", repr(network)[:60], "a Network", "make one with tpl.Network.dense(...)")
        if network.readout_decay < 1:
            remedy = "train an integrating readout, or use tpl.Learner"
            raise invalid("SpikingNetwork", "readout_decay", network.readout_decay, "1", remedy)
        for layer in chain_of(network):
            self._check_layer(layer)

    def _check_layer(self, layer: ChainLayer) -> None:
        neuron = layer.neuron
        check_neuron(neuron)
        if "decay" in self.trained and lowest(neuron.decay) == 0:
            raise invalid("SpikingNetwork", "decay", lowest(neuron.decay), "above 0 to be trained", "start for example with 0.5")
        if "threshold" in self.trained and lowest(neuron.threshold) < self.least_threshold:
            limit = f"at least least_threshold, {self.least_threshold}"
            raise invalid("SpikingNetwork", "threshold", lowest(neuron.threshold), limit, "lower least_threshold or raise it")


def _arrays(parameters: Mapping[str, nn.Parameter]) -> dict[str, np.ndarray]:
    """Copies, float32."""
    return {name: np.array(parameter.detach().cpu(), np.float32) for name, parameter in parameters.items()}
