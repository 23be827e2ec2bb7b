"""Classes of PyTorch and of its spiking libraries: which are read, as what, and which are refused, with a remedy."""

from __future__ import annotations

from tp_lava.convert.foreign_neurons import FOREIGN
from tp_lava.convert.layers import SNNTORCH

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
