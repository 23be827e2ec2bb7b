"""Blocks of a SLAYER network as groups of entries, checked as they are read; those of a network in memory too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tp_lava.convert.values import MOST_UNITS, Shape, pair, population_shape, refuse
from tp_lava.reading.hdf5 import Tree

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


def exported(blocks: Any) -> list[Tree]:
    """What each block of a network would write into a file, and what lava-dl leaves out there."""
    if not hasattr(blocks, "__iter__"):
        raise refuse(type(blocks).__name__, "blocks", repr(blocks)[:60], "the blocks of a SLAYER network", "pass such a network")
    return [_exported(f"layer/{number}", block) for number, block in enumerate(blocks)]


def _exported(path: str, block: Any) -> Tree:
    group = _MemoryGroup()
    if hasattr(block, "num_outputs") and not hasattr(block, "neuron"):  # lava-dl 0.6 cannot export an Average
        group.tree = {"type": "average", "shape": np.array([block.num_outputs, 1, 1])}
        return group.tree
    try:
        with _normalised_weights(block):
            block.export_hdf5(group)
    except Exception as error:  # whatever lava-dl, or a block of the user's, raises
        raise refuse(path, "export_hdf5", f"failing ({error})", "possible", f"{RUN_ONCE}, or rebuild the block") from None
    if not group.tree:
        raise refuse(path, "type", type(block).__name__, "a block that lava-dl exports", "rebuild the network without it")
    if "neuron" in group.tree and getattr(block, "delay_shift", True) is not True:
        group.tree["delay_shift"] = np.array(0)
    if getattr(getattr(block, "neuron", None), "drop", None) is not None:
        group.tree["dropout"] = np.array(1)
    return group.tree


class _MemoryGroup:
    """As much of an h5py.Group as export_hdf5 uses."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}

    def create_dataset(self, name: str, shape: Any = None, dtype: Any = None, data: Any = None) -> None:
        """As h5py's; text becomes str."""
        *groups, last = name.split("/")
        tree = self.tree
        for group in groups:
            tree = tree.setdefault(group, {})
        array = np.asarray(data)
        tree[last] = str(array.astype(str).ravel()[0]) if array.dtype.kind in "SU" else array


@contextmanager
def _normalised_weights(block: Any) -> Iterator[None]:
    """The block with weights as weight normalisation makes them of its parameters now, which exporting would else remove for good."""
    synapses = [module for module in block.modules() if getattr(module, "weight_norm_enabled", False)]
    try:
        for synapse in synapses:
            for hook in synapse._forward_pre_hooks.values():
                hook(synapse, ())
            synapse.weight_norm_enabled = False
        yield
    finally:
        for synapse in synapses:
            synapse.weight_norm_enabled = True
