"""Neurons of snnTorch, sinabs, SpikingJelly and Norse as layers that are run: which they are, how they come to rest, how they take time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tp_lava.convert.stages import Reading, ReadLayer
from tp_lava.errors import invalid

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
