"""What the libraries that write NIR leave in its numbers, by which they are known, and what they leave out.

snnTorch (and SpikingJelly without decay_input) writes r = tau / dt with its own step dt = 1e-4, so that one unit of input adds one
to the membrane: tau / r is 1e-4 in every neuron, with r other than 1. Neither the step nor the reset is in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.nir.neurons import Options
from tp_lava.convert.nir.values import Recorded
from tp_lava.convert.values import refuse

_STEP = 1e-4
_CLOSE = 1e-4  # float32 time constants
_SAY = 'say exporter="snntorch", or "spikingjelly"'
_LOST: Mapping[str, tuple[tuple[str, str], ...]] = {  # of an exporter: what it leaves out, and what is assumed
    "snntorch": (("reset_mechanism", "by subtraction, a step later, unless reset and reset_delay say otherwise"),),
    "norse": (("v_reset", "zero"),),
    "sinabs": (
        ("spike_fn", "SingleSpike: MultiSpike, its default, gives several spikes a step, which no neuron here does"),
        ("min_v_mem", "None: membranes have no lower bound"),
        ("tau_syn", "None: no synaptic current"),
        ("reset_fn", "MembraneSubtract, unless reset says otherwise"),
    ),
    "spikingjelly": (),
}


def check_exporter(nir: ModuleType, nodes: Mapping[str, Any], options: Options) -> None:
    """Refuse a step or an assumed reset that the exporter's numbers speak against. Raises InvalidValueError."""
    neurons = dict(_neurons(nir, nodes))
    says = [_leak(node) for node in neurons.values()]
    if options.exporter is not None or "other" in says or "theirs" not in says:
        return
    path = next(iter(neurons))
    if options.dt is not None and abs(options.dt - _STEP) > _CLOSE * _STEP:
        limit = f"{_STEP:g}, for tau / r is that in every neuron, as snnTorch and SpikingJelly export it"
        raise refuse(path, "dt", f"{options.dt:g}", limit, f"{_SAY} (EXPORTERS in tp_lava.convert.nir has their options)")
    if options.dt is not None and options.reset is None:
        limit = "said, for snnTorch and SpikingJelly, one of which wrote this, do not export it"
        raise refuse(path, "reset", None, limit, f'{_SAY}, or reset="subtract" or "zero"')


def _neurons(nir: ModuleType, nodes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Neurons with a time constant that we did not write ourselves."""
    for path, node in nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _neurons(nir, node.nodes)
        elif isinstance(node, nir.LIF | nir.CubaLIF) and not Recorded(node).entries:
            yield path, node


def _leak(node: Any) -> str:
    """What a neuron's tau and r say: "theirs" of those exporters, "other", or "" where r is 1, as others write it too."""
    try:
        tau = np.asarray(getattr(node, "tau", getattr(node, "tau_mem", 0.0)), np.float64)
        r = np.asarray(node.r, np.float64)
    except (TypeError, ValueError):  # no numbers: the reader refuses the node by name
        return "other"
    if r.shape != tau.shape and r.size > 1 and tau.size > 1:
        return "other"
    if not (np.isfinite(tau).all() and np.isfinite(r).all()) or np.any(np.abs(tau - _STEP * r) > _CLOSE * np.abs(tau)) or np.any(r <= 0):
        return "other"
    return "" if np.allclose(r, 1.0) else "theirs"


def record_losses(builder: SourceBuilder, options: Options) -> None:
    """Say in the provenance what the named exporter does not write, and what is assumed in its place."""
    for name, assumed in _LOST.get(options.exporter or "", ()):
        builder.record(f"exporter {options.exporter}", name, "added", f"not in the file; taken for {assumed}")
