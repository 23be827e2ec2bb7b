"""Neurons of sinabs, SpikingJelly and Norse, read from the modules themselves. NumPy alone: what they are is known by names of classes.

    sinabs LIF, IAF          v[t] = a v[t-1] + g x[t];  with tau_syn i[t] = b (i[t-1] + x[t]) in place of x[t];  s = 1 where v >= threshold
    SpikingJelly IF, LIF, PLIF    v[t] - r = (1 - 1/tau) (v[t-1] - r) + x[t] / tau (or x[t]);  s = 1 where v >= threshold
    Norse LIFBoxCell         v[t] - l = (1 - dt/tau) (v[t-1] - l) + dt/tau x[t];  s = 1 where v > threshold
    Norse LIFCell            the same of i[t] in place of x[t], i[t] = (1 - dt/tau_syn) i[t-1] + x[t];  IAFCell: no leak, x[t] itself

a: exp(-1 / tau_mem), g: 1 - a with norm_input, else 1; b: exp(-1 / tau_syn); r: v_reset, l: v_leak, to which potentials are shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.stages import Spiking
from tp_lava.convert.values import Parameter, array_of, broadcast, refuse

BASES = {  # library and class -> of all its neurons
    "snntorch.SpikingNeuron",
    "sinabs.StatefulLayer",
    "spikingjelly.BaseNode",
    "norse.SNNCell",
    "norse.SNNRecurrentCell",
}


def append_foreign(builder: SourceBuilder, kind: str, path: str, leaf: Any) -> None:
    """Append the neurons of a layer. kind: a key of FOREIGN. Raises InvalidValueError for options without equal."""
    FOREIGN[kind](builder, path, leaf)


def _number(builder: SourceBuilder, path: str, name: str, value: Any) -> Parameter:
    """A parameter as one number, one a channel or one a unit; recorded."""
    builder.record(path, name, "kept")
    if isinstance(value, int | float):
        return float(value)
    return broadcast(path, name, value, builder.shape)


def _sinabs(builder: SourceBuilder, path: str, leaf: Any) -> None:
    fires = getattr(leaf.spike_fn, "__name__", type(leaf.spike_fn).__name__)
    if fires != "SingleSpike":
        remedy = "train with spike_fn=sinabs.activation.SingleSpike"
        raise refuse(path, "spike_fn", fires, "SingleSpike: a neuron here spikes once a step", remedy)
    if leaf.min_v_mem is not None:
        raise refuse(
            path,
            "min_v_mem",
            float(np.min(array_of(path, "min_v_mem", leaf.min_v_mem))),
            "None: membranes here have no lower bound",
            "train without it",
        )
    reset, reset_by = type(leaf.reset_fn).__name__, None
    if reset not in ("MembraneSubtract", "MembraneReset") or getattr(leaf.reset_fn, "reset_value", 0.0) != 0.0:
        raise refuse(path, "reset_fn", repr(leaf.reset_fn)[:60], "MembraneSubtract, or MembraneReset to zero", "train with one of them")
    if reset == "MembraneSubtract" and leaf.reset_fn.subtract_value is not None:
        reset_by = _number(builder, path, "subtract_value", leaf.reset_fn.subtract_value)
    leaks = not type(leaf).__name__.startswith("IAF")
    decay = _number(builder, path, "tau_mem", leaf.alpha_mem_calculated) if leaks else 1.0
    current = 0.0 if leaf.tau_syn is None else _number(builder, path, "tau_syn", leaf.alpha_syn_calculated)
    gain = (1.0 - np.asarray(decay) if leaf.norm_input and leaks else np.ones(())) * (1.0 if leaf.tau_syn is None else np.asarray(current))
    threshold = _number(builder, path, "spike_threshold", leaf.spike_threshold)
    kind = "subtract" if reset == "MembraneSubtract" else "zero"
    builder.neurons(Spiking(path, decay, threshold, current, kind, reset_by, ">=", _parameter(gain)))  # type: ignore[arg-type]


def _spikingjelly(builder: SourceBuilder, path: str, leaf: Any) -> None:
    rest = 0.0 if leaf.v_reset is None else float(leaf.v_reset)
    share: Parameter = 1.0  # of what arrives, where it decays too
    decay: Parameter = 1.0
    name = type(leaf).__name__
    if name != "IFNode":
        tau = leaf.w.sigmoid() if name == "ParametricLIFNode" else 1.0 / leaf.tau
        leak = np.asarray(_number(builder, path, "w" if name == "ParametricLIFNode" else "tau", tau))
        decay, share = _parameter(1.0 - leak), _parameter(leak) if leaf.decay_input else 1.0
    threshold = np.asarray(_number(builder, path, "v_threshold", leaf.v_threshold)) - rest
    if rest:
        builder.record(path, "v_reset", "folded", f"potentials are shifted by {rest:g} and start there")
    builder.neurons(Spiking(path, decay, _parameter(threshold), 0.0, "subtract" if leaf.v_reset is None else "zero", None, ">=", share))


def _norse(builder: SourceBuilder, path: str, leaf: Any) -> None:
    p, dt, kind = leaf.p, float(leaf.dt), type(leaf).__name__
    method = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    reset = {"reset_value": "zero", "reset_subtract": "subtract"}.get(method)
    if reset is None:
        raise refuse(path, "reset_method", method, "reset_value or reset_subtract", "train with one of them")
    rest = 0.0 if kind == "IAFCell" else _single(builder, path, "v_leak", p.v_leak)
    needed = _single(builder, path, "v_reset", p.v_reset) if reset == "zero" else 0.0
    if rest != needed:
        found = f"{needed:g} where the potential rests at {rest:g}"
        raise refuse(path, "v_reset, v_leak", found, "one number, from which potentials are counted", "train with v_reset and v_leak equal")
    leak = np.ones(()) if kind == "IAFCell" else dt * np.asarray(_number(builder, path, "tau_mem_inv", p.tau_mem_inv), np.float64)
    decay = 1.0 if kind == "IAFCell" else _parameter(1.0 - leak)
    threshold = _parameter(np.asarray(_number(builder, path, "v_th", p.v_th)) - rest)
    current: Parameter = 0.0
    if kind == "LIFCell":
        current = _parameter(1.0 - dt * np.asarray(_number(builder, path, "tau_syn_inv", p.tau_syn_inv), np.float64))
    options = (reset, None, ">", _parameter(leak))
    builder.neurons(Spiking(path, decay, threshold, current, *options))  # type: ignore[arg-type]


def _single(builder: SourceBuilder, path: str, name: str, value: Any) -> float:
    """One number of a layer."""
    found = np.asarray(_number(builder, path, name, value))
    if found.size > 1 and np.ptp(found):
        raise refuse(path, name, f"{found.min():g} to {found.max():g}", "the same for all neurons", "use one number")
    return float(found.flat[0])


def _parameter(array: Any) -> Parameter:
    array = np.asarray(array, np.float64)
    return float(array) if array.ndim == 0 else array


FOREIGN: Mapping[str, Callable[[SourceBuilder, str, Any], None]] = {
    **{f"sinabs.{name}": _sinabs for name in ("LIF", "LIFSqueeze", "IAF", "IAFSqueeze")},
    **{f"spikingjelly.{name}": _spikingjelly for name in ("IFNode", "LIFNode", "ParametricLIFNode")},
    **{f"norse.{name}": _norse for name in ("LIFBoxCell", "LIFCell", "IAFCell")},
}
