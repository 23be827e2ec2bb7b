"""State dicts with a description of the layers, as a chain of stages: tensors in memory, .pt files and .safetensors files.

The description is a list of dicts, as JSON holds them, one for each layer in the order of use:

    {"type": "linear", "name": "fc1"}                       fc1.weight (n_out, n_in), fc1.bias if there is one
    {"type": "conv2d", "name": "c1"}                        stride 1, padding 0 (or "same", "valid"), dilation 1, groups 1
    {"type": "batchnorm", "name": "bn1"}                    eps 1e-5; folded into the layer before
    {"type": "avgpool", "kernel": 2}, {"type": "sumpool"..} stride: the kernel, padding 0
    {"type": "flatten"}, {"type": "dropout"}                nothing
    {"type": "lif", "decay": 0.9}                           threshold 1, current_decay 0, reset "subtract", reset_by, comparison
                                                            ">=", gain 1, offset 0, feedback, trace_decay: see stages.Spiking
    {"type": "li", "decay": 1.0}                            gain 1, offset 0; last
    {"type": "leaky", "name": "lif1"}                       snnTorch's; rleaky, synaptic, rsynaptic; reset_delay true, and
                                                            reset where the file has no reset_mechanism_val

Numbers of lif and li may be names of tensors. linear and conv2d take "standardised": {"eps": .., "gain": .., "unbiased": ..,
"eps_in": ..}. A file beside the weights may hold the list, or {"input_shape": [..], "layers": [..]}.
"""

from __future__ import annotations

import json
import math
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.convert.chain import Chain, array_of
from tp_lava.convert.folding import Standardised
from tp_lava.convert.hdf5 import damaged
from tp_lava.convert.snntorch_neurons import RESETS, SnnTorchNeuron, carry
from tp_lava.convert.stages import Integrating, Source, Spiking, refuse
from tp_lava.errors import ArchiveError, TpLavaError

LARGEST_DESCRIPTION = 2**20  # bytes
MOST_LAYERS = 1000

Layers = Sequence[Mapping[str, Any]] | str | os.PathLike | None


def read_state_dict(
    state: Mapping[str, Any] | str | os.PathLike,
    layers: Layers = None,
    input_shape: Sequence[int] | int | None = None,
    *,
    key: str | None = None,
    ignore: Iterable[str] = (),
    inexact: bool = False,
) -> Source:
    """A state dict, or the file of one, as a Source. Nothing in a file is executed, .safetensors is read without PyTorch.

    layers: the description above, or the JSON file that holds it; None: "layers" in the metadata of the .safetensors file.
    input_shape: (n,) or (channels, height, width); None: that beside the layers. key: the entry of a checkpoint that is the
    state dict; ignore: tensors without effect. Raises FileNotFoundError, TorchUnavailableError, ArchiveError for files, and
    InvalidValueError for what does not fit: unknown types and keys, tensors that are missing, left over or of other shapes.
    """
    metadata: Mapping[str, str] = {}
    if not isinstance(state, Mapping):
        state, metadata = _file(state)
    if key is not None:
        state = _entry(state, key)
    described, shape = _description(layers, metadata)
    given = shape if input_shape is None else input_shape
    if given is None:
        raise refuse("model", "input_shape", None, "given, here or beside the layers", "pass for example input_shape=(2, 34, 34)")
    reader = _Reader(Chain("state dict", given), _Tensors(state), inexact)
    for number, layer in enumerate(described):
        reader.layer(f"layers[{number}]", layer)
    reader.tensors.finish(reader.chain, ignore)
    return reader.chain.finish()


# Files ------------------------------------------------------------------------------------------


def _file(path: Any) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """A file's tensors and metadata."""
    if not isinstance(path, str | os.PathLike):
        raise refuse("model", "state", type(path).__name__, "a mapping of names to tensors, or a file", "use module.state_dict()")
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return _safetensors(place) if place.suffix == ".safetensors" else (_torch_file(place), {})


def _safetensors(path: Path) -> tuple[dict[str, np.ndarray], Mapping[str, str]]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a mapping)
    except Exception as error:  # SafetensorError, and TypeError for types that NumPy has not
        raise damaged(path, f"cannot be read as a safetensors file of NumPy's types ({_first_line(error)})") from None


def _torch_file(path: Path) -> Mapping[str, Any]:
    """What torch.save wrote, tensors and plain containers only."""
    from tp_lava.torch.availability import require_torch  # here, for that package cannot be imported without PyTorch

    require_torch()
    import torch

    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # UnpicklingError, RuntimeError and whatever a hostile file makes the unpickler stumble over
        raise _more_than_tensors(path, _first_line(error).partition(". This file")[0]) from None  # the rest says how to execute it
    if not isinstance(loaded, Mapping):
        raise damaged(path, f"holds a {type(loaded).__name__}, not a state dict")
    size = path.stat().st_size
    for name, value in loaded.items():
        if hasattr(value, "element_size") and math.prod(value.shape) * value.element_size() > size:
            raise damaged(path, f"{str(name)[:60]} has shape {tuple(value.shape)}, more than the file holds")
    return loaded


def _check_archive(path: Path) -> None:
    """Only the uncompressed zip that torch.save writes: its parts cannot unfold to more than the file.

    And only names that tensors need: weights_only executes nothing, but it knows others, bytearray(2**32) among them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            whole = sum(part.file_size for part in parts) <= path.stat().st_size
            if not whole or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
                raise damaged(path, "is compressed, which torch.save's files are not")
            pickles = [part for part in parts if part.filename.endswith(".pkl")]
            if sum(part.file_size for part in pickles) > LARGEST_PICKLE:
                raise damaged(path, f"has more than {LARGEST_PICKLE} bytes beside its tensors")
            names = {name for part in pickles for name in _names(archive.read(part))}
    except ArchiveError:
        raise
    except Exception as error:  # BadZipFile, ValueError of no pickle, and others for archives made to confuse
        raise damaged(path, f"is no file of torch.save since PyTorch 1.6 ({_first_line(error)})") from None
    foreign = sorted(name for name in names if name not in _TENSORS and not _STORAGES.fullmatch(name))
    if foreign:
        raise _more_than_tensors(path, foreign[0][:80])


LARGEST_PICKLE = 2**24  # bytes
_TENSORS = {
    *("collections OrderedDict", "collections Counter", "torch Size", "torch device", "torch.storage UntypedStorage"),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._tensor _rebuild_from_type_v2"),
}
_STORAGES = re.compile(r"torch (\w+Storage|u?int\d+|b?float\d+\w*|bool)")  # and types


def _names(data: bytes) -> Iterable[str]:
    """The globals of a pickle, "module name"; none is looked up."""
    for code, argument, _ in pickletools.genops(data):
        if code.name in ("GLOBAL", "INST"):
            yield str(argument)
        elif code.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            yield f"a name by {code.name}, of a pickle_protocol above 2"


def _more_than_tensors(path: object, found: str) -> ArchiveError:
    remedy = "save module.state_dict() again, of plain tensors, if you trust its origin"
    return ArchiveError(f"{path}: holds more than tensors ({found}); {remedy}.", obj=str(path), attr="file")


def _entry(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = state.get(key)
    if not isinstance(found, Mapping):
        known = ", ".join(str(name)[:30] for name in list(state)[:8])
        raise refuse("model", "key", repr(key)[:60], "the name of a state dict within", f"there are {known}")
    return found


def _first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [""])[0][:120]
    return "".join(c for c in line if c.isprintable()) or type(error).__name__


# The description --------------------------------------------------------------------------------


def _description(layers: Layers, metadata: Mapping[str, str]) -> tuple[Sequence[Mapping[str, Any]], Any]:
    """The list of layers, and the input_shape beside it."""
    document: Any = layers
    if layers is None:
        if "layers" not in metadata:
            limit = "given, for this file's metadata do not hold them"
            raise refuse("model", "layers", None, limit, 'pass layers=[{"type": "linear", "name": "fc1"}, ...]')
        document = _json("metadata", metadata["layers"])
        if "input_shape" in metadata and isinstance(document, list):
            document = {"layers": document, "input_shape": _json("metadata", metadata["input_shape"])}
    elif isinstance(layers, str | os.PathLike):
        place = Path(layers)
        if not place.is_file():
            raise FileNotFoundError(f"{layers}: no such file")
        if place.stat().st_size > LARGEST_DESCRIPTION:
            raise damaged(place, f"has more than {LARGEST_DESCRIPTION} bytes, too long for a description of layers")
        document = _json(place, place.read_bytes())
    shape = None
    if isinstance(document, Mapping) and set(document) <= {"layers", "input_shape"}:
        document, shape = document.get("layers"), document.get("input_shape")
    if not isinstance(document, Sequence) or isinstance(document, str) or not 0 < len(document) <= MOST_LAYERS:
        found = f"a list of {len(document)}" if isinstance(document, list) else type(document).__name__
        raise refuse(
            "model", "layers", found, f"a list of 1 to {MOST_LAYERS} layers", 'use for example [{"type": "linear", "name": "fc1"}]'
        )
    return document, shape


def _json(place: object, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(place, f"holds no JSON description of layers ({_first_line(error)})") from None


class _Tensors:
    """A state dict that knows which of its tensors were used."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state, self.used = state, set[str]()
        for name, value in state.items():
            if not isinstance(name, str) or not hasattr(value, "shape"):
                remedy = f"pass key={name!r} if that is the state dict" if isinstance(value, Mapping) else "use module.state_dict()"
                raise refuse("model", "state", f"{type(value).__name__} at {str(name)[:60]!r}", "tensors by name", remedy)

    def take(self, name: str, whole: bool = False, needed: bool = True) -> np.ndarray | None:
        """A tensor as an array, or None where it is not needed and not there."""
        path, _, parameter = name.rpartition(".")
        if name not in self.state:
            if not needed:
                return None
            close = [key for key in self.state if key.rpartition(".")[2] == parameter][:8] or list(self.state)[:8]
            raise refuse(
                path or "model", parameter, "missing", f"in the state dict as {name!r}", f"there are {', '.join(close)[:160] or 'none'}"
            )
        self.used.add(name)
        return array_of(path or "model", parameter, self.state[name], whole)

    def finish(self, chain: Chain, ignore: Iterable[str]) -> None:
        """Refuse what was left over."""
        for name in [ignore] if isinstance(ignore, str) else ignore:
            if name not in self.state:
                raise refuse("model", "ignore", repr(name)[:60], "a tensor of the state dict", "leave it out")
            path, _, parameter = name.rpartition(".")
            chain.note(path, parameter, "ignored", "as the caller says")
            self.used.add(name)
        left = [name for name in self.state if name not in self.used]
        if left:
            found = f"{', '.join(left[:4])[:120]}{' ...' if len(left) > 4 else ''} left over"
            raise refuse("model", "layers", found, "using every tensor", "add the layers, or pass ignore=[names]")


_POOLING = ("kernel", "stride", "padding")
_SPIKING = ("decay", "threshold", "current_decay", "reset_by", "gain", "offset")  # numbers, or names of tensors
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # type -> (needed, possible)
    "linear": (("name",), ("standardised",)),
    "conv2d": (("name",), ("stride", "padding", "dilation", "groups", "standardised")),
    "batchnorm": (("name",), ("eps",)),
    "avgpool": (("kernel",), ("name", *_POOLING[1:])),
    "sumpool": (("kernel",), ("name", *_POOLING[1:])),
    "flatten": ((), ("name",)),
    "dropout": ((), ("name",)),
    "lif": (("decay",), ("name", *_SPIKING[1:], "reset", "comparison", "feedback", "trace_decay")),
    "li": (("decay",), ("name", "gain", "offset")),
    **dict.fromkeys(("leaky", "rleaky", "synaptic", "rsynaptic"), (("name",), ("reset", "reset_delay"))),
}


class _Reader:
    def __init__(self, chain: Chain, tensors: _Tensors, inexact: bool) -> None:
        self.chain, self.tensors, self.inexact = chain, tensors, inexact
        pool, snntorch = self.pool, self.snntorch
        self.handlers: dict[str, Callable[[str, dict[str, Any]], None]] = {
            "linear": self.linear,
            "conv2d": self.convolution,
            "batchnorm": self.batch_norm,
            "avgpool": pool,
            "sumpool": pool,
            "flatten": lambda path, layer: self.chain.flatten(path),
            "dropout": lambda path, layer: self.chain.note(path, "dropout", "ignored", "without effect when it runs"),
            "lif": self.spiking,
            "li": self.integrating,
            **dict.fromkeys(("leaky", "rleaky", "synaptic", "rsynaptic"), snntorch),
        }

    def layer(self, place: str, layer: Any) -> None:
        if not isinstance(layer, Mapping):
            raise refuse(place, "layer", repr(layer)[:60], "a dict", 'use for example {"type": "linear", "name": "fc1"}')
        kind = layer.get("type")
        if not isinstance(kind, str) or kind not in _KEYS:
            raise refuse(place, "type", repr(kind)[:60], f"one of {', '.join(_KEYS)}", "check the spelling")
        needed, possible = _KEYS[kind]
        for key in layer:
            if key != "type" and key not in needed + possible:
                limit = f"a key of {kind}: {', '.join(needed + possible) or 'none'}"
                raise refuse(place, "key", repr(key)[:60], limit, "check the spelling")
        for key in needed:
            if key not in layer:
                raise refuse(place, key, "missing", f"given for {kind}", f"add {key!r}")
        name = layer.get("name", place)
        if not isinstance(name, str) or not name:
            raise refuse(place, "name", repr(name)[:60], "a text", "take the prefix of the layer's tensors")
        self.handlers[kind](name, dict(layer))

    # Maps -------------------------------------------------------------------------------------
    def arrays(self, path: str) -> tuple[np.ndarray, np.ndarray | None]:
        weight, bias = self.tensors.take(f"{path}.weight"), self.tensors.take(f"{path}.bias", needed=False)
        assert weight is not None
        for name in ("weight",) if bias is None else ("weight", "bias"):
            self.chain.note(path, name, "kept")
        return weight, bias

    def linear(self, path: str, layer: dict[str, Any]) -> None:
        self.chain.dense(path, *self.arrays(path), _standardised(path, layer))

    def convolution(self, path: str, layer: dict[str, Any]) -> None:
        options = {key: layer[key] for key in ("stride", "padding", "dilation", "groups") if key in layer}
        self.chain.convolution(path, *self.arrays(path), **options, standardised=_standardised(path, layer))

    def batch_norm(self, path: str, layer: dict[str, Any]) -> None:
        mean, variance = self.tensors.take(f"{path}.running_mean"), self.tensors.take(f"{path}.running_var")
        gain, shift = self.tensors.take(f"{path}.weight", needed=False), self.tensors.take(f"{path}.bias", needed=False)
        assert mean is not None
        assert variance is not None
        self.chain.batch_norm(path, mean, variance, layer.get("eps", 1e-5), gain, shift)
        if self.tensors.take(f"{path}.num_batches_tracked", whole=True, needed=False) is not None:
            self.chain.note(path, "num_batches_tracked", "ignored", "of training")

    def pool(self, path: str, layer: dict[str, Any]) -> None:
        scale = 1.0 if layer["type"] == "sumpool" else None
        self.chain.pool(path, layer["kernel"], layer.get("stride"), layer.get("padding", 0), scale)

    # Neurons ----------------------------------------------------------------------------------
    def number(self, path: str, name: str, value: Any) -> Any:
        """A number, a list of them or the tensor of a name."""
        if not isinstance(value, str):
            self.chain.note(path, name, "added", "of the description")
            return value
        owner, _, parameter = value.rpartition(".")
        self.chain.note(owner, parameter, "kept", f"as {name} of {path}")
        return self.tensors.take(value, whole=True)

    def spiking(self, path: str, layer: dict[str, Any]) -> None:
        numbers: dict[str, Any] = {"threshold": 1.0}
        numbers |= {name: self.number(path, name, layer[name]) for name in (*_SPIKING, "feedback") if name in layer}
        numbers |= {name: layer[name] for name in ("reset", "comparison", "trace_decay") if name in layer}
        self.chain.spiking(Spiking(path, **numbers))

    def integrating(self, path: str, layer: dict[str, Any]) -> None:
        self.chain.integrating(Integrating(path, **{n: self.number(path, n, layer[n]) for n in ("decay", "gain", "offset") if n in layer}))

    def snntorch(self, path: str, layer: dict[str, Any]) -> None:
        kind: Any = {"leaky": "Leaky", "rleaky": "RLeaky", "synaptic": "Synaptic", "rsynaptic": "RSynaptic"}[layer["type"]]
        delay = layer.get("reset_delay", True)
        if not isinstance(delay, bool):
            raise refuse(path, "reset_delay", repr(delay)[:60], "true or false", "take that of the layer")
        take = self.tensors.take
        recurrent: dict[str, Any] = {}
        if kind in ("RLeaky", "RSynaptic"):
            recurrent["v"] = take(f"{path}.V", whole=True, needed=False)
            if recurrent["v"] is None:
                recurrent |= {"weight": take(f"{path}.recurrent.weight"), "bias": take(f"{path}.recurrent.bias", needed=False)}
            elif take(f"{path}.recurrent.V", whole=True, needed=False) is not None:
                self.chain.note(path, "recurrent.V", "kept", "which is V")
        reset = self.reset_of(path, layer)
        beta, threshold = take(f"{path}.beta", whole=True), take(f"{path}.threshold", whole=True)
        alpha = take(f"{path}.alpha", whole=True) if kind.endswith("Synaptic") else None
        factor = take(f"{path}.graded_spikes_factor", whole=True, needed=False)
        neuron = SnnTorchNeuron(path, kind, beta, threshold, alpha, reset, delay, factor, **recurrent)
        carry(self.chain, neuron, self.inexact)

    def reset_of(self, path: str, layer: dict[str, Any]) -> str:
        """The reset mechanism, of the file or of the description."""
        stored = self.tensors.take(f"{path}.reset_mechanism_val", whole=True, needed=False)
        if stored is None:
            return layer.get("reset", "subtract")
        if stored.size != 1 or stored.reshape(()) not in range(len(RESETS)):
            raise refuse(path, "reset_mechanism_val", str(stored)[:60], "0, 1 or 2", "save it again")
        reset = RESETS[int(stored.reshape(()))]
        if layer.get("reset", reset) != reset:
            raise refuse(path, "reset", repr(layer["reset"])[:60], f"{reset!r}, as the file has it", "leave it out")
        self.chain.note(path, "reset_mechanism_val", "kept", reset)
        return reset


def _standardised(path: str, layer: dict[str, Any]) -> Standardised | None:
    given = layer.get("standardised")
    if given is None:
        return None
    try:
        return Standardised(**given)
    except (TypeError, TpLavaError) as error:
        limit = 'a dict of "eps", "gain", "unbiased" and "eps_in"'
        raise refuse(path, "standardised", repr(given)[:60], limit, _first_line(error)) from None
