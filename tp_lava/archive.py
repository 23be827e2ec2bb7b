"""Files: arrays and a JSON description in one safetensors file. Loading one executes nothing.

An interrupted save leaves the old one whole (saving.py). The same contents give the same bytes, in whatever order they were named.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tp_lava.circuit.formats import RULE_WEIGHTS, FixedPoint
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.readout import Match, Readout
from tp_lava.dynamics.surrogate import Surrogate
from tp_lava.errors import ArchiveError
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.delays import Delays, SynapticDelays
from tp_lava.graph.network import Connection, Layer, Network, Population
from tp_lava.graph.pooling import Pool2d
from tp_lava.graph.standardisation import Standardisation
from tp_lava.numbers import Format
from tp_lava.optimisers import SGD, Adam, Cosine, Plateau
from tp_lava.provenance import ParameterRecord, Provenance
from tp_lava.rules import BaseRule, Credit, Term
from tp_lava.saving import write_whole

VERSION = 2  # 1: chains of layers, the label projection among the weights
IMPOSSIBLE = (TypeError, KeyError, ValueError, AttributeError, OverflowError, RecursionError)  # what a false description raises
_KEY = "tp_lava"
T = TypeVar("T")
_DATACLASSES = (
    *(
        LIF,
        *get_args(Surrogate),
        Standardisation,
        Population,
        Connection,
        Delays,
        SynapticDelays,
        AllToAll,
        Convolution,
        Pool2d,
        Layer,
        ParameterRecord,
        Provenance,
    ),
    *(Readout, Match, Term, SGD, Adam, Cosine, Plateau, FixedPoint, Format),
)
_FORMER = {"Spatial": Convolution, "Conv2d": Convolution, "Dense": AllToAll, "Pooling": Pool2d, "Fate": ParameterRecord}  # names of before
_TYPES = {t.__name__: t for t in _DATACLASSES} | _FORMER
_PARAMETERS = "parameters/"  # before the names of parameters that rules take over
_OLD_FIELDS = {"Provenance": {"fates": "records"}}  # type -> name of a field in version 1 -> name now


def write(path: str | os.PathLike, kind: str, description: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and a description (JSON values and the dataclasses above) of a `kind` of thing."""
    header = {"kind": kind, "version": VERSION, **{key: encoded(value) for key, value in description.items()}}
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, save(tensors, metadata={_KEY: json.dumps(header, sort_keys=True)}))


def read(path: str | os.PathLike, kind: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The description and arrays of a file. Raises ArchiveError if it is damaged, foreign, newer or of another kind."""
    header, arrays = _contents(path)
    found = header.pop("kind")
    if found != kind:
        raise _refuse(path, f"holds a {found}, not a {kind}", f"load it as a {found}")
    try:
        return _decode(header), arrays
    except IMPOSSIBLE as error:
        raise _refuse(path, f"describes something impossible ({error})", "save it again") from None


def made(path: str | os.PathLike, kind: str, make: Callable[[dict, dict[str, np.ndarray]], T]) -> T:
    """What `make` makes of a file's description and arrays. Raises as `read` does, also where they describe nothing possible."""
    description, arrays = read(path, kind)
    try:
        return make(description, arrays)
    except IMPOSSIBLE as error:
        raise _refuse(path, f"describes something impossible ({error})", "save it again") from None


def kind_of(path: str | os.PathLike) -> str:
    """The kind of thing a file holds. Raises as `read` does."""
    return str(_contents(path)[0]["kind"])


def _contents(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays of a file of this or an earlier version."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:  # the last two: types NumPy has not
        raise _refuse(
            path, f"cannot be read as a safetensors file ({error})", "it may be truncated or of another program; save it again"
        ) from None
    if _KEY not in metadata:
        raise _refuse(path, "is a safetensors file, but not one of tp_lava", "convert it with tpl.convert, or save it with tp_lava")
    try:
        header = json.loads(metadata[_KEY])
        version = int(header.pop("version"))
        header["kind"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise _refuse(path, "has a damaged header", "save it again") from None
    if version > VERSION:
        raise _refuse(path, f"has format version {version}, this tp_lava reads up to {VERSION}", "update tp_lava")
    return header, arrays


def _refuse(path: object, problem: str, remedy: str) -> ArchiveError:
    return ArchiveError(f"{path}: {problem}; {remedy}.", obj=str(path), attr="file")


def save_network(network: Network, path: str | os.PathLike) -> None:
    """Write a network, its provenance included: a safetensors file of its float32 weights, described in JSON (docs/files.md)."""
    write(path, "network", describe_network(network), network_arrays(network))


def load_network(path: str | os.PathLike) -> Network:
    """The network of such a file. Raises FileNotFoundError, ArchiveError."""
    return made(path, "network", network_from)


def network_arrays(network: Network) -> dict[str, np.ndarray]:
    """What a file holds of a network's arrays."""
    return {**network.weights, **{f"{_PARAMETERS}{name}": array for name, array in network.rule_parameters.items()}}


def describe_network(network: Network) -> dict[str, object]:
    """What a file says of a network beside its arrays."""
    named = ("input_shape", "populations", "connections", "n_classes", "readout_decay", "provenance", "seed", "drawn", "input_format")
    names = {"class_names": network.class_names} if network.class_names else {}
    return {name: getattr(network, name) for name in named} | names


def network_from(description: Mapping, arrays: Mapping[str, np.ndarray]) -> Network:
    """The inverse of describe_network and network_arrays; also of version 1, whose label projection a rule takes over."""
    own = {name: array for name, array in arrays.items() if name in RULE_WEIGHTS}
    own |= {name.removeprefix(_PARAMETERS): array for name, array in arrays.items() if name.startswith(_PARAMETERS)}
    weights = {name: array for name, array in arrays.items() if name not in own and not name.startswith(_PARAMETERS)}
    origin = description.get("provenance")
    if origin is not None and not isinstance(origin, Provenance):
        raise TypeError(f"provenance is {origin!r:.60}")
    rest = description.get("readout_decay", 1.0), origin
    if "layers" in description:
        layers = tuple(description["layers"])
        return Network.of_layers(description["n_inputs"], layers, description["n_classes"], weights, *rest, rule_parameters=own)
    graph = tuple(description["input_shape"]), tuple(description["populations"]), tuple(description["connections"])
    drawn = int(description["seed"]), int(description["drawn"])
    format, names = description.get("input_format"), tuple(description.get("class_names", ()))
    return Network(*graph, description["n_classes"], weights, *rest, *drawn, rule_parameters=own, input_format=format, class_names=names)


def encoded(value: Any) -> Any:
    """Dataclasses as {"type": name, fields...}; the rest as JSON holds it."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: encoded(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(item) for item in value]
    return value


def _decode(value: object):
    if isinstance(value, dict):
        renamed = _OLD_FIELDS.get(value.get("type", ""), {})
        fields = {str(renamed.get(key, key)): _decode(item) for key, item in value.items() if key != "type"}
        return _type(value["type"])(**fields) if "type" in value else fields
    return [_decode(item) for item in value] if isinstance(value, list) else value


def _type(name: str) -> type:
    """One of the dataclasses above, a neuron, a rule or a credit."""
    found = _TYPES.get(name) or LIF.types.get(name) or BaseRule.types.get(name) or Credit.types.get(name)
    if found is None:
        raise ValueError(f"{name!r} is no type known here; import the module that defines it first (tp-lava --import MODULE ...)")
    return found
