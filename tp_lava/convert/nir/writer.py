"""Stages as a graph of NIR."""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

import numpy as np

from tp_lava.convert.nir.values import MARK, extent, spread, windows_of
from tp_lava.convert.stages import Convolution, Dense, Integrating, Parameter, Pooling, Source, Spiking, Stage, refuse


class Writer:
    """Makes a NIRGraph of a Source."""

    def __init__(self, nir: ModuleType, dt: float) -> None:
        self.nir, self.dt = nir, dt
        self.nodes: dict[str, Any] = {}
        self.shape: tuple[int, ...] = ()

    def write(self, source: Source) -> Any:
        """The graph."""
        nir = self.nir
        self.shape = tuple(source.input_shape)
        self.nodes["input"] = nir.Input(np.array(self.shape))
        for stage in source.stages:
            self.stage(stage)
        names = list(self.nodes)
        self.nodes["output"] = nir.Output(np.array(self.shape))
        edges = list(zip(names, [*names[1:], "output"], strict=True))
        graph = nir.NIRGraph(self.nodes, edges, metadata={"dt": self.dt}, type_check=False)
        with contextlib.suppress(ValueError):  # of nir's inference, see graph_of
            graph.infer_types()
        return graph

    def stage(self, stage: Stage) -> None:
        """One stage as one node, or a few."""
        if isinstance(stage, Dense):
            self.dense(stage)
        elif isinstance(stage, Convolution):
            self.convolution(stage)
        elif isinstance(stage, Pooling):
            self.pooling(stage)
        elif isinstance(stage, Spiking):
            self.spiking(stage)
        else:
            self.integrating(stage)

    def add(self, path: str, node: Any, **mark: Any) -> None:
        """A node under a name that HDF5 takes, with what NIR cannot say."""
        wanted = path.replace("/", "_").replace("\0", "_").strip(".") or "stage"
        name, number = wanted, 0
        while name in self.nodes or name in ("input", "output"):
            number += 1
            name = f"{wanted}_{number}"
        if name != path:
            mark["path"] = path
        inner = node.nodes["lif"] if isinstance(node, self.nir.NIRGraph) else node
        if inner is not node:
            mark["path"] = path
        if mark:
            inner.metadata = {MARK: mark}
        self.nodes[name] = node

    def dense(self, stage: Dense) -> None:
        """A Linear or Affine."""
        self.flat(stage.path)
        weight = np.asarray(stage.weight)
        self.add(stage.path, self.nir.Linear(weight) if stage.bias is None else self.nir.Affine(weight, np.asarray(stage.bias)))
        self.shape = (len(weight),)

    def flat(self, path: str) -> None:
        """A Flatten where units are still an image."""
        if len(self.shape) == 1:
            return
        node = self.nir.Flatten({"input": np.array(self.shape)}, 0, -1)
        self.add(f"{path}.flatten", node)
        self.shape = (int(np.prod(self.shape)),)

    def convolution(self, stage: Convolution) -> None:
        """A Conv2d."""
        kernel = np.asarray(stage.kernel)
        bias = np.zeros(len(kernel), kernel.dtype) if stage.bias is None else np.asarray(stage.bias)
        size = self.image(stage.path)
        node = self.nir.Conv2d(size, kernel, stage.stride, stage.padding, stage.dilation, stage.groups, bias)
        node.input_type, self.shape = {"input": np.array(self.shape)}, (len(kernel), *windows_of(size, kernel.shape[2:], stage))
        node.output_type = {"output": np.array(self.shape)}
        self.add(stage.path, node, **({"bias": "none"} if stage.bias is None else {}))

    def image(self, path: str) -> tuple[int, int]:
        """Height and width."""
        if len(self.shape) != 3:
            raise refuse(path, "input", f"of shape {self.shape}", "(channels, height, width)", "check the stages")
        return self.shape[1], self.shape[2]

    def pooling(self, stage: Pooling) -> None:
        """A SumPool2d or AvgPool2d, and a Scale where the factor is neither's."""
        size = self.image(stage.path)
        average = stage.scale == 1.0 / (stage.kernel[0] * stage.kernel[1])
        kind = self.nir.AvgPool2d if average else self.nir.SumPool2d
        node = kind(np.array(stage.kernel), np.array(stage.stride), np.array(stage.padding))
        node.input_type, self.shape = {"input": np.array(self.shape)}, (self.shape[0], *windows_of(size, stage.kernel, stage))
        node.output_type = {"output": np.array(self.shape)}
        self.add(stage.path, node)
        if not average and stage.scale != 1:
            self.add(f"{stage.path}.scale", self.nir.Scale(np.full(self.shape, float(stage.scale))), of="pooling")

    def spiking(self, stage: Spiking) -> None:
        """A neuron, or a graph of it and its recurrence."""
        mark: dict[str, Any] = {"reset": stage.reset, "comparison": stage.comparison}
        for name in ("decay", "threshold", "current_decay", "gain", "offset", "reset_by", "trace_decay"):
            value = getattr(stage, name)
            if value is not None:
                mark[name] = np.array(value, np.float64) if np.ndim(value) else float(value)
        if stage.feedback is None:
            self.add(stage.path, self.neuron(stage, self.full(stage.gain)), **mark)
            return
        self.flat(stage.path)
        if np.any(np.asarray(stage.gain) != 1):  # NIR's gain would apply to the recurrent input too
            self.add(f"{stage.path}.gain", self.nir.Scale(self.full(stage.gain)))
        self.add(stage.path, self.recurrent(self.neuron(stage, self.full(1.0)), np.asarray(stage.feedback)), **mark)

    def recurrent(self, neuron: Any, weight: np.ndarray) -> Any:
        """The graph that other libraries make of a recurrent layer."""
        nir, shape = self.nir, np.array(self.shape)
        nodes = {"input": nir.Input(shape), "lif": neuron, "w_rec": nir.Linear(weight), "output": nir.Output(shape)}
        edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
        return nir.NIRGraph(nodes, edges, type_check=False)

    def neuron(self, stage: Spiking, gain: np.ndarray) -> Any:
        """An IF, LIF or CubaLIF."""
        nir, zero = self.nir, self.full(0.0)
        decay, current_decay, threshold = self.full(stage.decay), self.full(stage.current_decay), self.full(stage.threshold)
        if np.all(decay == 1) and not current_decay.any():
            self.no_offset(stage)
            return nir.IF(r=gain, v_threshold=threshold, v_reset=zero)
        tau, r, v_leak = self.leaky(stage, decay, gain)
        if not current_decay.any():
            return nir.LIF(tau=tau, r=r, v_leak=v_leak, v_threshold=threshold, v_reset=zero)
        tau_syn = self.constant(stage.path, "current_decay", current_decay)
        w_in = tau_syn / self.dt
        return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, v_leak=v_leak, v_threshold=threshold, v_reset=zero, w_in=w_in)

    def integrating(self, stage: Integrating) -> None:
        """An LI or I."""
        decay, gain = self.full(stage.decay), self.full(stage.gain)
        values = {"decay": stage.decay, "gain": stage.gain, "offset": stage.offset}
        mark = {name: np.array(value, np.float64) if np.ndim(value) else float(value) for name, value in values.items()}
        if np.all(decay == 1):
            self.no_offset(stage)
            self.add(stage.path, self.nir.I(r=gain), **mark)
            return
        tau, r, v_leak = self.leaky(stage, decay, gain)
        self.add(stage.path, self.nir.LI(tau=tau, r=r, v_leak=v_leak), **mark)

    def leaky(self, stage: Spiking | Integrating, decay: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """tau, r and v_leak."""
        tau = self.constant(stage.path, "decay", decay)
        return tau, gain * tau / self.dt, self.full(stage.offset) * tau / self.dt

    def constant(self, path: str, parameter: str, decay: np.ndarray) -> np.ndarray:
        """The time constant of a decay."""
        if not np.all((decay >= 0) & (decay < 1)):
            remedy = "neurons that do not leak are an IF of their own in NIR, without synaptic current"
            raise refuse(path, parameter, extent(decay), "in [0, 1)", remedy)
        return self.dt / (1.0 - decay)

    def no_offset(self, stage: Spiking | Integrating) -> None:
        """Refuse what an IF cannot have."""
        if np.any(np.asarray(stage.offset) != 0):
            limit = "zero for a neuron that does not leak, which has no leak potential in NIR"
            raise refuse(stage.path, "offset", extent(stage.offset), limit, "put it into the bias of the map below")

    def full(self, parameter: Parameter) -> np.ndarray:
        """A parameter as NIR has them: a number for each unit."""
        return np.array(np.broadcast_to(spread(parameter, self.shape), self.shape))
