"""Submodules of a PyTorch module, each read as the stages that do the same as after eval().

Tables say which classes of PyTorch and of its spiking libraries are read, as what, and which are refused, with a remedy. What layers do
behind what their classes say is asked of them: weights as they are used, the reset that is performed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tp_lava.checks import is_number
from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.foreign_neurons import BASES, FOREIGN, append_foreign
from tp_lava.convert.layers import LayerReader, Standardised, Tensors
from tp_lava.convert.snntorch_neurons import append_lapicque
from tp_lava.convert.stages import ReadLayer, Spiking, stage_of
from tp_lava.convert.values import array_of, pair, refuse
from tp_lava.dynamics.neuron import LIF

if TYPE_CHECKING:
    from torch import nn


import copy

from tp_lava.convert.layers import SNNTORCH

_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}  # method of snnTorch -> reset


def used_weights(path: str, leaf: Any) -> dict[str, Any]:
    """A layer's weight and bias as forward uses them, behind parametrizations and the older hooks."""
    from torch.nn.utils.parametrize import is_parametrized

    # a copy, which hooks may change; evaluated, for spectral_norm goes on iterating where it trains
    leaf = copy.deepcopy(leaf).eval() if is_parametrized(leaf) else copy.copy(leaf)
    leaf.training = False
    for hook in leaf._forward_pre_hooks.values():
        if not type(hook).__module__.startswith("torch.nn.utils."):
            found = getattr(hook, "__name__", type(hook).__name__)
            raise refuse(path, "forward_pre_hook", found, "none but those of torch.nn.utils", "remove it: its handle has remove()")
        hook(leaf, ())
    return {"weight": leaf.weight, "bias": leaf.bias}


def performed_reset(path: str, leaf: Any) -> str:
    """The reset that forward performs, which was chosen when the layer was made."""
    performed = _RESETS.get(getattr(getattr(leaf, "state_function", None), "__name__", ""), leaf.reset_mechanism)
    stored = getattr(leaf, "reset_mechanism_val", None)
    if leaf.reset_mechanism != performed or (stored is not None and int(stored) != tuple(_RESETS.values()).index(performed)):
        limit = f"{performed!r}, with which it was made"
        raise refuse(path, "reset_mechanism", "set or loaded after the layer was made", limit, "make the layer with that reset")
    return performed


def is_step(spike_grad: Any) -> bool:
    """Whether its forward pass is 1 above 0 and else 0, each time."""
    import torch

    excess = torch.tensor([-2.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 2.0]).repeat(1, 16)
    try:
        with torch.no_grad():
            return bool((spike_grad(excess) == (excess > 0)).all())
    except Exception:  # the caller's own function
        return False


def keeps_input(leaf: Any, shape: tuple[int, ...]) -> bool:
    """Whether a Leaky's delayed reset to zero keeps the step's input; before snnTorch 0.8 it did not."""
    import torch

    probe = copy.copy(leaf)
    probe._buffers = dict(leaf._buffers)  # so that the layer's own state stays
    try:
        with torch.no_grad():
            drive = torch.ones((1, *shape), device=leaf.threshold.device)
            probe.mem, probe.reset = 3 * drive, drive
            return bool((type(leaf)._base_zero(probe, drive) == 1).all())
    except Exception:  # older still, with other arguments
        return False


DECLARE = "declare neurons in its place: neurons={path: tpl.LIF(...)}"
REFUSED = {
    "torch.LayerNorm": "train with BatchNorm, which does not depend on the sample",
    "torch.GroupNorm": "train with BatchNorm, which does not depend on the sample",
    "torch.ModuleList": "pass order=[names], for a list does not say in which order it is used",
    "torch.ModuleDict": "pass order=[names], for a dict does not say in which order it is used",
    "snntorch.Alpha": f"its membrane is the difference of two currents, one beside the other; use Synaptic, or {DECLARE}",
    "snntorch.SLSTM": "its gates multiply what arrives with what it holds, which no integrate-and-fire neuron does; use RSynaptic",
    "snntorch.SConv2dLSTM": "its gates multiply what arrives with what it holds, which no integrate-and-fire neuron does; use RLeaky",
    "snntorch.SpikingNeuron": f"use Leaky, RLeaky, Synaptic, RSynaptic or Lapicque, or {DECLARE}",
    "sinabs.StatefulLayer": f"use LIF or IAF, or {DECLARE}",
    "spikingjelly.BaseNode": f"use IFNode, LIFNode or ParametricLIFNode, or {DECLARE}",
    "norse.SNNCell": f"use LIFBoxCell, LIFCell or IAFCell, or {DECLARE}",
    "norse.SNNRecurrentCell": f"use LIFBoxCell, LIFCell or IAFCell, or {DECLARE}",
    "snntorch.LeakyParallel": f"use Leaky, or {DECLARE}",
}
LISTS = {"torch.ModuleList", "torch.ModuleDict"}  # which forward may use in any order
STEPPING = "spikingjelly.activation_based.layer"  # PyTorch's layers, which there take all steps or one
_CONVOLUTION = {name: name for name in ("stride", "padding", "dilation", "groups")}
_POOLING = {"kernel": "kernel_size", "stride": "stride", "ceil": "ceil_mode"}
LAYERS: dict[str, tuple[str, dict[str, str]]] = {  # class -> (type of layer for a LayerReader, its options: attributes of the class)
    "torch.Linear": ("linear", {}),
    "torch.Conv2d": ("conv2d", _CONVOLUTION),
    "torch.Conv1d": ("conv1d", _CONVOLUTION),
    "torch.BatchNorm1d": ("batchnorm", {"eps": "eps"}),
    "torch.BatchNorm2d": ("batchnorm", {"eps": "eps"}),
    "torch.AvgPool2d": ("avgpool", _POOLING | {"padding": "padding"}),
    "torch.AdaptiveAvgPool2d": ("adaptiveavgpool", {"output": "output_size"}),
    "torch.LPPool2d": ("sumpool", _POOLING),
    "torch.MaxPool2d": ("maxpool", _POOLING | {"padding": "padding"}),
    "torch.AdaptiveMaxPool2d": ("adaptivemaxpool", {"output": "output_size"}),
    "torch.Flatten": ("flatten", {}),
    "torch.Identity": ("dropout", {}),
    "torch._DropoutNd": ("dropout", {}),
    "torch._Loss": ("dropout", {}),
    **{f"snntorch.{name}": (kind, {}) for kind, name in SNNTORCH.items()},
    **{name: ("foreign", {}) for name in FOREIGN},
    "snntorch.Lapicque": ("foreign", {}),
}
REQUIRED = {  # (type of layer, attribute) -> (its value, remedy)
    ("conv2d", "padding_mode"): ("zeros", "train with zeros"),
    ("conv1d", "padding_mode"): ("zeros", "train with zeros"),
    ("batchnorm", "track_running_stats"): (True, "train with it on, for statistics become part of the weights"),
    ("maxpool", "dilation"): (1, "train without dilation"),
    ("maxpool", "return_indices"): (False, "leave the indices out, which nothing here can use"),
    ("adaptivemaxpool", "return_indices"): (False, "leave the indices out, which nothing here can use"),
    ("sumpool", "norm_type"): (1, "train with AvgPool2d, or norm 1, which sums spikes"),
}
WEIGHTED = ("torch.Linear", "torch.Conv2d", "torch.Conv1d")
FOLDED = ("torch.BatchNorm1d", "torch.BatchNorm2d", "torch.Identity", "torch._DropoutNd")  # before declared neurons


Neurons = LIF | Mapping[str, LIF | Spiking]


class ModuleReader:
    """Reads the submodules that compute ("leaves") in the order of use, each as a described layer with its tensors."""

    def __init__(
        self,
        root: nn.Module,
        builder: SourceBuilder,
        neurons: Neurons | None,
        standardised: dict[str, Standardised],
        factors: dict[str, float],
        inexact: bool,
    ) -> None:
        self.root, self.builder, self.neurons, self.standardised, self.inexact = root, builder, neurons, standardised, inexact
        self.factors = factors
        self.populations: dict[int, str] = {}

    def append(self, path: str, leaf: Any, declared: tuple[Spiking, ...]) -> ReadLayer:
        """Append the stages of a leaf and of the neurons behind it, or in its place."""
        self._scale(path)
        kind, replaced = self.kind(path, leaf), is_neuron(leaf) and self.has_declared(path)
        if id(leaf) in self.populations and not replaced:
            raise refuse(path, "state", f"that of {self.populations[id(leaf)]}", "its own", "make a layer for each population")
        if is_neuron(leaf):
            self.populations[id(leaf)] = path
        if kind is None or replaced:
            self.builder.record(path, type(leaf).__name__, "ignored", "the declared neurons take its place")
        else:
            self._read(kind, path, leaf)
        if kind in WEIGHTED:
            self.builder.record_others(path, dict.fromkeys(leaf.state_dict(), "into the weight as it is used"), "folded")
        else:
            self.builder.record_others(path, dict.fromkeys(leaf.state_dict(), ""), "ignored")
        for stage in declared:
            self.builder.neurons(stage)
            self.builder.record(stage.path, "neuron", "added", "as declared")
        replaced, needed = kind is None or replaced, self.is_needed(path, leaf)
        spikes = path if is_neuron(leaf) and not replaced else None
        return ReadLayer(path, leaf, spikes, declared, replaced, needed, self.factors.get(path, 1.0))

    def _scale(self, path: str) -> None:
        """Take the factor of what arrives at a layer into the weights that come."""
        if path not in self.factors:
            return
        factor = self.factors[path]
        if not is_number(factor):
            raise refuse(path, "factor", repr(factor)[:60], "one finite number", "fold several into the weights of the next layer")
        self.builder.record(path, "factor", "folded", f"{factor:.6g}, of forward")
        self.builder.scale_by(path, "factor", float(factor))

    def _read(self, kind: str, path: str, leaf: Any) -> None:
        """Append the stages of a leaf. kind: its class, a key of LAYERS."""
        if kind in FOREIGN:
            append_foreign(self.builder, kind, path, leaf)
            return
        if kind == "snntorch.Lapicque":
            names = ("R", "C", "time_step", "threshold", "graded_spikes_factor")
            arrays = {name: array_of(path, name, getattr(leaf, name), integers=True) for name in names if hasattr(leaf, name)}
            append_lapicque(self.builder, path, arrays, self._snntorch_options(path, leaf)["reset"])
            return
        layer, attributes = LAYERS[kind]
        for (which, name), (needed, remedy) in REQUIRED.items():
            if layer == which and getattr(leaf, name) != needed:
                raise refuse(path, name, repr(getattr(leaf, name)), repr(needed), remedy)
        options = {option: getattr(leaf, attribute) for option, attribute in attributes.items()}
        used: dict[str, Any] = {}
        if kind in WEIGHTED:
            used, options["standardised"] = used_weights(path, leaf), self.standardised.get(path)
        elif kind == "torch.AvgPool2d" and leaf.divisor_override:
            options["scale"] = 1 / leaf.divisor_override
        elif kind == "torch.AvgPool2d" and any(pair(path, "padding", leaf.padding, 0)) and not leaf.count_include_pad:
            raise refuse(path, "count_include_pad", False, "True where there is padding", "do not pad: edges would have another factor")
        elif kind == "torch.Flatten" and (leaf.start_dim != 1 or leaf.end_dim not in (-1, len(self.builder.shape))):
            raise refuse(path, "start_dim, end_dim", (leaf.start_dim, leaf.end_dim), "(1, -1)", "flatten all but the samples")
        elif kind.startswith("snntorch."):
            options |= self._snntorch_options(path, leaf)
        state = leaf.state_dict() | used
        tensors = Tensors({f"{path}.{name}": tensor for name, tensor in state.items() if tensor is not None})
        LayerReader(self.builder, tensors, self.inexact).read(layer, path, **options)
        for name, tensor in used.items():
            if tensor is not None and name not in leaf._parameters:
                self.builder.update_record(path, name, "rescaled", "as it is used, parametrised")

    def _snntorch_options(self, path: str, leaf: Any) -> dict[str, Any]:
        """The reset; refused is what makes other spikes of a membrane than its threshold does."""
        if leaf.inhibition:
            raise refuse(path, "inhibition", True, "False", "inhibit by recurrent weights, RLeaky")
        if leaf.state_quant:
            raise refuse(path, "state_quant", "given", "False", "train without it: the conversion to fixed point brings its own")
        if not is_step(leaf.spike_grad):
            limit = "1 above the threshold and else 0 in its forward pass"
            raise refuse(path, "spike_grad", "another function", limit, "use for example snntorch.surrogate.atan()")
        reset, delay = performed_reset(path, leaf), bool(getattr(leaf, "reset_delay", True))
        if type(leaf).__name__ == "Leaky" and reset == "zero" and delay and not keeps_input(leaf, self.builder.shape):
            limit = "that of snnTorch 0.8 or newer, which keeps the input of that step"
            raise refuse(path, "reset_mechanism", "'zero'", limit, "update snnTorch, or set reset_delay=False, and train on")
        self.builder.record(path, "spike_grad, init_hidden, output", "ignored", "of training and of what forward returns")
        return {"reset": reset, "reset_delay": delay}

    # Which leaves -----------------------------------------------------------------------------
    def leaves(self, order: Iterable[str] | None = None) -> list[tuple[str, nn.Module]]:
        """The submodules that compute, in the caller's order, or in that in which they were made."""
        return list(self._leaves("", self.root) if order is None else self._ordered(order))

    def is_weighted(self, path: str, leaf: Any) -> bool:
        """Whether it is a map with weights."""
        return self.kind(path, leaf) in WEIGHTED

    def is_folded(self, path: str, leaf: Any) -> bool:
        """Whether it belongs to the map before it."""
        return self.kind(path, leaf) in FOLDED

    def is_needed(self, path: str, leaf: Any) -> bool:
        """Whether it does anything where forward calls it."""
        kind = self.kind(path, leaf)
        return kind is None or self.has_declared(path) or LAYERS[kind][0] not in ("dropout", "flatten")

    def _leaves(self, path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """The submodules that compute, in order."""
        found = type(module).__name__
        name = path or found
        replaced = self.has_declared(name) and not module._modules
        if self.kind(name, module):
            yield name, module
            return
        for known, remedy in REFUSED.items():
            if known in names_of(module) and not (replaced and not known.startswith("torch.")):
                raise refuse(name, "type", found, "a layer that can be converted", remedy)
        if replaced:
            yield name, module
            return
        if type(module).__module__ == "torch.nn.modules.activation":
            raise refuse(name, "type", found, "no activation but spikes", f"train with spiking neurons, or {DECLARE}")
        children = [(key, child) for key, child in module._modules.items() if child is not None]
        if not children:
            raise refuse(name, "type", found, "a layer that is known here", f"leave it out by order=[names], or {DECLARE}")
        for own in (*module._parameters, *module._buffers):
            limit = "in a layer, for its use in forward is not seen"
            raise refuse(name, own, "a parameter of the container", limit, "move what uses it into a layer, or use read_state_dict")
        for key, child in children:
            yield from self._leaves(f"{path}.{key}" if path else key, child)

    def _ordered(self, order: Iterable[str]) -> Iterator[tuple[str, nn.Module]]:
        """The leaves of submodules in the caller's order; those with parameters or neurons may not be left out."""
        listed: set[int] = set()
        for name in [order] if isinstance(order, str) else order:
            try:
                module = self.root.get_submodule(name)
            except (AttributeError, TypeError):
                known = ", ".join(key for key, _ in self.root.named_modules() if key)[:120]
                raise refuse("model", "order", repr(name)[:60], f"among {known}", "take names of named_modules()") from None
            for path, leaf in self._leaves(name, module):
                listed.update(id(part) for part in leaf.modules())
                yield path, leaf
        for path, module in self.root.named_modules():
            if (is_neuron(module) or module._parameters) and id(module) not in listed:
                limit = "with every layer that has parameters"
                raise refuse(path or "model", "order", "without it", limit, "add it, or remove it from the model")

    def kind(self, path: str, module: nn.Module) -> str | None:
        """The class as which it is read, a key of LAYERS, or None. Raises where its forward is another one."""
        cls = next((cls for cls in type(module).__mro__ if _name(cls) in LAYERS), None)
        if cls is None:
            return None
        kind = _name(cls)
        if LAYERS[kind][0] == "dropout" or path in self.standardised or self.has_declared(path):
            return kind
        if type(module).__module__.startswith(STEPPING):
            return kind
        if is_neuron(module):
            if type(module) is cls and "forward" not in vars(module):
                return kind
            remedy = f"use {cls.__name__} itself, or declare neurons in its place: neurons={{{path!r}: tpl.LIF(...)}}"
            raise refuse(path, "type", f"{type(module).__name__}, made from {cls.__name__}", f"{cls.__name__} itself", remedy)
        changed = any(getattr(type(module), f, None) is not getattr(cls, f, None) for f in ("forward", "_conv_forward"))
        if changed or "forward" in vars(module):
            remedy = f"give standardised=({path!r},) if that is all it does, or use {cls.__name__} itself"
            raise refuse(path, "forward", f"of {type(module).__name__}", f"that of {cls.__name__}", remedy)
        return kind

    # Declared neurons -------------------------------------------------------------------------
    @staticmethod
    def declared(path: str, neuron: LIF | Spiking) -> Spiking:
        """The stage of declared neurons."""
        if isinstance(neuron, LIF):
            return stage_of(path, neuron)
        if isinstance(neuron, Spiking):
            return neuron if neuron.path else replace(neuron, path=path)
        raise refuse(path, "neurons", repr(neuron)[:60], "a LIF or a Spiking", "use for example tpl.LIF(0.9, 1.0)")

    def has_declared(self, path: str) -> bool:
        """Whether neurons are declared for a layer by its path."""
        return isinstance(self.neurons, Mapping) and path in self.neurons


def _name(cls: type) -> str:
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}"


def names_of(module: Any) -> set[str]:
    """The names of its classes: so that snnTorch need not be imported."""
    return {_name(cls) for cls in type(module).__mro__}


def is_neuron(module: Any) -> bool:
    """Whether it has spikes of its own."""
    return bool(names_of(module) & BASES)
