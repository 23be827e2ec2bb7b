"""A graph of NIR nodes as stages: what several nodes give to one is added.

The libraries that write NIR are known by its numbers. snnTorch (and SpikingJelly without decay_input) writes r = tau / dt with its own
step dt = 1e-4, so that one unit of input adds one to the membrane: tau / r is 1e-4 in every neuron, with r other than 1. Neither the
step nor the reset is in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.joins import Wire
from tp_lava.convert.nir.graph import Named, is_spiking, ordered
from tp_lava.convert.nir.neurons import NeuronReader, Options
from tp_lava.convert.nir.values import Recorded, array_in, metadata_of, single_number, spread_in
from tp_lava.convert.stages import Dense, Pooling, Source
from tp_lava.convert.values import extent, integers_of, refuse, unspread
from tp_lava.provenance import Outcome

_OF_A_STEP = 1e-3  # by which a delay may miss a whole step: float32 seconds
_PARAMETERS: Mapping[tuple[str, ...], Outcome] = {  # of nodes; the records of those that have none else
    ("weight", "bias", "stride", "padding", "dilation", "groups", "kernel_size", "v_threshold"): "kept",
    ("r", "v_leak", "w_in"): "rescaled",
}


def read_graph(nir: ModuleType, graph: Any, options: Options, name: str) -> Source:
    """The stages of a nir.NIRGraph. name: of the graph, for errors. Raises InvalidValueError."""
    builder = SourceBuilder("nir")
    nodes, before, feedback = ordered(nir, graph, name, builder)
    (first, given), *between, (last, _) = nodes.items()
    options = replace(options, dt=_step(options.dt, name, [graph, *nodes.values()]))
    check_exporter(nir, nodes, options)
    shape = given.input_type.get("input") if isinstance(given.input_type, Mapping) else None
    builder.begin(first, "shape", _without_batch(() if shape is None else shape))
    builder.record(first, "shape", "kept", str(builder.shape))
    reader = _Reader(nir, options, builder)
    uses = Counter(path for paths in before.values() for path in paths)
    wires = {first: builder.wire(shared=uses[first] > 1)}
    for path, node in between:
        reader.arrive(path, [wires[each] for each in before[path]])
        reader.append(path, node, feedback.get(path))
        wires[path] = builder.wire(shared=uses[path] > 1)
    reader.arrive(last, [wires[each] for each in before[last]])
    if builder.scale is not None and not isinstance(builder.last, Dense):
        raise refuse(builder.scale.path, "node", "a Scale at the end", "followed by a map or a neuron", "remove it")
    builder.record(last, "shape", "ignored", str(builder.shape))
    record_losses(builder, options)
    return builder.finish()


def _step(dt: float | None, name: str, nodes: list[Any]) -> float | None:
    """Seconds a step, from the caller or from metadata, which must agree."""
    stated = [metadata_of(node)["dt"] for node in nodes if "dt" in metadata_of(node)]
    if dt is not None or not stated:
        return dt
    found = {single_number(value) for value in stated}
    dt = found.pop()
    if found or dt is None or dt <= 0:
        raise refuse(name, "metadata['dt']", stated[:4], "one number > 0, the same everywhere", "give dt=..., the seconds a step")
    return dt


def _without_batch(shape: Any) -> Any:
    """A shape without the batch's dimension, of size 1, which exporters leave in unless they are told otherwise."""
    sizes = integers_of(shape)
    if sizes is None:
        return shape
    return sizes[1:] if len(sizes) in (2, 4) and sizes[0] == 1 else sizes


class _Reader:
    """Appends the stages of nodes."""

    def __init__(self, nir: ModuleType, options: Options, builder: SourceBuilder) -> None:
        self.nir, self.builder, self.dt, self.neurons = nir, builder, options.dt, NeuronReader(nir, options, builder)

    def arrive(self, path: str, wires: list[Wire]) -> None:
        """Go on from the sum of what arrives at a node."""
        if len(wires) == 1:
            self.builder.resume(wires[0])
        else:
            self.builder.add(f"{path}.sum", wires)

    def append(self, path: str, node: Any, feedback: Named | None) -> None:
        """One node as a stage, or as part of one."""
        nir, path = self.nir, Recorded(node).path(path)
        if isinstance(node, nir.Linear | nir.Affine):
            self._dense(path, node)
        elif isinstance(node, nir.Conv2d):
            options = node.stride, node.padding, node.dilation, node.groups
            self.builder.convolution(path, array_in(path, node, "weight"), self._bias(path, node), *options)
        elif isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            average = isinstance(node, nir.AvgPool2d)
            self.builder.pool(path, node.kernel_size, node.stride, node.padding, scale=None if average else 1.0)
        elif isinstance(node, nir.Flatten):
            self._flatten(path, node)
        elif isinstance(node, nir.Scale):
            self._scale(path, node)
        elif isinstance(node, nir.Delay):
            self._delay(path, node)
        elif is_spiking(nir, node):
            self.neurons.append_spiking(path, node, feedback)
        elif isinstance(node, nir.LI | nir.CubaLI | nir.I):
            self.neurons.append_integrating(path, node)
        else:
            remedy = "a Threshold needs a neuron: export an LIF" if isinstance(node, nir.Threshold) else "replace or remove it"
            limit = "Affine, Linear, Conv2d, SumPool2d, AvgPool2d, Flatten, Scale, Delay, LIF, CubaLIF, IF, LI or I"
            raise refuse(path, "node", f"a {type(node).__name__}", limit, remedy)
        for names, what in _PARAMETERS.items():
            given = {name: extent(getattr(node, name)) for name in names if getattr(node, name, None) is not None}
            self.builder.record_others(path, given, what)

    def _dense(self, path: str, node: Any) -> None:
        if len(self.builder.shape) != 1:
            raise refuse(path, "input", f"of shape {self.builder.shape}", "flat, (n,)", "add a Flatten before it")
        self.builder.dense(path, array_in(path, node, "weight"), self._bias(path, node))

    def _bias(self, path: str, node: Any) -> np.ndarray | None:
        """A bias; None also where graph_of recorded that its zeros are only there because NIR requires a bias."""
        bias = None if getattr(node, "bias", None) is None else array_in(path, node, "bias")
        if bias is None or bias.any() or not Recorded(node).word("bias", "none"):
            return bias
        self.builder.record(path, "bias", "ignored", "zero")
        return None

    def _delay(self, path: str, node: Any) -> None:
        """A Delay, in seconds, which must be whole steps."""
        seconds = array_in(path, node, "delay").astype(np.float64)
        if self.dt is None:
            raise refuse(path, "delay", f"{extent(seconds)} in seconds", "known in steps", "give dt=..., the seconds a step")
        steps = seconds / self.dt
        whole = np.rint(steps)
        if not np.allclose(steps, whole, rtol=0, atol=_OF_A_STEP):
            raise refuse(path, "delay", f"{extent(steps)} steps", "whole steps", "give dt=..., of which the delays are multiples")
        self.builder.delay(path, whole)

    def _flatten(self, path: str, node: Any) -> None:
        """A Flatten of everything."""
        start, end = integers_of(node.start_dim), integers_of(node.end_dim)
        shape, dims = self.builder.shape, len(self.builder.shape)
        if start is None or end is None or len(start) != 1 or len(end) != 1:
            raise refuse(path, "start_dim", f"{node.start_dim} to {node.end_dim}", "integers", "check the node")
        first, last = (n + dims if n < 0 else n for n in (start[0], end[0]))
        has_batch = shape[0] == 1 or self._has_batch(node, dims)  # then dimensions are counted with that of the batch
        if dims > 1 and not (last >= dims - 1 and (first == 0 or (first == 1 and has_batch))):
            remedy = "flatten with start_dim=0, end_dim=-1, which leave out the batch"
            raise refuse(path, "start_dim", f"dimensions {node.start_dim} to {node.end_dim} of {shape}", "all dimensions", remedy)
        self.builder.flatten(path, "start_dim")

    def _has_batch(self, node: Any, dims: int) -> bool:
        """Whether a Flatten says that its input has the batch's dimension too."""
        sizes = integers_of(node.input_type.get("input")) if isinstance(node.input_type, Mapping) else None
        return sizes is not None and len(sizes) == dims + 1 and sizes[0] == 1

    def _scale(self, path: str, node: Any) -> None:
        """A Scale, which the next map or neuron takes; graph_of writes one after a pooling that has another factor."""
        scale, last = spread_in(path, node, "scale", self.builder.shape), self.builder.last
        if Recorded(node).word("of", "pooling") and isinstance(last, Pooling) and not np.ptp(scale) and self.builder.scale is None:
            self.builder.replace_last(replace(last, scale=last.scale * float(scale.flat[0])))
            self.builder.record(path, "scale", "folded", f"into {last.path}")
        else:
            self.builder.scale_by(path, "scale", unspread(scale))


_STEP = 1e-4
_CLOSE = 1e-4  # float32 time constants
_SAY = 'say exporter="snntorch", or "spikingjelly"'
_LOST: Mapping[str, tuple[tuple[str, str], ...]] = {  # of an exporter: what it leaves out, and what is assumed
    "snntorch": (("reset_mechanism", "by subtraction, a step later, unless reset and reset_delay say otherwise"),),
    "norse": (("v_reset", "zero"),),
    "sinabs": (
        ("spike_fn", "SingleSpike: MultiSpike, its default, gives several spikes a step, which no neuron here does"),
        ("min_v_mem", "None: membranes have no lower bound"),
        ("tau_syn", "None: no synaptic current"),
        ("reset_fn", "MembraneSubtract, unless reset says otherwise"),
    ),
    "spikingjelly": (),
}


def check_exporter(nir: ModuleType, nodes: Mapping[str, Any], options: Options) -> None:
    """Refuse a step or an assumed reset that the exporter's numbers speak against. Raises InvalidValueError."""
    neurons = dict(_neurons(nir, nodes))
    says = [_leak(node) for node in neurons.values()]
    if options.exporter is not None or "other" in says or "theirs" not in says:
        return
    path = next(iter(neurons))
    if options.dt is not None and abs(options.dt - _STEP) > _CLOSE * _STEP:
        limit = f"{_STEP:g}, for tau / r is that in every neuron, as snnTorch and SpikingJelly export it"
        raise refuse(path, "dt", f"{options.dt:g}", limit, f"{_SAY} (EXPORTERS in tp_lava.convert.nir has their options)")
    if options.dt is not None and options.reset is None:
        limit = "said, for snnTorch and SpikingJelly, one of which wrote this, do not export it"
        raise refuse(path, "reset", None, limit, f'{_SAY}, or reset="subtract" or "zero"')


def _neurons(nir: ModuleType, nodes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Neurons with a time constant that we did not write ourselves."""
    for path, node in nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _neurons(nir, node.nodes)
        elif isinstance(node, nir.LIF | nir.CubaLIF) and not Recorded(node).entries:
            yield path, node


def _leak(node: Any) -> str:
    """What a neuron's tau and r say: "theirs" of those exporters, "other", or "" where r is 1, as others write it too."""
    try:
        tau = np.asarray(getattr(node, "tau", getattr(node, "tau_mem", 0.0)), np.float64)
        r = np.asarray(node.r, np.float64)
    except (TypeError, ValueError):  # no numbers: the reader refuses the node by name
        return "other"
    if r.shape != tau.shape and r.size > 1 and tau.size > 1:
        return "other"
    if not (np.isfinite(tau).all() and np.isfinite(r).all()) or np.any(np.abs(tau - _STEP * r) > _CLOSE * np.abs(tau)) or np.any(r <= 0):
        return "other"
    return "" if np.allclose(r, 1.0) else "theirs"


def record_losses(builder: SourceBuilder, options: Options) -> None:
    """Say in the provenance what the named exporter does not write, and what is assumed in its place."""
    for name, assumed in _LOST.get(options.exporter or "", ()):
        builder.record(f"exporter {options.exporter}", name, "added", f"not in the file; taken for {assumed}")
