"""SLAYER of lava-dl: networks as `export_hdf5` writes them (.net) and netx reads them, or as they are in memory.

The unit is one step of SLAYER's exported weights, which are whole numbers: weights, biases and vThMant are taken as they
are, for Lava shifts inputs, biases and thresholds alike (by MEMBRANE_FRAC bits). A neuron is Lava's bit-accurate LIF:

    current_decay = 1 - iDecay / 4096, decay = 1 - vDecay / 4096, spike where pre > vThMant, then 0

Biases (mean-only batch normalisation) go to the membrane, past the current. What is above every membrane's reach, or has
no neurons, is the readout. `fixed_point_of` holds all of it without rounding, with the mantissas that Lava has; only
where a current leaves 24 bits (2**17 steps) do they differ: Lava's wraps around, ours saturates, SLAYER's in PyTorch goes on.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import Tree, damaged, read_tree
from tp_lava.convert.slayer.entries import Group
from tp_lava.convert.slayer.exported import exported
from tp_lava.convert.slayer.reader import Reader
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking, Stage, refuse
from tp_lava.circuit.formats import FixedPoint
from tp_lava.numbers import WEIGHT_BITS, exponent_to_hold

MEMBRANE_FRAC = 6  # Lava's LIF has so many bits below one step of a weight


def read_slayer(source: Any) -> Source:
    """A SLAYER network of CUBA neurons as stages. source: the path of a .net file, or a network with `.blocks`.

    Blocks: input, dense, dense_rec (Recurrent), conv, pool, flatten, and at the end average or an affine one. A network in
    memory must have been run once; it is not changed. Raises InvalidValueError by the path of what cannot be carried over
    (axonal delays, graded spikes, other neurons), ArchiveError for a damaged file, FileNotFoundError.
    """
    rest: dict[str, Any] = {}
    if hasattr(source, "blocks"):
        layers = exported(source.blocks)
    elif isinstance(source, str | os.PathLike):
        rest = dict(read_tree(source))
        layers = _layers(source, rest.pop("layer", None))
    else:
        raise refuse(type(source).__name__, "source", repr(source)[:60], "a path, or a network with .blocks", "pass the .net file")
    reader = Reader()
    for number, layer in enumerate(layers):
        reader.block(Group(f"layer/{number}", layer))
    for name in rest:
        reader.source.note("/", name, "ignored", "of the simulation that it was trained with")
    done = reader.finished()
    done.fixed = fixed_point_of(done)
    return done


def fixed_point_of(source: Source) -> FixedPoint:
    """The formats in which the network of `read_slayer` has the mantissas of Lava's processes, so that it spikes as they do.

    Weights are mantissa * 2, or whole numbers where one is odd; membranes have 6 bits below; target weights reach the
    first threshold. A weight of -256, which Loihi's two's complement holds and 8 bits with sign do not, becomes -254.
    """
    if source.format != "slayer":
        raise refuse(source.format, "format", repr(source.format), "'slayer'", "use FixedPoint() for networks of other origin")
    exponents, drive = {}, [np.zeros(1)]
    population = 0
    for stage in source.stages:
        if isinstance(stage, Spiking):
            exponents[f"hidden{population}"] = _exponent(drive)
            if stage.feedback is not None:
                exponents[f"recurrent{population}"] = _exponent([stage.feedback])
            if population == 0:
                largest = float(np.max(stage.threshold))
                exponents["target"] = max(exponent_to_hold(largest, WEIGHT_BITS), -MEMBRANE_FRAC)
            population += 1
        elif isinstance(stage, Integrating) and _whole(drive):
            exponents["readout"] = _exponent(drive)
        drive = _values(stage)
    return FixedPoint(weight_exponents=exponents, membrane_frac=MEMBRANE_FRAC)


def _values(stage: Stage) -> list[np.ndarray]:
    if isinstance(stage, Dense):
        return [stage.weight]
    if isinstance(stage, Convolution):
        return [stage.kernel]
    return [np.array(stage.scale)] if isinstance(stage, Pooling) else [np.zeros(1)]


def _whole(arrays: list[np.ndarray]) -> bool:
    return all(bool((array == np.rint(array)).all()) for array in arrays)


def _exponent(arrays: list[np.ndarray]) -> int:
    return 1 if _whole([array / 2 for array in arrays]) else 0


def _layers(path: object, tree: Any) -> list[Tree]:
    """The blocks of a file in their order."""
    if not isinstance(tree, dict) or not tree:
        raise damaged(path, "has no group 'layer' with the blocks of a SLAYER network")
    layers: list[Tree] = []
    for number in range(len(tree)):
        layer = tree.get(str(number))
        if not isinstance(layer, dict):
            raise damaged(path, f"has no group 'layer/{number}', but {len(tree)} blocks")
        layers.append(layer)
    return layers
