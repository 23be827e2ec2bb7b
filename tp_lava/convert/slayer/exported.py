"""Networks in memory, as lava-dl would write them into a file; the networks are not changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import Tree
from tp_lava.convert.slayer.entries import RUN_ONCE
from tp_lava.convert.values import refuse


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
