"""PyTorch modules, snnTorch's neurons among them, as a chain of stages.

What is read: nn.Sequential, and modules whose children were made in the order in which forward uses them; `order` gives the
order otherwise. All of it is read as after eval(): running statistics, no dropout. Weights are read as they are used, behind
parametrizations, weight_norm, spectral_norm and pruning. Flattening is not needed.

A forward that does more than that (additions, concatenations, factors, functional poolings and maps, another order, layers used
twice) is read from a run of it (convert/captured). Where that cannot be, or `order` or `factors` say how to read it, the chain of
modules is read, and verification, which runs the module, finds what forward does otherwise (convert/verification).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.layers import Standardised
from tp_lava.convert.module_reader import ModuleReader, Neurons, names_of
from tp_lava.convert.stages import Source
from tp_lava.convert.values import integers_of, refuse
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import ConversionError, InvalidValueError

if TYPE_CHECKING:
    from torch import nn


def read_module(
    module: nn.Module,
    input_shape: Sequence[int] | int | None = None,
    neurons: Neurons | None = None,
    *,
    order: Iterable[str] | None = None,
    standardised: Mapping[str, Standardised] | Iterable[str] = (),
    factors: Mapping[str, float] | None = None,
    inexact: bool = False,
) -> Source:
    """A PyTorch network, snnTorch's included, as a Source. input_shape: (n,) or (channels, height, width), of one sample and step; None:
    that of the first layer, where it is a Linear.

    (channels, length) stands before a Conv1d. Read are Linear, Conv2d, Conv1d, AvgPool2d, AdaptiveAvgPool2d, LPPool2d of norm 1 (sums),
    after spikes MaxPool2d and AdaptiveMaxPool2d,
    BatchNorm1d and 2d, Flatten, Dropout and Identity, and snnTorch's Leaky, RLeaky, Synaptic, RSynaptic and
    Lapicque (see snntorch_neurons.py), and neurons of sinabs, SpikingJelly and Norse (see foreign_neurons.py).
    neurons: path of a layer -> the LIF or Spiking after it (after its batch normalisation), or in place of it where it is
    an activation; or one LIF for every Linear and Conv2d but the last, which is then the readout. order: paths of submodules
    in the order of use. standardised: paths whose weights are standardised in forward, or path -> Standardised(...).
    factors: path of a layer -> the number by which forward multiplies what arrives at it, which becomes part of weights.
    inexact: convert neurons that differ from ours in rare steps. Raises TorchUnavailableError, InvalidValueError.
    """
    from tp_lava.torch.availability import require_torch  # here, for that package cannot be imported without PyTorch

    require_torch()
    from torch import nn

    if not isinstance(module, nn.Module):
        raise refuse("model", "module", repr(module)[:60], "a torch.nn.Module", "for a state dict use read_state_dict")
    if neurons is not None and not isinstance(neurons, LIF | Mapping):
        raise refuse("model", "neurons", repr(neurons)[:60], "a LIF, or a dict path -> LIF or Spiking", "use for example tpl.LIF(0.9)")
    input_shape = _first_size(module) if input_shape is None else input_shape
    given = (neurons, _by_path(standardised), dict(factors or {}), inexact)
    chain, problem = ModuleReader(module, _begun(input_shape), *given), None
    if order is None and not factors:
        read, problem = _read_forward(ModuleReader(module, _begun(input_shape), *given))
        if read is not None:
            return read
    from tp_lava.convert.captured.reading import read_chain

    try:
        return read_chain(chain, chain.leaves(order))
    except InvalidValueError as error:
        if problem is None or error.attr == "type":
            raise
        raise problem from None


def _begun(input_shape: Any) -> SourceBuilder:
    """A builder whose input has this shape; (channels, length), as Conv1d takes it, is an image of height 1."""
    sizes = integers_of(input_shape)
    if sizes is None or len(sizes) != 2 or min(sizes) < 1:
        return SourceBuilder("torch", input_shape)
    builder = SourceBuilder("torch", (sizes[0], 1, sizes[1]))
    builder.source.frame_shape = sizes
    return builder


def _first_size(module: nn.Module) -> int:
    """The inputs of the first layer with weights, which must be a Linear."""
    first = next((part for _, part in module.named_modules() if names_of(part) & {"torch.Linear", "torch._ConvNd"}), None)
    if first is None or "torch.Linear" not in names_of(first):
        found = "no layer with weights" if first is None else f"a {type(first).__name__} first"
        remedy = "pass input_shape=(n,) or (channels, height, width)"
        raise refuse("model", "input_shape", f"None, with {found}", "given where the first layer is no Linear", remedy)
    return int(first.in_features)


def _read_forward(reader: ModuleReader) -> tuple[Source | None, ConversionError | None]:
    """-> (the stages of what forward does, None where it is a chain or was not understood; what was not understood)."""
    from tp_lava.convert.captured.expressions import NotUnderstoodError  # here, for these cannot be imported without PyTorch
    from tp_lava.convert.captured.reading import ForwardReader
    from tp_lava.convert.verification.recording import CannotRunError

    try:
        forward = ForwardReader(reader)
        return (None, None) if forward.is_chain() else (forward.read(), None)
    except CannotRunError:
        return None, None
    except NotUnderstoodError as error:
        remedy = "use what can be converted, or pass order=[names] and verify=False if only the layers are meant"
        return None, ConversionError("forward", f"it calls {error.place}", error.cause, remedy)


def _by_path(standardised: Mapping[str, Standardised] | Iterable[str]) -> dict[str, Standardised]:
    given = (standardised,) if isinstance(standardised, str) else standardised
    table = dict(given) if isinstance(given, Mapping) else {path: Standardised() for path in given}
    for path, value in table.items():
        if not isinstance(value, Standardised):
            raise refuse(path, "standardised", repr(value)[:60], "a Standardised", "use for example Standardised(eps=1e-5)")
    return table
