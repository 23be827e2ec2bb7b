"""Layers of PyTorch and snnTorch, each described by its type and options, with its tensors, as stages.

The readers of modules and of state dicts use it; the types and options are in the docstring of `state_dicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.snntorch_neurons import RESETS, SnnTorchNeuron, append_neurons
from tp_lava.convert.stages import Integrating, Spiking
from tp_lava.convert.values import array_of, refuse
from tp_lava.errors import TpLavaError, invalid


@dataclass(frozen=True)
class Standardised:
    """A weight that is standardised each time it is used: gain (w - mean w) / s, over the inputs of every output.

    s: sqrt(var + eps) (eps_in "variance") or sqrt(var) + eps ("deviation"); unbiased: var divides by n - 1. gain: a number.
    Raises InvalidValueError.
    """

    eps: float = 1e-5
    gain: float = 1.0
    unbiased: bool = False
    eps_in: Literal["variance", "deviation"] = "variance"

    def __post_init__(self) -> None:
        if not is_number(self.eps, 0) or not is_number(self.gain):
            found = (self.eps, self.gain)
            raise invalid("Standardised", "eps, gain", found, "an eps >= 0 and a finite gain", "take those of the source")
        if self.eps_in not in ("variance", "deviation"):
            raise invalid("Standardised", "eps_in", repr(self.eps_in), '"variance" or "deviation"', "PyTorch's own layers have variance")

    def __call__(self, weight: np.ndarray) -> np.ndarray:
        """The weight as it is used; the first axis is the outputs."""
        flat = weight.reshape(len(weight), -1).astype(np.float64)
        variance = flat.var(1, ddof=int(self.unbiased and flat.shape[1] > 1))
        deviation = np.sqrt(variance + self.eps) if self.eps_in == "variance" else np.sqrt(variance) + self.eps
        if not (deviation > 0).all():
            raise invalid("Standardised", "eps", self.eps, "above 0 where a row of weights is constant", "take that of the source")
        return (self.gain * (flat - flat.mean(1, keepdims=True)) / deviation[:, None]).reshape(weight.shape)


SNNTORCH = {"leaky": "Leaky", "rleaky": "RLeaky", "synaptic": "Synaptic", "rsynaptic": "RSynaptic"}  # type -> class of snnTorch
NUMBERS = ("decay", "threshold", "current_decay", "reset_by", "gain", "offset", "feedback")  # of neurons; may be names of tensors


class Tensors:
    """Tensors by name, of which it is known which were used."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state
        self.used: list[str] = []

    def take(self, name: str, integers: bool = False) -> np.ndarray:
        """A tensor as an array. integers: whether it may hold integers."""
        path, _, parameter = name.rpartition(".")
        if name not in self.state:
            similar = [key for key in self.state if key.rpartition(".")[2] == parameter][:8] or list(self.state)[:8]
            remedy = f"there are {', '.join(similar)[:160] or 'none'}"
            raise refuse(path or "model", parameter, "missing", f"in the state dict as {name!r}", remedy)
        self.used.append(name)
        return array_of(path or "model", parameter, self.state[name], integers)

    def optional(self, name: str, integers: bool = False) -> np.ndarray | None:
        """A tensor as an array, or None where there is none of that name."""
        return self.take(name, integers) if name in self.state else None


class LayerReader:
    """Appends described layers to a source. inexact: whether neurons that differ from ours in rare steps are converted."""

    def __init__(self, builder: SourceBuilder, tensors: Tensors, inexact: bool) -> None:
        self.builder, self.tensors, self.inexact = builder, tensors, inexact

    def read(self, kind: str, path: str, **options: Any) -> None:
        """Append a layer. kind: its type; path: of its tensors. Raises InvalidValueError."""
        first = len(self.tensors.used)
        self._append(kind, path, options)
        for name in self.tensors.used[first:]:
            owner, _, parameter = name.rpartition(".")
            self.builder.record_others(owner, {parameter: ""}, "kept")

    def _append(self, kind: str, path: str, options: dict[str, Any]) -> None:
        builder = self.builder
        appends: dict[str, Callable[..., None]] = {
            "linear": partial(self._weighted, builder.dense),
            "conv2d": partial(self._weighted, builder.convolution),
            "conv1d": partial(self._weighted, self._convolution_of_lines),
            "batchnorm": self._batch_norm,
            "avgpool": builder.pool,
            "sumpool": partial(builder.pool, scale=1.0),
            "maxpool": partial(builder.pool, maximum=True),
            "adaptiveavgpool": builder.pool_to,
            "adaptivemaxpool": partial(builder.pool_to, maximum=True),
            "flatten": builder.flatten,
            "dropout": lambda path: builder.record(path, "dropout", "ignored", "without effect when it runs"),
            "lif": lambda path, **given: builder.neurons(Spiking(path, **({"threshold": 1.0} | self._numbers(path, given)))),
            "li": lambda path, **given: builder.neurons(Integrating(path, **self._numbers(path, given))),
            **{name: partial(self._snntorch, name) for name in SNNTORCH},
        }
        appends[kind](path, **options)

    def _weighted(self, append: Callable[..., None], path: str, standardised: Any = None, **options: Any) -> None:
        weight, bias = self.tensors.take(f"{path}.weight"), self.tensors.optional(f"{path}.bias")
        if standardised is None:
            append(path, weight, bias, **options)
            return
        standardised = _standardised(path, standardised)
        append(path, standardised(weight), bias, **options)
        self.builder.update_record(path, "weight", "rescaled", f"standardised, {standardised}")

    def _convolution_of_lines(
        self, path: str, kernel: np.ndarray, bias: np.ndarray | None, stride: Any, padding: Any, dilation: Any, groups: int
    ) -> None:
        """A Conv1d, over images of height 1."""
        steps = {"stride": (1, int(stride[0])), "dilation": (1, int(dilation[0])), "padding": padding}
        if not isinstance(padding, str):
            steps["padding"] = (0, int(padding[0]))
        self.builder.convolution(path, kernel[:, :, None], bias, groups=groups, **steps)

    def _batch_norm(self, path: str, eps: Any = 1e-5) -> None:
        mean, variance = self.tensors.take(f"{path}.running_mean"), self.tensors.take(f"{path}.running_var")
        gain, shift = self.tensors.optional(f"{path}.weight"), self.tensors.optional(f"{path}.bias")
        self.builder.batch_norm(path, mean, variance, eps, gain, shift)
        if self.tensors.optional(f"{path}.num_batches_tracked", integers=True) is not None:
            self.builder.record(path, "num_batches_tracked", "ignored", "of training")

    def _numbers(self, path: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of neurons, tensors in place of their names."""
        numbers = dict(options)
        for name in NUMBERS:
            value = options.get(name)
            if isinstance(value, str):
                numbers[name] = self.tensors.take(value, integers=True)
            elif name in options:
                self.builder.record(path, name, "added", "of the description")
        return numbers

    # snnTorch's neurons -------------------------------------------------------------------------
    def _snntorch(self, kind: str, path: str, reset: Any = None, reset_delay: Any = True) -> None:
        if not isinstance(reset_delay, bool):
            raise refuse(path, "reset_delay", repr(reset_delay)[:60], "true or false", "take that of the layer")
        is_recurrent, is_one_to_one = kind.startswith("r"), f"{path}.V" in self.tensors.state
        optional, needed = ["graded_spikes_factor", "reset_mechanism_val"], ["beta", "threshold"]
        if kind.endswith("synaptic"):
            needed.append("alpha")
        if is_recurrent:
            needed.append("V" if is_one_to_one else "recurrent.weight")
            optional.append("recurrent.V" if is_one_to_one else "recurrent.bias")
        arrays: dict[str, Any] = {name: self.tensors.optional(f"{path}.{name}", integers=True) for name in optional}
        reset = self._reset(path, reset, arrays["reset_mechanism_val"])
        arrays |= {name: self.tensors.take(f"{path}.{name}", integers=True) for name in needed}
        append_neurons(self.builder, SnnTorchNeuron(path, SNNTORCH[kind], arrays, reset, reset_delay), self.inexact)

    def _reset(self, path: str, described: Any, stored: np.ndarray | None) -> Any:
        """The reset mechanism, of the tensors or of the description."""
        if stored is None:
            return "subtract" if described is None else described
        if stored.size != 1 or stored.item() not in range(len(RESETS)):
            raise refuse(path, "reset_mechanism_val", str(stored)[:60], "0, 1 or 2", "save it again")
        reset = RESETS[int(stored.item())]
        if described not in (None, reset):
            raise refuse(path, "reset", repr(described)[:60], f"{reset!r}, as the file has it", "leave it out")
        return reset


def _standardised(path: str, given: Any) -> Standardised:
    if isinstance(given, Standardised):
        return given
    try:
        return Standardised(**given)
    except (TypeError, TpLavaError) as error:
        limit = 'a dict of "eps", "gain", "unbiased" and "eps_in"'
        raise refuse(path, "standardised", repr(given)[:60], limit, str(error).splitlines()[0][:120]) from None
