"""Names of classes, where a file of recordings has them."""

from __future__ import annotations

import os
from pathlib import Path

from tp_lava.reading.hdf5 import opened
from tp_lava.reading.npz import names_of, read_texts

_IN_ARCHIVES = ("classes", "words")  # of save_samples, and of spike lists
_IN_SHD = "extra/keys"
_HDF5 = (".h5", ".hdf5")


def class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """The names of the classes of a file of recordings, by label; () where it has none, and for what is no such file.

    Array `classes` or `words` of an .npz archive, `extra/keys` of a file in the layout of the Spiking Heidelberg Digits.
    Raises ArchiveError, FormatUnavailableError.
    """
    if not Path(path).is_file():
        return ()
    if Path(path).suffix in _HDF5:
        with opened(path) as file:
            return tuple(file.texts(_IN_SHD)) if _IN_SHD in file else ()
    if Path(path).suffix != ".npz":
        return ()
    there = names_of(path)
    return next((read_texts(path, name) for name in _IN_ARCHIVES if name in there), ())
