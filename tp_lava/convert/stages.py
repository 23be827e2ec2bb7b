"""The intermediate form: a chain or graph of stages, which every reader of a foreign format makes and `assemble` turns into a Network.

Each stage has its path in the source. Between two populations of neurons there may be any number of maps (dense, convolution,
pooling); what follows the last neurons is the readout. Units of a (channels, height, width) population are numbered in C
order, as PyTorch flattens them, so flattening is no stage. Numbers are the source's own; time is in steps. A parameter of
neurons is one number, or an array with one per channel or per unit of the population.

`stage.checked(shape)` gives the stage and the shape of its output, for inputs of `shape`; it raises InvalidValueError, with the
stage's path, where they do not fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

import numpy as np

from tp_lava.circuit.formats import FixedPoint
from tp_lava.convert.joins import Added, Join, Joined, Scaled
from tp_lava.convert.values import (
    CHECK_SHAPES,
    Parameter,
    Shape,
    array_of,
    check_finite,
    check_shape,
    extent,
    integers_of,
    pair,
    parameter,
    refuse,
    spread,
)
from tp_lava.dynamics.neuron import BIASED, COMPARISONS, LIF, RESETS, check_knows
from tp_lava.dynamics.surrogate import ArcTan, Surrogate
from tp_lava.graph.delays import MOST_STEPS
from tp_lava.graph.pooling import Mode, Pool2d
from tp_lava.provenance import Outcome, ParameterRecord

_TIME_CONSTANT = "a time constant tau gives exp(-1 / tau)"
_Weighted = TypeVar("_Weighted", bound="_WithWeight")
_Neurons = TypeVar("_Neurons", bound="Spiking | Integrating")


@dataclass(frozen=True, eq=False)
class _WithWeight:
    """What Dense and Convolution share. The first axis of the weight is the outputs, with a bias each, or None."""

    path: str
    weight: np.ndarray
    bias: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """Outputs, or output channels."""
        return len(self.weight)

    def check_arrays(self) -> None:
        """Refuse a bias of another shape, NaN and infinity."""
        check_finite(self.path, "weight", self.weight)
        if self.bias is not None:
            check_shape(self.path, "bias", self.bias, (self.outputs,))
            check_finite(self.path, "bias", self.bias)

    def rescaled(self: _Weighted, scale: np.ndarray, shift: np.ndarray | None = None) -> _Weighted:
        """The map whose output is scale y + shift, float64; one number of each per output."""
        bias = shift
        if self.bias is not None:
            bias = scale * self.bias.astype(np.float64) + (0.0 if shift is None else shift)
        return replace(self, weight=scale.reshape(-1, *[1] * (self.weight.ndim - 1)) * self.weight.astype(np.float64), bias=bias)


@dataclass(frozen=True, eq=False)
class Dense(_WithWeight):
    """y = weight x + bias. weight: (n_out, n_in); bias: (n_out,) or None."""

    def checked(self, shape: Shape) -> tuple[Dense, Shape]:
        """-> (itself, shape of its output)."""
        size = math.prod(shape)
        if self.weight.ndim != 2 or self.weight.shape[1] != size or not self.outputs:
            raise refuse(self.path, "weight", f"of shape {self.weight.shape}", f"(n_out, {size}), as {shape} arrives", CHECK_SHAPES)
        self.check_arrays()
        return self, (self.outputs,)

    def with_scaled_inputs(self, factor: np.ndarray) -> Dense:
        """The map of x to weight (factor x) + bias, float64. factor: one number, or (n_in,)."""
        return replace(self, weight=self.weight.astype(np.float64) * factor)


@dataclass(frozen=True, eq=False)
class Convolution(_WithWeight):
    """A convolution as PyTorch's Conv2d. weight: (c_out, c_in / groups, height, width); bias: (c_out,) or None; pairs: (y, x)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        if self.weight.ndim != 4 or 0 in self.weight.shape:
            limit = "(c_out, c_in / groups, height, width)"
            raise refuse(self.path, "weight", f"of shape {self.weight.shape}", limit, "read it as another layer")
        groups = integers_of(self.groups)
        if groups is None or len(groups) != 1 or groups[0] < 1 or self.outputs % groups[0]:
            raise refuse(self.path, "groups", repr(self.groups)[:60], f"a divisor of the {self.outputs} channels", "check the layer")
        object.__setattr__(self, "groups", groups[0])
        _set_pairs(self, stride=1, padding=0, dilation=1)

    def checked(self, shape: Shape) -> tuple[Convolution, Shape]:
        """-> (itself, shape of its output)."""
        channels = image_shape(self.path, shape)[0]
        if channels != self.weight.shape[1] * self.groups:
            found, limit = f"of shape {self.weight.shape} with groups {self.groups}", f"for the {channels} channels of {shape}"
            raise refuse(self.path, "weight", found, limit, CHECK_SHAPES)
        self.check_arrays()
        return self, (self.outputs, *_windows(self, shape, self.weight.shape[2:], self.dilation))

    def with_scaled_inputs(self, factor: np.ndarray) -> Convolution:
        """The map of x to weight * (factor x) + bias, float64. factor: one number, or one for each input channel."""
        if factor.size > 1:  # (c_out, c_in / groups, 1, 1)
            factor = np.repeat(factor.reshape(self.groups, -1), self.outputs // self.groups, axis=0)[:, :, None, None]
        return replace(self, weight=self.weight.astype(np.float64) * factor)


@dataclass(frozen=True)
class Pooling:
    """Windows over an image, channel by channel, which see zeros beyond its edges.

    mode: "sum", times `scale` (1 / window: the average), "max", or with `size` also "average". size: height and width of the
    result, where windows adapt to the image as in PyTorch's adaptive poolings; kernel, stride and padding are left out then.
    """

    path: str
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    scale: float = 1.0
    mode: Mode = "sum"
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _set_pairs(self, kernel=1, stride=1, padding=0)
        if self.size is not None:
            _set_pairs(self, size=1)

    @classmethod
    def of(cls, path: str, pool: Pool2d) -> Pooling:
        """The stage of a pooling of a population."""
        if pool.mode == "average" and pool.size is None:
            return cls(path, pool.kernel, pool.stride, pool.padding, 1.0 / math.prod(pool.kernel))
        return cls(path, pool.kernel, pool.stride, pool.padding, 1.0, pool.mode, pool.size)

    @property
    def is_sum(self) -> bool:
        """Whether it sums over equal windows, whatever the factor."""
        return self.mode == "sum" and self.size is None

    @property
    def is_average(self) -> bool:
        """Whether it averages over equal windows."""
        return self.is_sum and self.scale == 1.0 / math.prod(self.kernel)

    def as_population(self) -> tuple[Pool2d, float]:
        """-> (the pooling of a population, the factor of what it makes)."""
        mode: Mode = "average" if self.is_average else self.mode
        return Pool2d(self.kernel, self.stride, self.padding, mode, self.size), 1.0 if self.is_average else self.scale

    def checked(self, shape: Shape) -> tuple[Pooling, Shape]:
        """-> (itself, shape of its output)."""
        channels, *lengths = image_shape(self.path, shape)
        if self.size is None:
            return self, (channels, *_windows(self, shape, self.kernel))
        if any(size > length for size, length in zip(self.size, lengths, strict=True)):
            raise refuse(self.path, "output_size", self.size, f"at most {tuple(lengths)}, the image", "use a smaller size")
        return self, (channels, *self.size)


@dataclass(frozen=True, eq=False)
class Spiking:
    """Leaky integrate-and-fire neurons, as dynamics/neuron.py has them, in the source's units.

    u[t] = current_decay u[t-1] + gain x[t] + feedback s[t-1];   pre[t] = decay v[t-1] + u[t] + offset
    s[t] = pre compared with threshold + adaptation a[t];        a[t] = adaptation_decay a[t-1] + s[t-1]
    v[t] = pre - reset_by s (reset "subtract"; None: the threshold), or 0 where s = 1 ("zero")

    x: what the maps before deliver, biases included; gain: its factor (an input resistance, a step over a time constant);
    offset: a constant drive (a leak potential other than zero); feedback: (n, n) recurrent weights or None, whose bias
    belongs into offset; where current_decay is not 0, biases of the maps before are filtered with it as the rest of x, unless
    bias_to is "membrane" (None: "current" where that matters).
    refractory: steps after a spike in which v stays and s is 0.
    For learning: trace_decay, of the spike traces, or None: the membrane's decay; surrogate, the derivative of a spike.
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
    trace_decay: Parameter | None = None
    surrogate: Surrogate = field(default_factory=ArcTan)
    adaptation: Parameter = 0.0
    adaptation_decay: Parameter = 0.98
    refractory: Parameter = 0
    bias_to: Literal["membrane", "current"] | None = None

    def checked(self, shape: Shape) -> tuple[Spiking, Shape]:
        """-> (itself with parameters as float or flat arrays, shape)."""
        optional = [name for name in ("reset_by", "trace_decay") if getattr(self, name) is not None]
        adaptive = ("adaptation", "adaptation_decay", "refractory")
        stage = _with_parameters(self, ("decay", "threshold", "current_decay", "gain", "offset", *adaptive, *optional), shape)
        path, size, feedback = self.path, math.prod(shape), self.feedback
        if not np.all(np.asarray(stage.threshold) > 0):
            raise refuse(path, "threshold", f"{np.min(stage.threshold):g}", "above 0", "neurons need one to be silent at rest")
        for name, value, choice in (
            ("reset", self.reset, RESETS),
            ("comparison", self.comparison, COMPARISONS),
            ("bias_to", self.bias_to, (*BIASED, None)),
        ):
            if not isinstance(value, str | None) or value not in choice:
                raise refuse(path, name, repr(value), " or ".join(map(repr, choice)), "use one of them")
        if feedback is not None:
            feedback = array_of(path, "feedback", feedback, integers=True)
            check_shape(path, "feedback", feedback, (size, size))
        if stage.trace_decay is not None and np.any((outside := np.asarray(stage.trace_decay)) >= 1) | np.any(outside < 0):
            raise refuse(path, "trace_decay", extent(outside), "None or in [0, 1)", _TIME_CONSTANT)
        return replace(stage, feedback=feedback), shape


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


@dataclass(frozen=True, eq=False)
class Delayed:
    """What arrives, some whole steps later, each 0 to 63: one number, or an array with one per channel or per unit."""

    path: str
    steps: Parameter

    def checked(self, shape: Shape) -> tuple[Delayed, Shape]:
        """-> (itself with steps of every unit, a flat array, shape)."""
        steps = np.broadcast_to(spread(parameter(self.path, "delay", self.steps, shape), shape), shape).ravel()
        if (steps % 1 != 0).any() or steps.min() < 0 or steps.max() > MOST_STEPS:
            limit = f"whole steps, 0 to {MOST_STEPS}"
            raise refuse(self.path, "delay", extent(steps), limit, "use longer steps, or delays that are multiples of one")
        return replace(self, steps=steps.astype(np.int64)), shape


Map = Dense | Convolution | Pooling
Neurons = Spiking | Integrating
Stage = Map | Neurons | Delayed | Scaled | Join
INPUT = -1  # in place of a stage's number: the input


@dataclass
class Source:
    """What a reader returns. input_shape: (n,) or (channels, height, width); records: of every parameter of the source;
    fixed: the source's own fixed-point formats, if it has any; reading: the module that can be run beside it, if there is one;
    below: of a graph, number of a stage -> the stages (INPUT: the input) whose output it gets; others get that of the stage before.
    """

    format: str
    input_shape: Shape
    stages: list[Stage]
    records: list[ParameterRecord] = field(default_factory=list)
    fixed: FixedPoint | None = None
    reading: Reading | None = None
    below: dict[int, tuple[int, ...]] = field(default_factory=dict)
    frame_shape: Shape | None = None  # of a step as the module takes it, where that is another than input_shape

    def inputs_of(self, number: int) -> tuple[int, ...]:
        """Numbers of the stages whose output a stage gets."""
        return self.below.get(number, (number - 1,))

    def walk(self) -> Iterator[tuple[int, Stage, Shape]]:
        """(number, checked stage, shape of its output) of every stage. Raises InvalidValueError where shapes do not fit."""
        shapes: dict[int, Shape] = {INPUT: tuple(self.input_shape)}
        for number, stage in enumerate(self.stages):
            arriving = [shapes[each] for each in self.inputs_of(number)]
            if isinstance(stage, Added | Joined):
                shapes[number] = stage.joined(arriving)
            else:
                stage, shapes[number] = stage.checked(arriving[0])
            yield number, stage, shapes[number]

    def record(self, path: str, parameter: str, what: Outcome, detail: str = "") -> None:
        """Add the record of a parameter."""
        self.records.append(ParameterRecord(path, parameter, what, detail))


@dataclass(frozen=True, eq=False)
class ReadLayer:
    """A layer of a PyTorch module, in the order of use.

    spikes: path of the stage whose spikes it makes by itself; declared: neurons that stand behind it, or in its place (replaced);
    needed: whether it does anything where forward calls it; factor: by which forward multiplies what arrives.
    """

    path: str
    leaf: Any
    spikes: str | None = None
    declared: tuple[Spiking, ...] = ()
    replaced: bool = False
    needed: bool = True
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read of a PyTorch module. whole: whether the layers are all of it, or only its neurons; chain: whether each is given
    what the one before it gave, else forward was read too.
    """

    module: Any
    layers: tuple[ReadLayer, ...]
    whole: bool = True
    chain: bool = True


def stage_of(path: str, neuron: LIF, **others: Any) -> Spiking:
    """A neuron of ours as a stage. others: what a Spiking has and a LIF has not.

    Raises InvalidValueError for an option of the neuron that no stage has, unless it is the default.
    """
    names = frozenset(known.name for known in fields(Spiking))
    check_knows(neuron, names, f"convert: {path}")
    options = {option.name: getattr(neuron, option.name) for option in fields(neuron) if option.name in names}
    return Spiking(path, **options, **others)


def image_shape(path: str, shape: Shape) -> Shape:
    """The shape, which must be that of an image."""
    if len(shape) != 3:
        raise refuse(path, "input", f"of shape {shape}", "(channels, height, width)", f"give such an input_shape, or {CHECK_SHAPES}")
    return shape


def _set_pairs(stage: Any, **least: int) -> None:
    """Replace options of a stage, name -> least value, by pairs of integers."""
    for name, low in least.items():
        object.__setattr__(stage, name, pair(stage.path, name, getattr(stage, name), low))


def _windows(stage: Convolution | Pooling, shape: Shape, kernel: Shape, dilation: tuple[int, int] = (1, 1)) -> Shape:
    """Height and width of the output of windows that slide over an image."""
    spans = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    padded = [length + 2 * padding for length, padding in zip(shape[1:], stage.padding, strict=True)]
    if any(span > length for span, length in zip(spans, padded, strict=True)):
        raise refuse(stage.path, "kernel", f"too large for an input of {shape}", "at most as large", "check input_shape")
    return tuple((length - span) // step + 1 for length, span, step in zip(padded, spans, stage.stride, strict=True))


def _with_parameters(stage: _Neurons, names: tuple[str, ...], shape: Shape) -> _Neurons:
    """The neurons with these parameters as float or flat arrays, decays within [0, 1]."""
    numbers: dict[str, Any] = {name: parameter(stage.path, name, getattr(stage, name), shape) for name in names}
    for name in ("decay", "current_decay"):
        array = np.asarray(numbers.get(name, 0.0))
        outside = array[(array < 0) | (array > 1)]
        if outside.size:
            raise refuse(stage.path, name, f"{outside.flat[0]:g}", "in [0, 1]", _TIME_CONSTANT)
    return replace(stage, **numbers)
