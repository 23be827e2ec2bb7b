"""Numbers of NIR nodes, and what graph_of wrote into their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.values import Parameter, Shape, array_of, refuse, spread, unspread

KEY = "tp_lava"  # of our entry in a node's metadata
CLOSE = 1e-9  # recorded numbers count where the node agrees this closely: else somebody has changed the node


def array_in(path: str, node: Any, name: str) -> np.ndarray:
    """An array of a node, of finite numbers."""
    return array_of(path, name, getattr(node, name, None), integers=True)


def spread_in(path: str, node: Any, name: str, shape: Shape) -> np.ndarray:
    """A parameter of a node (one number, one a channel or one a unit), float64, as it broadcasts against the population's shape."""
    array = array_in(path, node, name).astype(np.float64)
    if array.size == 1:
        return array.reshape(())
    found = array.reshape(array.shape[1:]) if array.ndim == len(shape) + 1 and len(array) == 1 else array
    if found.shape == shape or (len(shape) == 3 and found.shape == (shape[0], 1, 1)):
        return found
    raise refuse(path, name, f"of shape {array.shape}", f"one number, or as its neurons {shape}", "check the node")


def metadata_of(node: Any) -> Mapping[str, Any]:
    """A node's metadata; empty where it is no mapping."""
    found = getattr(node, "metadata", None)
    return found if isinstance(found, Mapping) else {}


def single_number(value: Any) -> float | None:
    """A finite number, in an array or not; None for anything else."""
    array = np.asarray(value)
    found = array.item() if array.size == 1 and array.dtype.kind in "iuf" else None
    return float(found) if found is not None and is_number(found) else None


class Recorded:
    """What graph_of recorded of a node: words that NIR has no place for, and numbers to their last bit."""

    def __init__(self, node: Any) -> None:
        found = metadata_of(node).get(KEY)
        self.entries: Mapping[str, Any] = found if isinstance(found, Mapping) else {}

    def path(self, otherwise: str) -> str:
        """The path that the stage had."""
        found = self.entries.get("path")
        return found if isinstance(found, str) else otherwise

    def word(self, name: str, *allowed: str) -> str | None:
        """One of the allowed words, or None."""
        found = self.entries.get(name)
        return found if isinstance(found, str) and found in allowed else None

    def number(self, name: str) -> float | None:
        """A single number, or None."""
        return single_number(self.entries.get(name))

    def parameter(self, name: str, shape: Shape) -> Parameter | None:
        """A parameter of neurons, or None."""
        found = np.asarray(self.entries.get(name))
        if found.dtype.kind != "f" or not np.isfinite(found).all() or found.shape not in ((), (1,), shape[:1], (int(np.prod(shape)),)):
            return None
        return float(found) if found.ndim == 0 else found

    def exact(self, name: str, value: np.ndarray, shape: Shape) -> Parameter:
        """The recorded parameter while the node still has that value, else the node's. value: broadcasts to the shape."""
        found = self.parameter(name, shape)
        if found is not None and np.allclose(spread(found, shape), value, rtol=CLOSE, atol=CLOSE**1.5):
            return found
        return unspread(value)
