"""Global heaps of HDF5: where text and arrays of variable length lie. Read here, for the HDF5 library allocates what a reference claims.

A dataset of variable length holds references of 16 bytes: length (u4), address of a heap (u8), number of the object in it (u4). A heap:
16 bytes ("GCOL", version, size), then objects of number (u2), count (u2), 4 bytes, size (u8) and content, padded to 8 bytes; the object of
number 0 is the free space. Layout: HDF5 file format specification, III.E.
"""

from __future__ import annotations

import mmap
import os
import struct

import numpy as np

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
