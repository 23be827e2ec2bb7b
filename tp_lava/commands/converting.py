"""Files to networks, with the options of their format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tp_lava.convert import SUFFIXES, convert
from tp_lava.errors import invalid
from tp_lava.network import Network
from tp_lava.pretrained import NAMES, pretrained

_OF_FORMAT = {"nir": ("dt", "reset", "exporter"), "state dict": ("layers",), "slayer": ()}


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


def _conventions(exporter: str) -> dict[str, Any]:
    from tp_lava.convert.nir import EXPORTERS

    if exporter not in EXPORTERS:
        raise invalid("convert", "exporter", repr(exporter), f"one of {', '.join(EXPORTERS)}", "or give dt and reset")
    return dict(EXPORTERS[exporter])
