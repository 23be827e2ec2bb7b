"""Numbers out of nodes and their metadata, checked; parameters of stages and the arrays they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.stages import Convolution, Parameter, Pooling, refuse

MARK = "tp_lava"  # of our metadata
RECORDED = 1e-9  # numbers in our metadata count where a node agrees this closely: else somebody has changed the node


@dataclass
class Signal:
    """What arrives at the next node: the shape, and a factor not yet applied."""

    shape: tuple[int, ...]
    scale: np.ndarray | None = None
    scaled_by: str = ""

    @property
    def size(self) -> int:
        """Units."""
        return int(np.prod(self.shape))


def numbers(path: str, node: Any, name: str) -> np.ndarray:
    """A node's array, which must be of finite numbers; torch's tensors are left in graphs by some exporters."""
    value: Any = getattr(node, name, None)
    try:
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    except Exception:
        array = np.asarray(None)
    if array.dtype.kind not in "iufb" or not array.size:
        raise refuse(path, name, f"of type {type(value).__name__} {array.dtype}", "an array of numbers", "check the node")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise refuse(path, name, "not finite", "finite numbers", "check the network")
    return array


def matrix(path: str, node: Any, name: str, dims: int) -> np.ndarray:
    """A node's array of so many dimensions."""
    array = numbers(path, node, name)
    if array.ndim != dims:
        raise refuse(path, name, f"of shape {array.shape}", f"an array of {dims} dimensions", "check the node")
    return array


def fitting(path: str, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter of neurons, to be broadcast against their shape: one for all, one a unit, or one a channel."""
    if array.size == 1:
        return array.reshape(())
    given = array.reshape(array.shape[1:]) if array.ndim == len(shape) + 1 and len(array) == 1 else array
    if given.shape == shape or (len(shape) == 3 and given.shape == (shape[0], 1, 1)):
        return given
    raise refuse(path, name, f"of shape {array.shape}", f"one number, or as its neurons {shape}", "check the node")


def pair(path: str, node: Any, name: str, least: int) -> tuple[int, int]:
    """One or two integers, as (y, x)."""
    values = integers(getattr(node, name, None))
    if values is None or len(values) not in (1, 2) or min(values) < least:
        raise refuse(path, name, getattr(node, name, None), f"one or two integers >= {least}", "check the node")
    return values[0], values[-1]


def metadata(node: Any) -> Mapping[str, Any]:
    """A node's metadata, whatever it is."""
    found = getattr(node, "metadata", None)
    return found if isinstance(found, Mapping) else {}


def mark_of(node: Any) -> Mapping[str, Any]:
    """What graph_of wrote into a node's metadata."""
    found = metadata(node).get(MARK)
    return found if isinstance(found, Mapping) else {}


def word(mark: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    """A word of our metadata, if it is one."""
    found = mark.get(name)
    return found if isinstance(found, str) and found in allowed else None


def single(value: Any) -> float | None:
    """A finite number, out of an array or not; None for anything else."""
    array = np.asarray(value)
    found = array.item() if array.size == 1 and array.dtype.kind in "iuf" else None
    return float(found) if found is not None and is_number(found) else None


def integers(value: Any) -> tuple[int, ...] | None:
    """Numbers out of whatever nir or a file has them in; None if there are others among them."""
    try:
        array = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError):
        return None
    whole = array.ndim == 1 and array.size <= 16 and bool((np.abs(array) < 2**40).all()) and bool((array == np.round(array)).all())
    return tuple(int(v) for v in array) if whole else None


def by_channel(signal: Signal) -> np.ndarray | None:
    """A signal's factor for each channel, or None if it differs within one."""
    assert signal.scale is not None
    full = np.broadcast_to(signal.scale, signal.shape)
    return full[:, 0, 0] if (full == full[:, :1, :1]).all() else None


def spread(parameter: Parameter, shape: tuple[int, ...]) -> np.ndarray:
    """A stage's parameter (one, one a channel, one a unit) as it broadcasts against a shape."""
    array = np.asarray(parameter, np.float64)
    if array.ndim == 0 or array.size == 1:
        return array.reshape(())
    return array[:, None, None] if len(shape) == 3 and array.shape == shape[:1] else array.reshape(shape)


def parameter_of(array: np.ndarray) -> Parameter:
    """The inverse."""
    return float(array.item()) if array.size == 1 else array.ravel().copy()


def recorded(mark: Mapping[str, Any], name: str, value: np.ndarray, shape: tuple[int, ...]) -> Parameter:
    """The number that graph_of recorded, exact to the last bit, while the node still says the same."""
    found = recorded_alone(mark, name, shape)
    if found is not None and np.allclose(spread(found, shape), value, rtol=RECORDED, atol=RECORDED**1.5):
        return found
    return parameter_of(value)


def recorded_alone(mark: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Parameter | None:
    """The same, whatever the node says."""
    found = np.asarray(mark.get(name))
    if found.dtype.kind != "f" or not np.isfinite(found).all() or found.shape not in ((), (1,), shape[:1], (int(np.prod(shape)),)):
        return None
    return float(found) if found.ndim == 0 else found


def extent(value: Any) -> str:
    """Numbers in a few words: their range."""
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "iufb" or not array.size:
        return str(value)
    low, high = array.min(), array.max()
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def listed(names: list[str]) -> str:
    """The first few names."""
    shown = ", ".join(repr(name) for name in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def windows_of(size: Iterable[int], kernel: Iterable[int], stage: Convolution | Pooling) -> tuple[int, ...]:
    """The height and width that convolution and pooling leave; NIR's own inference knows square kernels only."""
    dilation = stage.dilation if isinstance(stage, Convolution) else (1, 1)
    terms = zip(size, kernel, stage.stride, stage.padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in terms)
