"""`tp-lava convert` and `tp-lava inspect`: files of trained networks become .tplava files, and what a file contains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tp_lava.archive import encoded, kind_of, load_network, save_network
from tp_lava.commands import options
from tp_lava.commands.named import RECORDINGS, load
from tp_lava.commands.printing import make_folder, print_json, print_rows
from tp_lava.convert import SUFFIXES, convert
from tp_lava.data.events import Sample
from tp_lava.dynamics.parameters import in_words
from tp_lava.errors import ArchiveError, invalid
from tp_lava.graph.names import hidden
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.numbers import Format
from tp_lava.pretrained import NAMES, pretrained
from tp_lava.reading.limits import damaged

_OPTIONS = {"nir": ("dt", "reset", "exporter"), "state dict": ("layers",), "slayer": ()}  # of each format


def convert_file(
    source: Annotated[Path, typer.Argument(help=".nir, .net (SLAYER), .pt or .safetensors (with --layers).")],
    to: Annotated[Path, typer.Option("--to", "--out", help="The .tplava file to write.")],
    layers: Annotated[Path | None, typer.Option(help="State dicts: JSON file that describes the layers, see docs/converting.md.")] = None,
    dt: Annotated[float | None, typer.Option(help="NIR: seconds per step.")] = None,
    exporter: Annotated[
        str | None, typer.Option(help="NIR: snntorch, norse, sinabs or spikingjelly, whose conventions the file follows.")
    ] = None,
    reset: Annotated[str | None, typer.Option(help="NIR: zero or subtract.")] = None,
    trace_decay: Annotated[float | None, typer.Option(help="Decay of all spike traces; by default each membrane's decay.")] = None,
    input_format: Annotated[
        tuple[int, int] | None, typer.Option(help="Input of real values: bits, sign included, and how many of them are fractional.")
    ] = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Convert a trained network, report what happened to each parameter, and write it as a .tplava file."""
    given = {"layers": layers, "dt": dt, "exporter": exporter, "reset": reset}
    of_format = _checked(source, {name: value for name, value in given.items() if value is not None})
    graded = None if input_format is None else Format(*input_format)
    network = convert(source, trace_decay=trace_decay, seed=seed, input_format=graded, **of_format)
    make_folder(to.parent)
    save_network(network, to)
    inspect(to, as_json)


def _checked(source: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options for tpl.convert. Raises InvalidValueError for those of another format."""
    format = SUFFIXES.get(source.suffix.lower(), "")
    known = _OPTIONS.get(format, tuple(given))
    foreign = sorted(given.keys() - known)
    if foreign:
        limit = f"one of {', '.join(known) or 'none'} for a {source.suffix} file"
        raise invalid("convert", "option", f"--{foreign[0]}", limit, "leave it out")
    return given


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            callback=options.file_of,
            help="A .tplava file, a saved Learner, a run's folder, a model that ships (digits, digits_0_to_8), or recordings.",
        ),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Layers, shapes, formats and provenance of a file; of recordings their number, inputs, steps and labels."""
    contents = contents_of(file)
    if as_json:
        print_json(contents)
    elif contents["kind"] == "recordings":
        print_rows(f"{file.name}: recordings", [{name: value for name, value in contents.items() if name not in ("file", "kind")}])
    else:
        _print(file.name, contents)


def _print(name: str, contents: dict[str, Any]) -> None:
    title = f"{name}: {contents['kind']}, {'-'.join(map(str, contents['sizes']))}, {contents['parameters']:,} numbers"
    columns = ("layer", "size", "neurons", "connection")
    layers = [(layer["name"], layer["size"], _neurons(layer), _connection(layer)) for layer in contents["layers"]]
    print_rows(title, [dict(zip(columns, row, strict=True)) for row in layers], left=4)
    weights = [{**row, "shape": "x".join(map(str, row["shape"])), "largest": f"{row['largest']:.4g}"} for row in contents["weights"]]
    print_rows("weights", weights, left=4)
    provenance = contents["provenance"]
    if provenance and provenance["records"]:
        records = [
            {"path": r["path"], "parameter": r["parameter"], "outcome": r["what"], "detail": r["detail"]} for r in provenance["records"]
        ]
        print_rows(f"from {provenance['format']}", records, left=4)


def contents_of(path: str | os.PathLike) -> dict[str, Any]:
    """The contents of a .tplava file, a saved Learner, a model that ships or recordings, as JSON values.

    Raises FileNotFoundError, ArchiveError.
    """
    name, suffix = str(path), Path(path).suffix.lower()
    if name in NAMES and not Path(path).exists():
        return {"file": name, "kind": "network", **_network(convert(pretrained(name)), {})}
    if suffix in RECORDINGS or Path(path).is_dir():
        return {"file": name, "kind": "recordings", **_recordings(*load(name))}
    if suffix in SUFFIXES and SUFFIXES[suffix] != "state dict":
        raise damaged(path, "is a network of another program", f"convert it: tp-lava convert {path} --to FILE.tplava")
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


def _recordings(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
    events, labels = [sample.events for sample in (*train, *test)], [sample.label for sample in (*train, *test)]
    return {
        "samples": len(train),
        "test samples": len(test),
        "inputs": max(one.n_units for one in events),
        "longest": max(one.n_steps for one in events),
        "spikes a sample": sum(map(len, events)) / len(events),
        "classes": len(set(labels)),
        "largest label": max(labels),
    }


def _network(network: Network, formats: Mapping[str, str]) -> dict[str, Any]:
    weights = [
        {"name": name, "shape": list(array.shape), "largest": float(abs(array).max()), "format": formats.get(name, "float32")}
        for name, array in network.weights.items()
    ]
    return {
        "sizes": list(network.sizes),
        "input_format": str(network.input_format) if network.input_format else None,
        "readout_decay": network.readout_decay,
        "parameters": int(sum(array.size for array in network.weights.values())),
        "layers": [{"name": hidden(number), **encoded(layer)} for number, layer in enumerate(network.layers)],
        "weights": weights,
        "provenance": encoded(network.provenance),
    }


def _neurons(layer: Mapping[str, Any]) -> str:
    """Its neurons in one line."""
    neuron = layer["neuron"]
    current = f"current decay {in_words(neuron['current_decay'])}, " if np.any(neuron["current_decay"]) else ""
    reset = "reset to zero" if neuron["reset"] == "zero" else f"reset by {in_words(neuron['reset_by'] or neuron['threshold'])}"
    fires = f"fires at {neuron['comparison']} {in_words(neuron['threshold'])}"
    adapts = f", adaptation {in_words(neuron['adaptation'])}" if np.any(neuron["adaptation"]) else ""
    rests = f", refractory {in_words(neuron['refractory'])}" if np.any(neuron["refractory"]) else ""
    return f"decay {in_words(neuron['decay'])}, {current}{fires}{adapts}, {reset}{rests}, trace {in_words(layer['trace_decay'])}"


def _connection(layer: Mapping[str, Any]) -> str:
    spatial = layer["connection"]
    kind = f"convolution of {'x'.join(map(str, spatial['shape']))} to {spatial['channels']} channels" if spatial else "all to all"
    poolings = "".join(f", then {pool['mode']} pooling" for pool in layer["pooling"])
    return kind + (", recurrent" if layer["recurrent"] else "") + poolings
