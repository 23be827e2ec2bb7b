"""The intermediate form: a chain of stages, which every reader of a foreign format makes and `assemble` turns into a Network.

Each stage has its path in the source. Between two populations of neurons there may be any number of maps (dense, convolution,
pooling); what follows the last neurons is the readout. Units of a (channels, height, width) population are numbered in C
order, as PyTorch flattens them, so flattening is no stage. Numbers are the source's own; time is in steps. A parameter of
neurons is one number, or an array with one per channel or per unit of the population.

`stage.checked(shape)` gives the stage and the shape of its output, for inputs of `shape`; it raises InvalidValueError, with the
stage's path, where they do not fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.values import CHECK_SHAPES, Parameter, Shape, array_of, check_finite, integers_of, pair, parameter, refuse
from tp_lava.dynamics.neuron import COMPARISONS, RESETS
from tp_lava.fixedpoint import FixedPoint
from tp_lava.provenance import Outcome, ParameterRecord

_TIME_CONSTANT = "a time constant tau gives exp(-1 / tau)"


@dataclass(frozen=True, eq=False)
class Dense:
    """y = weight x + bias. weight: (n_out, n_in); bias: (n_out,) or None."""

    path: str
    weight: np.ndarray
    bias: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """Biases that it can have."""
        return len(self.weight)

    def checked(self, shape: Shape) -> tuple[Dense, Shape]:
        """-> (itself, shape of its output)."""
        size = math.prod(shape)
        if self.weight.ndim != 2 or self.weight.shape[1] != size or not len(self.weight):
            raise refuse(self.path, "weight", f"of shape {self.weight.shape}", f"(n_out, {size}), as {shape} arrives", CHECK_SHAPES)
        _check_arrays(self, self.weight)
        return self, (self.outputs,)

    def rescaled(self, scale: np.ndarray, shift: np.ndarray | None = None) -> Dense:
        """The map whose output is scale y + shift, float64; scale, shift: (n_out,)."""
        weight = scale[:, None] * self.weight.astype(np.float64)
        return replace(self, weight=weight, bias=_rescaled_bias(self.bias, scale, shift))

    def with_scaled_inputs(self, factor: np.ndarray) -> Dense:
        """The map of x to weight (factor x) + bias, float64. factor: one number, or of the shape of x."""
        return replace(self, weight=self.weight.astype(np.float64) * np.ravel(factor))


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution as PyTorch's Conv2d. kernel: (c_out, c_in / groups, height, width); bias: (c_out,) or None; pairs: (y, x)."""

    path: str
    kernel: np.ndarray
    bias: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        if self.kernel.ndim != 4 or 0 in self.kernel.shape:
            limit = "(c_out, c_in / groups, height, width)"
            raise refuse(self.path, "weight", f"of shape {self.kernel.shape}", limit, "read it as another layer")
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            object.__setattr__(self, name, pair(self.path, name, getattr(self, name), least))
        groups = integers_of(self.groups)
        if groups is None or len(groups) != 1 or groups[0] < 1 or self.outputs % groups[0]:
            raise refuse(self.path, "groups", repr(self.groups)[:60], f"a divisor of the {self.outputs} channels", "check the layer")
        object.__setattr__(self, "groups", groups[0])

    @property
    def outputs(self) -> int:
        """Biases that it can have."""
        return len(self.kernel)

    def checked(self, shape: Shape) -> tuple[Convolution, Shape]:
        """-> (itself, shape of its output)."""
        channels = image_shape(self.path, shape)[0]
        if channels != self.kernel.shape[1] * self.groups:
            found, limit = f"of shape {self.kernel.shape} with groups {self.groups}", f"for the {channels} channels of {shape}"
            raise refuse(self.path, "weight", found, limit, CHECK_SHAPES)
        _check_arrays(self, self.kernel)
        return self, (self.outputs, *_windows(self, shape, self.kernel.shape[2:], self.dilation))

    def rescaled(self, scale: np.ndarray, shift: np.ndarray | None = None) -> Convolution:
        """The map whose output is scale y + shift, float64; scale, shift: (c_out,)."""
        kernel = scale[:, None, None, None] * self.kernel.astype(np.float64)
        return replace(self, kernel=kernel, bias=_rescaled_bias(self.bias, scale, shift))

    def with_scaled_inputs(self, factor: np.ndarray) -> Convolution:
        """The map of x to kernel * (factor x) + bias, float64. factor: one number, or one for each input channel."""
        if factor.size > 1:  # (c_out, c_in / groups, 1, 1)
            factor = np.repeat(factor.reshape(self.groups, -1), self.outputs // self.groups, axis=0)[:, :, None, None]
        return replace(self, kernel=self.kernel.astype(np.float64) * factor)


@dataclass(frozen=True)
class Pooling:
    """Sums over windows, channel by channel, times `scale` (1 / window: the average). Windows beyond the edge see zeros."""

    path: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, pair(self.path, name, getattr(self, name), least))

    def checked(self, shape: Shape) -> tuple[Pooling, Shape]:
        """-> (itself, shape of its output)."""
        return self, (image_shape(self.path, shape)[0], *_windows(self, shape, self.kernel))


@dataclass(frozen=True, eq=False)
class Spiking:
    """Leaky integrate-and-fire neurons, as dynamics/neuron.py has them, in the source's units.

    u[t] = current_decay u[t-1] + gain x[t] + feedback s[t-1];   pre[t] = decay v[t-1] + u[t] + offset
    s[t] = pre compared with threshold; v[t] = pre - reset_by s (reset "subtract"; None: the threshold), or 0 where s = 1 ("zero")

    x: what the maps before deliver, biases included; gain: its factor (an input resistance, a step over a time constant);
    offset: a constant drive (a leak potential other than zero); feedback: (n, n) recurrent weights or None, whose bias
    belongs into offset; where current_decay is not 0, biases of the maps before are filtered with it as the rest of x.
    trace_decay: of the spike traces that learning uses, or None: the membrane's decay.
    """

    path: str
    decay: Parameter
    threshold: Parameter
    current_decay: Parameter = 0.0
    reset: Literal["subtract", "zero"] = "subtract"
    reset_by: Parameter | None = None
    comparison: Literal[">=", ">"] = ">="
    gain: Parameter = 1.0
    offset: Parameter = 0.0
    feedback: np.ndarray | None = None
    trace_decay: float | None = None

    def checked(self, shape: Shape) -> tuple[Spiking, Shape]:
        """-> (itself with parameters as float or flat arrays, shape)."""
        stage = _with_parameters(self, ("decay", "threshold", "current_decay", "gain", "offset", "reset_by"), shape)
        path, size = self.path, math.prod(shape)
        if not np.all(np.asarray(stage.threshold) > 0):
            raise refuse(path, "threshold", f"{np.min(stage.threshold):g}", "above 0", "neurons need one to be silent at rest")
        for name, value, choice in (("reset", self.reset, RESETS), ("comparison", self.comparison, COMPARISONS)):
            if not isinstance(value, str) or value not in choice:
                raise refuse(path, name, repr(value), " or ".join(map(repr, choice)), "use one of them")
        if self.feedback is not None:
            stage = replace(stage, feedback=array_of(path, "feedback", self.feedback, integers=True))
            if stage.feedback.shape != (size, size):
                limit = f"({size}, {size}), as the population has {size} units"
                raise refuse(path, "feedback", f"of shape {stage.feedback.shape}", limit, "take the weights of this layer")
        if self.trace_decay is not None and not is_number(self.trace_decay, 0, 1):
            raise refuse(path, "trace_decay", self.trace_decay, "None or a number in [0, 1)", _TIME_CONSTANT)
        return stage, shape


@dataclass(frozen=True, eq=False)
class Integrating:
    """The readout's neurons: m[t] = decay m[t-1] + gain x[t] + offset, without spikes; the largest m at the end is the prediction."""

    path: str
    decay: Parameter = 1.0
    gain: Parameter = 1.0
    offset: Parameter = 0.0

    def checked(self, shape: Shape) -> tuple[Integrating, Shape]:
        """-> (itself with parameters as float or flat arrays, shape)."""
        return _with_parameters(self, ("decay", "gain", "offset"), shape), shape


Map = Dense | Convolution | Pooling
Neurons = Spiking | Integrating
Stage = Map | Neurons
_AnyNeurons = TypeVar("_AnyNeurons", Spiking, Integrating)


@dataclass
class Source:
    """What a reader returns. input_shape: (n,) or (channels, height, width); records: of every parameter of the source;
    fixed: the source's own fixed-point formats, if it has any.
    """

    format: str
    input_shape: Shape
    stages: list[Stage]
    records: list[ParameterRecord] = field(default_factory=list)
    fixed: FixedPoint | None = None

    def record(self, path: str, parameter: str, what: Outcome, detail: str = "") -> None:
        """Add the record of a parameter."""
        self.records.append(ParameterRecord(path, parameter, what, detail))


def image_shape(path: str, shape: Shape) -> Shape:
    """The shape, which must be that of an image."""
    if len(shape) != 3:
        raise refuse(path, "input", f"of shape {shape}", "(channels, height, width)", f"give such an input_shape, or {CHECK_SHAPES}")
    return shape


def _windows(stage: Convolution | Pooling, shape: Shape, kernel: tuple[int, ...], dilation: tuple[int, int] = (1, 1)) -> tuple[int, ...]:
    """Height and width of the output of windows that slide over an image."""
    spans = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    padded = [length + 2 * padding for length, padding in zip(shape[1:], stage.padding, strict=True)]
    if any(span > length for span, length in zip(spans, padded, strict=True)):
        raise refuse(stage.path, "kernel", f"too large for an input of {shape}", "at most as large", "check input_shape")
    return tuple((length - span) // step + 1 for length, span, step in zip(padded, spans, stage.stride, strict=True))


def _check_arrays(stage: Dense | Convolution, weight: np.ndarray) -> None:
    check_finite(stage.path, "weight", weight)
    if stage.bias is not None:
        if stage.bias.shape != (stage.outputs,):
            limit = f"({stage.outputs},), one number for each output"
            raise refuse(stage.path, "bias", f"of shape {stage.bias.shape}", limit, "take weight and bias of one layer")
        check_finite(stage.path, "bias", stage.bias)


def _rescaled_bias(bias: np.ndarray | None, scale: np.ndarray, shift: np.ndarray | None) -> np.ndarray | None:
    if bias is None:
        return shift
    return scale * bias.astype(np.float64) + (0.0 if shift is None else shift)


def _with_parameters(stage: _AnyNeurons, names: tuple[str, ...], shape: Shape) -> _AnyNeurons:
    """The neurons with these parameters as float or flat arrays, decays within [0, 1]."""
    given = {name: getattr(stage, name) for name in names if name != "reset_by" or getattr(stage, name) is not None}
    numbers = {name: parameter(stage.path, name, value, shape) for name, value in given.items()}
    for name in ("decay", "current_decay"):
        array = np.asarray(numbers.get(name, 0.0))
        outside = array[(array < 0) | (array > 1)]
        if outside.size:
            raise refuse(stage.path, name, f"{outside.flat[0]:g}", "in [0, 1]", _TIME_CONSTANT)
    return replace(stage, **numbers)
