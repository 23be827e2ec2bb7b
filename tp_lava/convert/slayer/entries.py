"""One group of a SLAYER file: its entries, checked as they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import Tree
from tp_lava.convert.values import MOST_UNITS, Shape, pair, population_shape, refuse

EXPORT = "export the network anew with lava-dl's export_hdf5"
RUN_ONCE = "run the network once on a sample before it is exported or read"


@dataclass(frozen=True)
class Group:
    """A group of the file, with its path; `read` has the names of the entries that were read."""

    path: str
    tree: Tree
    read: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self.tree

    def group(self, name: str) -> Group:
        """The group within it."""
        return Group(f"{self.path}/{name}", self._entry(name, dict, "a group"))

    def text(self, name: str) -> str:
        """An entry that is text, alone or in a list."""
        value = self._entry(name, (str, list), "text")
        return value if isinstance(value, str) else "".join(value[:1])

    def integers(self, name: str, low: int, high: int, remedy: str = EXPORT) -> np.ndarray:
        """An array of integers in low..high, of the type that it has."""
        array = np.asarray(self._entry(name, (np.ndarray, np.generic), "numbers"))
        if array.dtype.kind not in "iufb":
            raise refuse(self.path, name, "not a number", "whole numbers", RUN_ONCE)
        if array.size == 0:
            raise refuse(self.path, name, "empty", "numbers", EXPORT)
        bad = ~((array >= low) & (array <= high)) | (array != np.rint(array) if array.dtype.kind == "f" else False)
        if bad.any():
            raise refuse(self.path, name, array[bad].flat[0], f"whole, {low}..{high}", remedy)
        return array

    def integer(self, name: str, low: int, high: int, default: int | None = None, remedy: str = EXPORT) -> int:
        """One integer in low..high; default: where it is missing."""
        if default is not None and name not in self:
            return default
        array = self.integers(name, low, high, remedy)
        if array.size != 1:
            raise refuse(self.path, name, f"of shape {array.shape}", "one number", EXPORT)
        return int(array.flat[0])

    def pair(self, name: str, low: int) -> tuple[int, int]:
        """(y, x): two integers, or one for both."""
        return pair(self.path, name, self.integers(name, low, 2**15).ravel(), low)

    def shape(self) -> Shape:
        """(n,) or (channels, height, width)."""
        return population_shape(self.path, "shape", self.integers("shape", 1, MOST_UNITS, RUN_ONCE).ravel())

    def _entry(self, name: str, kind: Any, what: str) -> Any:
        if name not in self.tree:
            raise refuse(self.path, name, "missing", what, EXPORT)
        self.read.add(name)
        value = self.tree[name]
        if not isinstance(value, kind):
            raise refuse(self.path, name, f"of type {type(value).__name__}", what, EXPORT)
        return value
