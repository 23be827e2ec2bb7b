"""A chain of stages in the making: shapes are followed, and what is no stage of its own is folded into its neighbours.

The readers of PyTorch modules and of state dicts both build with it; it needs NumPy alone, tensors it takes as they come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.convert.folding import Standardised, convolved_shape, folded, normalisation, same_padding
from tp_lava.convert.stages import Convolution, Dense, Fate, Integrating, Parameter, Pooling, Source, Spiking, What, refuse
from tp_lava.dynamics.neuron import COMPARISONS, LIF, RESETS

MOST_UNITS = 2**24  # of a population
LARGEST_ARRAY = 2**28  # elements
FINITE = "look for a diverged training"


class Chain:
    """Stages one after another. shape: of what arrives behind them; every method raises InvalidValueError for what does not fit."""

    def __init__(self, format: str, input_shape: Sequence[int] | int) -> None:
        self.shape = checked_shape(input_shape)
        self.source = Source(format, self.shape, [])
        self._factor: Parameter | None = None  # of the spikes below, until a map takes it
        self._spikes, self._readout = "", ""

    @property
    def size(self) -> int:
        """Units that arrive."""
        return math.prod(self.shape)

    # Maps -------------------------------------------------------------------------------------
    def dense(self, path: str, weight: np.ndarray, bias: np.ndarray | None, standardised: Standardised | None = None) -> None:
        """weight: (n_out, n_in)."""
        if weight.ndim != 2 or weight.shape[1] != self.size or not len(weight):
            raise refuse(path, "weight", f"of shape {weight.shape}", f"(n, {self.size}), as {self.shape} arrives", _ORDER)
        self._check_bias(path, bias, len(weight))
        weight = self._standardise(path, weight, standardised)
        factor = self._take_factor()
        if factor is not None:
            weight = weight.astype(np.float64) * (np.repeat(factor, self.size // factor.size) if factor.ndim else factor)
            self.renote(path, "weight", "rescaled", f"times the size of the spikes of {self._spikes}")
        self._append(Dense(path, weight, bias), (len(weight),))

    def convolution(
        self,
        path: str,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        standardised: Standardised | None = None,
    ) -> None:
        """kernel: (c_out, c_in / groups, height, width); padding: a number, a pair, "same" or "valid"."""
        if kernel.ndim != 4 or 0 in kernel.shape:
            raise refuse(path, "weight", f"of shape {kernel.shape}", "(c_out, c_in / groups, height, width)", "read it as another layer")
        stride, dilation = pair(path, "stride", stride, 1), pair(path, "dilation", dilation, 1)
        channels = self._image(path)[0]
        if not is_whole(groups, 1) or channels != kernel.shape[1] * groups or len(kernel) % groups:
            found, limit = f"of shape {kernel.shape} with groups {groups}", f"for the {channels} channels of {self.shape}"
            raise refuse(path, "weight", found, limit, _ORDER)
        self._check_bias(path, bias, len(kernel))
        kernel = self._standardise(path, kernel, standardised)
        factor = self._take_factor()
        if factor is not None:
            if factor.ndim:
                factor = per_channel(path, factor, self.shape)
                first = np.arange(len(kernel)) // (len(kernel) // groups) * kernel.shape[1]
                factor = factor[first[:, None] + np.arange(kernel.shape[1])][:, :, None, None]
            kernel = kernel.astype(np.float64) * factor
            self.renote(path, "weight", "rescaled", f"times the size of the spikes of {self._spikes}")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise refuse(path, "padding", repr(padding), 'numbers, "same" or "valid"', "give numbers")
            both = same_padding(kernel, dilation) if padding == "same" else (kernel, (0, 0))
            if both is None or (padding == "same" and stride != (1, 1)):
                raise refuse(path, "padding", "'same'", "without stride, and of an odd kernel where it is dilated", "use numbers")
            if both[0].shape != kernel.shape:
                self.note(path, "weight's zeros", "added", "a row or column in front, as same padding of an even kernel is lopsided")
            kernel, padding = both
        stage = Convolution(path, kernel, bias, stride, pair(path, "padding", padding, 0), dilation, int(groups))
        self._append(stage, self._fits(path, convolved_shape(stage, self.shape)))

    def batch_norm(
        self, path: str, mean: np.ndarray, variance: np.ndarray, eps: float, gain: np.ndarray | None = None, shift: np.ndarray | None = None
    ) -> None:
        """Folded into the map directly before it."""
        last = self.source.stages[-1] if self.source.stages else None
        if not isinstance(last, Dense | Convolution):
            remedy = "put it right after a Linear or Conv2d, or train without it"
            raise refuse(
                path, "place", f"after {last.path if last else 'the input'}", "directly after a linear map or a convolution", remedy
            )
        outputs = len(last.weight) if isinstance(last, Dense) else len(last.kernel)
        for name, array in {"running_mean": mean, "running_var": variance, "weight": gain, "bias": shift}.items():
            if array is not None and array.shape != (outputs,):
                raise refuse(path, name, f"of shape {array.shape}", f"({outputs},), as {last.path} has outputs", _ORDER)
        if not is_number(eps, 0):
            raise refuse(path, "eps", repr(eps)[:60], "a number >= 0", "take that of the layer, 1e-5 if it has PyTorch's own")
        if not (variance.astype(np.float64) + eps > 0).all():
            raise refuse(path, "running_var", "below zero, or zero without eps", "above 0 with eps", FINITE)
        scale, offset = normalisation(mean, variance, eps, gain, shift)
        self.source.stages[-1] = folded(last, scale, offset)
        self.renote(last.path, "weight", "rescaled", f"by {path}")
        self.renote(last.path, "bias", "rescaled" if last.bias is not None else "added", f"by {path}")
        for name, array in {"running_mean": mean, "running_var": variance, "weight": gain, "bias": shift}.items():
            if array is not None:
                self.note(path, name, "folded", f"into {last.path}")

    def pool(self, path: str, kernel: Any, stride: Any = None, padding: Any = 0, scale: float | None = None, ceil: bool = False) -> None:
        """Sums over windows times scale; None: the average."""
        kernel = pair(path, "kernel", kernel, 1)
        stride = kernel if stride is None else pair(path, "stride", stride, 1)
        padding = pair(path, "padding", padding, 0)
        if any(p > k // 2 for p, k in zip(padding, kernel, strict=True)):
            raise refuse(path, "padding", padding, f"at most half of the kernel, {kernel}", "pad in the convolution before it")
        channels, *lengths = self._image(path)
        spans = [length + 2 * p - k for length, p, k in zip(lengths, padding, kernel, strict=True)]
        if ceil and any(span % s for span, s in zip(spans, stride, strict=True)):
            raise refuse(path, "ceil_mode", True, f"False where windows do not divide {tuple(lengths)}", "pad or crop the input")
        shape = self._fits(path, (channels, *(span // s + 1 for span, s in zip(spans, stride, strict=True))))
        if self._factor is not None and np.ndim(self._factor):
            self._factor = per_channel(path, np.asarray(self._factor), self.shape)
        stage = Pooling(path, kernel, stride, padding, 1 / math.prod(kernel) if scale is None else scale)
        self._append(stage, shape)

    def flatten(self, path: str) -> None:
        """No stage: units are numbered in C order already."""
        if self._factor is not None and np.ndim(self._factor):
            factor = np.asarray(self._factor)
            self._factor = np.repeat(factor, self.size // factor.size)
        self.shape = (self.size,)
        self.note(path, "shape", "kept", "units are numbered in C order")

    # Neurons ----------------------------------------------------------------------------------
    def spiking(self, stage: Spiking, factor: Parameter | None = None) -> None:
        """A population of what arrives. factor: what a spike is worth to the next map."""
        self._no_factor(stage.path)
        self._append(self._checked(stage), self.shape)
        self._spikes = stage.path
        if factor is not None and not (np.ndim(factor) == 0 and factor == 1):
            self._factor = factor

    def integrating(self, stage: Integrating) -> None:
        """The readout's neurons: nothing may follow."""
        self._no_factor(stage.path)
        numbers: dict[str, Any] = self._parameters(stage, ("decay", "gain", "offset"))
        _within(stage.path, "decay", numbers["decay"], 0, 1)
        self._append(replace(stage, **numbers), self.shape)
        self._readout = stage.path

    def fold_bias(self, path: str, parameter: str, bias: np.ndarray) -> None:
        """Add a drive that is filtered as the input is: into the map's bias."""
        last = self.source.stages[-1] if self.source.stages else None
        outputs = None if not isinstance(last, Dense | Convolution) else len(last.weight if isinstance(last, Dense) else last.kernel)
        if not isinstance(last, Dense | Convolution) or bias.shape != (outputs,):
            remedy = "make it zero, or use a recurrence without bias"
            raise refuse(path, parameter, "not zero", "zero where no map of the same outputs comes before", remedy)
        self.source.stages[-1] = folded(last, np.ones(len(bias)), bias.astype(np.float64))
        self.renote(last.path, "bias", "rescaled" if last.bias is not None else "added", f"with {path}.{parameter}")
        self.note(path, parameter, "folded", f"into the bias of {last.path}")

    def finish(self) -> Source:
        """The source. Raises InvalidValueError where no stage was made, or where spikes of different sizes are the result."""
        if not self.source.stages:
            raise refuse("model", "layers", "without a map or neurons", "at least one layer", "give the whole network")
        if self._factor is not None:
            factor = np.asarray(self._factor)
            if factor.ndim or factor <= 0:
                raise refuse(
                    self._spikes, "graded_spikes_factor", "not one number > 0", "1 at the end", "set it to 1, or read out by a map"
                )
            self.renote(self._spikes, "graded_spikes_factor", "ignored", "one factor of all spikes changes no prediction")
        return self.source

    # Fates ------------------------------------------------------------------------------------
    def note(self, path: str, parameter: str, what: What, detail: str = "") -> None:
        """Record a fate."""
        self.source.note(path, parameter, what, detail)

    def renote(self, path: str, parameter: str, what: What, detail: str = "") -> None:
        """Record a fate in place of the one known so far; details of the same fate add up."""
        for number, fate in enumerate(self.source.fates):
            if (fate.path, fate.parameter) == (path, parameter):
                detail = f"{fate.detail}, {detail}" if fate.detail and fate.what in ("rescaled", "added") else detail
                what = "added" if fate.what == "added" and what == "rescaled" else what
                self.source.fates[number] = Fate(path, parameter, what, detail)
                return
        self.note(path, parameter, what, detail)

    # Inside -----------------------------------------------------------------------------------
    def _append(self, stage: Any, shape: tuple[int, ...]) -> None:
        if self._readout:
            remedy = "let neurons of the hidden layers reset, by subtraction or to zero"
            raise refuse(self._readout, "place", f"before {stage.path}", "last: neurons without reset are read out as potentials", remedy)
        if math.prod(shape) > MOST_UNITS:
            raise refuse(stage.path, "size", math.prod(shape), f"at most {MOST_UNITS} units", "give the shape of one sample")
        self.source.stages.append(stage)
        self.shape = shape

    def _image(self, path: str) -> tuple[int, ...]:
        if len(self.shape) != 3:
            raise refuse(path, "input", f"of shape {self.shape}", "(channels, height, width)", f"give such an input_shape, or {_ORDER}")
        return self.shape

    def _fits(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if min(shape) < 1:
            raise refuse(path, "kernel", f"too large for an input of {self.shape}", "at most as large", "check input_shape")
        return shape

    def _check_bias(self, path: str, bias: np.ndarray | None, outputs: int) -> None:
        if bias is not None and bias.shape != (outputs,):
            raise refuse(path, "bias", f"of shape {bias.shape}", f"({outputs},), as the weight has outputs", "take both of one layer")

    def _standardise(self, path: str, weight: np.ndarray, standardised: Standardised | None) -> np.ndarray:
        if standardised is None:
            return weight
        self.renote(path, "weight", "rescaled", f"standardised, {standardised}")
        return standardised(weight)

    def _take_factor(self) -> np.ndarray | None:
        factor, self._factor = self._factor, None
        return None if factor is None else np.asarray(factor, np.float64)

    def _no_factor(self, path: str) -> None:
        if self._factor is not None:
            remedy = f"set it to 1, or put a Linear before {path}"
            raise refuse(self._spikes, "graded_spikes_factor", self._factor, "1 where no map with weights follows", remedy)

    def _parameters(self, stage: Any, names: Sequence[str]) -> dict[str, Parameter]:
        return {name: parameter(stage.path, name, getattr(stage, name), self.shape) for name in names}

    def _checked(self, stage: Spiking) -> Spiking:
        numbers: dict[str, Any] = self._parameters(stage, ("decay", "threshold", "current_decay", "gain", "offset"))
        _within(stage.path, "decay", numbers["decay"], 0, 1)
        _within(stage.path, "current_decay", numbers["current_decay"], 0, 1)
        if not np.all(np.asarray(numbers["threshold"]) > 0):
            raise refuse(stage.path, "threshold", f"{np.min(numbers['threshold']):g}", "above 0", "neurons need one to be silent at rest")
        if stage.reset_by is not None:
            numbers["reset_by"] = parameter(stage.path, "reset_by", stage.reset_by, self.shape)
        for name, value, choice in (("reset", stage.reset, RESETS), ("comparison", stage.comparison, COMPARISONS)):
            if not isinstance(value, str) or value not in choice:
                raise refuse(stage.path, name, repr(value), " or ".join(map(repr, choice)), "use one of them")
        if stage.feedback is not None:
            numbers["feedback"] = array_of(stage.path, "feedback", stage.feedback)
            if numbers["feedback"].shape != (self.size, self.size):
                limit = f"({self.size}, {self.size}), as the population has units"
                raise refuse(stage.path, "feedback", f"of shape {numbers['feedback'].shape}", limit, "take that of this layer")
        if stage.trace_decay is not None and not is_number(stage.trace_decay, 0, 1):
            raise refuse(
                stage.path, "trace_decay", stage.trace_decay, "None or a number in [0, 1)", "a time constant tau gives exp(-1 / tau)"
            )
        return replace(stage, **numbers)


_ORDER = "check input_shape, and the order of the layers"


def array_of(path: str, name: str, value: Any, whole: bool = False) -> np.ndarray:
    """A tensor or array of finite floating-point numbers (whole: integers too), as float32 or float64, of its own. No import of torch."""
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) > LARGEST_ARRAY:
        raise refuse(path, name, f"of shape {shape}", f"at most {LARGEST_ARRAY} elements", "split the layer")
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
            value = value.resolve_neg().numpy()
        array = np.asarray(value)
    except Exception as error:  # sparse, quantised, meta and not yet initialised tensors, each in its own words
        found = f"no plain tensor ({str(error).splitlines()[0][:80] if str(error) else type(error).__name__})"
        raise refuse(path, name, found, "a dense tensor of floating-point numbers", "use module.float() and run the module once") from None
    if array.dtype.kind not in ("iuf" if whole else "f"):
        limit = "floating-point numbers"
        raise refuse(path, name, f"of type {array.dtype}", limit, "multiply quantised weights with their scale first")
    array = array.astype(np.float64 if array.dtype.kind != "f" or array.dtype.itemsize > 4 else np.float32)
    if not np.isfinite(array).all():
        raise refuse(path, name, f"{array[~np.isfinite(array)].flat[0]}", "finite", FINITE)
    return array


def parameter(path: str, name: str, value: Any, shape: tuple[int, ...]) -> Parameter:
    """A neuron parameter as the stages have them: a number, or an array of one per channel or per unit."""
    array = array_of(path, name, value, whole=True)
    if array.size == 1:
        return float(array.reshape(()))
    if array.shape not in (shape, (math.prod(shape),), shape[:1]):
        limit = f"one number, or one for each channel or unit of {shape}"
        raise refuse(path, name, f"of shape {array.shape}", limit, "take those of this layer")
    return array.ravel()


def broadcast(path: str, name: str, value: Any, shape: tuple[int, ...]) -> Parameter:
    """A parameter that PyTorch broadcasts over a population (last axes meet), in the fewest numbers."""
    array = array_of(path, name, value, whole=True)
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    try:
        whole = np.broadcast_to(array, shape)
    except ValueError:
        raise refuse(path, name, f"of shape {array.shape}", f"broadcast over {shape}", "take that of this layer") from None
    if (whole == whole.flat[0]).all():
        return float(whole.flat[0])
    channels = whole.reshape(shape[0], -1)
    return channels[:, 0].copy() if (channels == channels[:, :1]).all() else whole.ravel().copy()


def per_channel(path: str, factor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A factor of spikes that goes through windows: it must be one number a channel."""
    if factor.shape != shape[:1]:
        limit = "one number, or one a channel, before windows"
        raise refuse(path, "graded_spikes_factor", "one for each unit of the layer before", limit, "use one for the layer")
    return factor


def per_unit(value: Parameter, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter as one number for each unit."""
    array = np.asarray(value, np.float64)
    size = math.prod(shape)
    return np.full(size, array) if not array.ndim else np.repeat(array, size // array.size)


def pair(path: str, name: str, value: Any, low: int) -> tuple[int, int]:
    """A whole number or two of them, at least `low`."""
    both = (value, value) if is_whole(value) else value
    if not isinstance(both, Sequence) or isinstance(both, str) or len(both) != 2 or not all(is_whole(v, low, 2**24) for v in both):
        raise refuse(path, name, repr(value)[:60], f"a whole number >= {low} or two of them", "use for example 2")
    return int(both[0]), int(both[1])


def checked_shape(shape: Any) -> tuple[int, ...]:
    """An input_shape, (n,) or (channels, height, width)."""
    given, shape = shape, (shape,) if is_whole(shape) else shape
    right = isinstance(shape, Sequence) and not isinstance(shape, str) and len(shape) in (1, 3)
    if not right or not all(is_whole(v, 1, MOST_UNITS + 1) for v in shape) or math.prod(shape) > MOST_UNITS:
        limit = f"(n,) or (channels, height, width) of at most {MOST_UNITS} units"
        raise refuse("model", "input_shape", repr(given)[:60], limit, "give the shape of one sample at one step, for example (2, 34, 34)")
    return tuple(int(v) for v in shape)


def declared(path: str, neuron: Any) -> Spiking:
    """The stage of a neuron given by the caller, a LIF or a Spiking."""
    if isinstance(neuron, LIF):
        n = neuron
        return Spiking(path, n.decay, n.threshold, n.current_decay, reset=n.reset, comparison=n.comparison)
    if isinstance(neuron, Spiking):
        return neuron if neuron.path else replace(neuron, path=path)
    raise refuse(path, "neurons", repr(neuron)[:60], "a LIF or a Spiking", "use for example tpl.LIF(0.9, 1.0)")


def _within(path: str, name: str, value: Parameter, low: float, high: float) -> None:
    array = np.asarray(value)
    if not ((array >= low) & (array <= high)).all():
        found = array[(array < low) | (array > high)].flat[0]
        raise refuse(path, name, f"{found:g}", f"in [{low}, {high}]", "a time constant tau gives exp(-1 / tau)")
