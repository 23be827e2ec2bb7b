"""NumPy archives (.npz) of unknown origin: arrays of numbers alone, each size checked before anything is unpacked.

np.load allocates what an array's header claims, unpacks what a zip file claims, and accepts codecs that ask for memory of their own.
So members are read here: stored or deflated ones, with a header of numbers, as many bytes as the header says.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from tp_lava.errors import ArchiveError
from tp_lava.reading import limits
from tp_lava.reading.limits import damaged, first_line

_CODECS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE = 2**18  # bytes unpacked at a time
_ENCRYPTED = 1  # bit of a member's flags


def names_of(path: str | os.PathLike) -> tuple[str, ...]:
    """Names of the arrays in an archive. Raises FileNotFoundError, ArchiveError."""
    with _opened(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


def read_arrays(path: str | os.PathLike, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """name -> array of numbers, for the names needed and those of the optional ones that are there.

    Raises FileNotFoundError; ArchiveError for a file that is no such archive, for arrays that are missing, hold anything but numbers or
    are larger than tp_lava.reading.limits allows.
    """
    with _opened(path) as archive:
        there = {name.removesuffix(".npy") for name in archive.namelist()}
        missing = [name for name in needed if name not in there]
        if missing:
            found = ", ".join(sorted(there)[:20])[:200] or "no arrays"
            raise damaged(path, f"has no {', '.join(missing)}; there are {found}", "write the arrays that are missing")
        members = {name: archive.getinfo(f"{name}.npy") for name in (*needed, *optional) if name in there}
        _check_whole(path, members)
        return {name: _array(path, archive, name, member) for name, member in members.items()}


def read_texts(path: str | os.PathLike, name: str) -> tuple[str, ...]:
    """The texts of an array (n,) of them, such as names of classes. Raises as read_arrays does."""
    with _opened(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        _check_whole(path, {name: member})
        array = _array(path, archive, name, member, "U")
        if array.ndim != 1 or len(array) > limits.MOST_CLASSES:
            raise damaged(path, f"{name} has shape {array.shape}, but must be at most {limits.MOST_CLASSES} texts", "write one a class")
        codec, size = "utf-32-be" if array.dtype.str[0] == ">" else "utf-32-le", array.dtype.itemsize
        raw = array.tobytes()  # NumPy refuses numbers that are no characters in words that do not name the file
        return tuple(raw[place : place + size].decode(codec, "replace").rstrip("\0") for place in range(0, len(raw), size))


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if len(archive.infolist()) > limits.MOST_OBJECTS:
                    raise damaged(path, f"holds {len(archive.infolist())} arrays, and at most {limits.MOST_OBJECTS} are read")
                yield archive
        except ArchiveError:
            raise
        except MemoryError:
            raise damaged(path, "needs more memory than there is", "split it, or read it on a larger machine") from None
        except Exception as error:  # BadZipFile, zlib.error, OSError, NotImplementedError, and others for archives made to confuse
            raise damaged(path, f"cannot be read as an .npz archive ({first_line(error)})") from None


def _check_whole(path: object, members: dict[str, zipfile.ZipInfo]) -> None:
    """Refuse codecs that bring their own risks, and an archive that unpacks to far more than it is."""
    size, whole = os.path.getsize(str(path)), sum(member.file_size for member in members.values())
    for name, member in members.items():
        if member.compress_type not in _CODECS or member.flag_bits & _ENCRYPTED:
            raise damaged(path, f"{name} is encrypted, or compressed by another method than deflate", "write it with np.savez_compressed")
    limit = max(limits.UNPACKED, limits.LARGEST_RATIO * size)
    if whole > limit:
        problem = f"unpacks to {whole} bytes, and at most {limit} are read from a file of {size}"
        raise damaged(path, problem, "write it with np.savez, uncompressed, if its arrays are what you expect")


def _array(path: object, archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo, kinds: str = "iufb") -> np.ndarray:
    with archive.open(member) as stream:
        shape, is_fortran, dtype, begin = _header(path, name, stream, kinds)
        size = math.prod(shape)
        if size > limits.LARGEST_ARRAY:
            raise damaged(path, f"{name} has shape {shape}, and at most {limits.LARGEST_ARRAY} elements are read", "split the file")
        if begin + size * dtype.itemsize != member.file_size:
            found = f"{name} has shape {shape} of {dtype}, but {member.file_size - begin} bytes of it are in the file"
            raise damaged(path, found)
        array = np.empty(size, dtype)
        _fill(path, name, array, stream)
    return array.reshape(shape, order="F" if is_fortran else "C")


def _header(path: object, name: str, stream: IO[bytes], kinds: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """-> shape, whether in Fortran's order, type, and the number of bytes before the data."""
    major, minor = npy.read_magic(stream)
    if (major, minor) not in ((1, 0), (2, 0)):
        raise damaged(path, f"{name} has version {major}.{minor} of NumPy's format, and 1.0 and 2.0 are read", "write it with np.savez")
    count = 2 if major == 1 else 4
    (length,) = struct.unpack("<H" if major == 1 else "<I", stream.read(count))
    if length > limits.LONGEST_HEADER:
        raise damaged(path, f"{name} has a header of {length} bytes, and at most {limits.LONGEST_HEADER} are read")
    rest = io.BytesIO(struct.pack("<I", length) + stream.read(length))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Python 2 wrote
        shape, is_fortran, dtype = npy.read_array_header_2_0(rest)
    if dtype.kind not in kinds or not dtype.itemsize:
        what = "objects, which only a pickle could restore" if dtype.hasobject else f"{dtype}".replace("\n", " ")[:80]
        wanted = "texts" if kinds == "U" else "numbers"
        raise damaged(path, f"{name} holds {what}, not {wanted}", f"write arrays of {wanted}")
    if any(side < 0 for side in shape):
        raise damaged(path, f"{name} has shape {shape}")
    return shape, is_fortran, dtype, 8 + count + length


def _fill(path: object, name: str, array: np.ndarray, stream: IO[bytes]) -> None:
    """Unpack the rest of a member into an array; the member's checksum is compared at its end."""
    into, place = array.view(np.uint8), 0
    while place < into.size:
        piece = stream.read(min(_PIECE, into.size - place))
        if not piece:
            raise damaged(path, f"{name} ends after {place} of {into.size} bytes")
        into[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
        place += len(piece)
    stream.read(1)  # nothing, but it is then that the checksum is compared
