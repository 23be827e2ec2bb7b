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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import Tree, damaged, read_tree
from tp_lava.convert.stages import Convolution, Dense, Integrating, Parameter, Pooling, Source, Spiking, Stage, refuse
from tp_lava.fixedpoint import FixedPoint
from tp_lava.numbers import DECAY_BITS, WEIGHT_BITS, Format, exponent_to_hold

MEMBRANE_FRAC = 6  # Lava's LIF has so many bits below one step of a weight
SILENT = 2**17 - 1  # thresholds from here on are above a membrane of 24 bits, or at its very end
MOST_UNITS = 2**24  # of a population
MOST_WEIGHTS = 2**26  # of the averages, the one array that no file holds

_NEURONS = ("CUBA", "LOIHI")  # two names of the same
_ONE = 2**DECAY_BITS
_BIAS = 2**15
_STEPS = (-256, 254)  # what SLAYER's 8 bits hold, by two
_SMALL = Format(WEIGHT_BITS, 0).high
_EXPORT = "export the network anew with lava-dl's export_hdf5"
_RUN_ONCE = "run the network once on a sample before it is exported or read"


def read_slayer(source: Any) -> Source:
    """A SLAYER network of CUBA neurons as stages. source: the path of a .net file, or a network with `.blocks`.

    Blocks: input, dense, dense_rec (Recurrent), conv, pool, flatten, and at the end average or an affine one. A network in
    memory must have been run once; it is not changed. Raises InvalidValueError by the path of what cannot be carried over
    (axonal delays, graded spikes, other neurons), ArchiveError for a damaged file, FileNotFoundError.
    """
    rest: dict[str, Any] = {}
    if hasattr(source, "blocks"):
        layers = _exported(source.blocks)
    elif isinstance(source, str | os.PathLike):
        rest = dict(read_tree(source))
        layers = _layers(source, rest.pop("layer", None))
    else:
        raise refuse(type(source).__name__, "source", repr(source)[:60], "a path, or a network with .blocks", "pass the .net file")
    reader = _Reader()
    for number, layer in enumerate(layers):
        reader.block(_Group(f"layer/{number}", layer))
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


# Blocks --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """A group of the file, with its path; knows which of its entries were read."""

    path: str
    tree: Tree
    read: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self.tree

    def group(self, name: str) -> _Group:
        """The group within it."""
        return _Group(f"{self.path}/{name}", self._entry(name, dict, "a group"))

    def text(self, name: str) -> str:
        """An entry that is text, alone or in a list."""
        value = self._entry(name, (str, list), "text")
        return value if isinstance(value, str) else "".join(value[:1])

    def whole(self, name: str, low: int, high: int, remedy: str = _EXPORT) -> np.ndarray:
        """An array of whole numbers in low..high, as it is."""
        array = np.asarray(self._entry(name, (np.ndarray, np.generic), "numbers"))
        if array.dtype.kind not in "iufb":
            raise refuse(self.path, name, "not a number", "whole numbers", _RUN_ONCE)
        if array.size == 0:
            raise refuse(self.path, name, "empty", "numbers", _EXPORT)
        bad = ~((array >= low) & (array <= high)) | (array != np.rint(array) if array.dtype.kind == "f" else False)
        if bad.any():
            raise refuse(self.path, name, array[bad].flat[0], f"whole, {low}..{high}", remedy)
        return array

    def number(self, name: str, low: int, high: int, default: int | None = None, remedy: str = _EXPORT) -> int:
        """One whole number in low..high; default: where it is missing."""
        if default is not None and name not in self:
            return default
        array = self.whole(name, low, high, remedy)
        if array.size != 1:
            raise refuse(self.path, name, f"of shape {array.shape}", "one number", _EXPORT)
        return int(array.flat[0])

    def pair(self, name: str, low: int) -> tuple[int, int]:
        """(y, x): two numbers, or one for both."""
        array = self.whole(name, low, 2**15).ravel()
        if array.size > 2:
            raise refuse(self.path, name, f"of shape {array.shape}", "one number or two", _EXPORT)
        return int(array[0]), int(array[-1])

    def shape(self) -> tuple[int, ...]:
        """(n,) or (channels, height, width)."""
        array = self.whole("shape", 1, MOST_UNITS, _RUN_ONCE).ravel()
        shape = tuple(int(length) for length in array[:4])
        if len(shape) not in (1, 3) or np.prod(np.array(shape, float)) > MOST_UNITS:
            raise refuse(self.path, "shape", shape, f"(n,) or (channels, height, width), of at most {MOST_UNITS} units", _EXPORT)
        return shape

    def _entry(self, name: str, kind: Any, what: str) -> Any:
        if name not in self.tree:
            raise refuse(self.path, name, "missing", what, _EXPORT)
        self.read.add(name)
        value = self.tree[name]
        if not isinstance(value, kind):
            raise refuse(self.path, name, f"of type {type(value).__name__}", what, _EXPORT)
        return value


class _Reader:
    """Reads block after block; shape: of what arrives at the next, None before the first; end: the path of the readout."""

    def __init__(self) -> None:
        self.source = Source("slayer", (), [])
        self.shape: tuple[int, ...] | None = None
        self.end = ""
        self.latency = self.netx_latency = 0

    @property
    def units(self) -> int:
        return int(np.prod(self.shape or 0))

    def block(self, group: _Group) -> None:
        """Append the stages of a block."""
        kind = group.text("type")
        kinds = {"input": self.input, "flatten": self.flatten, "conv": self.conv, "pool": self.pool, "average": self.average}
        kinds |= {"dense": self.dense, "dense_rec": self.dense}
        if kind not in kinds:
            raise refuse(group.path, "type", repr(kind), f"one of {', '.join(kinds)}", "rebuild the network of these")
        if self.end:
            raise refuse(group.path, "type", repr(kind), f"before the readout, {self.end}", "cut the network off there")
        kinds[kind](group)
        self.note_rest(group)

    def finished(self) -> Source:
        """The source, once all blocks were read."""
        if not any(isinstance(stage, Spiking) for stage in self.source.stages):
            raise refuse("layer", "neurons", "absent", "in at least one block", "convert a network with a spiking block")
        return self.source

    def note_rest(self, group: _Group) -> None:
        for name in group.tree:
            if name not in group.read:
                self.source.note(group.path, name, "ignored", "without effect, or said by another entry")

    # The kinds ---------------------------------------------------------------------------------

    def input(self, group: _Group) -> None:
        if self.shape is not None:
            raise refuse(group.path, "type", "'input'", "that of the first block only", "remove it")
        self.source.input_shape = self.shape = group.shape()
        if "neuron" not in group:
            self.source.note(group.path, "shape", "kept", f"{self.shape}")
            return
        weight = group.number("weight", *_STEPS, default=64)
        bias = group.number("bias", -_BIAS, _BIAS - 1, default=0)
        self.source.input_shape = self.shape = self.shape if len(self.shape) == 3 else (*self.shape, 1, 1)
        channels = self.shape[0]
        kernel = np.full((channels, 1, 1, 1), weight, np.float32)
        spiking = self.neurons(group)
        filtered = bias != 0 and bool(np.any(spiking.current_decay))  # SLAYER adds this bias to the current
        biases = np.full(channels, bias, np.float32) if filtered else None
        self.source.stages.append(Convolution(group.path, kernel, biases, groups=channels))
        self.spikes(group, spiking if filtered else replace(spiking, offset=float(bias)))
        self.source.note(group.path, "weight", "kept", f"{weight} to each neuron from its input, which must spike: graded inputs are none")
        self.source.note(group.path, "bias", "kept", f"{bias} to each neuron")

    def flatten(self, group: _Group) -> None:
        group.read.add("shape")
        if self.shape is not None:
            self.shape = (self.units,)
        self.source.note(group.path, "shape", "kept", "the same order of units")

    def dense(self, group: _Group) -> None:
        n = int(np.prod(group.shape()))
        recurrent = group.text("type") == "dense_rec"
        weight = self.matrix(group, "weight", n, None if self.shape is None else self.units)
        if self.shape is None:  # networks may begin with a dense block
            self.source.input_shape = (weight.shape[1],)
            self.source.note(group.path, "input", "added", f"the shape of the input, ({weight.shape[1]},)")
        feedback = self.matrix(group, "weight_rec", n, n) if recurrent else None
        self.shape = (n,)
        self.source.stages.append(Dense(group.path, weight))
        if not recurrent and self.silent(group):
            self.integrate(group)
        else:
            self.spikes(group, self.neurons(group, self.bias(group), feedback))

    def conv(self, group: _Group) -> None:
        channels, shape = self.image(group), group.shape()
        kernel = self.weight(group, "weight")
        if kernel.ndim == 5 and kernel.shape[-1] == 1:  # older exports keep the axis of time
            kernel = kernel[..., 0]
        groups = group.number("groups", 1, 2**15, default=1)
        if kernel.ndim != 4 or kernel.shape[1] * groups != channels or kernel.shape[0] % groups:
            wanted = f"(channels out, {channels} / groups, height, width) with groups that divide both; groups: {groups}"
            raise refuse(group.path, "weight", f"of shape {kernel.shape}", wanted, _EXPORT)
        options = {name: group.pair(name, low) for name, low in (("stride", 1), ("padding", 0), ("dilation", 1))}
        self.convolve(group, Convolution(group.path, kernel, None, groups=groups, **options), shape)
        for name, value in options.items():
            self.source.note(group.path, name, "kept", f"{value}")
        self.source.note(group.path, "groups", "kept", f"{groups}")
        self.spikes(group, self.neurons(group, self.bias(group)))

    def pool(self, group: _Group) -> None:
        channels, shape = self.image(group), group.shape()
        assert self.shape is not None
        window = group.pair("kernelSize", 1)
        weight = self.weight(group, "weight").reshape(-1)
        if weight.size != window[0] * window[1]:
            raise refuse(group.path, "weight", f"of {weight.size} numbers", f"of {window}, the kernelSize", _EXPORT)
        for name, plain in (("stride", window), ("padding", (0, 0)), ("dilation", (1, 1))):
            if (found := group.pair(name, 0)) != plain:  # it lays the channels one below the other and slides over all of them
                raise refuse(group.path, name, found, f"{plain}, for else SLAYER's Pool mixes channels", "pool without overlap")
            self.source.note(group.path, name, "kept", f"{plain}")
        beyond = self.shape[1] % window[0], self.shape[2] % window[1]  # rows and columns of zeros that SLAYER appends
        if (self.shape[1] + beyond[0]) % window[0]:
            limit = f"one that divides the height {self.shape[1]} or misses it by half, for else SLAYER's Pool mixes channels"
            raise refuse(group.path, "kernelSize", window, limit, "crop the image")
        if beyond == (0, 0) and (weight == weight[0]).all():
            self.source.stages.append(Pooling(group.path, window, window, scale=float(weight[0])))
            self.resize(group, (channels, self.shape[1] // window[0], self.shape[2] // window[1]), shape)
        else:  # zeros on both sides, of which the kernel's own zeros hide the first ones
            kernel = np.zeros((channels, 1, window[0] + beyond[0], window[1] + beyond[1]), np.float32)
            kernel[:, 0, beyond[0] :, beyond[1] :] = weight.reshape(window)
            self.convolve(group, Convolution(group.path, kernel, None, window, beyond, groups=channels), shape)
        self.source.note(group.path, "kernelSize", "kept", f"{window}")
        self.spikes(group, self.neurons(group))

    def average(self, group: _Group) -> None:
        classes, n = group.shape()[0], self.units
        if not self.source.stages or not isinstance(self.source.stages[-1], Spiking):
            raise refuse(group.path, "type", "'average'", "behind a spiking block", "remove it")
        if n % classes or n * classes > MOST_WEIGHTS:
            limit = f"a divisor of the {n} units before it, and {MOST_WEIGHTS} weights at most"
            raise refuse(group.path, "shape", classes, limit, "make the last layer a multiple")
        weight = np.repeat(np.eye(classes, dtype=np.float32), n // classes, 1) / np.float32(n // classes)
        self.source.stages += [Dense(group.path, weight), Integrating(group.path)]
        self.end = group.path
        self.source.note(group.path, "shape", "kept", f"the mean of each {n // classes} units in a row, {classes} classes")
        self.source.note(group.path, "integration", "added", "the means are summed over time: the largest rate is the prediction")

    # Their parts ---------------------------------------------------------------------------------

    def image(self, group: _Group) -> int:
        """The channels of the image that arrives."""
        if self.shape is None:
            remedy = "put block.cuba.Input(None, delay_shift=False) before it, run the network once, and export it"
            raise refuse(group.path, "input", "of unknown size", "given by an input block", remedy)
        if len(self.shape) != 3:
            raise refuse(group.path, "input", f"of shape {self.shape}", "(channels, height, width)", "flatten behind it")
        return self.shape[0]

    def convolve(self, group: _Group, stage: Convolution, shape: tuple[int, ...]) -> None:
        assert self.shape is not None
        spans = [d * (k - 1) + 1 for d, k in zip(stage.dilation, stage.kernel.shape[2:], strict=True)]
        paddeds = [size + 2 * padding for size, padding in zip(self.shape[1:], stage.padding, strict=True)]
        out = [(padded - span) // step + 1 for padded, span, step in zip(paddeds, spans, stage.stride, strict=True)]
        self.source.stages.append(stage)
        self.resize(group, (stage.kernel.shape[0], *out), shape)

    def resize(self, group: _Group, shape: tuple[int, ...], said: tuple[int, ...]) -> None:
        if shape != said or min(shape) < 1:
            raise refuse(group.path, "shape", said, f"{shape}, which the input of {self.shape} gives", _EXPORT)
        self.shape = shape

    def weight(self, group: _Group, name: str) -> np.ndarray:
        """Whole numbers, as float32: what 8 bits hold, by steps of two or of one."""
        if isinstance(group.tree.get(name), dict):
            raise refuse(group.path, name, "complex", "one real array", "rebuild the block with CUBA neurons")
        remedy = "requantise it, as neuron.quantize_8bit does"
        array = group.whole(name, *_STEPS, remedy).astype(np.float32)
        low, high = float(array.min()), float(array.max())
        if max(-low, high) > _SMALL and (array % 2).any():
            raise refuse(group.path, name, "odd here and there", f"even, or within -{_SMALL}..{_SMALL}", remedy)
        detail = f"{' x '.join(map(str, array.shape))} in {low:g}..{high:g}, in steps of SLAYER's"
        most = int((array == _STEPS[0]).sum())
        self.source.note(group.path, name, "kept", detail + (f"; {most} are -256, which fixed point holds as -254" if most else ""))
        return array

    def matrix(self, group: _Group, name: str, n_out: int, n_in: int | None) -> np.ndarray:
        """(n_out, n_in), which may lie flat."""
        array = self.weight(group, name)
        if array.ndim > 2 or array.size % n_out or (array.ndim == 2 and len(array) != n_out) or n_in not in (None, array.size // n_out):
            limit = f"of shape ({n_out}, {'inputs' if n_in is None else n_in})"
            raise refuse(group.path, name, f"of shape {array.shape}", limit, "check the layers' sizes")
        return array.reshape(n_out, -1)

    def bias(self, group: _Group) -> Parameter:
        """One number, one per unit or per channel; 0 where there is none."""
        if "bias" not in group:
            return 0.0
        array = group.whole("bias", -_BIAS, _BIAS - 1).astype(np.float64).ravel()
        early = "netx gives it to the neurons also in the steps before the first input reaches them"
        self.source.note(group.path, "bias", "kept", f"to the membrane, in {array.min():g}..{array.max():g}; {early}")
        return self.per_unit(group, "bias", array, (self.shape or (0,))[0])

    def decay(self, neuron: _Group, name: str, low: int) -> Parameter:
        """1 - mantissa / 4096."""
        array = neuron.whole(name, low, _ONE, "train with decays above 0: without any, a state never forgets").ravel()
        said = f"{array[0]}" if array.size == 1 else f"{array.min()}..{array.max()}"
        self.source.note(neuron.path, name, "rescaled", f"1 - {said} / {_ONE} is left after a step")
        return self.per_unit(neuron, name, 1.0 - array.astype(np.float64) / _ONE)

    def per_unit(self, group: _Group, name: str, array: np.ndarray, channels: int = 0) -> Parameter:
        if array.size == 1:
            return float(array[0])
        if array.size not in (channels, self.units):
            raise refuse(group.path, name, f"of {array.size} numbers", f"one, or one for each of {self.units} units", _EXPORT)
        return array

    def silent(self, group: _Group) -> bool:
        """Whether a block is a readout: without neurons, or with a threshold that no membrane reaches."""
        return "neuron" not in group or group.group("neuron").number("vThMant", 0, 2**31) >= SILENT

    def neurons(self, group: _Group, offset: Parameter = 0.0, feedback: np.ndarray | None = None) -> Spiking:
        group.read.add("neuron")
        neuron = self.checked(group)
        remedy = "give it a threshold that can be reached; only the last block may be without spikes"
        threshold = neuron.number("vThMant", 1, SILENT - 1, remedy=remedy)
        current, decay = self.decay(neuron, "iDecay", 1), self.decay(neuron, "vDecay", 1)
        if feedback is not None and np.any(offset) and np.any(current):
            limit = "0 where a recurrent block filters currents: SLAYER filters the bias with them, netx does not"
            raise refuse(group.path, "bias", "not 0", limit, "train without normalisation, or with current_decay=1")
        self.source.note(neuron.path, "vThMant", "kept", f"a spike where the membrane is > {threshold}, which is then 0")
        self.note_rest(neuron)
        return Spiking(neuron.path, decay, float(threshold), current, "zero", None, ">", 1.0, offset, feedback)

    def checked(self, group: _Group) -> _Group:
        """The neuron's group, if it is of the kind that can be carried over."""
        neuron = group.group("neuron")
        if (kind := neuron.text("type")) not in _NEURONS:
            raise refuse(neuron.path, "type", repr(kind), "CUBA (or its older name LOIHI)", "rebuild the block with block.cuba")
        self.source.note(neuron.path, "type", "kept", "leaky integrate-and-fire with a current")
        plain = {"gradedSpike": (0, "spikes are 0 or 1; train with graded_spike=False"), "messageBits": (0, "spikes are 0 or 1")}
        plain |= {"refDelay": (1, "there is no refractory time"), "wgtExp": (0, "scale the weights instead")}
        plain |= {"weight_exp": (0, "netx drops it; use MeanOnlyBatchNorm")}
        for name, (only, remedy) in plain.items():
            if name in neuron:
                neuron.number(name, only, only, remedy=remedy)
                self.source.note(neuron.path, name, "ignored", f"{only}: nothing to carry")
        if "delay" in group:
            group.whole("delay", 0, 0, "train with delay=False")
            self.source.note(group.path, "delay", "ignored", "all 0")
        return neuron

    def spikes(self, group: _Group, stage: Spiking) -> None:
        self.source.stages.append(stage)
        self.source.note(group.path, "shape", "kept", f"{self.shape}")
        shifted = group.number("delay_shift", 0, 1, default=1)
        self.latency += shifted
        self.netx_latency += group.text("type") != "input"  # its synapses hand on in the next step
        detail = f"its spikes leave {self.latency} steps later in SLAYER, {self.netx_latency} in netx, here at once"
        self.source.note(group.path, "delay_shift", "ignored", detail)

    def integrate(self, group: _Group) -> None:
        """The last block, whose membranes are the scores."""
        self.end = group.path
        self.source.note(group.path, "shape", "kept", f"{self.shape}, the classes")
        group.read.update(("neuron", "delay_shift"))
        if "neuron" not in group:
            if "delay" in group:
                group.whole("delay", 0, 0, "train with delay=False")
            self.source.stages.append(Integrating(group.path, 1.0, 1.0, self.bias(group)))
            self.source.note(group.path, "integration", "added", "W s is summed over time, as netx does for a block without neurons")
            return
        neuron = self.checked(group)
        current, decay = self.decay(neuron, "iDecay", 0), self.decay(neuron, "vDecay", 0)
        offset = self.bias(group)
        if np.ndim(current) or (current and (np.any(decay) or np.any(offset))):
            limit = f"{_ONE}, or vDecay {_ONE} and no bias: a readout has one decay"
            raise refuse(neuron.path, "iDecay", "another decay beside vDecay", limit, "use current_decay=1 in the last block")
        self.source.note(neuron.path, "vThMant", "ignored", "out of reach: no spikes, the membranes are the scores")
        self.source.stages.append(Integrating(group.path, current or decay, 1.0, offset))
        neuron.read.add("vThMant")
        self.note_rest(neuron)


# Where the groups come from ------------------------------------------------------------------------


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


def _exported(blocks: Any) -> list[Tree]:
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
                raise refuse(path, "export_hdf5", f"failing ({error})", "possible", f"{_RUN_ONCE}, or rebuild the block") from None
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
