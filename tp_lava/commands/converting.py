"""`tp-lava convert`, and models by name: files become networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.archive import kind_of, save_network
from tp_lava.commands import options
from tp_lava.commands.inspecting import show
from tp_lava.commands.printing import make_folder
from tp_lava.convert import SUFFIXES, convert
from tp_lava.errors import ArchiveError, invalid
from tp_lava.fixedpoint import FixedPoint
from tp_lava.network import Network
from tp_lava.pretrained import NAMES, pretrained

_OPTIONS = {"nir": ("dt", "reset", "exporter"), "state dict": ("layers",), "slayer": ()}  # of each format


def convert_file(
    source: Annotated[Path, typer.Argument(help=".nir, .net (SLAYER), .pt or .safetensors (with --layers).")],
    to: Annotated[Path, typer.Option("--to", "--out", help="The .tplava file to write.")],
    layers: Annotated[Path | None, typer.Option(help="State dicts: JSON file that describes the layers, see docs/converting.md.")] = None,
    dt: Annotated[float | None, typer.Option(help="NIR: seconds per step.")] = None,
    exporter: Annotated[str | None, typer.Option(help="NIR: snntorch, norse or sinabs, whose conventions the file follows.")] = None,
    reset: Annotated[str | None, typer.Option(help="NIR: zero or subtract.")] = None,
    trace_decay: Annotated[float | None, typer.Option(help="Decay of all spike traces; by default each membrane's decay.")] = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Convert a trained network, report what happened to each parameter, and write it as a .tplava file."""
    given = {"layers": layers, "dt": dt, "exporter": exporter, "reset": reset}
    of_format = _checked(source, {name: value for name, value in given.items() if value is not None})
    network = convert(source, trace_decay=trace_decay, seed=seed, **of_format)
    make_folder(to.parent)
    save_network(network, to)
    show(to, as_json)


def _checked(source: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options for tpl.convert. Raises InvalidValueError for those of another format."""
    format = SUFFIXES.get(source.suffix.lower(), "")
    known = _OPTIONS.get(format, tuple(given))
    foreign = sorted(given.keys() - known)
    if foreign:
        limit = f"one of {', '.join(known) or 'none'} for a {source.suffix} file"
        raise invalid("convert", "option", f"--{foreign[0]}", limit, "leave it out")
    if "exporter" not in given:
        return given
    from tp_lava.convert.nir import EXPORTERS

    exporter = given.pop("exporter")
    if exporter not in EXPORTERS:
        raise invalid("convert", "exporter", repr(exporter), f"one of {', '.join(EXPORTERS)}", "or give dt and reset")
    return {**EXPORTERS[exporter], **given}


def model_named(name: str, seed: int) -> Network:
    """A network that ships, or that of a file."""
    return convert(pretrained(name) if name in NAMES else name, seed=seed)


def is_learner(model: str) -> bool:
    """Whether it is the file of a saved Learner."""
    try:
        return Path(model).is_file() and kind_of(model) == "learner"
    except ArchiveError:
        return False


def fixed_point(network: Network, bits: int | None) -> FixedPoint:
    """With the given bits of weights, else the formats that the network was quantised to, else the default."""
    kept = network.provenance.fixed if network.provenance else None
    return FixedPoint(weight_bits=bits) if bits is not None else kept or FixedPoint()
