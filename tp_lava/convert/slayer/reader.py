"""Blocks of a SLAYER network, one after the other, as stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.slayer.groups import EXPORT, Group
from tp_lava.convert.stages import Integrating, Source, Spiking, image_shape
from tp_lava.convert.values import Parameter, Shape, extent, parameter, refuse
from tp_lava.graph.delays import MOST_STEPS
from tp_lava.numbers import DECAY_BITS, WEIGHT_BITS, Format
from tp_lava.reading.hdf5 import Tree

SILENT = 2**17 - 1  # thresholds from here on are above a membrane of 24 bits, or at its very end
MOST_WEIGHTS = 2**26  # of the averages, the one array that no file holds
_NEURONS = ("CUBA", "LOIHI")  # two names of the same
_ONE = 2**DECAY_BITS
_BIAS = 2**15
_WEIGHTS = (-256, 254)  # what SLAYER's 8 bits hold, in steps of two
_SMALL = Format(WEIGHT_BITS, 0).high
_REQUANTISE = "requantise it, as neuron.quantize_8bit does"
_OTHERS = {  # kinds that have something of ours, and what differs
    "ALIF": ", whose spikes do not reset the membrane but start a response of twice the risen threshold, with a decay of its own"
}
_WITHOUT_EFFECT = {  # entry of a neuron -> (the only value, remedy)
    "gradedSpike": (0, "spikes are 0 or 1; train with graded_spike=False"),
    "messageBits": (0, "spikes are 0 or 1"),
    "refDelay": (1, "there is no refractory time"),
    "wgtExp": (0, "scale the weights instead"),
    "weight_exp": (0, "netx drops it; use MeanOnlyBatchNorm"),
}


def read_blocks(blocks: Sequence[Tree]) -> Source:
    """The stages of blocks as a file holds them. Raises InvalidValueError."""
    reader = _Reader()
    for number, block in enumerate(blocks):
        reader.read(Group(f"layer/{number}", block))
    if not any(isinstance(stage, Spiking) for stage in reader.builder.source.stages):
        raise refuse("layer", "neurons", "absent", "in at least one block", "convert a network with a spiking block")
    return reader.builder.finish()


class _Reader:
    """Appends the stages of block after block."""

    def __init__(self) -> None:
        self.builder = SourceBuilder("slayer")
        self.record = self.builder.record
        self.latency = self.netx_latency = 0  # steps until spikes leave the last population
        self.kinds: dict[str, Callable[[Group], None]] = {
            "input": self._input,
            "flatten": self._flatten,
            "conv": self._convolution,
            "pool": self._pool,
            "average": self._average,
            "dense": self._dense,
            "dense_rec": self._dense,
        }

    def read(self, group: Group) -> None:
        """Append the stages of a block."""
        kind = group.text("type")
        if kind not in self.kinds:
            raise refuse(group.path, "type", repr(kind), f"one of {', '.join(self.kinds)}", "rebuild the network of these")
        self.kinds[kind](group)
        if "delay" in group:
            self._delay(group)
        self._record_others(group)

    def _delay(self, group: Group) -> None:
        """Axonal delays, of the spikes of a block: one for all, one per channel or one per unit."""
        steps = group.integers("delay", 0, MOST_STEPS, "train with max_delay=62").astype(np.float64).ravel()
        if np.any(steps) and not isinstance(self.builder.last, Spiking):
            raise refuse(group.path, "delay", extent(steps), "0 where no neurons spike", "train that block with delay=False")
        self.builder.delay(group.path, steps.reshape(()) if steps.size == 1 else steps)

    def _record_others(self, group: Group) -> None:
        """Record entries that have no record yet: those that were read are kept."""
        numbers = {name: extent(value) for name, value in group.tree.items() if isinstance(value, np.ndarray) and name in group.read}
        unread = [name for name in group.tree if name not in group.read]
        self.builder.record_others(group.path, numbers, "kept")
        self.builder.record_others(group.path, dict.fromkeys(unread, "without effect, or given by another entry"), "ignored")

    # The kinds of blocks -------------------------------------------------------------------------
    def _input(self, group: Group) -> None:
        """What comes in, and the neurons that may encode it."""
        if self.builder.shape:
            raise refuse(group.path, "type", "'input'", "that of the first block only", "remove it")
        shape = group.shape()
        if "neuron" not in group:
            self.builder.begin(group.path, "shape", shape)
            return
        weight = group.integer("weight", *_WEIGHTS, default=64)
        bias = group.integer("bias", -_BIAS, _BIAS - 1, default=0)
        self.builder.begin(group.path, "shape", shape if len(shape) == 3 else (*shape, 1, 1))
        spiking = self._neurons(group)
        filtered = bias != 0 and bool(np.any(spiking.current_decay))  # SLAYER adds this bias to the current
        kernel, biases = np.full((shape[0], 1, 1, 1), weight, np.float32), np.full(shape[0], bias, np.float32)
        self.record(group.path, "weight", "kept", f"{weight} to each neuron from its input: spikes, or with input_format the image")
        self.record(group.path, "bias", "kept", f"{bias} to each neuron")
        self.builder.convolution(group.path, kernel, biases if filtered else None, groups=shape[0])
        self._append(group, spiking if filtered else replace(spiking, offset=float(bias)))

    def _flatten(self, group: Group) -> None:
        group.read.add("shape")
        self.builder.flatten(group.path)

    def _dense(self, group: Group) -> None:
        """All to all, recurrent or not."""
        n, shape = math.prod(group.shape()), self.builder.shape
        recurrent = group.text("type") == "dense_rec"
        weight = self._matrix(group, "weight", n, math.prod(shape) if shape else None)
        if not shape:  # networks may begin with a dense block
            self.builder.begin(group.path, "weight", weight.shape[1])
            self.record(group.path, "input", "added", f"the shape of the input, ({weight.shape[1]},)")
        feedback = self._matrix(group, "weight_rec", n, n) if recurrent else None
        self.builder.dense(group.path, weight)
        silent = "neuron" not in group or group.group("neuron").integer("vThMant", 0, 2**31) >= SILENT
        if not recurrent and silent:
            self._append_readout(group)
        else:
            self._append(group, self._neurons(group, self._bias(group), feedback))

    def _convolution(self, group: Group) -> None:
        self._check_known_input(group)
        kernel = self._weights(group, "weight")
        if kernel.ndim == 5 and kernel.shape[-1] == 1:  # older exports keep the axis of time
            kernel = kernel[..., 0]
        stride, padding, dilation = group.pair("stride", 1), group.pair("padding", 0), group.pair("dilation", 1)
        groups, before = group.integer("groups", 1, 2**15, default=1), self.builder.shape
        self.builder.convolution(group.path, kernel, None, stride, padding, dilation, groups)
        self._check_shape(group, before)
        self._append(group, self._neurons(group, self._bias(group)))

    def _pool(self, group: Group) -> None:
        """Sums over windows."""
        self._check_known_input(group)
        channels, height, width = before = image_shape(group.path, self.builder.shape)
        window = group.pair("kernelSize", 1)
        weight = self._weights(group, "weight").reshape(-1)
        if weight.size != window[0] * window[1]:
            raise refuse(group.path, "weight", f"of {weight.size} numbers", f"of {window}, the kernelSize", EXPORT)
        for name, plain in (("stride", window), ("padding", (0, 0)), ("dilation", (1, 1))):
            if (found := group.pair(name, 0)) != plain:  # it lays the channels one below the other and slides over all of them
                raise refuse(group.path, name, found, f"{plain}, for else SLAYER's Pool mixes channels", "pool without overlap")
        beyond = height % window[0], width % window[1]  # rows and columns of zeros that SLAYER appends
        if (height + beyond[0]) % window[0]:
            limit = f"one that divides the height {height} or misses it by half, for else SLAYER's Pool mixes channels"
            raise refuse(group.path, "kernelSize", window, limit, "crop the image")
        if beyond == (0, 0) and (weight == weight[0]).all():
            self.builder.pool(group.path, window, scale=float(weight[0]))
        else:  # zeros on both sides, of which the kernel's own zeros hide the first ones
            kernel = np.zeros((channels, 1, window[0] + beyond[0], window[1] + beyond[1]), np.float32)
            kernel[:, 0, beyond[0] :, beyond[1] :] = weight.reshape(window)
            self.builder.convolution(group.path, kernel, None, window, beyond, groups=channels)
        self._check_shape(group, before)
        self._append(group, self._neurons(group))

    def _average(self, group: Group) -> None:
        """The mean of each class's neurons, as the readout."""
        n_classes, n = group.shape()[0], math.prod(self.builder.shape)
        if not isinstance(self.builder.last, Spiking):
            raise refuse(group.path, "type", "'average'", "behind a spiking block", "remove it")
        if n % n_classes or n * n_classes > MOST_WEIGHTS:
            limit = f"a divisor of the {n} units before it, and {MOST_WEIGHTS} weights at most"
            raise refuse(group.path, "shape", n_classes, limit, "make the last layer a multiple")
        each = n // n_classes
        self.builder.dense(group.path, np.repeat(np.eye(n_classes, dtype=np.float32), each, 1) / np.float32(each))
        self.builder.neurons(Integrating(group.path))
        self.record(group.path, "shape", "kept", f"the mean of each {each} units in a row, {n_classes} classes")
        self.record(group.path, "integration", "added", "the means are summed over time: the largest rate is the prediction")

    # Their maps ------------------------------------------------------------------------------------
    def _check_known_input(self, group: Group) -> None:
        if not self.builder.shape:
            remedy = "put block.cuba.Input(None, delay_shift=False) before it, run the network once, and export it"
            raise refuse(group.path, "input", "of unknown size", "given by an input block", remedy)

    def _check_shape(self, group: Group, before: Shape) -> None:
        """Refuse another shape in the file than that which the input gives."""
        if group.shape() != self.builder.shape:
            raise refuse(group.path, "shape", group.shape(), f"{self.builder.shape}, which the input of {before} gives", EXPORT)

    def _weights(self, group: Group, name: str) -> np.ndarray:
        """Integers, as float32: what 8 bits hold, in steps of two or of one."""
        if isinstance(group.tree.get(name), dict):
            raise refuse(group.path, name, "complex", "one real array", "rebuild the block with CUBA neurons")
        array = group.integers(name, *_WEIGHTS, _REQUANTISE).astype(np.float32)
        if np.abs(array).max() > _SMALL and (array % 2).any():
            raise refuse(group.path, name, "odd here and there", f"even, or within -{_SMALL}..{_SMALL}", _REQUANTISE)
        detail = f"{' x '.join(map(str, array.shape))}, {extent(array)}, in steps of SLAYER's"
        lowest = int((array == _WEIGHTS[0]).sum())
        self.record(group.path, name, "kept", detail + (f"; {lowest} are -256, which fixed point holds as -254" if lowest else ""))
        return array

    def _matrix(self, group: Group, name: str, n_out: int, n_in: int | None) -> np.ndarray:
        """(n_out, n_in), which may lie flat."""
        array = self._weights(group, name)
        if array.ndim > 2 or array.size % n_out or (array.ndim == 2 and len(array) != n_out) or n_in not in (None, array.size // n_out):
            limit = f"of shape ({n_out}, {'inputs' if n_in is None else n_in})"
            raise refuse(group.path, name, f"of shape {array.shape}", limit, "check the layers' sizes")
        return array.reshape(n_out, -1)

    def _bias(self, group: Group) -> Parameter:
        """One number, one per unit or per channel; 0 where there is none."""
        if "bias" not in group:
            return 0.0
        array = group.integers("bias", -_BIAS, _BIAS - 1).astype(np.float64).ravel()
        early = "netx gives it to the neurons also in the steps before the first input reaches them"
        self.record(group.path, "bias", "kept", f"to the membrane, {extent(array)}; {early}")
        return self._parameter(group, "bias", array)

    # Their neurons -----------------------------------------------------------------------------------
    def _parameter(self, group: Group, name: str, array: np.ndarray) -> Parameter:
        return parameter(group.path, name, array.reshape(()) if array.size == 1 else array, self.builder.shape)

    def _decay(self, neuron: Group, name: str, low: int) -> Parameter:
        """1 - mantissa / 4096."""
        array = neuron.integers(name, low, _ONE, "train with decays above 0: without any, a state never forgets").ravel()
        self.record(neuron.path, name, "rescaled", f"1 - {extent(array)} / {_ONE} is left after a step")
        return self._parameter(neuron, name, 1.0 - array.astype(np.float64) / _ONE)

    def _neurons(self, group: Group, offset: Parameter = 0.0, feedback: np.ndarray | None = None) -> Spiking:
        """The neurons of a block."""
        neuron = self._neuron_group(group)
        remedy = "give it a threshold that can be reached; only the last block may be without spikes"
        threshold = neuron.integer("vThMant", 1, SILENT - 1, remedy=remedy)
        current_decay, decay = self._decay(neuron, "iDecay", 1), self._decay(neuron, "vDecay", 1)
        if feedback is not None and np.any(offset) and np.any(current_decay):
            limit = "0 where a recurrent block filters currents: SLAYER filters the bias with them, netx does not"
            raise refuse(group.path, "bias", "not 0", limit, "train without normalisation, or with current_decay=1")
        self.record(neuron.path, "vThMant", "kept", f"a spike where the membrane is > {threshold}, which is then 0")
        self._record_others(neuron)
        return Spiking(neuron.path, decay, float(threshold), current_decay, "zero", None, ">", 1.0, offset, feedback)

    def _neuron_group(self, group: Group) -> Group:
        """The neuron's group, which must be of a kind that can be converted."""
        neuron = group.group("neuron")
        if (kind := neuron.text("type")) not in _NEURONS:
            found = f"{kind!r}{_OTHERS.get(kind, '')}"
            raise refuse(neuron.path, "type", found, "CUBA (or its older name LOIHI)", "rebuild it with block.cuba")
        self.record(neuron.path, "type", "kept", "leaky integrate-and-fire with a current")
        for name, (only, remedy) in _WITHOUT_EFFECT.items():
            if name in neuron:
                neuron.integer(name, only, only, remedy=remedy)
                self.record(neuron.path, name, "ignored", f"{only}: without effect")
        return neuron

    def _append(self, group: Group, stage: Spiking) -> None:
        """Append a population."""
        self.builder.neurons(stage)
        self.latency += group.integer("delay_shift", 0, 1, default=1)
        self.netx_latency += group.text("type") != "input"  # its synapses deliver in the next step
        detail = f"its spikes leave {self.latency} steps later in SLAYER, {self.netx_latency} in netx, here at once"
        self.record(group.path, "delay_shift", "ignored", detail)

    def _append_readout(self, group: Group) -> None:
        """Append the last block, whose membranes are the scores."""
        group.read.add("delay_shift")
        if "neuron" not in group:
            self.builder.neurons(Integrating(group.path, offset=self._bias(group)))
            self.record(group.path, "integration", "added", "W s is summed over time, as netx does for a block without neurons")
            return
        neuron = self._neuron_group(group)
        current_decay, decay, offset = self._decay(neuron, "iDecay", 0), self._decay(neuron, "vDecay", 0), self._bias(group)
        if np.ndim(current_decay) or (current_decay and (np.any(decay) or np.any(offset))):
            limit = f"{_ONE}, or vDecay {_ONE} and no bias: a readout has one decay"
            raise refuse(neuron.path, "iDecay", "another decay beside vDecay", limit, "use current_decay=1 in the last block")
        self.record(neuron.path, "vThMant", "ignored", "out of reach: no spikes, the membranes are the scores")
        self.builder.neurons(Integrating(group.path, current_decay or decay, 1.0, offset))
        self._record_others(neuron)
