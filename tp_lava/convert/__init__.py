"""Networks of other programs: read into one intermediate form (stages.py), then assembled into a Network.

One module per format; each records what became of every parameter, and refuses what cannot be converted. They build with builder.py.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tp_lava.archive import load_network
from tp_lava.convert.assemble import assemble, stages_of
from tp_lava.convert.stages import Source
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.numbers import Format

FORMATS: Mapping[str, tuple[str, str]] = {  # name -> module of this package, its reader
    "nir": ("nir", "read_nir"),
    "slayer": ("slayer", "read_slayer"),
    "torch": ("torch_modules", "read_module"),
    "state dict": ("state_dicts", "read_state_dict"),
}
SUFFIXES = {".nir": "nir", ".net": "slayer", ".pt": "state dict", ".pth": "state dict", ".safetensors": "state dict"}
_OPTIONS = ("format", "trace_decay", "seed", "input_format", "verify", "samples", "module")  # of every format


def convert(
    source: Any,
    *,
    format: str | None = None,
    trace_decay: float | None = None,
    seed: int = 0,
    input_format: Format | None = None,
    verify: bool = True,
    samples: Sequence[Any] | None = None,
    module: Any = None,
    **options: Any,
) -> Network:
    """A network trained elsewhere, as a tp_lava Network in physical units; its provenance records what became of each parameter.

    source: a torch.nn.Module (plain or snnTorch), a state dict or its .pt or .safetensors file (layers=[...]), a NIR graph
    or .nir file (dt=...), a SLAYER network or .net file, a .tplava file, or a Source; format: "torch", "state dict", "nir"
    or "slayer", where it cannot be seen; trace_decay: of all spike traces, by default each membrane's decay; seed: of the
    label projection, which TP needs and no source has; input_format: of real-valued input (pictures, see Events.constant), to
    which fixed-point forms round it; None: the input spikes; verify: run a module, as after eval(), beside what it became, on samples
    (recordings; None: a few random ones), and refuse where the two part; provenance.verification says what was compared; module: the
    snnTorch, sinabs or SpikingJelly module that a NIR graph or file was exported from, to be run beside it;
    options: of the format's reader, see tp_lava.convert.<module>.
    Raises InvalidValueError naming the layer's path for what cannot be converted, ConversionError naming the layer, step, neuron
    and likely cause where module and network part, ArchiveError for a damaged file, FileNotFoundError.
    """
    if isinstance(source, str | os.PathLike) and Path(source).suffix == ".tplava":
        network = load_network(source)
        return network if input_format is None else replace(network, input_format=input_format)
    if isinstance(source, Source):
        return assemble(source, trace_decay, seed, input_format)
    reader = _reader(format or _format_of(source))
    known = list(inspect.signature(reader).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise invalid("convert", "option", ", ".join(unknown), f"among {', '.join([*_OPTIONS, *known])}", "rename it")
    read = reader(source, **options)
    network = assemble(read, trace_decay, seed, input_format)
    return _verified(read, network, samples, module) if verify else network


def _verified(read: Source, network: Network, samples: Sequence[Any] | None, module: Any) -> Network:
    """The network, with what verification says in its provenance."""
    said = "not verified: there is no PyTorch module to run beside it"
    if read.reading is not None or module is not None:
        from tp_lava.convert.verification import verify  # here, for it cannot be imported without PyTorch

        said = verify(read, network, samples, module)
    elif samples is not None:
        raise invalid("convert", "samples", "given", "None where no PyTorch module is at hand", "leave it out")
    assert network.provenance is not None
    return replace(network, provenance=replace(network.provenance, verification=said))


def to_nir(network: Network, dt: float) -> Any:
    """A network as a nir.NIRGraph; write it with nir.write. dt: seconds a step. See convert.nir.graph_of for what is kept how.

    convert(to_nir(network, dt)) is the same network, but for the label projection and input_format, which NIR has no place for.
    Raises InvalidValueError, FormatUnavailableError.
    """
    from tp_lava.convert.nir import graph_of

    return graph_of(stages_of(network), dt)


def _reader(format: str) -> Callable[..., Source]:
    if format not in FORMATS:
        raise invalid("convert", "format", repr(format), f"one of {', '.join(FORMATS)}", "leave it out to let the source tell")
    module, name = FORMATS[format]
    return getattr(import_module(f"{__name__}.{module}"), name)


def _format_of(source: Any) -> str:
    """Which of FORMATS a thing is; what other packages made is known by where its class comes from."""
    if isinstance(source, str | os.PathLike):
        suffix = Path(source).suffix.lower()
        if suffix in SUFFIXES:
            return SUFFIXES[suffix]
        raise invalid("convert", "source", str(source), f"a file ending in {', '.join([*SUFFIXES, '.tplava'])}", "or say format=...")
    if isinstance(source, Mapping):
        return "state dict"
    origins = {cls.__module__.split(".")[0] for cls in type(source).__mro__}
    if "nir" in origins:
        return "nir"
    if hasattr(source, "blocks") and any(type(block).__module__.startswith("lava.lib.dl") for block in source.blocks):
        return "slayer"
    if "torch" in origins:
        return "torch"
    limit = "a torch module, a state dict, a NIR graph, a SLAYER network, or the path of a file"
    raise invalid("convert", "source", repr(source)[:60], limit, "or say format=...")
