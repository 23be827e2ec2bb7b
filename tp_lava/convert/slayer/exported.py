"""Networks in memory, as they would write themselves into a file; the weights stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import Tree
from tp_lava.convert.slayer.entries import RUN_ONCE
from tp_lava.convert.stages import refuse


def exported(blocks: Any) -> list[Tree]:
    """What the blocks of a network in memory would write into a file, and what they do not say there."""
    if not hasattr(blocks, "__iter__"):
        raise refuse(type(blocks).__name__, "blocks", repr(blocks)[:60], "the blocks of a SLAYER network", "pass such a network")
    trees: list[Tree] = []
    for number, block in enumerate(blocks):
        file, path = _Tree(), f"layer/{number}"
        if hasattr(block, "num_outputs") and not hasattr(block, "neuron"):  # lava-dl 0.6 cannot export an Average
            file.create_dataset("type", data="average")
            file.create_dataset("shape", data=[block.num_outputs, 1, 1])
        else:
            try:
                with _normalised(block):
                    block.export_hdf5(file)
            except Exception as error:  # whatever lava-dl, or a block of the user's, stumbles over
                raise refuse(path, "export_hdf5", f"failing ({error})", "possible", f"{RUN_ONCE}, or rebuild the block") from None
        if not file.tree:
            raise refuse(path, "type", type(block).__name__, "a block that lava-dl exports", "rebuild the network without it")
        if "neuron" in file.tree and getattr(block, "delay_shift", True) is not True:
            file.create_dataset("delay_shift", data=0)
        if getattr(getattr(block, "neuron", None), "drop", None) is not None:
            file.create_dataset("dropout", data=1)
        trees.append(file.tree)
    return trees


class _Tree:
    """As much of an HDF5 group as export_hdf5 uses, in memory."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}

    def create_dataset(self, name: str, shape: Any = None, dtype: Any = None, data: Any = None) -> None:
        """As h5py's; text becomes str."""
        *groups, last = name.split("/")
        tree = self.tree
        for group in groups:
            tree = tree.setdefault(group, {})
        array = np.asarray(data)
        if array.dtype.kind in "SU":
            tree[last] = str(array.astype(str).ravel()[0])
        else:
            tree[last] = array


@contextmanager
def _normalised(block: Any) -> Iterator[None]:
    """Has the weights as weight normalisation makes them of its parameters now; exporting would else take it off for good."""
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
