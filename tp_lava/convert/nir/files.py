"""NIR files: bounded reading, then nir's own classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tp_lava.convert.hdf5 import damaged, read_tree
from tp_lava.errors import TpLavaError


def load_graph(nir: ModuleType, path: str | os.PathLike) -> Any:
    """The graph of a file, built by nir's own classes; nothing of the HDF5 is read by nir, whose reader is unbounded."""
    tree = read_tree(path)
    if not isinstance(tree.get("node"), Mapping):
        raise damaged(path, "has no group 'node', so is no NIR file")
    try:
        form = _dict_form(tree["node"])
        if form.get("type") != "NIRGraph":
            raise damaged(path, f"holds a {form.get('type')}, not a NIRGraph")
        return nir.dict2NIRNode(form)
    except TpLavaError:
        raise
    except Exception as error:  # nir asserts, indexes and calls with what the file says
        raise damaged(path, f"cannot be read as NIR ({type(error).__name__}: {error})") from None


def _dict_form(group: Mapping[str, Any]) -> dict[str, Any]:
    """What nir's from_dict takes. Types are not checked by nir: it refuses scalar parameters, which exporters write."""
    form = {name: _plain(item) for name, item in group.items()}
    kind = form.get("type")
    if kind == "NIRGraph":
        form["nodes"] = {name: _dict_form(node) for name, node in form["nodes"].items()}
        form["edges"] = _pairs(form.get("edges"))
        form["type_check"] = False
    elif kind in ("CubaLIF", "CubaLI") and np.size(form.get("w_in", 1.0)) > 1 and np.shape(form["w_in"]) != np.shape(form["v_leak"]):
        raise ValueError(f"w_in has shape {np.shape(form['w_in'])}")  # nir would broadcast it, to any size
    return form


def _plain(item: Any) -> Any:
    """A scalar out of its array, as nir's own reader has it."""
    if isinstance(item, Mapping):
        return {name: _plain(value) for name, value in item.items()}
    return item[()] if isinstance(item, np.ndarray) and item.ndim == 0 else item


def _pairs(edges: Any) -> list[tuple[str, str]]:
    """Edges out of the file's list of names."""
    if edges is None or (not isinstance(edges, list) and np.size(edges)) or len(edges) % 2:
        raise ValueError("edges are not pairs of names")
    return list(zip(edges[::2], edges[1::2], strict=True))
