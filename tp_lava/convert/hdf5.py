"""HDF5 files of unknown origin (.nir, .net), read into memory whole. h5py reads them; this module bounds what it is asked to do.

The HDF5 library follows links out of the file and groups that contain themselves, allocates whatever a dataset or a text claims
to need, and never returns from a damaged heap of text (2.0.0). So links, datasets of other files, object references and types
that are no numbers or text are refused, sizes are limited, and heaps are checked before h5py reads a text.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.convert.values import LARGEST_ARRAY
from tp_lava.errors import ArchiveError

LARGEST_FILE = 2**30  # elements of all arrays together
MOST_OBJECTS = 100_000
DEEPEST = 32  # groups within groups
_DEFLATED = 1100  # bytes that one stored byte can become at most
_UNSTORED = 2**20  # bytes of fill values that need not be stored
_REFERENCE = 16  # bytes of a reference to a text: its length, and where it is
_HEAP = b"GCOL\1\0\0\0"
HDF5_EXTRA = "pip install 'tp-lava[hdf5]'"

Tree = Mapping[str, Any]  # name -> Tree, array, or str


def read_tree(path: str | os.PathLike) -> Tree:
    """A file's groups as dicts, its datasets as arrays (text as str). Raises FileNotFoundError, ArchiveError."""
    try:
        import h5py
    except ImportError:
        raise ArchiveError(f"{path}: is an HDF5 file, which needs h5py; {HDF5_EXTRA}.", obj=str(path), attr="file") from None
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            if file.id.get_create_plist().get_sizes()[1] != 8:
                raise damaged(path, "has lengths of other than 8 bytes")
            _check_heaps(path)
            return _Reader(str(path)).group(file, "", ())
    except ArchiveError:
        raise
    except Exception as error:  # h5py raises whatever the HDF5 library fails with, RuntimeError and MemoryError too
        raise damaged(path, f"cannot be read as HDF5 ({error})") from None


def damaged(path: object, problem: str) -> ArchiveError:
    """The error for a file that is not what it should be; the caller raises it."""
    return ArchiveError(f"{path}: {problem}; it may be truncated or of another program, save it again.", obj=str(path), attr="file")


def _check_heaps(path: str | os.PathLike) -> None:
    """Refuse a global heap (where text of variable length lies) whose objects do not fill it one after the other.

    From an object of free space with size 0 the HDF5 library never advances. Layout: HDF5 file format, III.E.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_HEAP)
        while start >= 0:
            end = start + struct.unpack_from("<Q", content, start + 8)[0] if start + 16 <= len(content) else 0
            place = start + 16
            if not place <= end <= len(content):
                raise damaged(path, "has a heap that does not end within the file")
            while place + 16 <= end:  # what is left at the end may be too short for an object
                index, _, size = struct.unpack_from("<HHxxxxQ", content, place)
                place += 16 + -(-size // 8) * 8 if index else size
                if (not index and size < 16) or place > end:
                    raise damaged(path, "has a heap whose objects do not fill it")
            start = content.find(_HEAP, start + 8)


class _Reader:
    def __init__(self, path: str) -> None:
        self.path, self.objects, self.elements = path, 0, 0
        self.file_size = os.path.getsize(path)

    def group(self, group: Any, place: str, above: tuple[Any, ...]) -> dict[str, Any]:
        import h5py

        if len(above) > DEEPEST or any(group.id == other.id for other in above):
            raise damaged(self.path, f"{place or '/'} contains itself, or more than {DEEPEST} groups within each other")
        tree: dict[str, Any] = {}
        for name in group:
            path = f"{place}/{name}"
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise damaged(self.path, f"holds more than {MOST_OBJECTS} objects")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise damaged(self.path, f"{path} is a link, and only what lies in the file itself is read")
            item = group[name]
            if isinstance(item, h5py.Group):
                tree[name] = self.group(item, path, (*above, group))
            elif isinstance(item, h5py.Dataset):
                tree[name] = self.dataset(item, path)
            else:
                raise damaged(self.path, f"{path} is neither a group nor a dataset")
        return tree

    def dataset(self, item: Any, path: str) -> Any:
        import h5py

        if item.is_virtual or item.external:
            raise damaged(self.path, f"{path} lies in other files")
        text = h5py.check_string_dtype(item.dtype) is not None
        if not text and item.dtype.kind not in "iufb":
            raise damaged(self.path, f"{path} holds {item.dtype}, not numbers or text")
        self.check_size(item, path)
        if text and item.dtype.kind == "O":
            self.check_lengths(item, path)
        value = item[()]
        if not text:
            return np.asarray(value)
        return _text(value) if np.ndim(value) == 0 else [_text(v) for v in np.ravel(value)]

    def check_size(self, item: Any, path: str) -> None:
        """Refuse what claims more elements than are read, or than the bytes in the file can become."""
        size = int(item.size or 0)
        self.elements += size
        if size > LARGEST_ARRAY or self.elements > LARGEST_FILE:
            limit = f"{LARGEST_ARRAY} elements an array and {LARGEST_FILE} in all can be read"
            raise damaged(self.path, f"{path} has shape {item.shape}, but {limit}")
        stored = min(item.id.get_storage_size(), self.file_size)
        if size * item.dtype.itemsize > _UNSTORED + _DEFLATED * stored:
            raise damaged(self.path, f"{path} has shape {item.shape}, but only {stored} bytes of it are in the file")

    def check_lengths(self, item: Any, path: str) -> None:
        """Refuse texts that claim to be longer than the file: the library allocates what is claimed before it reads."""
        offset, size = item.id.get_offset(), item.id.get_storage_size()
        if offset is None:
            return
        with open(self.path, "rb") as file:
            file.seek(offset)
            claims = np.frombuffer(file.read(size)[: size // _REFERENCE * _REFERENCE], f"<u4, V{_REFERENCE - 4}")["f0"]
        if claims.max(initial=0) > self.file_size:
            raise damaged(self.path, f"{path} claims a text of {claims.max()} characters")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
