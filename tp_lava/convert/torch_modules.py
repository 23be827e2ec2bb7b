"""PyTorch modules, snnTorch's neurons among them, as a chain of stages.

What is read: nn.Sequential, and modules whose children were made in the order in which forward uses them (it cannot be seen
whether they were: a wrong order mostly shows in shapes that do not fit). `order` gives the order otherwise. All of it is
read as after eval(): running statistics, no dropout. Weights are read as they are used, that is behind parametrizations,
weight_norm, spectral_norm and pruning. Operations of forward that are no modules are not seen; flattening is not needed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tp_lava.convert.chain import Chain, array_of, declared, pair
from tp_lava.convert.folding import Standardised
from tp_lava.convert.snntorch_neurons import SnnTorchNeuron, carry
from tp_lava.convert.stages import Source, Spiking, refuse
from tp_lava.dynamics.neuron import LIF

if TYPE_CHECKING:
    from torch import nn

Neurons = LIF | Mapping[str, LIF | Spiking]


def read_module(
    module: nn.Module,
    input_shape: Sequence[int] | int,
    neurons: Neurons | None = None,
    *,
    order: Iterable[str] | None = None,
    standardised: Mapping[str, Standardised] | Iterable[str] = (),
    inexact: bool = False,
) -> Source:
    """A PyTorch network, snnTorch's included, as a Source. input_shape: (n,) or (channels, height, width), of one sample and step.

    Read are Linear, Conv2d, AvgPool2d, AdaptiveAvgPool2d, LPPool2d of norm 1 (sums), BatchNorm1d and 2d, Flatten, Dropout and
    Identity, and snnTorch's Leaky, RLeaky, Synaptic and RSynaptic (see snntorch_neurons.py).
    neurons: path of a layer -> the LIF or Spiking behind it (behind its batch normalisation), or in place of it where it is
    an activation; or one LIF for every Linear and Conv2d but the last, which is then the readout. order: paths of submodules
    in the order of use. standardised: paths whose weights are standardised in forward, or path -> Standardised(...).
    inexact: carry neurons that differ from ours in rare steps. Raises TorchUnavailableError, InvalidValueError.
    """
    from tp_lava.torch.availability import require_torch  # here, for that package cannot be imported without PyTorch

    require_torch()
    from torch import nn

    if not isinstance(module, nn.Module):
        raise refuse("model", "module", repr(module)[:60], "a torch.nn.Module", "for a state dict use read_state_dict")
    if neurons is not None and not isinstance(neurons, LIF | Mapping):
        raise refuse("model", "neurons", repr(neurons)[:60], "a LIF, or a dict path -> LIF or Spiking", "use for example tpl.LIF(0.9)")
    walk = _Walk(Chain("torch", input_shape), module, neurons, _of_paths(standardised), inexact)
    walk.through(order)
    return walk.chain.finish()


def _of_paths(standardised: Mapping[str, Standardised] | Iterable[str]) -> dict[str, Standardised]:
    given = (standardised,) if isinstance(standardised, str) else standardised
    table = dict(given) if isinstance(given, Mapping) else {path: Standardised() for path in given}
    for path, value in table.items():
        if not isinstance(value, Standardised):
            raise refuse(path, "standardised", repr(value)[:60], "a Standardised", "use for example Standardised(eps=1e-5)")
    return table


_REFUSED = {
    "torch.MaxPool2d": "train with AvgPool2d, a maximum of spikes is no sum",
    "torch.AdaptiveMaxPool2d": "train with AdaptiveAvgPool2d, a maximum of spikes is no sum",
    "torch.LayerNorm": "train with BatchNorm, which does not depend on the sample",
    "torch.GroupNorm": "train with BatchNorm, which does not depend on the sample",
    "torch.ModuleList": "pass order=[names], for a list does not say in which order it is used",
    "torch.ModuleDict": "pass order=[names], for a dict does not say in which order it is used",
    "snntorch.SpikingNeuron": "use Leaky, RLeaky, Synaptic or RSynaptic, or declare what takes its place: neurons={path: tpl.LIF(...)}",
    "snntorch.LeakyParallel": "use Leaky, or declare what takes its place: neurons={path: tpl.LIF(...)}",
}
_ACTIVATION = "train with spiking neurons, or declare which take its place: neurons={path: tpl.LIF(...)}"
_UNKNOWN = "leave it out by order=[names], or declare neurons in its place: neurons={path: tpl.LIF(...)}"


class _Walk:
    """One way through a module's leaves, in the order of use."""

    def __init__(
        self, chain: Chain, root: nn.Module, neurons: Neurons | None, standardised: dict[str, Standardised], inexact: bool
    ) -> None:
        self.chain, self.root, self.neurons, self.standardised, self.inexact = chain, root, neurons, standardised, inexact
        self.due: Spiking | None = None  # declared neurons, which wait for the layer's batch normalisation
        self.handlers: dict[str, Callable[[str, Any], None]] = {
            **dict.fromkeys(("torch.Identity", "torch._DropoutNd", "torch._Loss"), self.nothing),
            **dict.fromkeys(("torch.BatchNorm1d", "torch.BatchNorm2d"), self.batch_norm),
            **dict.fromkeys(("snntorch.Leaky", "snntorch.RLeaky", "snntorch.Synaptic", "snntorch.RSynaptic"), self.snntorch),
            "torch.Linear": self.linear,
            "torch.Conv2d": self.convolution,
            "torch.AvgPool2d": self.average,
            "torch.AdaptiveAvgPool2d": self.adaptive,
            "torch.LPPool2d": self.sums,
            "torch.Flatten": self.flatten,
        }

    def through(self, order: Iterable[str] | None) -> None:
        leaves = list(self.leaves("", self.root)) if order is None else list(self.ordered(order))
        neurons = self.placed(leaves)
        stateful: dict[int, str] = {}
        for number, (path, leaf) in enumerate(leaves):
            kind, neuron = self.kind(path, leaf), neurons.get(number)
            if stateful.get(id(leaf)) and not self.declares(path):
                raise refuse(path, "state", f"that of {stateful[id(leaf)]}", "its own, as one population", "make a layer for each place")
            if "snntorch.SpikingNeuron" in _names(leaf):
                stateful[id(leaf)] = path
            if kind not in _BEHIND_THE_MAP:
                self.settle()
            if kind:
                self.handlers[kind](path, leaf)
            else:
                self.chain.note(path, type(leaf).__name__, "ignored", "the declared neurons take its place")
            if neuron is not None:
                self.settle()
                self.due = neuron
            self.note_rest(path, leaf, kind)
        self.settle()

    def settle(self) -> None:
        """Append the declared neurons that are due."""
        if self.due is not None:
            stage, self.due = self.due, None
            self.chain.spiking(stage)
            self.chain.note(stage.path, "neuron", "added", "as declared")

    # Which leaves -----------------------------------------------------------------------------
    def leaves(self, path: str, module: nn.Module) -> Iterable[tuple[str, nn.Module]]:
        """The modules that compute, in order."""
        name = path or type(module).__name__
        names, replaced = _names(module), self.declares(name) and not module._modules
        if self.kind(name, module):
            yield name, module
            return
        for known, remedy in _REFUSED.items():
            if known in names and not (replaced and known.startswith("snntorch.")):
                raise refuse(name, "type", type(module).__name__, "a layer that can be carried over", remedy)
        if replaced:
            yield name, module
            return
        children = [(key, child) for key, child in module._modules.items() if child is not None]
        if type(module).__module__ == "torch.nn.modules.activation":
            raise refuse(name, "type", type(module).__name__, "no activation but spikes", _ACTIVATION)
        if not children:
            raise refuse(name, "type", type(module).__name__, "a layer that is known here", _UNKNOWN)
        own = next(iter([*module._parameters, *module._buffers]), None)
        if own is not None:
            remedy = "move what uses it into a layer of its own, or declare what that does by read_state_dict"
            raise refuse(name, own, "a parameter of the container", "in a layer, for what forward does with it is not seen", remedy)
        for key, child in children:
            yield from self.leaves(f"{path}.{key}" if path else key, child)

    def ordered(self, order: Iterable[str]) -> Iterable[tuple[str, nn.Module]]:
        """The leaves of submodules in the caller's order; none that counts may be left out."""
        names = [order] if isinstance(order, str) else list(order)
        met: set[int] = set()
        for name in names:
            try:
                module = self.root.get_submodule(name)
            except (AttributeError, TypeError):
                known = ", ".join(key for key, _ in self.root.named_modules() if key)[:120]
                raise refuse("model", "order", repr(name)[:60], f"among {known}", "take names of named_modules()") from None
            for path, leaf in self.leaves(name, module):
                met.update(id(part) for part in leaf.modules())
                yield path, leaf
        for path, module in self.root.named_modules():
            counts = "snntorch.SpikingNeuron" in _names(module) or bool(module._parameters)
            if counts and id(module) not in met:
                raise refuse(
                    path or "model", "order", "without it", "with every layer that has parameters", "add it, or remove it from the model"
                )

    def kind(self, path: str, module: nn.Module) -> str | None:
        """The name of the class as which it is read, or None. Raises where its forward is its own."""
        for cls in type(module).__mro__:
            name = _name(cls)
            if name not in self.handlers:
                continue
            if self.handlers[name] == self.nothing or path in self.standardised or self.declares(path):
                return name
            if name.startswith("snntorch."):
                changed = type(module) is not cls
            else:
                changed = any(getattr(type(module), f, None) is not getattr(cls, f, None) for f in ("forward", "_conv_forward"))
            if changed or "forward" in vars(module):
                remedy = f"give standardised=({path!r},) if that is all it does, or use {cls.__name__} itself"
                raise refuse(path, "forward", f"of {type(module).__name__}", f"that of {cls.__name__}", remedy)
            return name
        return None

    def declares(self, path: str) -> bool:
        return isinstance(self.neurons, Mapping) and path in self.neurons

    def placed(self, leaves: list[tuple[str, nn.Module]]) -> dict[int, Spiking]:
        """Declared neurons by the number of the leaf they stand behind."""
        paths = {path for path, _ in leaves}
        for name, table in (("neurons", self.neurons if isinstance(self.neurons, Mapping) else {}), ("standardised", self.standardised)):
            unmet = [path for path in table if path not in paths]
            if unmet:
                raise refuse(
                    "model", name, repr(unmet[0])[:60], f"a layer among {', '.join(sorted(paths))[:120]}", "take names of named_modules()"
                )
        if self.neurons is None:
            return {}
        if isinstance(self.neurons, Mapping):
            given = [(number, path, leaf) for number, (path, leaf) in enumerate(leaves) if path in self.neurons]
            return {number: declared(self.name_of_neurons(path, leaf), self.neurons[path]) for number, path, leaf in given}
        own = [path for path, leaf in leaves if "snntorch.SpikingNeuron" in _names(leaf)]
        if own:
            raise refuse(own[0], "neurons", "one LIF for all layers", "None where layers have neurons of their own", "leave neurons out")
        weighted = [n for n, (path, leaf) in enumerate(leaves) if self.kind(path, leaf) in ("torch.Linear", "torch.Conv2d")]
        return {number: declared(self.name_of_neurons(*leaves[number]), self.neurons) for number in weighted[:-1]}

    def name_of_neurons(self, path: str, leaf: nn.Module) -> str:
        """The path of declared neurons: the leaf's own where they take its place."""
        kind = self.kind(path, leaf)
        return path if kind is None or kind.startswith("snntorch.") else f"{path}.neurons"

    def note_rest(self, path: str, leaf: nn.Module, kind: str | None) -> None:
        """What the handler did not speak of."""
        spoken = {(fate.path, fate.parameter) for fate in self.chain.source.fates}
        for name in leaf.state_dict():
            if (path, name) not in spoken:
                maps = kind in ("torch.Linear", "torch.Conv2d")
                self.chain.note(path, name, *(("folded", "into the weight as it is used") if maps else ("ignored", "")))

    # Maps -------------------------------------------------------------------------------------
    def linear(self, path: str, leaf: Any) -> None:
        weight, bias = self.weights(path, leaf)
        self.chain.dense(path, weight, bias, self.standardised.get(path))

    def convolution(self, path: str, leaf: Any) -> None:
        if leaf.padding_mode != "zeros":
            raise refuse(path, "padding_mode", repr(leaf.padding_mode), "'zeros'", "train with zeros")
        weight, bias = self.weights(path, leaf)
        options = (leaf.stride, leaf.padding, leaf.dilation, leaf.groups)
        self.chain.convolution(path, weight, bias, *options, standardised=self.standardised.get(path))

    def weights(self, path: str, leaf: Any) -> tuple[Any, Any]:
        """Weight and bias as forward uses them."""
        plain = {"weight", "bias"} & set(leaf._parameters)
        used = _in_use(path, leaf)
        arrays: dict[str, Any] = {}
        for name in ("weight", "bias"):
            value = used.get(name)
            arrays[name] = None if value is None else array_of(path, name, value)
            if value is not None:
                self.chain.note(path, name, *(("kept",) if name in plain else ("rescaled", "as it is used, parametrised")))
        return arrays["weight"], arrays["bias"]

    def batch_norm(self, path: str, leaf: Any) -> None:
        if leaf.running_mean is None or leaf.running_var is None:
            raise refuse(path, "track_running_stats", False, "True, for its statistics become part of the weights", "train with it on")
        mean, variance = (array_of(path, name, getattr(leaf, name)) for name in ("running_mean", "running_var"))
        given = {name: getattr(leaf, name) for name in ("weight", "bias")}
        gain, shift = (None if value is None else array_of(path, name, value) for name, value in given.items())
        self.chain.batch_norm(path, mean, variance, float(leaf.eps), gain, shift)

    def average(self, path: str, leaf: Any) -> None:
        padding = pair(path, "padding", leaf.padding, 0)
        if any(padding) and not leaf.count_include_pad and not leaf.divisor_override:
            raise refuse(
                path, "count_include_pad", False, "True where there is padding", "windows at the edge would weigh more; pad nothing"
            )
        scale = 1 / leaf.divisor_override if leaf.divisor_override else None
        self.chain.pool(path, leaf.kernel_size, leaf.stride, padding, scale, bool(leaf.ceil_mode))

    def adaptive(self, path: str, leaf: Any) -> None:
        _, *lengths = self.chain._image(path)
        given = leaf.output_size if isinstance(leaf.output_size, Sequence) else (leaf.output_size,) * 2
        outputs = [length if output is None else output for output, length in zip(given, lengths, strict=True)]
        if any(output < 1 or length % output for output, length in zip(outputs, lengths, strict=True)):
            raise refuse(path, "output_size", tuple(outputs), f"a divisor of {tuple(lengths)}", "use AvgPool2d with a kernel and a stride")
        self.chain.pool(path, [length // output for output, length in zip(outputs, lengths, strict=True)])

    def sums(self, path: str, leaf: Any) -> None:
        if float(leaf.norm_type) != 1:
            raise refuse(path, "norm_type", leaf.norm_type, "1, which sums spikes", "train with AvgPool2d")
        self.chain.pool(path, leaf.kernel_size, leaf.stride, 0, 1.0, bool(leaf.ceil_mode))

    def flatten(self, path: str, leaf: Any) -> None:
        last = len(self.chain.shape)
        if leaf.start_dim != 1 or leaf.end_dim not in (-1, last):
            raise refuse(path, "start_dim, end_dim", (leaf.start_dim, leaf.end_dim), "(1, -1)", "flatten all but the samples")
        self.chain.flatten(path)

    def nothing(self, path: str, leaf: Any) -> None:
        self.chain.note(path, type(leaf).__name__, "ignored", "without effect when it runs")

    # snnTorch's neurons -----------------------------------------------------------------------
    def snntorch(self, path: str, leaf: Any) -> None:
        if self.declares(path):  # declared neurons take its place
            return
        self.check_spikes(path, leaf)
        kind = type(leaf).__name__
        recurrent = getattr(leaf, "recurrent", None)
        neuron = SnnTorchNeuron(
            path,
            kind,  # type: ignore[arg-type]
            leaf.beta,
            leaf.threshold,
            getattr(leaf, "alpha", None),
            self.reset_of(path, leaf),
            bool(getattr(leaf, "reset_delay", True)),
            getattr(leaf, "graded_spikes_factor", None),
            getattr(recurrent, "weight", None),
            getattr(recurrent, "bias", None),
            getattr(recurrent, "V", None),
        )
        if kind == "Leaky" and neuron.reset == "zero" and neuron.reset_delay and not _keeps_input(leaf, self.chain.shape):
            remedy = "update snnTorch, or set reset_delay=False, and train on"
            raise refuse(path, "reset_mechanism", "'zero'", "that of snnTorch 0.8 or newer, which keeps the input of that step", remedy)
        carry(self.chain, neuron, self.inexact)
        self.chain.note(path, "reset_mechanism_val", "kept", neuron.reset)
        if neuron.v is not None:
            self.chain.note(path, "recurrent.V", "kept", "which is V")
        self.chain.note(path, "spike_grad, init_hidden, output", "ignored", "of training and of what forward returns")

    def check_spikes(self, path: str, leaf: Any) -> None:
        """Refuse what makes other spikes of a membrane than its threshold does."""
        if leaf.inhibition:
            raise refuse(path, "inhibition", True, "False", "inhibit by recurrent weights, RLeaky")
        if leaf.state_quant:
            raise refuse(path, "state_quant", "given", "False", "train without it: the conversion to fixed point brings its own")
        if not _is_step(leaf.spike_grad):
            remedy = "use for example snntorch.surrogate.atan()"
            raise refuse(path, "spike_grad", "another function", "1 above the threshold and else 0 in its forward pass", remedy)

    def reset_of(self, path: str, leaf: Any) -> str:
        """The reset that forward performs: chosen when the layer was made."""
        performed = _RESETS.get(getattr(getattr(leaf, "state_function", None), "__name__", ""), leaf.reset_mechanism)
        stored = getattr(leaf, "reset_mechanism_val", None)
        if leaf.reset_mechanism != performed or (stored is not None and int(stored) != tuple(_RESETS.values()).index(performed)):
            remedy = "make the layer with the reset it shall have"
            raise refuse(
                path, "reset_mechanism", "set or loaded after the layer was made", f"{performed!r}, with which it was made", remedy
            )
        return performed


_BEHIND_THE_MAP = ("torch.BatchNorm1d", "torch.BatchNorm2d", "torch.Identity", "torch._DropoutNd")
_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}


def _name(cls: type) -> str:
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}"


def _names(module: nn.Module) -> set[str]:
    """The names of its classes: found so, snnTorch need not be imported."""
    return {_name(cls) for cls in type(module).__mro__}


def _in_use(path: str, leaf: Any) -> dict[str, Any]:
    """A layer's weight and bias behind parametrizations and the older hooks."""
    from torch.nn.utils.parametrize import is_parametrized

    if is_parametrized(leaf):
        leaf = copy.deepcopy(leaf).eval()  # spectral_norm goes on iterating where it trains
    used = {"weight": leaf.weight, "bias": leaf.bias}
    for hook in leaf._forward_pre_hooks.values():
        if type(hook).__module__.startswith("torch.nn.utils."):
            name = getattr(hook, "name", None) or hook._tensor_name
            if hasattr(hook, "apply_mask"):
                used[name] = hook.apply_mask(leaf)
            else:
                used[name] = hook.compute_weight(leaf, *((False,) if hasattr(hook, "n_power_iterations") else ()))
        else:
            found = getattr(hook, "__name__", type(hook).__name__)
            raise refuse(path, "forward_pre_hook", found, "none but those of torch.nn.utils", "remove it: its handle has remove()")
    return used


def _is_step(spike_grad: Any) -> bool:
    """Whether its forward pass is 1 above 0 and else 0, each time."""
    import torch

    excess = torch.tensor([-2.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 2.0]).repeat(1, 16)
    try:
        with torch.no_grad():
            return bool((spike_grad(excess) == (excess > 0)).all())
    except Exception:  # the caller's own function
        return False


def _keeps_input(leaf: Any, shape: tuple[int, ...]) -> bool:
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
