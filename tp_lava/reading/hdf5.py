"""HDF5 files of unknown origin (.nir, .net, .h5). h5py reads them; this module bounds what it is asked to do.

The HDF5 library follows links out of the file and groups that contain themselves, allocates whatever a dataset, a chunk or a text claims
to need, and never returns from a damaged heap of text (2.0.0). So links, datasets of other files, object references and types
that are no numbers or text are refused, sizes are limited, heaps are checked before h5py reads a text, and chunks and arrays of variable
length are unpacked here.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.errors import ArchiveError, FormatUnavailableError
from tp_lava.reading import limits
from tp_lava.reading.chunks import REFERENCE, Heaps, unpacked
from tp_lava.reading.limits import damaged, first_line
from tp_lava.reading.structure import Structure

HDF5_EXTRA = 'pip install "tp-lava[hdf5]"'

Tree = Mapping[str, Any]  # name -> Tree, array, or str


def read_tree(path: str | os.PathLike) -> Tree:
    """A file's groups as dicts, its datasets as arrays (text as str).

    Raises FileNotFoundError, FormatUnavailableError, ArchiveError.
    """
    with opened(path) as file:
        return file.tree()


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[HDF5File]:
    """The file, open to be read; whatever h5py raises within the block is an ArchiveError.

    Raises FileNotFoundError, FormatUnavailableError, ArchiveError.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        import h5py
    except ImportError:
        raise FormatUnavailableError(f"{path}: is an HDF5 file, which needs h5py; {HDF5_EXTRA}.", obj="h5py", attr="import") from None
    with open(path, "rb") as raw:
        try:
            with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
                structure, heaps = Structure(path, content), Heaps(path, content)
                structure.check()
                heaps.check_all()
                with h5py.File(path, "r") as file:
                    if file.id.get_create_plist().get_sizes() != (8, 8):
                        raise damaged(path, "has addresses or lengths of other than 8 bytes")
                    yield HDF5File(path, file, content, heaps, structure)
        except ArchiveError:
            raise
        except Exception as error:  # h5py raises whatever the HDF5 library fails with, RuntimeError and MemoryError too
            raise damaged(path, f"cannot be read as HDF5 ({first_line(error)})") from None


class HDF5File:
    """An open file; see `opened`. Each dataset that is read counts towards the limits of the file."""

    def __init__(self, path: str | os.PathLike, file: Any, content: mmap.mmap, heaps: Heaps, structure: Structure) -> None:
        self.path, self.file, self.content, self.heaps, self.structure = path, file, content, heaps, structure
        self.objects, self.elements = 0, 0

    # By name ----------------------------------------------------------------------------------
    def __contains__(self, place: str) -> bool:
        group, parts = self.file, place.split("/")
        return all((group := self._child(group, part, place)) is not None for part in parts)

    def numbers(self, place: str) -> np.ndarray:
        """The array of numbers there, for example "extra/steps"."""
        item = self._dataset(place)
        if item.dtype.kind not in "iufb":
            raise damaged(self.path, f"{place} holds {item.dtype}, not numbers")
        return self.dataset(item, place)

    def texts(self, place: str) -> list[str]:
        """The texts of a dataset (n,) of them."""
        item = self._dataset(place)
        found = self.dataset(item, place)
        if not isinstance(found, list) or len(item.shape) != 1:
            raise damaged(self.path, f"{place} holds {item.dtype} of shape {item.shape}, not a list of texts")
        return found

    def ragged(self, place: str) -> list[np.ndarray]:
        """The arrays of variable length there, which must be a dataset (N,) of them."""
        import h5py

        item = self._dataset(place)
        base = h5py.check_vlen_dtype(item.dtype)
        if base is None or base.kind not in "iuf" or len(item.shape) != 1:
            found = f"{item.dtype if base is None else base} of shape {item.shape}"
            raise damaged(self.path, f"{place} holds {found}, not a list of arrays of numbers")
        if not h5py.h5t.py_create(base).equal(item.id.get_type().get_super()):
            raise damaged(self.path, f"{place} holds numbers of a type that NumPy has not", "save it as float32 or uint16")
        self.check_size(item, place)
        references = self._references(item, place)
        self.count(int(references["count"].sum(dtype=np.uint64)), place)
        return self.heaps.values(references.ravel(), base, place)

    def attribute(self, name: str) -> float | None:
        """The number of that name in the file's attributes."""
        if name not in self.file.attrs:
            return None
        held = self.file.attrs.get_id(name)
        if held.dtype.kind not in "iuf" or held.shape not in ((), (1,)):
            raise damaged(self.path, f"has an attribute {name} of {held.dtype} {held.shape}, not a number")
        value = np.asarray(self.file.attrs[name]).ravel()[0]
        real = float(value)  # of a long double too, which may be 0 or infinite as a float
        return int(value) if held.dtype.kind in "iu" or real.is_integer() else real

    def _dataset(self, place: str) -> Any:
        import h5py

        item = self.file
        for part in place.split("/"):
            item = self._child(item, part, place)
            if item is None:
                raise damaged(self.path, f"has no {place}", "write it, or convert the file")
        if not isinstance(item, h5py.Dataset):
            raise damaged(self.path, f"{place} is no dataset")
        return item

    def _child(self, group: Any, name: str, place: str) -> Any:
        """What lies in the group under that name, if anything does; links are refused."""
        import h5py

        if not isinstance(group, h5py.Group) or name not in group:
            return None
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise damaged(self.path, f"{place} is a link, and only what lies in the file itself is read", "copy what it leads to")
        self.structure.check_object(
            group.id.links.get_info(name.encode(errors="surrogateescape")).u
        )  # not yet done in groups of the newer kind
        return group[name]

    # The whole of it --------------------------------------------------------------------------
    def tree(self) -> Tree:
        """See read_tree."""
        return self._group(self.file, "", ())

    def _group(self, group: Any, place: str, above: tuple[Any, ...]) -> dict[str, Any]:
        import h5py

        if len(above) > limits.DEEPEST or any(group.id == other.id for other in above):
            raise damaged(self.path, f"{place or '/'} contains itself, or more than {limits.DEEPEST} groups within each other")
        tree: dict[str, Any] = {}
        for name in group:
            path = f"{place}/{name}"
            self.objects += 1
            if self.objects > limits.MOST_OBJECTS:
                raise damaged(self.path, f"holds more than {limits.MOST_OBJECTS} objects")
            item = self._child(group, name, path)
            if isinstance(item, h5py.Group):
                tree[name] = self._group(item, path, (*above, group))
            elif isinstance(item, h5py.Dataset):
                tree[name] = self.dataset(item, path)
            else:
                raise damaged(self.path, f"{path} is neither a group nor a dataset")
        return tree

    # Datasets ---------------------------------------------------------------------------------
    def dataset(self, item: Any, path: str) -> Any:
        """The array, or text, that a dataset holds."""
        import h5py

        if item.is_virtual or item.external:
            raise damaged(self.path, f"{path} lies in other files", "copy what lies there")
        text = h5py.check_string_dtype(item.dtype) is not None
        if not text and item.dtype.kind not in "iufb":
            raise damaged(self.path, f"{path} holds {item.dtype}, not numbers or text")
        self.check_size(item, path)
        if text and item.dtype.kind == "O":
            self._check_lengths(item, path)
        if item.chunks is not None:
            raw = unpacked(self.path, self.content, item, path)  # also where h5py reads: chunks that are too large do not come through
            plain = not text and h5py.h5t.py_create(item.dtype).equal(item.id.get_type())  # the bytes are those of the NumPy type
            if plain and raw.dtype.itemsize == item.dtype.itemsize:
                return raw.view(item.dtype)
        value = item[()]
        if not text:
            return np.asarray(value)
        return _text(value) if np.ndim(value) == 0 else [_text(v) for v in np.ravel(value)]

    def check_size(self, item: Any, path: str) -> None:
        """Refuse what claims more elements than are read, or than the bytes in the file can become."""
        size = int(item.size or 0)
        if size > limits.LARGEST_ARRAY:
            raise damaged(
                self.path, f"{path} has shape {item.shape}, but {limits.LARGEST_ARRAY} elements an array can be read", "split the file"
            )
        self.count(size, path)
        stored = min(item.id.get_storage_size(), len(self.content))
        if size * item.dtype.itemsize > limits.UNSTORED + limits.DEFLATED * stored:
            raise damaged(self.path, f"{path} has shape {item.shape}, but only {stored} bytes of it are in the file")

    def count(self, elements: int, path: str) -> None:
        """Elements that are read together."""
        self.elements += elements
        if self.elements > limits.LARGEST_FILE:
            raise damaged(self.path, f"{path} is beyond the {limits.LARGEST_FILE} elements of a file that are read", "split the file")

    def _references(self, item: Any, path: str) -> np.ndarray:
        """Where the texts or arrays of a dataset of variable length lie: REFERENCE, in the dataset's shape."""
        if item.chunks is not None:
            return unpacked(self.path, self.content, item, path).view(REFERENCE)
        offset, size = item.id.get_offset(), int(item.size or 0)
        if offset is None:
            if item.id.get_storage_size():
                raise damaged(
                    self.path, f"{path} is stored in its own header, where lengths cannot be checked", "save it with h5py's defaults"
                )
            return np.zeros(item.shape, REFERENCE)  # nothing was written
        data = self.content[offset : offset + size * REFERENCE.itemsize]
        if len(data) != size * REFERENCE.itemsize:
            raise damaged(self.path, f"{path} does not end within the file")
        return np.frombuffer(data, REFERENCE).reshape(item.shape)

    def _check_lengths(self, item: Any, path: str) -> None:
        """Refuse texts that claim to be longer than the file: the library allocates what is claimed before it reads."""
        claims = self._references(item, path)["count"]
        if claims.max(initial=0) > len(self.content):
            raise damaged(self.path, f"{path} claims a text of {claims.max()} characters")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
