"""SpikingNetwork: a tp_lava Network as a PyTorch module, and back again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tp_lava.checks import is_number
from tp_lava.errors import invalid
from tp_lava.graph.network import Layer, Network
from tp_lava.torch.constants import check_trainable, from_free, to_free
from tp_lava.torch.inputs import checked_spikes
from tp_lava.torch.neuron import Neurons

_DTYPES = (torch.float32, torch.float64)


class SpikingNetwork(nn.Module):
    """A network of LIF neurons, differentiable by their surrogates. Layers, neurons and readout are tp_lava's.

    network: where it starts; its arrays become parameters of the same names and shapes, (n_out, n_in). train: "decay",
    "threshold" or both, to be trained too, one number a layer: parameters decay<l> and threshold<l>, which are free numbers
    (see constants.py). device, dtype: float32 or float64; least_threshold: below which no trained threshold falls (TESS: 0.5).
    Attributes n_inputs, n_classes; layers: as they were given, for trained decays and thresholds see network().
    Raises InvalidValueError.
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
    def device(self) -> torch.device:
        """Where it computes."""
        return self.get_parameter("readout").device

    @property
    def dtype(self) -> torch.dtype:
        """In which numbers."""
        return self.get_parameter("readout").dtype

    # tp_lava's network, both ways -------------------------------------------------------------
    def network(self) -> Network:
        """The network as it is now, with what has been trained. Raises InvalidValueError where training diverged."""
        weights = {name: parameter.detach().cpu().numpy() for name, parameter in self.weights.items()}
        layers = tuple(self._present(number, layer) for number, layer in enumerate(self.layers))
        return Network(self.n_inputs, layers, self.n_classes, weights)

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

    # What it does -----------------------------------------------------------------------------
    def forward(self, spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores m = sum over steps of W s (+ bias). spikes: (T, B, n_inputs) of 0 and 1. -> (B, n_classes).

        lengths: (B,) steps after which a sample's scores stand, for samples made longer by silence; without it, T.
        """
        last = self.hidden_spikes(spikes)[-1]
        steps = torch.full((last.shape[1],), len(last), device=last.device) if lengths is None else lengths.to(last.device)
        if lengths is not None:
            within = torch.arange(len(last), device=last.device)[:, None] < steps
            last = last * within[..., None]
        scores = linear(last.sum(dim=0), self.get_parameter("readout"))
        bias = self.weights.get("readout_bias")
        return scores if bias is None else scores + steps[:, None] * bias

    def scores(self, spikes: Tensor, detach_reset: bool = False) -> Tensor:
        """The scores of every step. spikes: (T, B, n_inputs). -> (T, B, n_classes)."""
        last = self.hidden_spikes(spikes, detach_reset)[-1]
        return linear(last, self.get_parameter("readout"), self.weights.get("readout_bias")).cumsum(dim=0)

    def hidden_spikes(self, spikes: Tensor, detach_reset: bool = False) -> list[Tensor]:
        """Spikes of each hidden layer, (T, B, n). detach_reset: keep the reset out of the derivative."""
        below = checked_spikes(spikes, self.n_inputs, self.device).to(self.dtype)
        all_spikes = []
        for number in range(len(self.layers)):
            below = self._through(number, below, detach_reset)
            all_spikes.append(below)
        return all_spikes

    def membranes(self, spikes: Tensor) -> list[Tensor]:
        """Membranes of each hidden layer at the end of each step, (T, B, n). spikes: (T, B, n_inputs)."""
        below = checked_spikes(spikes, self.n_inputs, self.device).to(self.dtype)
        all_membranes = []
        for number in range(len(self.layers)):
            membranes: list[Tensor] = []
            below = self._through(number, below, False, membranes)
            all_membranes.append(torch.stack(membranes))
        return all_membranes

    def neurons(self, number: int, rows: int, detach_reset: bool = False) -> Neurons:
        """A silent population of hidden layer `number`, with its present decay and threshold."""
        silence = torch.zeros(rows, self.layers[number].size, device=self.device, dtype=self.dtype)
        constant = partial(self._constant, number)
        return Neurons(self.layers[number].neuron, constant("decay"), constant("threshold"), silence, detach_reset)

    # Inside -----------------------------------------------------------------------------------
    def _adopt(self, network: Network) -> None:
        """Keep what is no parameter."""
        self.n_inputs, self.layers, self.n_classes = network.n_inputs, network.layers, network.n_classes
        self._names, self._shapes, self._title = tuple(network.weights), network.shapes, repr(network)

    def _through(self, number: int, below: Tensor, detach_reset: bool, membranes: list[Tensor] | None = None) -> Tensor:
        """One layer for all steps: its input in one product, for no layer acts back on those below it.

        membranes: a list to append them to, step by step.
        """
        weights = self.weights
        drives = linear(below, weights[f"hidden{number}"])
        feedback, bias = weights.get(f"recurrent{number}"), weights.get(f"bias{number}")
        neurons = self.neurons(number, below.shape[1], detach_reset)
        steps: list[Tensor] = []
        for drive in drives:
            if feedback is not None and steps:
                drive = drive + linear(steps[-1], feedback)
            steps.append(neurons.step(drive, bias))
            if membranes is not None:
                membranes.append(neurons.membrane)
        return torch.stack(steps)

    def _constant(self, number: int, attr: str) -> Tensor | float:
        if attr not in self.trained:
            return getattr(self.layers[number].neuron, attr)
        return from_free(attr, self.get_parameter(f"{attr}{number}"), self.least_threshold)

    def _present(self, number: int, layer: Layer) -> Layer:
        """The layer with its trained constants; one that has not moved is given back as it came."""
        changed: dict[str, Any] = {}
        for attr in self.trained:
            free, given = self.get_parameter(f"{attr}{number}").detach(), getattr(layer.neuron, attr)
            if free != torch.tensor(to_free(attr, given), dtype=free.dtype):
                changed[attr] = float(from_free(attr, free, self.least_threshold))
        return replace(layer, neuron=replace(layer.neuron, **changed))

    def _values(self, network: Network) -> dict[str, np.ndarray | float]:
        """Every parameter's value for a network."""
        values: dict[str, np.ndarray | float] = dict(network.weights)
        for attr in self.trained:
            for number, layer in enumerate(network.layers):
                values[f"{attr}{number}"] = to_free(attr, getattr(layer.neuron, attr))
        return values

    def _check(self, network: object) -> None:
        if not isinstance(network, Network):
            raise invalid("SpikingNetwork", "network", repr(network)[:60], "a Network", "make one with tpl.Network.dense(...)")
        if network.readout_decay < 1:
            remedy = "train an integrating readout, or use tpl.Learner"
            raise invalid("SpikingNetwork", "readout_decay", network.readout_decay, "1", remedy)
        for layer in network.layers:
            if layer.connection:
                remedy = "train it where it comes from, or use tpl.Learner"
                raise invalid("SpikingNetwork", "connection", layer.connection, "None, all-to-all", remedy)
            if "decay" in self.trained and layer.neuron.decay == 0:
                raise invalid("SpikingNetwork", "decay", layer.neuron.decay, "above 0 to be trained", "start for example with 0.5")
            if "threshold" in self.trained and layer.neuron.threshold < self.least_threshold:
                limit = f"at least least_threshold, {self.least_threshold}"
                raise invalid("SpikingNetwork", "threshold", layer.neuron.threshold, limit, "lower least_threshold or raise it")
