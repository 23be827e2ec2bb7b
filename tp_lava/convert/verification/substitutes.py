"""Neurons that are run in a foreign module.

Those of snnTorch, sinabs, SpikingJelly and Norse: which they are, how they come to rest, how they take time. And declared ones, which take
what a layer gives and hand on spikes, so that the module runs as converted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tp_lava.convert.joins import Added
from tp_lava.convert.stages import Convolution, Dense, Reading, ReadLayer, Source, Spiking
from tp_lava.convert.values import Shape, per_unit
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import spread
from tp_lava.errors import invalid
from tp_lava.torch.neuron import Neurons

_NEURONS: Mapping[str, str] = {  # library -> the class of all its neurons
    "snntorch": "SpikingNeuron",
    "sinabs": "StatefulLayer",
    "spikingjelly": "BaseNode",
    "norse": "SNNCell",
}
_RESTS: Mapping[str, str] = {"snntorch": "reset_mem", "sinabs": "reset_states", "spikingjelly": "reset"}


def reading_of(module: Any) -> Reading:
    """The neurons of a module, to be compared in the order of use. Raises InvalidValueError where none are known."""
    if not isinstance(module, nn.Module):
        raise invalid("convert", "module", repr(module)[:60], "the PyTorch module that was exported, or None", "leave it out")
    found = [(path, part) for path, part in module.named_modules() if library_of(part)]
    if not found:
        limit = f"a module with neurons of {', '.join(_NEURONS)}"
        raise invalid("convert", "module", f"a {type(module).__name__} without", limit, "leave it out")
    return Reading(module, tuple(ReadLayer(path or type(part).__name__, part, spikes=path) for path, part in found), whole=False)


def library_of(module: Any) -> str | None:
    """The library whose neurons a layer is, or None."""
    names = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(module).__mro__}
    return next((library for library, neuron in _NEURONS.items() if (library, neuron) in names), None)


def rest(module: nn.Module) -> None:
    """Bring all known neurons of a module to rest."""
    for part in module.modules():
        library = library_of(part)
        reset = getattr(part, _RESTS.get(library or "", ""), None)
        if reset is not None:
            reset()


def takes_sequences(layer: Any) -> bool:
    """Whether neurons go through all steps of a sample in one call."""
    library = library_of(layer)
    return library == "sinabs" or (library == "spikingjelly" and getattr(layer, "step_mode", "s") == "m")


def hands_its_state_on(layer: Any) -> bool:
    """Whether neurons keep no state, but are given that of the step before, and give theirs."""
    return library_of(layer) == "norse"


def took_all_steps(layer: Any, output: Tensor, steps: int) -> bool:
    """Whether `output` is what such neurons give of so many steps: sinabs has the batch first, unless it is squeezed."""
    shape = tuple(output.shape)
    batch_first = library_of(layer) == "sinabs" and not type(layer).__name__.endswith("Squeeze")
    return shape[:2] == (1, steps) if batch_first else shape[:1] == (steps,)


class Substitute:
    """A population of one sample. stage: checked; shape: of the population; bias: (n,) of the map before it."""

    def __init__(self, stage: Spiking, shape: Shape, bias: np.ndarray) -> None:
        names = {option.name for option in fields(LIF)} - {"bias_to"}
        numbers: dict[str, Any] = {name: getattr(stage, name) for name in names}
        self.neuron = LIF(**numbers, bias_to="membrane")
        self.shape, self.stage = shape, stage
        unfiltered = bias * per_unit(stage.gain, shape).ravel() if stage.bias_to == "membrane" else np.zeros_like(bias)
        self._gain = torch.as_tensor(per_unit(stage.gain, shape), dtype=torch.float32)
        self._bias = torch.as_tensor((unfiltered + per_unit(stage.offset, shape).ravel()).reshape(shape), dtype=torch.float32)
        self._apart = torch.as_tensor(unfiltered.reshape(shape), dtype=torch.float32)
        self._feedback = None if stage.feedback is None else torch.as_tensor(np.asarray(stage.feedback), dtype=torch.float32)
        self.rest()

    def rest(self) -> None:
        """Go back to the state before the first step."""
        silence = torch.zeros((1, *self.shape))
        constants = (spread(getattr(self.neuron, name), self.shape) for name in ("decay", "threshold"))
        decay, threshold = (torch.as_tensor(each, dtype=torch.float32) if isinstance(each, np.ndarray) else each for each in constants)
        self._neurons, self._spikes = Neurons(self.neuron, decay, threshold, silence), silence

    def __call__(self, given: Tensor) -> Tensor:
        """One step. given: the drive, of any shape with the population's numbers. -> spikes of that shape."""
        drive = given.detach().float().reshape(1, *self.shape) * self._gain - self._apart
        if self._feedback is not None:
            drive = drive + (self._feedback @ self._spikes.ravel()).reshape(drive.shape)
        self._spikes = self._neurons.step(drive, self._bias)
        return self._spikes.reshape(given.shape).to(given.dtype)


def substitutes_of(source: Source) -> dict[str, Substitute]:
    """Path of each population of a source -> its substitute."""
    found: dict[str, Substitute] = {}
    biases: dict[int, np.ndarray] = {}  # of what maps give, and of sums of that
    for number, stage, shape in source.walk():
        below = [biases[each] for each in source.inputs_of(number) if each in biases]
        if isinstance(stage, Spiking):
            each = sum((_spread(bias, shape) for bias in below), np.zeros(math.prod(shape)))
            found[stage.path] = Substitute(replace(stage), shape, each)
        elif isinstance(stage, Dense | Convolution) and stage.bias is not None:
            biases[number] = stage.bias
        elif isinstance(stage, Added) and below:
            biases[number] = sum((_spread(bias, shape) for bias in below), np.zeros(math.prod(shape)))
    return found


def _spread(bias: np.ndarray, shape: Shape) -> np.ndarray:
    """A bias as one number a unit, float64, (n,)."""
    each = bias.reshape(shape) if bias.size == math.prod(shape) else bias.reshape(-1, *[1] * (len(shape) - 1))
    return np.broadcast_to(each, shape).astype(np.float64).ravel()
