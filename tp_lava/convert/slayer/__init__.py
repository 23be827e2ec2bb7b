"""SLAYER of lava-dl: networks as `export_hdf5` writes them (.net) and netx reads them, or as they are in memory.

The unit is one step of SLAYER's exported weights, which are integers: weights, biases and vThMant are taken as they are, for
Lava shifts inputs, biases and thresholds alike (by MEMBRANE_FRAC bits). A neuron is Lava's bit-accurate LIF:

    current_decay = 1 - iDecay / 4096, decay = 1 - vDecay / 4096, spike where pre > vThMant, then 0

Biases (mean-only batch normalisation) go to the membrane, past the current. A block whose threshold is above every membrane's
range, or without neurons, is the readout. `fixed_point_of` holds all of it without rounding, with the mantissas that Lava has;
only where a current leaves 24 bits (2**17 steps) do they differ: Lava's wraps around, ours saturates, SLAYER's in PyTorch grows.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tp_lava.circuit.formats import FixedPoint
from tp_lava.convert.slayer.groups import exported
from tp_lava.convert.slayer.reader import read_blocks
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking, Stage
from tp_lava.convert.values import refuse
from tp_lava.graph.names import READOUT, hidden, recurrent
from tp_lava.numbers import WEIGHT_BITS, exponent_to_hold
from tp_lava.reading.hdf5 import Tree, read_tree
from tp_lava.reading.limits import damaged
from tp_lava.rules.credits.contrast import TARGET

MEMBRANE_FRAC = 6  # Lava's LIF has so many bits below one step of a weight


def read_slayer(source: Any) -> Source:
    """A SLAYER network of CUBA neurons as stages. source: the path of a .net file, or a network with `.blocks`.

    Blocks: input, dense, dense_rec (Recurrent), conv, pool, flatten, and at the end average or an affine one. A network in
    memory must have been run once; it is not changed. Raises InvalidValueError by the path of what cannot be converted
    (axonal delays, graded spikes, other neurons), ArchiveError for a damaged file, FileNotFoundError.
    """
    others: dict[str, Any] = {}
    if hasattr(source, "blocks"):
        blocks = exported(source.blocks)
    elif isinstance(source, str | os.PathLike):
        others = dict(read_tree(source))
        blocks = _blocks(source, others.pop("layer", None))
    else:
        raise refuse(type(source).__name__, "source", repr(source)[:60], "a path, or a network with .blocks", "pass the .net file")
    read = read_blocks(blocks)
    for name in others:
        read.record("/", name, "ignored", "of the simulation that it was trained with")
    read.fixed = fixed_point_of(read)
    return read


def _blocks(path: object, tree: Any) -> list[Tree]:
    """The blocks of a file in their order."""
    if not isinstance(tree, dict) or not tree:
        raise damaged(path, "has no group 'layer' with the blocks of a SLAYER network")
    for number in range(len(tree)):
        if not isinstance(tree.get(str(number)), dict):
            raise damaged(path, f"has no group 'layer/{number}', but {len(tree)} blocks")
    return [tree[str(number)] for number in range(len(tree))]


def fixed_point_of(source: Source) -> FixedPoint:
    """The formats in which the network of `read_slayer` has the mantissas of Lava's processes, so that it spikes as they do.

    Weights are mantissa * 2, or integers where one is odd; membranes have 6 bits below; weights of TP's label projection reach the first
    threshold. A weight of -256, which Loihi's two's complement holds and 8 bits with sign do not, becomes -254.
    """
    if source.format != "slayer":
        raise refuse(source.format, "format", repr(source.format), "'slayer'", "use FixedPoint() for networks of other origin")
    exponents: dict[str, int] = {}
    thresholds: list[float] = []  # of each population
    weight: Any = 0.0  # of the map before
    for stage in source.stages:
        if isinstance(stage, Spiking):
            exponents[hidden(len(thresholds))] = _exponent(weight)
            if stage.feedback is not None:
                exponents[recurrent(len(thresholds))] = _exponent(stage.feedback)
            thresholds.append(float(np.max(stage.threshold)))
        elif isinstance(stage, Integrating) and _is_whole(weight):
            exponents[READOUT] = _exponent(weight)
        weight = _weight(stage)
    if thresholds:
        exponents[TARGET] = max(exponent_to_hold(thresholds[0], WEIGHT_BITS), -MEMBRANE_FRAC)
    return FixedPoint(weight_exponents=exponents, membrane_frac=MEMBRANE_FRAC)


def _weight(stage: Stage) -> Any:
    if isinstance(stage, Dense | Convolution):
        return stage.weight
    return stage.scale if isinstance(stage, Pooling) else 0.0


def _is_whole(weight: Any) -> bool:
    return bool((np.asarray(weight) == np.rint(weight)).all())


def _exponent(weight: Any) -> int:
    return 1 if _is_whole(np.asarray(weight) / 2) else 0
