"""State dicts with a description of the layers: tensors in memory, .pt files and .safetensors files.

The description is a list of dicts, as JSON holds them, one for each layer in the order of use:

    {"type": "linear", "name": "fc1"}                       fc1.weight (n_out, n_in), fc1.bias if there is one
    {"type": "conv2d", "name": "c1"}                        stride 1, padding 0 (or "same", "valid"), dilation 1, groups 1
    {"type": "batchnorm", "name": "bn1"}                    eps 1e-5; folded into the layer before
    {"type": "avgpool", "kernel": 2}                        stride: the kernel, padding 0; sumpool; maxpool, of spikes
    {"type": "adaptiveavgpool", "output": [3, 3]}           height and width after it; adaptivemaxpool, of spikes
    {"type": "flatten"}, {"type": "dropout"}                nothing
    {"type": "lif", "decay": 0.9}                           threshold 1, current_decay 0, reset "subtract", reset_by, comparison
                                                            ">=", gain 1, offset 0, feedback, trace_decay, bias_to: see
                                                            stages.Spiking
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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.layers import NUMBERS, SNNTORCH, LayerReader, Tensors
from tp_lava.convert.stages import Source
from tp_lava.convert.values import refuse
from tp_lava.errors import ArchiveError
from tp_lava.reading.limits import damaged, first_line

LARGEST_DESCRIPTION = 2**20  # bytes
MOST_LAYERS = 1000
_EXAMPLE = 'use for example layers=[{"type": "linear", "name": "fc1"}]'

_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # type -> (needed, possible)
    "linear": (("name",), ("standardised",)),
    "conv2d": (("name",), ("stride", "padding", "dilation", "groups", "standardised")),
    "batchnorm": (("name",), ("eps",)),
    "avgpool": (("kernel",), ("name", "stride", "padding")),
    "sumpool": (("kernel",), ("name", "stride", "padding")),
    "maxpool": (("kernel",), ("name", "stride", "padding")),
    "adaptiveavgpool": (("output",), ("name",)),
    "adaptivemaxpool": (("output",), ("name",)),
    "flatten": ((), ("name",)),
    "dropout": ((), ("name",)),
    "lif": (("decay",), ("name", *NUMBERS[1:], "reset", "comparison", "trace_decay", "bias_to")),
    "li": (("decay",), ("name", "gain", "offset")),
    **dict.fromkeys(SNNTORCH, (("name",), ("reset", "reset_delay"))),
}

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
    state dict; ignore: tensors without effect; inexact: convert snnTorch's neurons that differ from ours in rare steps.
    Raises FileNotFoundError, TorchUnavailableError, ArchiveError for files, and InvalidValueError for what does not fit:
    unknown types and keys, tensors that are missing, left over or of other shapes.
    """
    metadata: Mapping[str, str] = {}
    if isinstance(state, str | os.PathLike):
        state, metadata = read_tensors(Path(state))
    elif not isinstance(state, Mapping):
        raise refuse("model", "state", type(state).__name__, "a mapping of names to tensors, or a file", "use module.state_dict()")
    if key is not None:
        state = _entry(state, key)
    _check_tensors(state)
    described, shape_beside = _description(layers, metadata)
    input_shape = shape_beside if input_shape is None else input_shape
    if input_shape is None:
        raise refuse("model", "input_shape", None, "given, here or beside the layers", "pass for example input_shape=(2, 34, 34)")
    reader = LayerReader(SourceBuilder("state dict", input_shape), Tensors(state), inexact)
    for number, layer in enumerate(described):
        kind, path, options = _checked(f"layers[{number}]", layer)
        reader.read(kind, path, **options)
    _check_all_used(reader, [ignore] if isinstance(ignore, str) else ignore)
    return reader.builder.finish()


def _entry(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = state.get(key)
    if not isinstance(found, Mapping):
        known = ", ".join(str(name)[:30] for name in list(state)[:8])
        raise refuse("model", "key", repr(key)[:60], "the name of a state dict within", f"there are {known}")
    return found


def _check_tensors(state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if not isinstance(name, str) or not hasattr(value, "shape"):
            remedy = f"pass key={name!r} if that is the state dict" if isinstance(value, Mapping) else "use module.state_dict()"
            raise refuse("model", "state", f"{type(value).__name__} at {str(name)[:60]!r}", "tensors by name", remedy)


def _check_all_used(reader: LayerReader, ignore: Iterable[str]) -> None:
    """Refuse tensors that are neither used nor ignored."""
    state, unused = reader.tensors.state, [name for name in reader.tensors.state if name not in reader.tensors.used]
    for name in ignore:
        if name not in state:
            raise refuse("model", "ignore", repr(name)[:60], "a tensor of the state dict", "leave it out")
        path, _, parameter = name.rpartition(".")
        reader.builder.record(path, parameter, "ignored", "named in ignore")
        unused = [other for other in unused if other != name]
    if unused:
        found = f"{', '.join(unused[:4])[:120]}{' ...' if len(unused) > 4 else ''} left over"
        raise refuse("model", "layers", found, "using every tensor", "add the layers, or pass ignore=[names]")


# The description --------------------------------------------------------------------------------


def _description(layers: Layers, metadata: Mapping[str, str]) -> tuple[Sequence[Any], Any]:
    """-> (the list of layers, the input_shape beside it or None)."""
    document: Any = layers
    if layers is None:
        if "layers" not in metadata:
            raise refuse("model", "layers", None, "given, for this file's metadata do not hold them", _EXAMPLE)
        document = _json("metadata", metadata["layers"])
        if "input_shape" in metadata and isinstance(document, list):
            document = {"layers": document, "input_shape": _json("metadata", metadata["input_shape"])}
    elif isinstance(layers, str | os.PathLike):
        document = _json_file(Path(layers))
    shape = None
    if isinstance(document, Mapping) and set(document) <= {"layers", "input_shape"}:
        document, shape = document.get("layers"), document.get("input_shape")
    if not isinstance(document, Sequence) or isinstance(document, str) or not 0 < len(document) <= MOST_LAYERS:
        found = f"a list of {len(document)}" if isinstance(document, list) else type(document).__name__
        raise refuse("model", "layers", found, f"a list of 1 to {MOST_LAYERS} layers", _EXAMPLE)
    return document, shape


def _checked(place: str, layer: Any) -> tuple[str, str, dict[str, Any]]:
    """-> (type, path, options) of a layer's description. place: of it in the list."""
    if not isinstance(layer, Mapping):
        raise refuse(place, "layer", repr(layer)[:60], "a dict", _EXAMPLE)
    options = dict(layer)
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in _KEYS:
        raise refuse(place, "type", repr(kind)[:60], f"one of {', '.join(_KEYS)}", "check the spelling")
    needed, possible = _KEYS[kind]
    for key in options:
        if key not in needed + possible:
            raise refuse(place, "key", repr(key)[:60], f"a key of {kind}: {', '.join(needed + possible) or 'none'}", "check the spelling")
    for key in needed:
        if key not in options:
            raise refuse(place, key, "missing", f"given for {kind}", f"add {key!r}")
    name = options.pop("name", place)
    if not isinstance(name, str) or not name:
        raise refuse(place, "name", repr(name)[:60], "a text", "take the prefix of the layer's tensors")
    return kind, name, options


def _json_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise damaged(path, f"has more than {LARGEST_DESCRIPTION} bytes, too long for a description of layers")
    return _json(path, path.read_bytes())


def _json(place: object, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(place, f"holds no JSON description of layers ({first_line(error)})") from None


LARGEST_PICKLE = 2**24  # bytes
_OF_TENSORS = {  # the globals that a pickle of tensors needs
    *("collections OrderedDict", "collections Counter", "torch Size", "torch device", "torch.storage UntypedStorage"),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._tensor _rebuild_from_type_v2"),
}
_STORAGES = re.compile(r"torch (\w+Storage|u?int\d+|b?float\d+\w*|bool)")  # and types


# Files of tensors, read without executing anything in them: .safetensors, and what torch.save wrote ---


def read_tensors(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """-> (tensors by name, metadata) of a file. Raises FileNotFoundError, TorchUnavailableError, ArchiveError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return _safetensors(path) if path.suffix == ".safetensors" else (_torch_file(path), {})


def _safetensors(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a mapping)
    except Exception as error:  # SafetensorError, and TypeError for types that NumPy does not have
        raise damaged(path, f"cannot be read as a safetensors file of NumPy's types ({first_line(error)})") from None


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
    except Exception as error:  # UnpicklingError, RuntimeError and whatever else a hostile file makes the unpickler raise
        raise _more_than_tensors(path, first_line(error).partition(". This file")[0]) from None  # the rest says how to execute it
    if not isinstance(loaded, Mapping):
        raise damaged(path, f"holds a {type(loaded).__name__}, not a state dict")
    size = path.stat().st_size
    for name, value in loaded.items():
        if hasattr(value, "element_size") and math.prod(value.shape) * value.element_size() > size:
            raise damaged(path, f"{str(name)[:60]} has shape {tuple(value.shape)}, more than the file holds")
    return loaded


def _check_archive(path: Path) -> None:
    """Accept only the uncompressed zip that torch.save writes: its parts cannot decompress to more than the file.

    And only globals that tensors need: weights_only executes nothing, but it allows others, bytearray(2**32) among them.
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
            names = {name for part in pickles for name in _globals(archive.read(part))}
    except ArchiveError:
        raise
    except Exception as error:  # BadZipFile, ValueError of no pickle, and others for archives made to confuse
        raise damaged(path, f"is no file of torch.save since PyTorch 1.6 ({first_line(error)})") from None
    foreign = sorted(name for name in names if name not in _OF_TENSORS and not _STORAGES.fullmatch(name))
    if foreign:
        raise _more_than_tensors(path, foreign[0][:80])


def _globals(data: bytes) -> Iterable[str]:
    """The globals that a pickle names, "module name"; none is imported."""
    for code, argument, _ in pickletools.genops(data):
        if code.name in ("GLOBAL", "INST"):
            yield str(argument)
        elif code.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            yield f"a name by {code.name}, of a pickle_protocol above 2"


def _more_than_tensors(path: object, found: str) -> ArchiveError:
    remedy = "save module.state_dict() again, of plain tensors, if you trust its origin"
    return ArchiveError(f"{path}: holds more than tensors ({found}); {remedy}.", obj=str(path), attr="file")
