"""The nodes of a chain as stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import LARGEST_ARRAY
from tp_lava.convert.nir.chain import chain_of, spikes
from tp_lava.convert.nir.neurons import Neurons, bias_of, own_path
from tp_lava.convert.nir.values import (
    Signal,
    by_channel,
    fitting,
    integers,
    mark_of,
    matrix,
    metadata,
    numbers,
    pair,
    single,
    windows_of,
    word,
)
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, refuse


class Reader(Neurons):
    """Makes a Source of a NIRGraph."""

    def read(self, graph: Any) -> Source:
        """The stages of a graph. Raises InvalidValueError."""
        chain = chain_of(self.nir, graph, self.name, self.source)
        self.steps([graph, *chain.nodes.values()])
        (first, given), *between, (last, _) = chain.nodes.items()
        signal = self.input(first, given)
        for path, node in between:
            signal = self.node(path, node, signal, chain.feedback.get(path))
        self.output(last, signal)
        return self.source

    def steps(self, nodes: list[Any]) -> None:
        """The step, from the caller or from metadata, which must agree."""
        stated = [metadata(node)["dt"] for node in nodes if "dt" in metadata(node)]
        if self.dt is not None or not stated:
            return
        found = {single(value) for value in stated}
        self.dt = found.pop()
        if found or self.dt is None or self.dt <= 0:
            raise refuse(self.name, "metadata['dt']", stated[:4], "one number > 0, the same everywhere", "give dt=..., the seconds a step")

    def input(self, path: str, node: Any) -> Signal:
        """The Input: its shape."""
        shape = node.input_type.get("input") if isinstance(node.input_type, Mapping) else None
        self.source.input_shape = self.shape(path, "shape", () if shape is None else shape)
        self.source.note(path, "shape", "kept", str(self.source.input_shape))
        return Signal(self.source.input_shape)

    def shape(self, path: str, parameter: str, found: Any) -> tuple[int, ...]:
        """(n,) or (c, h, w): exporters that were not told otherwise leave the batch's dimension, of size 1, in front."""
        sizes = integers(found)
        limit = "(n,) or (channels, height, width)"
        if sizes is None or min(sizes, default=0) < 1:
            raise refuse(path, parameter, found, f"{limit} of numbers >= 1", "export with sample data")
        kept = sizes[1:] if len(sizes) in (2, 4) and sizes[0] == 1 else sizes
        if len(kept) not in (1, 3):
            raise refuse(path, parameter, sizes, limit, "export without the dimensions of batch and time (ignore_dims)")
        if int(np.prod(np.array(kept, dtype=object))) > LARGEST_ARRAY:
            raise refuse(path, parameter, sizes, f"at most {LARGEST_ARRAY} units", "convert a smaller network")
        return kept

    def node(self, path: str, node: Any, signal: Signal, feedback: tuple[str, Any] | None) -> Signal:
        """One node of the chain as a stage, or as part of one. -> what leaves it."""
        nir, stages = self.nir, self.source.stages
        if stages and isinstance(stages[-1], Integrating):
            limit = "a spiking neuron: potentials are read, not handed on"
            raise refuse(stages[-1].path, "node", f"followed by {path!r}", limit, "use an LIF, or end the network there")
        if isinstance(node, nir.Linear | nir.Affine):
            return self.dense(path, node, signal)
        if isinstance(node, nir.Conv2d):
            return self.convolution(path, node, signal)
        if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            return self.pooling(path, node, signal)
        if isinstance(node, nir.Flatten):
            return self.flatten(path, node, signal)
        if isinstance(node, nir.Scale):
            return self.scale(path, node, signal)
        if spikes(self.nir, node):
            return self.spiking(path, node, signal, feedback)
        if isinstance(node, nir.LI | nir.CubaLI | nir.I):
            return self.integrating(path, node, signal)
        remedy = "a Threshold needs a neuron: export an LIF" if isinstance(node, nir.Threshold) else "replace or remove it"
        limit = "Affine, Linear, Conv2d, SumPool2d, AvgPool2d, Flatten, Scale, LIF, CubaLIF, IF, LI or I"
        raise refuse(path, "node", f"a {type(node).__name__}", limit, remedy)

    def dense(self, path: str, node: Any, signal: Signal) -> Signal:
        """A Linear or Affine."""
        weight = matrix(path, node, "weight", 2)
        if signal.shape != weight.shape[1:]:
            remedy = "add a Flatten before it" if signal.size == weight.shape[1] else "check the edges"
            raise refuse(path, "weight", f"{weight.shape} for an input of shape {signal.shape}", "(n_out, n_in) of its input", remedy)
        bias = bias_of(path, node, len(weight), self.source)
        if signal.scale is not None:
            weight = weight * np.broadcast_to(signal.scale, signal.shape)
            self.source.note(signal.scaled_by, "scale", "folded", f"into {path}.weight")
        self.source.note(path, "weight", "kept" if signal.scale is None else "rescaled", str(weight.shape))
        self.source.stages.append(Dense(own_path(path, node), weight, bias))
        return Signal((len(weight),))

    def convolution(self, path: str, node: Any, signal: Signal) -> Signal:
        """A Conv2d."""
        kernel = matrix(path, node, "weight", 4)
        channels, height, width = self.image(path, signal)
        groups = integers(node.groups)
        if groups is None or len(groups) != 1 or groups[0] < 1 or len(kernel) % groups[0] or kernel.shape[1] * groups[0] != channels:
            found = f"{node.groups} with a kernel {kernel.shape} and {channels} channels"
            raise refuse(path, "groups", found, "a divisor of both numbers of channels", "check the node")
        stride, dilation = pair(path, node, "stride", 1), pair(path, node, "dilation", 1)
        kernel, padding = self.padding(path, node, kernel, stride, dilation)
        bias = bias_of(path, node, len(kernel), self.source)
        if signal.scale is not None:
            kernel = self.scaled_kernel(path, kernel, signal, groups[0])
        self.source.note(path, "weight", "kept" if signal.scale is None else "rescaled", str(kernel.shape))
        for parameter in ("stride", "padding", "dilation", "groups"):
            self.source.note(path, parameter, "kept", str(getattr(node, parameter)))
        stage = Convolution(own_path(path, node), kernel, bias, stride, padding, dilation, groups[0])
        self.source.stages.append(stage)
        return self.windows(path, stage.kernel.shape[2:], stage, (height, width), len(kernel))

    def image(self, path: str, signal: Signal) -> tuple[int, ...]:
        """The shape of what convolution and pooling take."""
        if len(signal.shape) != 3:
            raise refuse(path, "input", f"of shape {signal.shape}", "(channels, height, width)", "give the Input node that shape")
        return signal.shape

    def padding(
        self, path: str, node: Any, kernel: np.ndarray, stride: tuple[int, int], dilation: tuple[int, int]
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """Numbers for "valid" and "same"; an even kernel's uneven "same" becomes even with a row of zeros in front."""
        if not isinstance(node.padding, str):
            return kernel, pair(path, node, "padding", 0)
        if node.padding == "valid":
            return kernel, (0, 0)
        if node.padding != "same" or stride != (1, 1):
            raise refuse(path, "padding", f"{node.padding!r} with stride {stride}", '"same" with stride 1, or numbers', "give numbers")
        padding = []
        for axis, (size, step) in enumerate(zip(kernel.shape[2:], dilation, strict=True), start=2):
            if step * (size - 1) % 2:
                if step != 1:
                    raise refuse(path, "padding", f'"same" with dilation {dilation}', "even on both sides", "use an odd kernel")
                kernel = np.pad(kernel, [(int(a == axis), 0) for a in range(4)])
                self.source.note(path, "padding", "added", "a row of zeros in front of the kernel, to pad both sides alike")
            padding.append(step * (kernel.shape[axis] - 1) // 2)
        return kernel, (padding[0], padding[1])

    def scaled_kernel(self, path: str, kernel: np.ndarray, signal: Signal, groups: int) -> np.ndarray:
        """A kernel that does what a Scale before it does."""
        scale = by_channel(signal)
        if scale is None:
            found = "different within a channel, and followed by a convolution"
            raise refuse(signal.scaled_by, "scale", found, "one number a channel", "scale behind the convolution")
        self.source.note(signal.scaled_by, "scale", "folded", f"into {path}.weight")
        per_input = np.repeat(scale.reshape(groups, -1), len(kernel) // groups, axis=0)  # (c_out, c_in / groups)
        return kernel * per_input[:, :, None, None]

    def pooling(self, path: str, node: Any, signal: Signal) -> Signal:
        """A SumPool2d or AvgPool2d."""
        channels, height, width = self.image(path, signal)
        if signal.scale is not None:
            scale = by_channel(signal)
            if scale is None:
                found = "different within a channel, and followed by pooling"
                raise refuse(signal.scaled_by, "scale", found, "one number a channel", "scale behind the pooling")
            signal = replace(signal, scale=scale[:, None, None])
        kernel, stride, padding = (pair(path, node, name, low) for name, low in (("kernel_size", 1), ("stride", 1), ("padding", 0)))
        scale_by = 1.0 / (kernel[0] * kernel[1]) if isinstance(node, self.nir.AvgPool2d) else 1.0
        for parameter, value in (("kernel_size", kernel), ("stride", stride), ("padding", padding)):
            self.source.note(path, parameter, "kept", str(value))
        stage = Pooling(own_path(path, node), kernel, stride, padding, scale_by)
        self.source.stages.append(stage)
        return replace(signal, shape=self.windows(path, kernel, stage, (height, width), channels).shape)

    def windows(self, path: str, kernel: Iterable[int], stage: Convolution | Pooling, size: tuple[int, int], channels: int) -> Signal:
        """The shape that convolution and pooling leave; NIR's own inference knows square kernels only."""
        out = windows_of(size, kernel, stage)
        if min(out) < 1:
            raise refuse(path, "input", f"{size[0]} x {size[1]}", "at least as large as the window", "check the Input's shape")
        return Signal(self.shape(path, "output", (channels, *out)))

    def flatten(self, path: str, node: Any, signal: Signal) -> Signal:
        """A Flatten of everything, which is no stage."""
        start, end = integers(node.start_dim), integers(node.end_dim)
        dims = len(signal.shape)
        if start is None or end is None or len(start) != 1 or len(end) != 1:
            raise refuse(path, "start_dim", f"{node.start_dim} to {node.end_dim}", "integers", "check the node")
        first = start[0] + dims if start[0] < 0 else start[0]
        last = end[0] + dims if end[0] < 0 else end[0]
        # counted with the batch's dimension where the exporter left that in (then dims of it are one more)
        whole = dims == 1 or (last >= dims - 1 and (first == 0 or (first == 1 and (signal.shape[0] == 1 or self.batched(node, dims)))))
        if not whole:
            found = f"dimensions {node.start_dim} to {node.end_dim} of {signal.shape}"
            raise refuse(path, "start_dim", found, "all dimensions", "flatten with start_dim=0, end_dim=-1, which leave out the batch")
        self.source.note(path, "start_dim", "ignored", "units are numbered as flattening does")
        scale = None if signal.scale is None or signal.scale.size == 1 else np.broadcast_to(signal.scale, signal.shape).ravel()
        return replace(signal, shape=(signal.size,), scale=signal.scale if scale is None else scale)

    def batched(self, node: Any, dims: int) -> bool:
        """Whether a Flatten says that its input has the batch's dimension too."""
        sizes = integers(node.input_type.get("input")) if isinstance(node.input_type, Mapping) else None
        return sizes is not None and len(sizes) == dims + 1 and sizes[0] == 1

    def scale(self, path: str, node: Any, signal: Signal) -> Signal:
        """A Scale, kept until a map or neuron can take it."""
        scale = fitting(path, "scale", numbers(path, node, "scale"), signal.shape)
        last = self.source.stages[-1] if self.source.stages else None
        if word(mark_of(node), "of", ("pooling",)) and isinstance(last, Pooling) and len(np.unique(scale)) == 1 and signal.scale is None:
            self.source.stages[-1] = replace(last, scale=last.scale * float(scale.flat[0]))
            self.source.note(path, "scale", "folded", f"into {last.path}")
            return signal
        before = 1.0 if signal.scale is None else signal.scale
        if signal.scale is not None:
            self.source.note(signal.scaled_by, "scale", "folded", f"into {path}.scale")
        return replace(signal, scale=scale * before, scaled_by=path)

    def output(self, path: str, signal: Signal) -> None:
        """The Output, and a Scale that nothing took."""
        if not self.source.stages:
            raise refuse(self.name, "nodes", "without layers", "at least one map or neuron", "check the edges")
        self.source.note(path, "shape", "ignored", str(signal.shape))
        if signal.scale is None:
            return
        last, factor = self.source.stages[-1], signal.scale
        if isinstance(last, Dense):
            factor = np.broadcast_to(factor, signal.shape)
            bias = None if last.bias is None else last.bias * factor
            self.source.stages[-1] = replace(last, weight=last.weight * factor[:, None], bias=bias)
            self.source.note(signal.scaled_by, "scale", "folded", f"into {last.path}.weight")
        else:
            raise refuse(signal.scaled_by, "node", "a Scale at the end", "followed by a map or a neuron", "remove it")
