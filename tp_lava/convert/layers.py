"""Layers of PyTorch and snnTorch, each as a description and its tensors, as stages. The readers of modules and of state dicts use it.

A description is a dict of keyword arguments; its keys are in the docstring of `state_dicts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.folding import Standardised
from tp_lava.convert.snntorch_neurons import RESETS, SnnTorchNeuron, append_neurons
from tp_lava.convert.stages import Integrating, Spiking
from tp_lava.convert.values import array_of, refuse
from tp_lava.errors import TpLavaError

SNNTORCH = {"leaky": "Leaky", "rleaky": "RLeaky", "synaptic": "Synaptic", "rsynaptic": "RSynaptic"}  # type -> class of snnTorch
NUMBERS = ("decay", "threshold", "current_decay", "reset_by", "gain", "offset", "feedback")  # of neurons; may be names of tensors
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # type -> (needed, possible)
    "linear": (("name",), ("standardised",)),
    "conv2d": (("name",), ("stride", "padding", "dilation", "groups", "standardised")),
    "batchnorm": (("name",), ("eps",)),
    "avgpool": (("kernel",), ("name", "stride", "padding")),
    "sumpool": (("kernel",), ("name", "stride", "padding")),
    "flatten": ((), ("name",)),
    "dropout": ((), ("name",)),
    "lif": (("decay",), ("name", *NUMBERS[1:], "reset", "comparison", "trace_decay")),
    "li": (("decay",), ("name", "gain", "offset")),
    **dict.fromkeys(SNNTORCH, (("name",), ("reset", "reset_delay"))),
}


class Tensors:
    """Tensors by name, of which it is known which were used."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state, self.used = state, set[str]()

    def take(self, name: str, integers: bool = False) -> np.ndarray:
        """A tensor as an array. integers: whether it may hold integers."""
        path, _, parameter = name.rpartition(".")
        if name not in self.state:
            similar = [key for key in self.state if key.rpartition(".")[2] == parameter][:8] or list(self.state)[:8]
            remedy = f"there are {', '.join(similar)[:160] or 'none'}"
            raise refuse(path or "model", parameter, "missing", f"in the state dict as {name!r}", remedy)
        self.used.add(name)
        return array_of(path or "model", parameter, self.state[name], integers)

    def optional(self, name: str, integers: bool = False) -> np.ndarray | None:
        """A tensor as an array, or None where there is none of that name."""
        return self.take(name, integers) if name in self.state else None


class LayerReader:
    """Appends described layers to a source. inexact: whether neurons that differ from ours in rare steps are converted."""

    def __init__(self, builder: SourceBuilder, tensors: Tensors, inexact: bool) -> None:
        self.builder, self.tensors, self.inexact = builder, tensors, inexact

    def read(self, kind: str, path: str, **options: Any) -> None:
        """Append a layer. kind: one of KEYS; path: of its tensors; options: as in KEYS. Raises InvalidValueError."""
        builder = self.builder
        if kind == "linear":
            builder.dense(path, *self._weight_and_bias(path), **_with_standardised(path, options))
        elif kind == "conv2d":
            builder.convolution(path, *self._weight_and_bias(path), **_with_standardised(path, options))
        elif kind == "batchnorm":
            self._batch_norm(path, **options)
        elif kind == "avgpool":
            builder.pool(path, **options)
        elif kind == "sumpool":
            builder.pool(path, **options, scale=1.0)
        elif kind == "flatten":
            builder.flatten(path)
        elif kind == "dropout":
            builder.record(path, "dropout", "ignored", "without effect when it runs")
        elif kind == "lif":
            builder.neurons(Spiking(path, **({"threshold": 1.0} | self._numbers(path, options))))
        elif kind == "li":
            builder.neurons(Integrating(path, **self._numbers(path, options)))
        else:
            self._snntorch(path, kind, **options)

    def _weight_and_bias(self, path: str) -> tuple[np.ndarray, np.ndarray | None]:
        weight, bias = self.tensors.take(f"{path}.weight"), self.tensors.optional(f"{path}.bias")
        self._record_kept(path, {"weight": weight, "bias": bias})
        return weight, bias

    def _record_kept(self, path: str, arrays: Mapping[str, np.ndarray | None]) -> None:
        for name, array in arrays.items():
            if array is not None:
                self.builder.record(path, name, "kept")

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
                owner, _, parameter = value.rpartition(".")
                self.builder.record(owner, parameter, "kept", f"as {name} of {path}")
                numbers[name] = self.tensors.take(value, integers=True)
            elif name in options:
                self.builder.record(path, name, "added", "of the description")
        return numbers

    # snnTorch's neurons -------------------------------------------------------------------------
    def _snntorch(self, path: str, kind: str, reset: Any = None, reset_delay: Any = True) -> None:
        if not isinstance(reset_delay, bool):
            raise refuse(path, "reset_delay", repr(reset_delay)[:60], "true or false", "take that of the layer")
        recurrent = self._recurrent(path) if kind.startswith("r") else {}
        reset = self._reset(path, reset)
        neuron = SnnTorchNeuron(
            path,
            SNNTORCH[kind],  # type: ignore[arg-type]
            beta=self.tensors.take(f"{path}.beta", integers=True),
            threshold=self.tensors.take(f"{path}.threshold", integers=True),
            alpha=self.tensors.take(f"{path}.alpha", integers=True) if kind.endswith("synaptic") else None,
            reset=reset,
            reset_delay=reset_delay,
            graded_spikes_factor=self.tensors.optional(f"{path}.graded_spikes_factor", integers=True),
            **recurrent,
        )
        append_neurons(self.builder, neuron, self.inexact)

    def _recurrent(self, path: str) -> dict[str, Any]:
        """Weight and bias of the recurrence, or V in their place."""
        v = self.tensors.optional(f"{path}.V", integers=True)
        if v is None:
            return {"weight": self.tensors.take(f"{path}.recurrent.weight"), "bias": self.tensors.optional(f"{path}.recurrent.bias")}
        if self.tensors.optional(f"{path}.recurrent.V", integers=True) is not None:
            self.builder.record(path, "recurrent.V", "kept", "the same as V")
        return {"v": v}

    def _reset(self, path: str, described: Any) -> Any:
        """The reset mechanism, of the tensors or of the description."""
        stored = self.tensors.optional(f"{path}.reset_mechanism_val", integers=True)
        if stored is None:
            return "subtract" if described is None else described
        if stored.size != 1 or stored.reshape(()) not in range(len(RESETS)):
            raise refuse(path, "reset_mechanism_val", str(stored)[:60], "0, 1 or 2", "save it again")
        reset = RESETS[int(stored.reshape(()))]
        if described not in (None, reset):
            raise refuse(path, "reset", repr(described)[:60], f"{reset!r}, as the file has it", "leave it out")
        self.builder.record(path, "reset_mechanism_val", "kept", reset)
        return reset


def check_description(place: str, layer: Any) -> tuple[str, str, dict[str, Any]]:
    """-> (type, path, options) of a layer's description. place: of it in the list. Raises InvalidValueError for unknown keys."""
    if not isinstance(layer, Mapping):
        raise refuse(place, "layer", repr(layer)[:60], "a dict", 'use for example {"type": "linear", "name": "fc1"}')
    options = dict(layer)
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in KEYS:
        raise refuse(place, "type", repr(kind)[:60], f"one of {', '.join(KEYS)}", "check the spelling")
    needed, possible = KEYS[kind]
    for key in options:
        if key not in needed + possible:
            limit = f"a key of {kind}: {', '.join(needed + possible) or 'none'}"
            raise refuse(place, "key", repr(key)[:60], limit, "check the spelling")
    for key in needed:
        if key not in options:
            raise refuse(place, key, "missing", f"given for {kind}", f"add {key!r}")
    name = options.pop("name", place)
    if not isinstance(name, str) or not name:
        raise refuse(place, "name", repr(name)[:60], "a text", "take the prefix of the layer's tensors")
    return kind, name, options


def _with_standardised(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options with "standardised" as a Standardised."""
    given = options.get("standardised")
    if given is None or isinstance(given, Standardised):
        return options
    try:
        return options | {"standardised": Standardised(**given)}
    except (TypeError, TpLavaError) as error:
        limit = 'a dict of "eps", "gain", "unbiased" and "eps_in"'
        raise refuse(path, "standardised", repr(given)[:60], limit, str(error).splitlines()[0][:120]) from None
