"""NIR, the Neuromorphic Intermediate Representation (arXiv 2311.14641): graphs and .nir files to stages, and back.

NIR's neurons live in continuous time; which steps they were trained with, how they reset and when they spike are the
exporter's own, and its files do not say. So the reader takes them as options, and EXPORTERS has the right ones.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Literal

from tp_lava.checks import is_number
from tp_lava.convert.hdf5 import damaged
from tp_lava.convert.nir.files import load_graph
from tp_lava.convert.nir.options import EXPORTERS as EXPORTERS
from tp_lava.convert.nir.options import Drive, Options
from tp_lava.convert.nir.reader import read_graph
from tp_lava.convert.nir.writer import Writer
from tp_lava.convert.stages import Source
from tp_lava.errors import FormatUnavailableError, TpLavaError, invalid


def read_nir(
    source: Any,
    *,
    dt: float | None = None,
    reset: Literal["subtract", "zero"] | None = None,
    reset_delay: bool = False,
    decay: Literal["euler", "exponential"] = "euler",
    comparison: Literal[">=", ">"] | None = None,
    membrane_input: Drive = "current",
    synapse_input: Drive = "current",
) -> Source:
    """A NIR graph as stages. source: a nir.NIRGraph or the path of a .nir file, which must be a chain; recurrence is a
    Linear or Affine from a neuron back to itself, in a subgraph or not.

    dt: seconds a step, or what the unit of the graph's time constants is; None: metadata["dt"] of the graph or its nodes.
    decay: "euler" 1 - dt/tau, "exponential" exp(-dt/tau).
    membrane_input: of LIF, LI, CubaLIF: "current" adds r (1 - decay) x, "jump" r x; IF and I always add r x a step.
    synapse_input: of CubaLIF: "current" adds w_in (1 - current_decay) x, "jump" w_in x.
    reset: "zero", to v_reset (NIR's own, the default), or "subtract" the threshold. reset_delay: the threshold is
    subtracted a step later, after the leak, which is threshold / decay at once. comparison: ">" (NIR's own) or ">=".

    Options of an exporter are `read_nir(graph, **EXPORTERS["snntorch"])`, and so on:
    snntorch: its defaults, as snntorch.export_nir (whose dt is 1e-4) leaves out the reset: say reset="zero" for
    reset_mechanism "zero", reset_delay=False for the same of the neuron (then exact unless a potential passes twice the threshold).
    norse: to_nir multiplies time constants by its dt (0.001), hence dt = 1e-6 here, and in general dt squared.
    sinabs: time constants are in steps; only spike_fn SingleSpike is binary; norm_input=False needs membrane_input="jump";
    min_v_mem, tau_syn and MembraneReset are not exported (say reset="zero" for the latter).

    A v_reset other than zero shifts the potentials, which then start there. A recurrent bias becomes an offset, or, where
    a synaptic current filters it, part of the bias below. Raises InvalidValueError with the path of what cannot be carried
    over, ArchiveError and FileNotFoundError for files, FormatUnavailableError without nir.
    """
    nir = _import()
    options = Options(dt, reset, reset_delay, decay, comparison, membrane_input, synapse_input)
    if isinstance(source, nir.NIRGraph):
        return read_graph(nir, source, options, "NIR graph")
    if not isinstance(source, str | os.PathLike):
        raise invalid("read_nir", "source", type(source).__name__, "a nir.NIRGraph or a path", "wrap nodes with nir.NIRGraph.from_list")
    graph = load_graph(nir, source)
    try:
        return read_graph(nir, graph, options, str(source))
    except TpLavaError:
        raise
    except Exception as error:
        raise damaged(source, f"is no graph of NIR ({type(error).__name__}: {error})") from None


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
