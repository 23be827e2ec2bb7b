"""Chunks of HDF5 datasets, unpacked here: the HDF5 library unpacks a chunk to whatever it holds, however small the dataset is."""

from __future__ import annotations

import itertools
import math
import os
import zlib
from typing import Any

import numpy as np

from tp_lava.reading import limits
from tp_lava.reading.heaps import REFERENCE
from tp_lava.reading.limits import damaged

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
