"""`tp-lava convert`: files to networks, with the options of their format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.archive import kind_of, save_network
from tp_lava.commands.inspecting import show
from tp_lava.commands.options import AsJson
from tp_lava.commands.printing import make_folder
from tp_lava.convert import SUFFIXES, convert
from tp_lava.errors import ArchiveError, invalid
from tp_lava.graph.network import Network
from tp_lava.pretrained import NAMES, pretrained

_OF_FORMAT = {"nir": ("dt", "reset", "exporter"), "state dict": ("layers",), "slayer": ()}


def convert_file(
    source: Annotated[Path, typer.Argument(help=".nir, .net (SLAYER), .pt or .safetensors (with --layers).")],
    to: Annotated[Path, typer.Option("--to", "--out", help="The .tplava file to write.")],
    layers: Annotated[Path | None, typer.Option(help="State dicts: JSON file that describes the layers, see docs/converting.md.")] = None,
    dt: Annotated[float | None, typer.Option(help="NIR: seconds a step.")] = None,
    exporter: Annotated[str | None, typer.Option(help="NIR: snntorch, norse or sinabs, whose conventions the file follows.")] = None,
    reset: Annotated[str | None, typer.Option(help="NIR: zero or subtract.")] = None,
    trace_decay: Annotated[float | None, typer.Option(help="Of all spike traces; by default each membrane's decay.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection, which no other format has.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Convert a trained network, say what became of each parameter, and write it as a .tplava file."""
    network = converted(source, layers=layers, dt=dt, exporter=exporter, reset=reset, trace_decay=trace_decay, seed=seed)
    make_folder(to.parent)
    save_network(network, to)
    show(to, as_json)


def converted(source: Path, *, trace_decay: float | None = None, seed: int = 0, **given: Any) -> Network:
    """The network of a file. given: layers, dt, exporter, reset; None where not given. Raises as convert does."""
    options = {name: value for name, value in given.items() if value is not None}
    format = SUFFIXES.get(source.suffix.lower())
    foreign = sorted(set(options) - set(_OF_FORMAT.get(format or "", options)))
    if foreign:
        limit = f"one of {', '.join(_OF_FORMAT[format or '']) or 'none'}"
        raise invalid("convert", "option", f"--{foreign[0]}", f"{limit} for a {source.suffix} file", "leave it out")
    if "exporter" in options:
        options = _conventions(options.pop("exporter")) | options
    return convert(source, trace_decay=trace_decay, seed=seed, **options)


def model_named(name: str, seed: int) -> Network:
    """A network that ships, or that of a file."""
    return convert(pretrained(name) if name in NAMES else name, seed=seed)


def is_learner(model: str) -> bool:
    """Whether it is the file of a saved Learner."""
    try:
        return Path(model).is_file() and kind_of(model) == "learner"
    except ArchiveError:
        return False


def _conventions(exporter: str) -> dict[str, Any]:
    from tp_lava.convert.nir import EXPORTERS

    if exporter not in EXPORTERS:
        raise invalid("convert", "exporter", repr(exporter), f"one of {', '.join(EXPORTERS)}", "or give dt and reset")
    return dict(EXPORTERS[exporter])
