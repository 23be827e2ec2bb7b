"""What is read at most from files of unknown origin, and the error for what is beyond. Every reader takes its limits from here.

The aim: no file asks for more memory than a small multiple of its own size, or than real data sets need.
"""

from __future__ import annotations

from tp_lava.errors import ArchiveError

# Arrays
LARGEST_ARRAY = 2**28  # elements
LARGEST_FILE = 2**30  # elements of all arrays together
LARGEST_RATIO = 100  # bytes that one byte of a compressed recording becomes, on average of the file
UNPACKED = 2**26  # bytes to which any file may unpack, whatever its own size
LONGEST_HEADER = 10_000  # bytes of an array's header, as NumPy itself reads at most
# HDF5
MOST_OBJECTS = 100_000
DEEPEST = 32  # groups within groups
DEFLATED = 1100  # bytes that one stored byte can become at most
UNSTORED = 2**20  # bytes of fill values that need not be stored
# Recordings
MOST_RECORDINGS = 2**20
MOST_STEPS = 2**24  # of one recording: more than four hours in steps of 1 ms
MOST_STEPS_IN_ALL = 2**27  # of all recordings of a file
MOST_INPUTS = 2**24
MOST_CLASSES = 2**16

SAVE_AGAIN = "it may be truncated or of another program, save it again"


def damaged(path: object, problem: str, remedy: str = SAVE_AGAIN) -> ArchiveError:
    """The error for a file that is not what it should be; the caller raises it."""
    return ArchiveError(f"{path}: {problem}; {remedy}.", obj=str(path), attr="file")


def first_line(error: BaseException) -> str:
    """The first printable line of an error's message, or its type."""
    line = (str(error).strip().splitlines() or [""])[0][:120]
    return "".join(c for c in line if c.isprintable()) or type(error).__name__
