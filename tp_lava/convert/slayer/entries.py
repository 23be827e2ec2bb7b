"""One group of a SLAYER file: its entries, checked as they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import Tree
from tp_lava.convert.stages import refuse

MOST_UNITS = 2**24  # of a population
EXPORT = "export the network anew with lava-dl's export_hdf5"
RUN_ONCE = "run the network once on a sample before it is exported or read"


@dataclass(frozen=True)
class Group:
    """A group of the file, with its path; knows which of its entries were read."""

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

    def whole(self, name: str, low: int, high: int, remedy: str = EXPORT) -> np.ndarray:
        """An array of whole numbers in low..high, as it is."""
        array = np.asarray(self._entry(name, (np.ndarray, np.generic), "numbers"))
        if array.dtype.kind not in "iufb":
            raise refuse(self.path, name, "not a number", "whole numbers", RUN_ONCE)
        if array.size == 0:
            raise refuse(self.path, name, "empty", "numbers", EXPORT)
        bad = ~((array >= low) & (array <= high)) | (array != np.rint(array) if array.dtype.kind == "f" else False)
        if bad.any():
            raise refuse(self.path, name, array[bad].flat[0], f"whole, {low}..{high}", remedy)
        return array

    def number(self, name: str, low: int, high: int, default: int | None = None, remedy: str = EXPORT) -> int:
        """One whole number in low..high; default: where it is missing."""
        if default is not None and name not in self:
            return default
        array = self.whole(name, low, high, remedy)
        if array.size != 1:
            raise refuse(self.path, name, f"of shape {array.shape}", "one number", EXPORT)
        return int(array.flat[0])

    def pair(self, name: str, low: int) -> tuple[int, int]:
        """(y, x): two numbers, or one for both."""
        array = self.whole(name, low, 2**15).ravel()
        if array.size > 2:
            raise refuse(self.path, name, f"of shape {array.shape}", "one number or two", EXPORT)
        return int(array[0]), int(array[-1])

    def shape(self) -> tuple[int, ...]:
        """(n,) or (channels, height, width)."""
        array = self.whole("shape", 1, MOST_UNITS, RUN_ONCE).ravel()
        shape = tuple(int(length) for length in array[:4])
        if len(shape) not in (1, 3) or np.prod(np.array(shape, float)) > MOST_UNITS:
            raise refuse(self.path, "shape", shape, f"(n,) or (channels, height, width), of at most {MOST_UNITS} units", EXPORT)
        return shape

    def _entry(self, name: str, kind: Any, what: str) -> Any:
        if name not in self.tree:
            raise refuse(self.path, name, "missing", what, EXPORT)
        self.read.add(name)
        value = self.tree[name]
        if not isinstance(value, kind):
            raise refuse(self.path, name, f"of type {type(value).__name__}", what, EXPORT)
        return value
