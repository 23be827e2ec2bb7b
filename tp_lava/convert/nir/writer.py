"""Stages as a graph of NIR."""

from __future__ import annotations

import contextlib
import math
from types import ModuleType
from typing import Any

import numpy as np

from tp_lava.convert.joins import Added, Joined, Scaled
from tp_lava.convert.nir.values import KEY
from tp_lava.convert.stages import INPUT, Convolution, Delayed, Dense, Map, Neurons, Pooling, Source, Spiking
from tp_lava.convert.values import Parameter, Shape, extent, per_unit, refuse


class Writer:
    """Makes a NIRGraph of a Source. shape: of what arrives at the next node."""

    def __init__(self, nir: ModuleType, dt: float) -> None:
        self.nir, self.dt = nir, dt
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.before: list[str] = []  # names of the nodes whose outputs, added, arrive at the next one
        self.shape: Shape = ()

    def write(self, source: Source) -> Any:
        """The graph. Raises InvalidValueError for what NIR cannot hold."""
        nir = self.nir
        shape = tuple(source.input_shape)
        self.nodes["input"] = nir.Input(np.array(shape))
        given: dict[int, tuple[list[str], Shape]] = {INPUT: (["input"], shape)}  # of each stage: the nodes that give it, its shape
        for number, stage in enumerate(source.stages):
            below = [given[each] for each in source.inputs_of(number)]
            self.before, self.shape = [name for names, _ in below for name in names], below[0][1]
            if isinstance(stage, Joined):
                raise refuse(stage.path, "node", "a concatenation", "a sum, as NIR has no other", "convert the network first")
            if not isinstance(stage, Added):
                self._stage(stage)
            given[number] = self.before, self.shape
        self.nodes["output"] = nir.Output(np.array(self.shape))
        self.edges += [(name, "output") for name in self.before]
        graph = nir.NIRGraph(self.nodes, self.edges, metadata={"dt": self.dt}, type_check=False)
        with contextlib.suppress(ValueError):  # of nir's inference, see graph_of
            graph.infer_types()
        return graph

    def _stage(self, stage: Map | Neurons | Delayed | Scaled) -> None:
        """Add one stage as one node, or a few."""
        if isinstance(stage, Dense):
            self._flatten(stage.path)
        stage, output_shape = stage.checked(self.shape)
        if isinstance(stage, Dense):
            bias = stage.bias
            self._add(stage.path, self.nir.Linear(stage.weight) if bias is None else self.nir.Affine(stage.weight, bias))
        elif isinstance(stage, Convolution):
            self._convolution(stage, output_shape)
        elif isinstance(stage, Pooling):
            self._pooling(stage, output_shape)
        elif isinstance(stage, Delayed):
            self._add(stage.path, self.nir.Delay(np.asarray(stage.steps).reshape(self.shape) * self.dt))
        elif isinstance(stage, Scaled):
            self._add(stage.path, self.nir.Scale(self._per_unit(stage.factor)))
        elif isinstance(stage, Spiking):
            self._spiking(stage)
            return
        else:
            self._add(stage.path, self._neuron(stage, stage.gain), **_numbers(stage, "decay", "gain", "offset"))
        self.shape = output_shape

    def _add(self, path: str, node: Any, **recorded: Any) -> None:
        """Add a node under a name that HDF5 accepts. recorded: what NIR cannot say."""
        wanted = path.replace("/", "_").replace("\0", "_").strip(".") or "stage"
        name, number = wanted, 0
        while name in self.nodes or name in ("input", "output"):
            number += 1
            name = f"{wanted}_{number}"
        is_graph = isinstance(node, self.nir.NIRGraph)
        if name != path or is_graph:
            recorded["path"] = path
        if recorded:
            (node.nodes["lif"] if is_graph else node).metadata = {KEY: recorded}
        self.nodes[name] = node
        self.edges += [(before, name) for before in self.before]
        self.before = [name]

    def _flatten(self, path: str) -> None:
        """Add a Flatten where units are still an image."""
        if len(self.shape) > 1:
            self._add(f"{path}.flatten", self.nir.Flatten({"input": np.array(self.shape)}, 0, -1))
            self.shape = (math.prod(self.shape),)

    def _convolution(self, stage: Convolution, output_shape: Shape) -> None:
        bias = np.zeros(stage.outputs, stage.weight.dtype) if stage.bias is None else stage.bias
        options = stage.stride, stage.padding, stage.dilation, stage.groups
        node = self.nir.Conv2d(self.shape[1:], stage.weight, *options, bias)
        self._set_types(node, output_shape)
        self._add(stage.path, node, **({"bias": "none"} if stage.bias is None else {}))

    def _pooling(self, stage: Pooling, output_shape: Shape) -> None:
        """Add a SumPool2d or AvgPool2d, and a Scale where the factor is neither's."""
        stage = self._with_equal_windows(stage)
        average = stage.is_average
        kind = self.nir.AvgPool2d if average else self.nir.SumPool2d
        node = kind(np.array(stage.kernel), np.array(stage.stride), np.array(stage.padding))
        self._set_types(node, output_shape)
        self._add(stage.path, node)
        if not average and stage.scale != 1:
            self._add(f"{stage.path}.scale", self.nir.Scale(np.full(output_shape, float(stage.scale))), of="pooling")

    def _with_equal_windows(self, stage: Pooling) -> Pooling:
        """The pooling by a kernel, which is all that NIR has."""
        if stage.mode == "max":
            raise refuse(stage.path, "node", "a MaxPool2d", "a SumPool2d or AvgPool2d, as NIR has no maximum", "train with average pooling")
        if stage.size is None:
            return stage
        if any(length % size for size, length in zip(stage.size, self.shape[1:], strict=True)):
            limit = f"a divisor of {self.shape[1:]}, as NIR's windows are all of one size"
            raise refuse(stage.path, "size", stage.size, limit, "pool to another size")
        kernel = self.shape[1] // stage.size[0], self.shape[2] // stage.size[1]
        return Pooling(stage.path, kernel, kernel, scale=stage.scale / math.prod(kernel))

    def _set_types(self, node: Any, output_shape: Shape) -> None:
        """Set the shapes, which nir infers for square kernels only."""
        node.input_type, node.output_type = {"input": np.array(self.shape)}, {"output": np.array(output_shape)}

    def _spiking(self, stage: Spiking) -> None:
        """Add a neuron, or a graph of it and its recurrence."""
        for name in ("adaptation", "refractory"):
            if np.any(getattr(stage, name)):
                remedy = "save the network as tp_lava has it, tpl.save_network, or train without it"
                raise refuse(stage.path, name, extent(getattr(stage, name)), "0, for NIR's neurons have none", remedy)
        recorded: dict[str, Any] = {"reset": stage.reset, "comparison": stage.comparison}
        recorded |= _numbers(stage, "decay", "threshold", "current_decay", "gain", "offset", "reset_by", "trace_decay")
        if stage.feedback is None:
            self._add(stage.path, self._neuron(stage, stage.gain), **recorded)
            return
        self._flatten(stage.path)
        if np.any(np.asarray(stage.gain) != 1):  # NIR's gain would apply to the recurrent input too
            self._add(f"{stage.path}.gain", self.nir.Scale(self._per_unit(stage.gain)))
        self._add(stage.path, self._recurrent(self._neuron(stage, 1.0), stage.feedback), **recorded)

    def _recurrent(self, neuron: Any, weight: np.ndarray) -> Any:
        """The graph that other libraries make of a recurrent layer."""
        nir, shape = self.nir, np.array(self.shape)
        nodes = {"input": nir.Input(shape), "lif": neuron, "w_rec": nir.Linear(weight), "output": nir.Output(shape)}
        edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
        return nir.NIRGraph(nodes, edges, type_check=False)

    def _neuron(self, stage: Neurons, gain: Parameter) -> Any:
        """An IF, LIF or CubaLIF; of the readout's an I or LI."""
        nir, decay, r, offset = self.nir, self._per_unit(stage.decay), self._per_unit(gain), self._per_unit(stage.offset)
        current_decay, threshold = np.zeros(()), {}
        if isinstance(stage, Spiking):
            current_decay = self._per_unit(stage.current_decay)
            threshold = {"v_threshold": self._per_unit(stage.threshold), "v_reset": self._per_unit(0.0)}
        if np.all(decay == 1) and not current_decay.any():
            if offset.any():
                limit = "zero for a neuron that does not leak, which has no leak potential in NIR"
                raise refuse(stage.path, "offset", extent(stage.offset), limit, "put it into the bias of the map before")
            return nir.IF(r=r, **threshold) if threshold else nir.I(r=r)
        tau = self._time_constant(stage.path, "decay", decay)
        leak = {"r": r * tau / self.dt, "v_leak": offset * tau / self.dt}
        if not current_decay.any():
            return nir.LIF(tau=tau, **leak, **threshold) if threshold else nir.LI(tau=tau, **leak)
        tau_syn = self._time_constant(stage.path, "current_decay", current_decay)
        return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, w_in=tau_syn / self.dt, **leak, **threshold)

    def _time_constant(self, path: str, parameter: str, decay: np.ndarray) -> np.ndarray:
        if np.any(decay == 1):
            remedy = "neurons that do not leak are an IF of their own in NIR, without synaptic current"
            raise refuse(path, parameter, extent(decay), "in [0, 1)", remedy)
        return self.dt / (1.0 - decay)

    def _per_unit(self, parameter: Parameter) -> np.ndarray:
        return per_unit(parameter, self.shape)


def _numbers(stage: Neurons, *names: str) -> dict[str, Any]:
    """The parameters that a stage has, as arrays of float64 and floats."""
    given = {name: getattr(stage, name) for name in names}
    return {name: np.array(v, np.float64) if np.ndim(v) else float(v) for name, v in given.items() if v is not None}
