"""NIR, the Neuromorphic Intermediate Representation (arXiv 2311.14641): graphs and .nir files to stages, and back.

NIR's neurons live in continuous time; which steps they were trained with, how they reset and when they spike are the
exporter's own, and its files do not say. So the reader takes them as options, and EXPORTERS has the right ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.nir.neurons import Drive, Options, Reset
from tp_lava.convert.nir.reader import read_graph
from tp_lava.convert.nir.writer import Writer
from tp_lava.convert.stages import Source
from tp_lava.errors import FormatUnavailableError, TpLavaError, invalid
from tp_lava.reading.hdf5 import read_tree
from tp_lava.reading.limits import damaged

EXPORTERS: Mapping[str, Mapping[str, Any]] = {  # options of read_nir for graphs of these libraries
    "snntorch": {"dt": 1e-4, "reset": "subtract", "reset_delay": True},
    "norse": {"dt": 1e-6, "synapse_input": "jump"},
    "sinabs": {"dt": 1.0, "decay": "exponential", "reset": "subtract", "comparison": ">="},
    "spikingjelly": {"dt": 1e-4, "reset": "zero", "comparison": ">=", "integrator_input": "current"},
}


def read_nir(
    source: Any,
    *,
    exporter: str | None = None,
    dt: float | None = None,
    reset: Reset | None = None,
    reset_delay: bool | None = None,
    decay: Literal["euler", "exponential"] | None = None,
    comparison: Literal[">=", ">"] | None = None,
    membrane_input: Drive | None = None,
    synapse_input: Drive | None = None,
    integrator_input: Drive | None = None,
) -> Source:
    """A NIR graph as stages. source: a nir.NIRGraph or the path of a .nir file; what several nodes
    give to one is added; recurrence is a Linear or Affine from a neuron back to itself, in a subgraph or not.

    exporter: the library that wrote it, a key of EXPORTERS, whose options then are the defaults of those below; None: NIR's own, with
    "euler", "current" and, of integrators, "jump".
    dt: seconds a step, or what the unit of the graph's time constants is; None: metadata["dt"] of the graph or its nodes.
    decay: "euler" 1 - dt/tau, "exponential" exp(-dt/tau).
    membrane_input: of LIF, LI, CubaLIF: "current" adds r (1 - decay) x, "jump" r x. integrator_input: of IF and I: "current" adds
    r dt x a step, "jump" r x. synapse_input: of CubaLIF: "current" adds w_in (1 - current_decay) x, "jump" w_in x.
    reset: "zero", to v_reset (NIR's own, the default), or "subtract" the threshold. reset_delay: the threshold is
    subtracted a step later, after the leak, which is threshold / decay at once. comparison: ">" (NIR's own) or ">=".

    Where the values give an exporter away, whose step or reset would be another than is asked for, it is to be named:
    snntorch: its defaults, as snntorch.export_nir (whose dt is 1e-4) leaves out the reset: say reset="zero" for
    reset_mechanism "zero", reset_delay=False for the same of the neuron (then exact unless a potential passes twice the threshold).
    norse: to_nir multiplies time constants by its dt (0.001), hence dt = 1e-6 here, and in general dt squared. It writes no v_reset:
    cells that reset elsewhere than to zero lose that.
    sinabs: time constants are in steps; only spike_fn SingleSpike is binary; norm_input=False needs membrane_input="jump";
    min_v_mem, tau_syn and MembraneReset are not exported (say reset="zero" for the latter).
    spikingjelly: another dt than export_to_nir's 1e-4 is to be given; the r of an IFNode is 1 / dt.

    A v_reset other than zero shifts the potentials, which then start there. A recurrent bias becomes an offset, or, where
    a synaptic current filters it, part of the bias before it. Raises InvalidValueError with the path of what cannot be
    converted, ArchiveError and FileNotFoundError for files, FormatUnavailableError without nir.
    """
    nir = _import()
    given = {
        "dt": dt, "reset": reset, "reset_delay": reset_delay, "decay": decay, "comparison": comparison,
        "membrane_input": membrane_input, "synapse_input": synapse_input, "integrator_input": integrator_input,
    }  # fmt: skip
    return _read(nir, source, _options(exporter, given))


def _read(nir: ModuleType, source: Any, options: Options) -> Source:
    """A graph, or that of a file."""
    if isinstance(source, nir.NIRGraph):
        return read_graph(nir, source, options, "NIR graph")
    if not isinstance(source, str | os.PathLike):
        raise invalid("read_nir", "source", type(source).__name__, "a nir.NIRGraph or a path", "wrap nodes with nir.NIRGraph.from_list")
    tree = read_tree(source)
    try:
        return read_graph(nir, _graph_in(nir, source, tree), options, str(source))
    except TpLavaError:
        raise
    except Exception as error:  # nir asserts, indexes and calls with what the file says
        raise damaged(source, f"cannot be read as NIR ({type(error).__name__}: {error})") from None


def _options(exporter: str | None, given: Mapping[str, Any]) -> Options:
    """The caller's options, else the exporter's, else NIR's own."""
    if exporter is not None and exporter not in EXPORTERS:
        raise invalid("read_nir", "exporter", repr(exporter)[:60], f"one of {', '.join(EXPORTERS)}, or None", "leave it out for NIR's own")
    said = {name: value for name, value in given.items() if value is not None}
    return Options(**{**EXPORTERS.get(exporter or "", {}), **said}, exporter=exporter)


def _graph_in(nir: ModuleType, path: object, tree: Mapping[str, Any]) -> Any:
    """The graph of a file, built by nir's own classes; the file itself is not read by nir, whose reader is unbounded."""
    if not isinstance(tree.get("node"), Mapping):
        raise damaged(path, "has no group 'node', so is no NIR file")
    form = _dict_form(tree["node"])
    if form.get("type") != "NIRGraph":
        raise damaged(path, f"holds a {form.get('type')}, not a NIRGraph")
    return nir.dict2NIRNode(form)


def _dict_form(group: Mapping[str, Any]) -> dict[str, Any]:
    """What nir's from_dict takes. nir does not check types here: it would refuse scalar parameters, which exporters write."""
    form = {name: _without_arrays(item) for name, item in group.items()}
    kind = form.get("type")
    if kind == "NIRGraph":
        form["nodes"] = {name: _dict_form(node) for name, node in form["nodes"].items()}
        form["edges"] = _pairs(form.get("edges"))
        form["type_check"] = False
    elif kind in ("CubaLIF", "CubaLI") and np.size(form.get("w_in", 1.0)) > 1 and np.shape(form["w_in"]) != np.shape(form["v_leak"]):
        raise ValueError(f"w_in has shape {np.shape(form['w_in'])}")  # nir would broadcast it, to any size
    return form


def _without_arrays(item: Any) -> Any:
    """Scalars in place of arrays without dimensions, as nir's own reader has them."""
    if isinstance(item, Mapping):
        return {name: _without_arrays(value) for name, value in item.items()}
    return item[()] if isinstance(item, np.ndarray) and item.ndim == 0 else item


def _pairs(edges: Any) -> list[tuple[str, str]]:
    """Edges out of the file's list of names."""
    if edges is None or (not isinstance(edges, list) and np.size(edges)) or len(edges) % 2:
        raise ValueError("edges are not pairs of names")
    return list(zip(edges[::2], edges[1::2], strict=True))


def _import() -> ModuleType:
    try:
        import nir
    except ImportError:
        raise FormatUnavailableError("convert: NIR needs the package nir; pip install nir.", obj="nir", attr="import") from None
    return nir


def graph_of(source: Source, dt: float) -> Any:
    """The stages as a nir.NIRGraph, which `read_nir(graph)` reads back exactly. dt: seconds a step, > 0.

    tau = dt / (1 - decay), r = gain tau / dt, v_leak = offset / (1 - decay), w_in = tau_syn / dt; decay 1 is an IF or I.
    What NIR has no place for (reset by subtraction and by how much, comparison, trace decay), and the numbers to their last
    bit, are in the metadata, under "tp_lava", and the step as "dt". Convolutions with groups or a kernel that is not square
    are written right, but nir infers wrong shapes for them: read such files with nir.read(..., type_check=False).
    Raises InvalidValueError, FormatUnavailableError.
    """
    nir = _import()
    if not (is_number(dt) and dt > 0):
        raise invalid("graph_of", "dt", repr(dt), "a number > 0", "give the length of a step in seconds")
    return Writer(nir, float(dt)).write(source)
