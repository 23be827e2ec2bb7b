"""Builds a Source layer by layer: follows shapes, and folds what is no stage of its own into its neighbours. NumPy alone.

It stands at one place of the graph at a time (`wire`), and can go on from another one (`resume`), add wires or concatenate them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.joins import Added, Join, Joined, Scale, Scaled, Wire
from tp_lava.convert.stages import (
    INPUT,
    Convolution,
    Delayed,
    Dense,
    Integrating,
    Map,
    Neurons,
    Pooling,
    Source,
    Spiking,
    Stage,
    image_shape,
)
from tp_lava.convert.values import (
    CHECK_TRAINING,
    MOST_UNITS,
    Parameter,
    Shape,
    check_shape,
    extent,
    pair,
    population_shape,
    refuse,
    spread,
    unspread,
)
from tp_lava.provenance import Outcome, ParameterRecord


class SourceBuilder:
    """Appends stages to `source`. shape: of what arrives at the next one. Methods raise InvalidValueError for what does not fit."""

    def __init__(self, format: str, input_shape: Any = None) -> None:
        self.source = Source(format, (), [])
        self.shape: Shape = ()
        self.scale: Scale | None = None
        self.place = INPUT
        self.shared: set[int] = set()  # stages whose output goes to several others, so that nothing may be folded into them
        if input_shape is not None:
            self.begin("model", "input_shape", input_shape)

    def begin(self, path: str, parameter: str, input_shape: Any) -> None:
        """Set the shape of the input, an integer or a sequence."""
        self.source.input_shape = self.shape = population_shape(path, parameter, input_shape)

    @property
    def last(self) -> Stage | None:
        """The stage that gives what arrives at the next one."""
        return self.source.stages[self.place] if self.place != INPUT else None

    # A graph ----------------------------------------------------------------------------------
    def wire(self, shared: bool = False) -> Wire:
        """Where it stands. shared: whether more than one stage will go on from there."""
        if shared:
            self.shared.add(self.place)
        return Wire(self.place, self.shape, self.scale)

    def resume(self, wire: Wire) -> None:
        """Go on from a wire."""
        self.place, self.shape, self.scale = wire.place, wire.shape, wire.scale

    def add(self, path: str, wires: Sequence[Wire]) -> None:
        """Go on from the sum of wires."""
        self._join(Added(path, all(len(wire.shape) == 1 for wire in wires)), wires)

    def concatenate(self, path: str, wires: Sequence[Wire]) -> None:
        """Go on from wires one behind the other, along the channels or, of flat ones, the units."""
        self._join(Joined(path, all(len(wire.shape) == 1 for wire in wires)), wires)

    def _join(self, stage: Join, wires: Sequence[Wire]) -> None:
        shape, places = stage.joined([wire.shape for wire in wires]), []
        for wire in wires:
            self.resume(wire)
            self._materialise_scale()
            places.append(self.place)
        self._check_goes_on(stage.path)
        self.source.below[len(self.source.stages)] = tuple(places)
        self.source.stages.append(stage)
        self.place, self.shape = len(self.source.stages) - 1, shape

    def _materialise_scale(self) -> None:
        """Make a stage of the scale, where what follows cannot take it."""
        last = self.last
        if self.scale is not None and self.scale.factor.size == 1 and isinstance(last, Dense | Convolution):
            self._scale_last(last)
        elif self.scale is not None:
            scale, self.scale = self.scale, None
            self.append(Scaled(f"{scale.path}.{scale.parameter}", unspread(scale.factor)))
            self.update_record(scale.path, scale.parameter, "folded", "into the maps on both sides")

    def replace_last(self, stage: Stage) -> None:
        """Put a stage in place of the last one; beside it, where that is shared."""
        if self.place not in self.shared:
            self.source.stages[self.place] = stage
            return
        self.source.below[len(self.source.stages)] = self.source.inputs_of(self.place)
        self.source.stages.append(stage)
        self.place = len(self.source.stages) - 1

    # Maps -------------------------------------------------------------------------------------
    def dense(self, path: str, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
        """weight: (n_out, n_in)."""
        stage, _ = Dense(path, weight, bias).checked(self.shape)
        if self.scale is not None and self.scale.factor.size > 1:
            self.scale = replace(self.scale, factor=np.broadcast_to(self.scale.factor, self.shape).ravel())
        self._append_map(stage)

    def convolution(
        self,
        path: str,
        kernel: np.ndarray,
        bias: np.ndarray | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
    ) -> None:
        """kernel: (c_out, c_in / groups, height, width); padding: an integer, a pair, "same" or "valid"."""
        stage = Convolution(path, kernel, bias, stride, (0, 0) if isinstance(padding, str) else padding, dilation, groups)
        if isinstance(padding, str) and padding != "valid":
            stage = self._same_padded(stage, padding)
        stage.checked(self.shape)
        if self.scale is not None:
            self.scale = replace(self.scale, factor=self._factor_by_channel(path))
        self._append_map(stage)

    def _append_map(self, stage: Dense | Convolution) -> None:
        path, scale = stage.path, self.scale
        self.record_others(path, {"weight": ""} if stage.bias is None else {"weight": "", "bias": ""}, "kept")
        if scale is not None:
            stage, self.scale = stage.with_scaled_inputs(scale.factor), None
            self.update_record(scale.path, scale.parameter, "folded", f"into {path}.weight")
            self.update_record(path, "weight", "rescaled", f"by {scale.path}.{scale.parameter}")
        self.append(stage)

    def _same_padded(self, stage: Convolution, padding: str) -> Convolution:
        """The convolution with the numbers of PyTorch's padding="same".

        PyTorch pads one more behind than in front of an even kernel, which is a row or column of zeros in front of the kernel.
        With dilation, zeros in front do not give that.
        """
        if padding != "same":
            raise refuse(stage.path, "padding", repr(padding), 'numbers, "same" or "valid"', "give numbers")
        weight, lengths = stage.weight, [0, 0]
        for axis, step in enumerate(stage.dilation):
            lengths[axis] = step * (weight.shape[axis + 2] - 1)
            if stage.stride != (1, 1) or (lengths[axis] % 2 and step > 1):
                raise refuse(stage.path, "padding", "'same'", "without stride, and of an odd kernel where it is dilated", "use numbers")
            if lengths[axis] % 2:
                weight, lengths[axis] = np.insert(weight, 0, 0.0, axis + 2), lengths[axis] + 1
                self.update_record(stage.path, "zeros of weight", "added", "before its first row or column, for padding is symmetric here")
        return replace(stage, weight=weight, padding=(lengths[0] // 2, lengths[1] // 2))

    def pool(
        self,
        path: str,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        scale: float | None = None,
        ceil: bool = False,
        maximum: bool = False,
    ) -> None:
        """Sums over windows times scale, or maxima; stride None: the kernel; scale None: the average; ceil: as PyTorch's ceil_mode."""
        stage = Pooling(path, kernel, kernel if stride is None else stride, padding, mode="max" if maximum else "sum")
        if not maximum:
            stage = replace(stage, scale=1.0 / math.prod(stage.kernel) if scale is None else scale)
        stage.checked(self.shape)
        lengths = zip(self.shape[1:], stage.padding, stage.kernel, stage.stride, strict=True)
        if ceil and any((length + 2 * padding - size) % step for length, padding, size, step in lengths):
            raise refuse(path, "ceil_mode", True, f"False where windows do not divide {self.shape[1:]}", "pad or crop the input")
        self._append_pooling(stage)

    def pool_to(self, path: str, output: Any, maximum: bool = False) -> None:
        """Averages or maxima over windows that adapt to the image. output: height and width after it, or one for both; None: as before."""
        _, *lengths = image_shape(path, self.shape)
        given = output if isinstance(output, Sequence) else (output, output)
        if len(given) != 2:
            raise refuse(path, "output_size", given, "one number, or (height, width)", "check the layer")
        sizes = [length if size is None else size for size, length in zip(given, lengths, strict=True)]
        stage = Pooling(path, mode="max" if maximum else "average", size=pair(path, "output_size", sizes, 1))
        stage.checked(self.shape)
        if any(length % size for size, length in zip(sizes, lengths, strict=True)):
            self._append_pooling(stage)
        else:
            self.pool(path, [length // size for size, length in zip(sizes, lengths, strict=True)], maximum=maximum)

    def _append_pooling(self, stage: Pooling) -> None:
        if self.scale is not None:
            self.scale = replace(self.scale, factor=self._factor_by_channel(stage.path))
            if stage.mode == "max" and (self.scale.factor < 0).any():
                limit = f"at least 0 before the maximum {stage.path}"
                raise refuse(self.scale.path, self.scale.parameter, "negative", limit, "train with positive ones, or average pooling")
        self.append(stage)

    def delay(self, path: str, steps: Any) -> None:
        """What arrives, some whole steps later: one number, one per channel or one per unit."""
        stage, _ = Delayed(path, steps).checked(self.shape)
        if not np.any(stage.steps):
            self.record(path, "delay", "ignored", "zero")
            return
        self.record(path, "delay", "kept", f"{extent(stage.steps)} steps")
        self.append(stage)

    def flatten(self, path: str, parameter: str = "shape") -> None:
        """No stage: units are numbered in C order already."""
        if self.scale is not None and self.scale.factor.size > 1:
            self.scale = replace(self.scale, factor=np.broadcast_to(self.scale.factor, self.shape).ravel())
        self.shape = (math.prod(self.shape),)
        self.record(path, parameter, "kept", "units are numbered in C order")

    def scale_by(self, path: str, parameter: str, factor: Parameter) -> None:
        """Multiply what arrives at the next stage. factor: a checked parameter of one number, one a channel or one a unit."""
        array = spread(factor, self.shape)
        if self.scale is not None:
            self.update_record(self.scale.path, self.scale.parameter, "folded", f"into {path}.{parameter}")
            array = array * self.scale.factor
        self.scale = Scale(path, parameter, array)

    def _factor_by_channel(self, path: str) -> np.ndarray:
        """The scale as (channels, 1, 1), or as one number; it must not differ within a channel."""
        assert self.scale is not None
        if self.scale.factor.size == 1:
            return self.scale.factor
        full = np.broadcast_to(self.scale.factor, self.shape)
        if (full != full[:, :1, :1]).any():
            limit = f"one number a channel before the windows of {path}"
            raise refuse(self.scale.path, self.scale.parameter, "different within a channel", limit, f"scale what leaves {path}")
        return full[:, :1, :1]

    # Folded into the map before -----------------------------------------------------------------
    def batch_norm(
        self, path: str, mean: np.ndarray, variance: np.ndarray, eps: float, gain: np.ndarray | None = None, shift: np.ndarray | None = None
    ) -> None:
        """gain (y - mean) / sqrt(variance + eps) + shift, folded into the map directly before it."""
        last = self.last
        if not isinstance(last, Dense | Convolution):
            found, remedy = f"after {last.path if last else 'the input'}", "put it right after a Linear or Conv2d, or train without it"
            raise refuse(path, "place", found, "directly after a linear map or a convolution", remedy)
        given = {"running_mean": mean, "running_var": variance, "weight": gain, "bias": shift}
        for name, array in given.items():
            if array is not None:
                check_shape(path, name, array, (last.outputs,))
                self.record(path, name, "folded", f"into {last.path}")
        if not is_number(eps, 0):
            raise refuse(path, "eps", repr(eps)[:60], "a number >= 0", "take that of the layer, 1e-5 if it has PyTorch's own")
        if not (variance.astype(np.float64) + eps > 0).all():
            raise refuse(path, "running_var", "below zero, or zero without eps", "above 0 with eps", CHECK_TRAINING)
        scale = 1 / np.sqrt(variance.astype(np.float64) + eps)
        scale = scale if gain is None else scale * gain
        self._rescale(last, scale, (0.0 if shift is None else shift) - mean * scale, f"by {path}")

    def fold_bias(self, path: str, parameter: str, bias: np.ndarray) -> None:
        """Add a constant drive that is filtered as the input is to the bias of the map before."""
        last = self.last
        if not np.any(bias):
            self.update_record(path, parameter, "ignored", "zero")
            return
        if not isinstance(last, Dense | Convolution) or bias.shape != (last.outputs,):
            limit = "zero where no map of the same outputs comes before"
            raise refuse(path, parameter, "not zero", limit, "make it zero, or use a recurrence without bias")
        if self.scale is not None:
            last = self._scale_last(last)
        self.replace_last(last.rescaled(np.ones(len(bias)), bias.astype(np.float64)))
        self.update_record(last.path, "bias", "added" if last.bias is None else "rescaled", f"with {path}.{parameter}")
        self.update_record(path, parameter, "folded", f"into the bias of {last.path}")

    def shift_last(self, path: str, shift: np.ndarray) -> bool:
        """Add a constant, one number or (outputs,), to the bias of a map before. -> whether there is one."""
        if self.scale is not None:
            self._materialise_scale()
        last, places = self.last, self.source.inputs_of(self.place)
        if isinstance(last, Dense | Convolution):
            if shift.size not in (1, last.outputs):
                return False
            each = np.broadcast_to(shift.ravel().astype(np.float64), (last.outputs,))
            self._rescale(last, np.ones(last.outputs), each, f"by the constant of {path}")
            return True
        if not isinstance(last, Added):
            return False
        end = self.wire()
        for number, place in enumerate(places):
            self.resume(Wire(place, self.shape))
            self.shared.add(place)
            if place != INPUT and self.shift_last(path, shift):
                self.source.below[len(self.source.stages)] = (*places[:number], self.place, *places[number + 1 :])
                self.source.stages.append(last)
                self.place, self.shape = len(self.source.stages) - 1, end.shape
                return True
        self.resume(end)
        return False

    def _scale_last(self, last: Dense | Convolution) -> Dense | Convolution:
        """Take the scale into the map before it."""
        scale, self.scale = self.scale, None
        assert scale is not None
        self.update_record(scale.path, scale.parameter, "folded", f"into {last.path}.weight")
        return self._rescale(last, np.broadcast_to(scale.factor, (last.outputs,)), None, f"by {scale.path}.{scale.parameter}")

    def _rescale(self, last: Dense | Convolution, scale: np.ndarray, shift: np.ndarray | None, detail: str) -> Dense | Convolution:
        """Replace the last stage by a map whose output is scale y + shift."""
        rescaled = last.rescaled(scale, shift)
        self.replace_last(rescaled)
        self.update_record(last.path, "weight", "rescaled", detail)
        if rescaled.bias is not None:
            self.update_record(last.path, "bias", "added" if last.bias is None else "rescaled", detail)
        return rescaled

    # Neurons ----------------------------------------------------------------------------------
    def neurons(self, stage: Spiking | Integrating) -> None:
        """Append a population, or the readout's neurons, which must be last. A scale of what arrives becomes part of the gain."""
        stage, _ = stage.checked(self.shape)
        if self.scale is not None:
            stage = replace(stage, gain=unspread(self.scaled_gain(stage.path, spread(stage.gain, self.shape))))
        self.append(stage)

    def scaled_gain(self, path: str, gain: np.ndarray) -> np.ndarray:
        """The gain of neurons times the scale of what arrives, which counts as taken. gain: broadcasts to the shape."""
        scale, self.scale = self.scale, None
        if scale is None:
            return gain
        self.update_record(scale.path, scale.parameter, "folded", f"into the gain of {path}")
        return gain * scale.factor

    def append(self, stage: Map | Neurons | Delayed | Scaled) -> None:
        """Append a stage into which nothing is folded."""
        self._check_goes_on(stage.path)
        checked, shape = stage.checked(self.shape)
        if math.prod(shape) > MOST_UNITS:
            raise refuse(stage.path, "size", shape, f"at most {MOST_UNITS} units", "give the shape of one sample")
        number = len(self.source.stages)
        if self.place != number - 1:
            self.source.below[number] = (self.place,)
        self.source.stages.append(checked)
        self.place, self.shape = number, shape

    def _check_goes_on(self, path: str) -> None:
        """Refuse what comes after the readout's neurons."""
        last = self.last
        if isinstance(last, Integrating):
            limit = "last: neurons without reset are read out as potentials"
            raise refuse(last.path, "place", f"before {path}", limit, "let neurons of the hidden layers reset")

    def finish(self) -> Source:
        """The source. Raises InvalidValueError where there is no stage, or where the network ends in spikes of different sizes."""
        last, scale = self.last, self.scale
        if last is None:
            raise refuse("model", "layers", "without a map or neurons", "at least one layer", "give the whole network")
        if scale is not None and isinstance(last, Dense):
            self._scale_last(last)
        elif scale is not None:
            if scale.factor.size > 1 or scale.factor <= 0:
                raise refuse(scale.path, scale.parameter, "not one number > 0", "1 at the end", "set it to 1, or read out by a map")
            self.update_record(scale.path, scale.parameter, "ignored", "one factor of all spikes changes no prediction")
        return self.source

    # Records ----------------------------------------------------------------------------------
    def record(self, path: str, parameter: str, what: Outcome, detail: str = "") -> None:
        """Add the record of a parameter."""
        self.source.record(path, parameter, what, detail)

    def update_record(self, path: str, parameter: str, what: Outcome, detail: str = "") -> None:
        """Replace the record of a parameter, if there is one; details of "rescaled" and "added" are joined."""
        for number, old in enumerate(self.source.records):
            if (old.path, old.parameter) == (path, parameter):
                detail = f"{old.detail}, {detail}" if old.detail and old.what in ("rescaled", "added") else detail
                what = "added" if old.what == "added" and what == "rescaled" else what
                self.source.records[number] = ParameterRecord(path, parameter, what, detail)
                return
        self.record(path, parameter, what, detail)

    def record_others(self, path: str, details: Mapping[str, str], what: Outcome) -> None:
        """Record parameters of a layer, name -> detail, that have no record yet."""
        recorded = {record.parameter for record in self.source.records if record.path == path}
        for name, detail in details.items():
            if name not in recorded:
                self.record(path, name, what, detail)
