"""Functions of PyTorch that forward calls, as stages and wires of a SourceBuilder: one entry a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.captured.expressions import Expression, NotUnderstoodError
from tp_lava.convert.joins import Added, Joined, Scaled, Wire
from tp_lava.convert.stages import INPUT, Pooling, Spiking
from tp_lava.convert.values import array_of, broadcast, integers_of, pair

Wires = Mapping[int, Wire]  # by id of an expression
_MOST_SELECTED = 2**24  # entries of a matrix that selects units


def append(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    """Go on from what a function gives. Raises NotUnderstoodError for functions without equal, InvalidValueError for arguments."""
    function = _FUNCTIONS.get(expression.name)
    if function is None:
        raise NotUnderstoodError(label(expression), "an operation that is no module, and no map or sum of spikes")
    function(builder, expression, wires)


def label(expression: Expression) -> str:
    """A function with its line, the path of what becomes of it."""
    return expression.place if expression.name in ("reshape", "select") else f"{expression.name} ({expression.place})"


# Arguments ----------------------------------------------------------------------------------------


def _arguments(expression: Expression, *names: str) -> dict[str, Any]:
    """Arguments by name, those without a default that were left out as None."""
    found = dict(zip(names, expression.args, strict=False)) | dict(expression.kwargs)
    return {name: found.get(name) for name in names}


def _resume(builder: SourceBuilder, given: Any, wires: Wires, expression: Expression) -> None:
    if not isinstance(given, Expression):
        raise NotUnderstoodError(label(expression), "it is not given what comes from the input")
    builder.resume(wires[id(given)])


def _by_unit(builder: SourceBuilder, expression: Expression, value: Any) -> float | np.ndarray:
    """A factor or a constant of forward, as it broadcasts over what arrives."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value)
    if not isinstance(value, torch.Tensor):
        raise NotUnderstoodError(label(expression), f"by a {type(value).__name__}")
    return broadcast(label(expression), "factor", value, builder.shape)


# Sums and factors -----------------------------------------------------------------------------------


def _add(builder: SourceBuilder, expression: Expression, wires: Wires, sign: float = 1.0) -> None:
    given = _arguments(expression, "input", "other", "alpha")
    if given["alpha"] not in (None, 1):
        raise NotUnderstoodError(label(expression), f"with alpha={given['alpha']}")
    a, b = given["input"], given["other"]
    if isinstance(a, Expression) and isinstance(b, Expression):
        second = wires[id(b)]
        if sign != 1:
            builder.resume(second)
            builder.scale_by(label(expression), "factor", sign)
            second = builder.wire()
        if wires[id(a)].shape != second.shape:
            raise NotUnderstoodError(label(expression), f"shapes {wires[id(a)].shape} and {second.shape}")
        builder.add(label(expression), [wires[id(a)], second])
        return
    value, constant = (a, b) if isinstance(a, Expression) else (b, a)
    _resume(builder, value, wires, expression)
    if sign != 1 and value is b:
        builder.scale_by(label(expression), "factor", sign)
    _shift(builder, expression, constant, sign if value is a else 1.0)


def _subtract_from(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    turned = Expression(expression.name, expression.shape, tuple(reversed(expression.args[:2])), place=expression.place)
    _add(builder, turned, wires, -1.0)


def _shift(builder: SourceBuilder, expression: Expression, constant: Any, sign: float) -> None:
    """A constant that is added, which becomes part of the bias of the map before it."""
    shift = sign * np.asarray(_by_unit(builder, expression, constant))
    if not shift.any():
        return
    if not builder.shift_last(label(expression), shift):
        found = f"a constant of {shift.flat[0]:.6g} is added, and no map is before it to have it as its bias"
        raise NotUnderstoodError(label(expression), found)


def _multiply(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "input", "other")
    values = [each for each in given.values() if isinstance(each, Expression)]
    if len(values) != 1:
        raise NotUnderstoodError(label(expression), "two values are multiplied: train without that gate")
    builder.resume(wires[id(values[0])])
    (constant,) = (each for each in given.values() if not isinstance(each, Expression))
    builder.scale_by(label(expression), "factor", _by_unit(builder, expression, constant))


def _divide(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "input", "other", "rounding_mode")
    if not isinstance(given["input"], Expression) or isinstance(given["other"], Expression) or given["rounding_mode"]:
        raise NotUnderstoodError(label(expression), "it divides by what comes from the input, or rounds")
    builder.resume(wires[id(given["input"])])
    divisor = np.asarray(_by_unit(builder, expression, given["other"]), np.float64)
    if not divisor.all():
        raise NotUnderstoodError(label(expression), "it divides by zero")
    factor = 1.0 / divisor
    builder.scale_by(label(expression), "factor", float(factor) if factor.ndim == 0 else factor)


def _negate(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    _resume(builder, expression.args[0], wires, expression)
    builder.scale_by(label(expression), "factor", -1.0)


# Shapes -------------------------------------------------------------------------------------------


def _reshape(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    _resume(builder, expression.args[0], wires, expression)
    if expression.shape == builder.shape:
        return
    if len(expression.shape) != 1:
        raise NotUnderstoodError(label(expression), f"it makes {expression.shape} of {builder.shape}; only flattening has an equal")
    builder.flatten(label(expression))


def _select(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    """Units in another order, or some of them: a map of ones."""
    _resume(builder, expression.args[0], wires, expression)
    units, below, path = expression.units, builder.shape, label(expression)
    assert units is not None
    if len(below) == 3 and len(expression.shape) == 3 and below[1:] == expression.shape[1:]:
        inner = math.prod(below[1:])
        channels = units.reshape(-1, inner)[:, 0] // inner
        if np.array_equal(units.reshape(-1, inner), channels[:, None] * inner + np.arange(inner)):
            kernel = np.zeros((len(channels), below[0], 1, 1))
            kernel[np.arange(len(channels)), channels] = 1
            builder.convolution(path, kernel)
            return
    if len(expression.shape) != 1 or len(units) * math.prod(below) > _MOST_SELECTED:
        raise NotUnderstoodError(path, f"it makes {expression.shape} of {below}, of other places than channels")
    matrix = np.zeros((len(units), math.prod(below)))
    matrix[np.arange(len(units)), units] = 1
    builder.dense(path, matrix)


def _concatenate(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "tensors", "dim")
    values = given["tensors"]
    if not isinstance(values, Sequence) or not all(isinstance(each, Expression) for each in values):
        raise NotUnderstoodError(label(expression), "a concatenation with numbers that do not come from the input")
    chosen = [wires[id(each)] for each in values]
    if expression.shape != Joined("", False).joined([wire.shape for wire in chosen]):
        raise NotUnderstoodError(label(expression), "a concatenation along another axis than channels or units")
    builder.concatenate(label(expression), chosen)


def _mean(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    """The mean over height and width."""
    _resume(builder, expression.args[0], wires, expression)
    shape = builder.shape
    if len(shape) != 3 or math.prod(expression.shape) != shape[0] or math.prod(shape[1:]) == 1:
        raise NotUnderstoodError(label(expression), "a mean over other axes than height and width")
    builder.pool_to(label(expression), 1)
    if len(expression.shape) == 1:
        builder.flatten(f"{label(expression)}.flatten")


# Pooling ------------------------------------------------------------------------------------------


def _pool(builder: SourceBuilder, expression: Expression, wires: Wires, maximum: bool = False) -> None:
    names = ("input", "kernel_size", "stride", "padding")
    rest = ("dilation", "ceil_mode", "return_indices") if maximum else ("ceil_mode", "count_include_pad", "divisor_override")
    given, path = _arguments(expression, *names, *rest), label(expression)
    if given.get("dilation") not in (None, 1, (1, 1)) or given.get("return_indices"):
        raise NotUnderstoodError(path, "with dilation or indices")
    padding = given["padding"] or 0
    if any(pair(path, "padding", padding, 0)) and given.get("count_include_pad") is False:
        raise NotUnderstoodError(path, "with padding that is not counted")
    _resume(builder, given["input"], wires, expression)
    scale = 1 / given["divisor_override"] if given.get("divisor_override") else None
    stride = given["stride"] if integers_of(given["stride"]) else None
    builder.pool(path, given["kernel_size"], stride, padding, scale, bool(given["ceil_mode"]), maximum)


def _adapt(builder: SourceBuilder, expression: Expression, wires: Wires, maximum: bool = False) -> None:
    given = _arguments(expression, "input", "output_size")
    _resume(builder, given["input"], wires, expression)
    builder.pool_to(label(expression), given["output_size"], maximum)


# Maps by numbers of the module ----------------------------------------------------------------------


def _constant(expression: Expression, value: Any, name: str) -> np.ndarray:
    if not isinstance(value, torch.Tensor):
        raise NotUnderstoodError(label(expression), f"its {name} is computed from the input")
    return array_of(label(expression), name, value)


def _linear(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "input", "weight", "bias")
    bias = None if given["bias"] is None else _constant(expression, given["bias"], "bias")
    _resume(builder, given["input"], wires, expression)
    builder.dense(label(expression), _constant(expression, given["weight"], "weight"), bias)


def _multiply_matrices(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "input", "other")
    matrix = _constant(expression, given["other"], "matrix")
    if matrix.ndim != 2:
        raise NotUnderstoodError(label(expression), f"by a tensor of shape {matrix.shape}")
    _resume(builder, given["input"], wires, expression)
    builder.dense(label(expression), np.ascontiguousarray(matrix.T))


def _convolve(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "input", "weight", "bias", "stride", "padding", "dilation", "groups")
    bias = None if given["bias"] is None else _constant(expression, given["bias"], "bias")
    _resume(builder, given["input"], wires, expression)
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    options = {name: default if given[name] is None else given[name] for name, default in defaults.items()}
    builder.convolution(label(expression), _constant(expression, given["weight"], "weight"), bias, **options)


# Without effect -----------------------------------------------------------------------------------


def _dropped(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    given = _arguments(expression, "input", "p", "training")
    if given["training"] is not False and given["p"] != 0:
        raise NotUnderstoodError(label(expression), "it drops spikes at inference too: pass training=self.training")
    _resume(builder, given["input"], wires, expression)
    builder.record(label(expression), "dropout", "ignored", "without effect when it runs")


def _rectified(builder: SourceBuilder, expression: Expression, wires: Wires) -> None:
    _resume(builder, expression.args[0], wires, expression)
    if not _never_negative(builder):
        raise NotUnderstoodError(label(expression), "an activation of what may be negative: declare neurons there")
    builder.record(label(expression), "relu", "ignored", "of what is never below zero")


def _never_negative(builder: SourceBuilder) -> bool:
    source = builder.source

    def sure(place: int) -> bool:
        stage = source.stages[place] if place != INPUT else None
        if stage is None or isinstance(stage, Spiking):
            return True
        positive = isinstance(stage, Added | Joined)
        positive |= isinstance(stage, Pooling) and stage.scale >= 0
        positive |= isinstance(stage, Scaled) and bool(np.all(np.asarray(stage.factor) >= 0))
        return positive and all(sure(each) for each in source.inputs_of(place))

    return sure(builder.place) and (builder.scale is None or bool((builder.scale.factor >= 0).all()))


_FUNCTIONS: Mapping[str, Callable[[SourceBuilder, Expression, Wires], None]] = {
    **dict.fromkeys(("add", "add_", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "sub_", "subtract"), partial(_add, sign=-1.0)),
    **dict.fromkeys(("__rsub__", "rsub"), _subtract_from),
    **dict.fromkeys(("mul", "mul_", "multiply", "__rmul__"), _multiply),
    **dict.fromkeys(("div", "div_", "divide", "true_divide"), _divide),
    **dict.fromkeys(("neg", "negative"), _negate),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
    **dict.fromkeys(("relu", "relu_"), _rectified),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"), _dropped),
    **dict.fromkeys(("matmul", "mm"), _multiply_matrices),
    "reshape": _reshape,
    "select": _select,
    "mean": _mean,
    "max_pool2d": partial(_pool, maximum=True),
    "avg_pool2d": _pool,
    "adaptive_avg_pool2d": _adapt,
    "adaptive_max_pool2d": partial(_adapt, maximum=True),
    "linear": _linear,
    "conv2d": _convolve,
}
