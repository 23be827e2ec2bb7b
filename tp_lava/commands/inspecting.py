"""`tp-lava inspect`: what a file holds: layers, shapes, formats, provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.archive import encoded, kind_of, load_network
from tp_lava.commands.options import AsJson
from tp_lava.commands.printing import print_json
from tp_lava.errors import ArchiveError
from tp_lava.learner import Learner
from tp_lava.network import Network


def inspect(
    file: Annotated[Path, typer.Argument(help="A .tplava file or a saved Learner.")],
    as_json: AsJson = False,
) -> None:
    """Layers, shapes, formats and provenance of a file."""
    show(file, as_json)


def show(file: Path, as_json: bool) -> None:
    """Print what it holds."""
    from rich.console import Console

    told = described(file)
    if as_json:
        print_json(told)
        return
    console = Console()
    for table in tables(told):
        console.print(table)


def described(path: str | os.PathLike) -> dict[str, Any]:
    """A .tplava file, or a saved Learner, as JSON-able values. Raises FileNotFoundError, ArchiveError."""
    kind = kind_of(path)
    if kind == "network":
        return {"file": str(path), "kind": kind, **_network(load_network(path), {})}
    if kind == "learner":
        learner = Learner.load(path)
        learned = {"samples_seen": learner.samples_seen, "epochs_done": learner.epochs_done, "seed": learner.seed}
        formats = {name: str(buffer.format) for name, buffer in learner.buffers.items() if buffer.format}
        told = _network(learner.network, formats)
        return {"file": str(path), "kind": kind, "precision": learner.precision, **learned, "rule": encoded(learner.rule), **told}
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
        "layers": [{"name": f"hidden{number}", **encoded(layer)} for number, layer in enumerate(network.layers)],
        "weights": weights,
        "provenance": encoded(network.provenance),
    }


def _neurons(layer: Mapping[str, Any]) -> str:
    """Its neurons in one line."""
    neuron = layer["neuron"]
    said = [f"decay {neuron['decay']:g}"] + ([f"current decay {neuron['current_decay']:g}"] if neuron["current_decay"] else [])
    said.append(f"fires at {neuron['comparison']} {neuron['threshold']:g}")
    said.append("reset to zero" if neuron["reset"] == "zero" else f"reset by {neuron['reset_by'] or neuron['threshold']:g}")
    return ", ".join([*said, f"trace {layer['trace_decay']:g}"])


def _connection(layer: Mapping[str, Any]) -> str:
    spatial = layer["connection"]
    said = f"convolution of {'x'.join(map(str, spatial['shape']))} to {spatial['channels']} channels" if spatial else "all to all"
    return said + (", recurrent" if layer["recurrent"] else "")


def tables(told: Mapping[str, Any]) -> list[Any]:
    """The same as rich tables: layers, weights, records of parameters."""
    from rich.table import Table

    first = Table(title=f"{Path(told['file']).name}: {told['kind']}, {'-'.join(map(str, told['sizes']))}, {told['parameters']:,} numbers")
    for column in ("layer", "size", "neurons", "connection"):
        first.add_column(column)
    for layer in told["layers"]:
        first.add_row(layer["name"], str(layer["size"]), _neurons(layer), _connection(layer))
    second = Table(title="weights")
    for column in ("name", "shape", "largest", "format"):
        second.add_column(column)
    for weights in told["weights"]:
        second.add_row(weights["name"], "x".join(map(str, weights["shape"])), f"{weights['largest']:.4g}", weights["format"])
    if not told["provenance"]:
        return [first, second]
    third = Table(title=f"from {told['provenance']['format']}")
    for column in ("path", "parameter", "outcome", "detail"):
        third.add_column(column)
    for record in told["provenance"]["records"]:
        third.add_row(record["path"], record["parameter"], record["what"], record["detail"])
    return [first, second, third]
