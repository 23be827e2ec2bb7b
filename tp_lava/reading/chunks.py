"""Where HDF5 keeps data, read here: chunks of datasets, and global heaps, where text and arrays of variable length lie.

The HDF5 library unpacks a chunk to whatever it holds, however small the dataset is, and allocates what a reference into a heap claims.

A dataset of variable length holds references of 16 bytes: length (u4), address of a heap (u8), number of the object in it (u4). A heap:
16 bytes ("GCOL", version, size), then objects of number (u2), count (u2), 4 bytes, size (u8) and content, padded to 8 bytes; the object of
number 0 is the free space. Layout: HDF5 file format specification, III.E.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
import struct
import zlib
from typing import Any

import numpy as np

from tp_lava.reading import limits
from tp_lava.reading.limits import damaged

REFERENCE = np.dtype([("count", "<u4"), ("heap", "<u8"), ("number", "<u4")])
_HEAP = b"GCOL\1\0\0\0"


class Heaps:
    """The heaps of an open file. content: of the whole file."""

    def __init__(self, path: str | os.PathLike, content: mmap.mmap) -> None:
        self.path, self.content = path, content
        self._found: dict[int, dict[int, tuple[int, int]]] = {}

    def check_all(self) -> None:
        """Refuse a heap whose objects do not fill it: from free space of size 0 the HDF5 library never advances (2.0.0)."""
        start = self.content.find(_HEAP)
        while start >= 0:
            self._objects(start)
            start = self.content.find(_HEAP, start + 8)

    def values(self, references: np.ndarray, dtype: np.dtype, place: str) -> list[np.ndarray]:
        """The array that each of the references (N,) means. Together they cannot be larger than the file."""
        claimed = int(references["count"].sum(dtype=np.uint64)) * dtype.itemsize
        if claimed > len(self.content):
            raise damaged(self.path, f"{place} claims {claimed} bytes, and the file has {len(self.content)}")
        return [self._value(count, heap, number, dtype, place) for count, heap, number in references.tolist()]

    def _value(self, count: int, heap: int, number: int, dtype: np.dtype, place: str) -> np.ndarray:
        if not count:
            return np.zeros(0, dtype)
        if heap not in self._found and self.content[heap : heap + 8] != _HEAP:
            raise damaged(self.path, f"{place} lies in a heap at byte {heap}, where there is none")
        start, size = self._objects(heap).get(number, (0, -1))
        if count * dtype.itemsize > size:
            raise damaged(self.path, f"{place} claims {count} values, and {max(size, 0)} bytes of them are in the file")
        return np.frombuffer(self.content[start : start + count * dtype.itemsize], dtype)

    def _objects(self, start: int) -> dict[int, tuple[int, int]]:
        """number -> (first byte, size) of the objects of the heap that begins there."""
        if start not in self._found:
            self._found[start] = self._read(start)
        return self._found[start]

    def _read(self, start: int) -> dict[int, tuple[int, int]]:
        content, objects = self.content, dict[int, tuple[int, int]]()
        end = start + struct.unpack_from("<Q", content, start + 8)[0] if start + 16 <= len(content) else 0
        place = start + 16
        if not place <= end <= len(content):
            raise damaged(self.path, "has a heap that does not end within the file")
        while place + 16 <= end:  # what is left at the end may be too short for an object
            number, _, size = struct.unpack_from("<HHxxxxQ", content, place)
            objects[number] = place + 16, size
            place += 16 + -(-size // 8) * 8 if number else size
            if (not number and size < 16) or place > end:
                raise damaged(self.path, "has a heap whose objects do not fill it")
        return objects


_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3  # numbers of filters


def unpacked(path: str | os.PathLike, content: Any, item: Any, place: str) -> np.ndarray:
    """All elements of a chunked dataset as they are stored: of type void, in its shape.

    content: of the whole file. Raises ArchiveError for other filters than gzip, shuffle and fletcher32, and for damaged chunks.
    """
    chunk, size = item.chunks, REFERENCE.itemsize if item.dtype.kind == "O" else item.id.get_type().get_size()
    count = math.prod(-(-side // of) for side, of in zip(item.shape, chunk, strict=True))
    if count > limits.MOST_OBJECTS or math.prod(chunk) * size > limits.UNSTORED + limits.DEFLATED * len(content):
        raise damaged(
            path, f"{place} has {count} chunks of shape {chunk}, more than the file can hold", "save it with larger or smaller chunks"
        )
    filters = _filters(path, item, place)
    whole = np.zeros(item.shape, f"V{size}")
    if item.dtype.kind != "O" and item.dtype.itemsize == size:
        whole[...] = np.full(1, item.fillvalue, item.dtype).view(whole.dtype)
    for corner, mask, begin, length in _chunks(path, item, count, place):
        if (
            begin is None
            or begin + length > len(content)
            or any(c % of or c >= s for c, of, s in zip(corner, chunk, item.shape, strict=True))
        ):
            raise damaged(path, f"{place} has a chunk at {corner} that is not in the file")
        data = content[begin : begin + length]
        for number, (filter, values) in reversed([*enumerate(filters)]):
            if not mask >> number & 1:
                data = _undone(path, data, filter, values, math.prod(chunk) * size, place)
        if len(data) != math.prod(chunk) * size:
            raise damaged(path, f"{place} has a chunk of {len(data)} bytes, not {math.prod(chunk) * size}")
        inside = tuple(slice(0, min(of, side - c)) for c, of, side in zip(corner, chunk, item.shape, strict=True))
        outside = tuple(slice(c, c + part.stop) for c, part in zip(corner, inside, strict=True))
        whole[outside] = np.frombuffer(data, whole.dtype).reshape(chunk)[inside]
    return whole


def _filters(path: object, item: Any, place: str) -> list[tuple[int, tuple[int, ...]]]:
    made = item.id.get_create_plist()
    found = [(filter, values) for filter, _, values, _ in (made.get_filter(number) for number in range(made.get_nfilters()))]
    foreign = [filter for filter, _ in found if filter not in (_DEFLATE, _SHUFFLE, _FLETCHER32)]
    if foreign:
        raise damaged(
            path, f"{place} is packed by the HDF5 filter {foreign[0]}, and gzip, shuffle and fletcher32 are read", "save it with gzip"
        )
    return found


def _chunks(path: object, item: Any, most: int, place: str) -> list[tuple[tuple[int, ...], int, int | None, int]]:
    """(first element, mask of filters left out, first byte, bytes) of each chunk that is stored."""
    found: list[tuple[tuple[int, ...], int, int | None, int]] = []

    def keep(info: Any) -> bool | None:
        found.append((tuple(info.chunk_offset), info.filter_mask, info.byte_offset, info.size))
        return True if len(found) > most else None

    if hasattr(item.id, "chunk_iter"):
        item.id.chunk_iter(keep)
    else:  # an HDF5 library before 1.12.3
        for number in itertools.takewhile(lambda _: len(found) <= most, range(item.id.get_num_chunks())):
            keep(item.id.get_chunk_info(number))
    if len(found) > most:
        raise damaged(path, f"{place} has more than its {most} chunks")
    return found


def _undone(path: object, data: bytes, filter: int, values: tuple[int, ...], size: int, place: str) -> bytes:
    """The bytes before a filter was applied; size: of a whole chunk."""
    if filter == _DEFLATE:
        unpacking = zlib.decompressobj()
        found = unpacking.decompress(data, size + 5)  # a checksum of four bytes may follow, and what is more is damage
        if not unpacking.eof:
            raise damaged(path, f"{place} has a chunk that is not {size} bytes of gzip")
        return found
    if filter == _FLETCHER32:
        if len(data) < 4 or _fletcher32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise damaged(path, f"{place} has a chunk whose checksum is wrong")
        return data[:-4]
    width = values[0] if values else 1
    if not 1 <= width <= max(len(data), 1):
        raise damaged(path, f"{place} is shuffled by {width} bytes")
    whole = len(data) // width * width
    return np.frombuffer(data[:whole], np.uint8).reshape(width, -1).T.tobytes() + data[whole:]


def _fletcher32(data: bytes) -> int:
    """Fletcher's checksum as HDF5 has it: of 16-bit words, high byte first, both sums modulo 65535, of which 0 is written 65535."""
    words = np.frombuffer(data + bytes(len(data) % 2), ">u2").astype(np.int64)
    low = high = 0
    for begin in range(0, len(words), 2**15):  # short enough that no sum overflows
        part = words[begin : begin + 2**15]
        high = (high + len(part) * low + int((part * np.arange(len(part), 0, -1)).sum())) % 65535
        low = (low + int(part.sum())) % 65535
    return (high or 65535) << 16 | (low or 65535)
