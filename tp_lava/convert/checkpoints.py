"""Files of tensors, read without executing anything in them: .safetensors, and what torch.save wrote."""

from __future__ import annotations

import math
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tp_lava.errors import ArchiveError
from tp_lava.reading.limits import damaged, first_line

LARGEST_PICKLE = 2**24  # bytes
_OF_TENSORS = {  # the globals that a pickle of tensors needs
    *("collections OrderedDict", "collections Counter", "torch Size", "torch device", "torch.storage UntypedStorage"),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._tensor _rebuild_from_type_v2"),
}
_STORAGES = re.compile(r"torch (\w+Storage|u?int\d+|b?float\d+\w*|bool)")  # and types


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
