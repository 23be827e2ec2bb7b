"""`tp-lava inspect`: the contents of a file: layers, shapes, formats, provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.archive import encoded, kind_of, load_network
from tp_lava.commands import options
from tp_lava.commands.printing import print_json, print_rows
from tp_lava.errors import ArchiveError
from tp_lava.graph.names import hidden
from tp_lava.learner import Learner
from tp_lava.network import Network


def inspect(
    file: Annotated[Path, typer.Argument(help="A .tplava file or a saved Learner.")],
    as_json: options.AsJson = False,
) -> None:
    """Layers, shapes, formats and provenance of a file."""
    show(file, as_json)


def show(file: Path, as_json: bool) -> None:
    """Print the contents of a file."""
    contents = contents_of(file)
    if as_json:
        print_json(contents)
        return
    sizes = "-".join(map(str, contents["sizes"]))
    layers = [
        {"layer": layer["name"], "size": layer["size"], "neurons": _neurons(layer), "connection": _connection(layer)}
        for layer in contents["layers"]
    ]
    print_rows(f"{file.name}: {contents['kind']}, {sizes}, {contents['parameters']:,} numbers", layers, left=4)
    weights = [{**row, "shape": "x".join(map(str, row["shape"])), "largest": f"{row['largest']:.4g}"} for row in contents["weights"]]
    print_rows("weights", weights, left=4)
    provenance = contents["provenance"]
    if provenance and provenance["fates"]:
        columns = {"path": "path", "parameter": "parameter", "what": "fate", "detail": "detail"}
        fates = [{title: fate[name] for name, title in columns.items()} for fate in provenance["fates"]]
        print_rows(f"from {provenance['format']}", fates, left=4)


def contents_of(path: str | os.PathLike) -> dict[str, Any]:
    """The contents of a .tplava file or a saved Learner, as JSON values. Raises FileNotFoundError, ArchiveError."""
    kind = kind_of(path)
    if kind == "network":
        return {"file": str(path), "kind": kind, **_network(load_network(path), {})}
    if kind == "learner":
        learner = Learner.load(path)
        learned = {"samples_seen": learner.samples_seen, "epochs_done": learner.epochs_done, "seed": learner.seed}
        formats = {name: str(buffer.format) for name, buffer in learner.buffers.items() if buffer.format}
        network = _network(learner.network, formats)
        return {"file": str(path), "kind": kind, "precision": learner.precision, **learned, "rule": encoded(learner.rule), **network}
    raise ArchiveError(f"{path}: holds a {kind}, not a network or a learner; load it as a {kind}.", obj=str(path), attr="file")


def _network(network: Network, formats: Mapping[str, str]) -> dict[str, Any]:
    weights = [
        {"name": name, "shape": list(array.shape), "largest": float(abs(array).max()), "format": formats.get(name, "float32")}
        for name, array in network.weights.items()
    ]
    return {
        "sizes": list(network.sizes),
        "readout_decay": network.readout_decay,
        "parameters": int(sum(array.size for array in network.weights.values())),
        "layers": [{"name": hidden(number), **encoded(layer)} for number, layer in enumerate(network.layers)],
        "weights": weights,
        "provenance": encoded(network.provenance),
    }


def _neurons(layer: Mapping[str, Any]) -> str:
    """Its neurons in one line."""
    neuron = layer["neuron"]
    parts = [f"decay {neuron['decay']:g}"] + ([f"current decay {neuron['current_decay']:g}"] if neuron["current_decay"] else [])
    parts.append(f"fires at {neuron['comparison']} {neuron['threshold']:g}")
    parts.append("reset to zero" if neuron["reset"] == "zero" else f"reset by {neuron['reset_by'] or neuron['threshold']:g}")
    return ", ".join([*parts, f"trace {layer['trace_decay']:g}"])


def _connection(layer: Mapping[str, Any]) -> str:
    spatial = layer["connection"]
    kind = f"convolution of {'x'.join(map(str, spatial['shape']))} to {spatial['channels']} channels" if spatial else "all to all"
    return kind + (", recurrent" if layer["recurrent"] else "")
