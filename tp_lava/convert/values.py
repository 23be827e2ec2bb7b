"""Values found in a source (numbers, arrays, tensors, shapes), checked as they are read. NumPy alone; torch is not imported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tp_lava.errors import InvalidValueError, invalid
from tp_lava.reading.limits import LARGEST_ARRAY

Parameter = float | np.ndarray  # of neurons: one number, or a flat array of one per channel or per unit
Shape = tuple[int, ...]  # of a population: (n,) or (channels, height, width)

MOST_UNITS = 2**24  # of a population
CHECK_TRAINING = "look for a diverged training"
CHECK_SHAPES = "check input_shape, and the order of the layers"


def refuse(path: str, parameter: str, found: object, limit: str, remedy: str) -> InvalidValueError:
    """The error for something of the source that cannot be converted; the caller raises it. path: of the layer."""
    return invalid(f"convert: {path}", parameter, found, limit, remedy)


def array_of(path: str, name: str, value: Any, integers: bool = False) -> np.ndarray:
    """A copy of a tensor or array of finite numbers, as float32 or float64. integers: whether integers are accepted too."""
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) > LARGEST_ARRAY:
        raise refuse(path, name, f"of shape {shape}", f"at most {LARGEST_ARRAY} elements", "split the layer")
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
            value = value.resolve_neg().numpy()
        array = np.asarray(value)
    except Exception as error:  # sparse, quantised, meta and uninitialised tensors each raise their own
        found = f"no plain tensor ({str(error).splitlines()[0][:80] if str(error) else type(error).__name__})"
        raise refuse(path, name, found, "a dense tensor of floating-point numbers", "use module.float() and run the module once") from None
    if array.dtype.kind not in ("iufb" if integers else "f"):
        found = f"of type {array.dtype if array.dtype.kind in 'iufbc' else type(value).__name__}"
        if integers:
            raise refuse(path, name, found, "a number or an array of numbers", "check the layer")
        raise refuse(path, name, found, "floating-point numbers", "multiply quantised weights with their scale first")
    array = array.astype(np.float64 if array.dtype.kind != "f" or array.dtype.itemsize > 4 else np.float32)
    check_finite(path, name, array)
    return array


def check_finite(path: str, name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity."""
    if not np.isfinite(array).all():
        raise refuse(path, name, f"{array[~np.isfinite(array)].flat[0]}", "finite", CHECK_TRAINING)


def check_shape(path: str, name: str, array: np.ndarray, shape: Shape) -> None:
    """Refuse an array of another shape."""
    if array.shape != shape:
        raise refuse(path, name, f"of shape {array.shape}", f"{shape}", "take the arrays of one layer")


def parameter(path: str, name: str, value: Any, shape: Shape) -> Parameter:
    """A neuron parameter: one number, or a flat array of one per channel or per unit of a population of `shape`."""
    array = array_of(path, name, value, integers=True)
    if array.ndim == 0:
        return float(array)
    if array.size > 1 and array.shape not in (shape, (math.prod(shape),), shape[:1]):
        limit = f"one number, or one for each channel or unit of {shape}"
        raise refuse(path, name, f"of shape {array.shape}", limit, "take the parameters of this layer")
    return array.ravel()


def broadcast(path: str, name: str, value: Any, shape: Shape) -> Parameter:
    """A parameter that PyTorch broadcasts over a population (aligned at the last axes), in as few numbers as possible."""
    array = array_of(path, name, value, integers=True)
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    try:
        full = np.broadcast_to(array, shape)
    except ValueError:
        raise refuse(path, name, f"of shape {array.shape}", f"broadcast over {shape}", "take the parameters of this layer") from None
    if (full == full.flat[0]).all():
        return float(full.flat[0])
    channels = full.reshape(shape[0], -1)
    return channels[:, 0].copy() if (channels == channels[:, :1]).all() else full.ravel().copy()


def spread(value: Parameter, shape: Shape) -> np.ndarray:
    """A checked neuron parameter, float64, as it broadcasts against an array of the population's shape."""
    array = np.asarray(value, np.float64)
    if array.size == 1:
        return array.reshape(())
    return array.reshape(shape) if array.size == math.prod(shape) else array.reshape(-1, 1, 1)


def unspread(array: np.ndarray) -> Parameter:
    """The inverse of `spread`: a float, or a flat array."""
    return float(array.item()) if array.size == 1 else array.ravel().copy()


def per_unit(value: Parameter, shape: Shape) -> np.ndarray:
    """A checked neuron parameter as one number for each unit: float64, of the population's shape."""
    return np.array(np.broadcast_to(spread(value, shape), shape))


def integers_of(value: Any) -> tuple[int, ...] | None:
    """One integer or a few, in a list, array or tensor, as a tuple; None where something else is among them."""
    try:
        array = np.atleast_1d(np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        return None
    if array.dtype.kind not in "iuf" or array.ndim != 1 or not 0 < array.size <= 16:
        return None
    whole = (np.abs(array.astype(np.float64)) < 2**40).all() and (array == np.round(array)).all()
    return tuple(int(v) for v in array) if whole else None


def pair(path: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """One integer or two, (y, x), of at least `least`."""
    found = integers_of(value)
    if found is None or len(found) > 2 or min(found) < least or max(found) >= MOST_UNITS:
        raise refuse(path, name, repr(value)[:60], f"an integer of at least {least}, or two of them", "use for example 2")
    return found[0], found[-1]


def population_shape(path: str, name: str, value: Any) -> Shape:
    """(n,) or (channels, height, width)."""
    shape = integers_of(value)
    if shape is None or len(shape) not in (1, 3) or min(shape) < 1 or math.prod(shape) > MOST_UNITS:
        limit = f"(n,) or (channels, height, width) of at most {MOST_UNITS} units"
        raise refuse(path, name, shape or repr(value)[:60], limit, "give the shape of one sample at one step, for example (2, 34, 34)")
    return shape


def extent(value: Any) -> str:
    """An array's range in a few words; other values as they are printed."""
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "iufb" or not array.size:
        return str(value)
    low, high = float(array.min()), float(array.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
