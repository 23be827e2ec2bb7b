"""Blocks of a SLAYER network, one after the other, as stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tp_lava.convert.slayer.entries import EXPORT, Group
from tp_lava.convert.stages import Convolution, Dense, Integrating, Parameter, Pooling, Source, Spiking, refuse
from tp_lava.numbers import DECAY_BITS, WEIGHT_BITS, Format

SILENT = 2**17 - 1  # thresholds from here on are above a membrane of 24 bits, or at its very end
MOST_WEIGHTS = 2**26  # of the averages, the one array that no file holds
_NEURONS = ("CUBA", "LOIHI")  # two names of the same
_ONE = 2**DECAY_BITS
_BIAS = 2**15
_STEPS = (-256, 254)  # what SLAYER's 8 bits hold, by two
_SMALL = Format(WEIGHT_BITS, 0).high


class Reader:
    """Reads block after block; shape: of what arrives at the next, None before the first; end: the path of the readout."""

    def __init__(self) -> None:
        self.source = Source("slayer", (), [])
        self.shape: tuple[int, ...] | None = None
        self.end = ""
        self.latency = self.netx_latency = 0

    @property
    def units(self) -> int:
        """Units of the population so far."""
        return int(np.prod(self.shape or 0))

    def block(self, group: Group) -> None:
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

    def note_rest(self, group: Group) -> None:
        """Say that what was not read has no effect."""
        for name in group.tree:
            if name not in group.read:
                self.source.note(group.path, name, "ignored", "without effect, or said by another entry")

    # The kinds ---------------------------------------------------------------------------------

    def input(self, group: Group) -> None:
        """What comes in, and the neurons that may encode it."""
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

    def flatten(self, group: Group) -> None:
        """Nothing: units keep their order."""
        group.read.add("shape")
        if self.shape is not None:
            self.shape = (self.units,)
        self.source.note(group.path, "shape", "kept", "the same order of units")

    def dense(self, group: Group) -> None:
        """All to all, recurrent or not."""
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

    def conv(self, group: Group) -> None:
        """A convolution."""
        channels, shape = self.image(group), group.shape()
        kernel = self.weight(group, "weight")
        if kernel.ndim == 5 and kernel.shape[-1] == 1:  # older exports keep the axis of time
            kernel = kernel[..., 0]
        groups = group.number("groups", 1, 2**15, default=1)
        if kernel.ndim != 4 or kernel.shape[1] * groups != channels or kernel.shape[0] % groups:
            wanted = f"(channels out, {channels} / groups, height, width) with groups that divide both; groups: {groups}"
            raise refuse(group.path, "weight", f"of shape {kernel.shape}", wanted, EXPORT)
        options = {name: group.pair(name, low) for name, low in (("stride", 1), ("padding", 0), ("dilation", 1))}
        self.convolve(group, Convolution(group.path, kernel, None, groups=groups, **options), shape)
        for name, value in options.items():
            self.source.note(group.path, name, "kept", f"{value}")
        self.source.note(group.path, "groups", "kept", f"{groups}")
        self.spikes(group, self.neurons(group, self.bias(group)))

    def pool(self, group: Group) -> None:
        """Sums over windows."""
        channels, shape = self.image(group), group.shape()
        assert self.shape is not None
        window = group.pair("kernelSize", 1)
        weight = self.weight(group, "weight").reshape(-1)
        if weight.size != window[0] * window[1]:
            raise refuse(group.path, "weight", f"of {weight.size} numbers", f"of {window}, the kernelSize", EXPORT)
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

    def average(self, group: Group) -> None:
        """The mean of each class's neurons, as the readout."""
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

    def image(self, group: Group) -> int:
        """The channels of the image that arrives."""
        if self.shape is None:
            remedy = "put block.cuba.Input(None, delay_shift=False) before it, run the network once, and export it"
            raise refuse(group.path, "input", "of unknown size", "given by an input block", remedy)
        if len(self.shape) != 3:
            raise refuse(group.path, "input", f"of shape {self.shape}", "(channels, height, width)", "flatten behind it")
        return self.shape[0]

    def convolve(self, group: Group, stage: Convolution, shape: tuple[int, ...]) -> None:
        """Append a convolution; shape: what the file says comes out."""
        assert self.shape is not None
        spans = [d * (k - 1) + 1 for d, k in zip(stage.dilation, stage.kernel.shape[2:], strict=True)]
        paddeds = [size + 2 * padding for size, padding in zip(self.shape[1:], stage.padding, strict=True)]
        out = [(padded - span) // step + 1 for padded, span, step in zip(paddeds, spans, stage.stride, strict=True)]
        self.source.stages.append(stage)
        self.resize(group, (stage.kernel.shape[0], *out), shape)

    def resize(self, group: Group, shape: tuple[int, ...], said: tuple[int, ...]) -> None:
        """Go on with another shape; said: what the file says it is."""
        if shape != said or min(shape) < 1:
            raise refuse(group.path, "shape", said, f"{shape}, which the input of {self.shape} gives", EXPORT)
        self.shape = shape

    def weight(self, group: Group, name: str) -> np.ndarray:
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

    def matrix(self, group: Group, name: str, n_out: int, n_in: int | None) -> np.ndarray:
        """(n_out, n_in), which may lie flat."""
        array = self.weight(group, name)
        if array.ndim > 2 or array.size % n_out or (array.ndim == 2 and len(array) != n_out) or n_in not in (None, array.size // n_out):
            limit = f"of shape ({n_out}, {'inputs' if n_in is None else n_in})"
            raise refuse(group.path, name, f"of shape {array.shape}", limit, "check the layers' sizes")
        return array.reshape(n_out, -1)

    def bias(self, group: Group) -> Parameter:
        """One number, one per unit or per channel; 0 where there is none."""
        if "bias" not in group:
            return 0.0
        array = group.whole("bias", -_BIAS, _BIAS - 1).astype(np.float64).ravel()
        early = "netx gives it to the neurons also in the steps before the first input reaches them"
        self.source.note(group.path, "bias", "kept", f"to the membrane, in {array.min():g}..{array.max():g}; {early}")
        return self.per_unit(group, "bias", array, (self.shape or (0,))[0])

    def decay(self, neuron: Group, name: str, low: int) -> Parameter:
        """1 - mantissa / 4096."""
        array = neuron.whole(name, low, _ONE, "train with decays above 0: without any, a state never forgets").ravel()
        said = f"{array[0]}" if array.size == 1 else f"{array.min()}..{array.max()}"
        self.source.note(neuron.path, name, "rescaled", f"1 - {said} / {_ONE} is left after a step")
        return self.per_unit(neuron, name, 1.0 - array.astype(np.float64) / _ONE)

    def per_unit(self, group: Group, name: str, array: np.ndarray, channels: int = 0) -> Parameter:
        """One number, or one for each unit."""
        if array.size == 1:
            return float(array[0])
        if array.size not in (channels, self.units):
            raise refuse(group.path, name, f"of {array.size} numbers", f"one, or one for each of {self.units} units", EXPORT)
        return array

    def silent(self, group: Group) -> bool:
        """Whether a block is a readout: without neurons, or with a threshold that no membrane reaches."""
        return "neuron" not in group or group.group("neuron").number("vThMant", 0, 2**31) >= SILENT

    def neurons(self, group: Group, offset: Parameter = 0.0, feedback: np.ndarray | None = None) -> Spiking:
        """The neurons of a block."""
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

    def checked(self, group: Group) -> Group:
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

    def spikes(self, group: Group, stage: Spiking) -> None:
        """Append a population."""
        self.source.stages.append(stage)
        self.source.note(group.path, "shape", "kept", f"{self.shape}")
        shifted = group.number("delay_shift", 0, 1, default=1)
        self.latency += shifted
        self.netx_latency += group.text("type") != "input"  # its synapses hand on in the next step
        detail = f"its spikes leave {self.latency} steps later in SLAYER, {self.netx_latency} in netx, here at once"
        self.source.note(group.path, "delay_shift", "ignored", detail)

    def integrate(self, group: Group) -> None:
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
