"""The structure of an HDF5 file: groups, object headers and trees, walked before the HDF5 library does.

The library follows a tree's nodes wherever they lead: in one that leads back to itself it never ends, or ends the process (2.0.0). Here
every node must be one level below the one that names it, and be named once, and all parts together are no larger than the file.
Layout: HDF5 file format specification, II, III.A to D, IV. Groups of the newer kind (link info) and chunk indices of the newer kinds
carry checksums and a depth of their own; they are left to the library.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

from tp_lava.errors import ArchiveError
from tp_lava.reading.limits import MOST_OBJECTS, damaged

_NONE = 2**64 - 1  # an address that is none
_GROUP, _CHUNKS = 0, 1  # types of trees
_LINK, _LAYOUT, _CONTINUATION, _SYMBOLS = 0x06, 0x08, 0x10, 0x11  # types of messages
_ROOTS = {0: 64, 1: 68, 2: 36, 3: 36}  # version of the superblock -> where the address of the root's header lies
_GROUP_KEY = 8  # bytes of a key in a group's tree


class Structure:
    """Of the open file with that content."""

    def __init__(self, path: str | os.PathLike, content: mmap.mmap) -> None:
        self.path, self.content = path, content
        self._named: set[int] = set()  # nodes, heaps and pieces of headers: each has one that names it
        self._headers: set[int] = set()  # of objects, which may have several names
        self._left = len(content)  # bytes: parts that do not overlap are no more

    def check(self) -> None:
        """Refuse a file in which something leads back to itself, or to where it is not. Raises ArchiveError."""
        if self.content[:8] != b"\x89HDF\r\n\x1a\n":
            raise damaged(self.path, "does not begin as HDF5 files do")
        try:
            place = _ROOTS[self.content[8]]
            self.check_object(*struct.unpack_from("<Q", self.content, place))
        except (KeyError, IndexError, struct.error):
            raise damaged(self.path, "has addresses beyond its end") from None

    def check_object(self, header: int) -> None:
        """Check the object whose header is there, and what it names."""
        waiting = [header]
        while waiting:
            address = waiting.pop()
            if address not in self._headers:
                self._headers.add(address)
                if len(self._headers) > MOST_OBJECTS:
                    raise damaged(self.path, f"holds more than {MOST_OBJECTS} objects")
                for kind, data in self._messages(address):
                    waiting += self._followed(kind, data)

    # Object headers ---------------------------------------------------------------------------
    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Type and data of each message of an object header, those of its continuations included."""
        if self.content[address : address + 4] == b"OHDR":
            flags = self.content[address + 5]
            begin = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self.content[begin : begin + width], "little")
            yield from self._pieces(begin + width, size, "<BH", 6 if flags & 4 else 4, signed=True)
        elif self.content[address] == 1:
            (size,) = struct.unpack_from("<I", self.content, address + 8)
            yield from self._pieces(address + 16, size, "<HH", 8, signed=False)
        else:
            raise self._refused("an object", address, "where there is none")

    def _pieces(self, begin: int, size: int, layout: str, head: int, *, signed: bool) -> Iterator[tuple[int, bytes]]:
        """layout: of a message's type and length, at the begin of its `head` bytes; signed: whether continuations have a signature, of four
        bytes as their checksum.
        """
        blocks = [(begin, size)]
        for begin, size in blocks:
            self._name_once(begin, "a piece of a header")
            end = begin + size
            while begin + head <= end:
                kind, length = struct.unpack_from(layout, self.content, begin)
                self._take(head + length)
                data = self.content[begin + head : begin + head + length]
                if kind == _CONTINUATION:
                    where, count = struct.unpack_from("<QQ", data)
                    blocks.append((where + 4, count - 8) if signed else (where, count))
                yield kind, data
                begin += head + length

    def _followed(self, kind: int, data: bytes) -> list[int]:
        """Check the trees that a message names. -> the objects that it names"""
        if kind == _SYMBOLS:
            tree, heap = struct.unpack_from("<QQ", data)
            self._check_names(heap)
            return [header for table in self._leaves(tree, _GROUP, _GROUP_KEY) for header in self._symbols(table)]
        if kind == _LAYOUT:
            self._check_chunks(data)
        return _linked(data) if kind == _LINK else []

    def _check_chunks(self, data: bytes) -> None:
        """Of a dataset's layout: versions 1 to 3 have a tree of chunks."""
        version, second, third = data[:3]
        if version == 3 and second == 2:
            dimensions, (tree,) = third, struct.unpack_from("<Q", data, 3)
        elif version in (1, 2) and third == 2:
            dimensions, (tree,) = second, struct.unpack_from("<Q", data, 8)
        else:
            return
        if tree != _NONE:
            self._leaves(tree, _CHUNKS, 8 + 8 * dimensions)

    # Trees ------------------------------------------------------------------------------------
    def _leaves(self, root: int, kind: int, key: int) -> list[int]:
        """What the lowest nodes of a tree name: tables of symbols, or chunks. Level after level, each a chain of neighbours."""
        nodes, expected = [root], None
        while True:
            children, before = list[int](), _NONE
            for address, after in zip(nodes, [*nodes[1:], _NONE], strict=True):
                self._name_once(address, "a node of a tree")
                signature, found, level, count, *neighbours = struct.unpack_from("<4sBBHQQ", self.content, address)
                expected = level if expected is None else expected
                if (signature, found, level, *neighbours) != (b"TREE", kind, expected, before, after):
                    raise self._refused("a node of a tree", address, "where there is none of its level and neighbours")
                self._take(count * (key + 8))
                places = (address + 24 + key + number * (key + 8) for number in range(count))
                children += [struct.unpack_from("<Q", self.content, place)[0] for place in places]
                before = address
            if not expected:
                return children
            nodes, expected = children, expected - 1

    def _symbols(self, address: int) -> list[int]:
        """Headers of the objects in a table of symbols."""
        self._name_once(address, "a table of symbols")
        signature, _, _, count = struct.unpack_from("<4sBBH", self.content, address)
        if signature != b"SNOD":
            raise self._refused("a table of symbols", address, "where there is none")
        self._take(count * 40)
        entries = [struct.unpack_from("<QQI", self.content, address + 8 + 40 * number) for number in range(count)]
        return [header for _, header, kind in entries if kind != 2 and header != _NONE]  # 2: a soft link

    def _check_names(self, address: int) -> None:
        """Of a group: the list of free space in the heap of its names must end."""
        self._name_once(address, "a heap of names")
        signature, size, free, data = struct.unpack_from("<4s4xQQQ", self.content, address)
        if signature != b"HEAP":
            raise self._refused("a heap of names", address, "where there is none")
        while free not in (1, _NONE):  # the ends of a list
            self._take(16)
            if free + 16 > size:
                raise self._refused("a heap of names", address, "whose free space is beyond it")
            (free,) = struct.unpack_from("<Q", self.content, data + free)

    def _name_once(self, address: int, what: str) -> None:
        if address in self._named or address >= len(self.content):
            raise self._refused(what, address, "which is beyond its end, or which something else names too")
        self._named.add(address)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise damaged(self.path, "has parts that overlap, or lead back to themselves")

    def _refused(self, what: str, address: int, why: str) -> ArchiveError:
        return damaged(self.path, f"has {what} at byte {address}, {why}")


def _linked(data: bytes) -> list[int]:
    """Of a link message: the object that a hard link names."""
    flags, place = data[1], 2
    kind = data[place] if flags & 8 else 0
    place += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    place += width + int.from_bytes(data[place : place + width], "little")
    return [int(struct.unpack_from("<Q", data, place)[0])] if kind == 0 else []
