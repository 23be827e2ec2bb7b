"""Neurons in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Literal

import numpy as np

from tp_lava.convert.nir.chain import spikes
from tp_lava.convert.nir.options import Options
from tp_lava.convert.nir.values import (
    Signal,
    extent,
    fitting,
    mark_of,
    matrix,
    numbers,
    parameter_of,
    recorded,
    recorded_alone,
    single,
    spread,
    word,
)
from tp_lava.convert.stages import Dense, Integrating, Parameter, Source, Spiking, refuse

ROUNDING = 1e-12  # a gain this close to 1 was meant to be 1


@dataclass
class Dynamics:
    """Of a neuron, in steps; arrays that broadcast against its shape."""

    decay: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    current_decay: np.ndarray
    threshold: Any = None
    v_reset: Any = None


def own_path(path: str, node: Any) -> str:
    """The path that graph_of was given, or else the node's."""
    own = mark_of(node).get("path")
    return own if isinstance(own, str) else path


def bias_of(path: str, node: Any, n_out: int, source: Source) -> np.ndarray | None:
    """A map's bias; None where our own metadata says that its zeros are only there because NIR wants a bias."""
    if getattr(node, "bias", None) is None:
        return None
    bias = numbers(path, node, "bias")
    if bias.shape != (n_out,):
        raise refuse(path, "bias", f"of shape {bias.shape}", f"({n_out},)", "check the node")
    if word(mark_of(node), "bias", ("none",)) and not bias.any():
        source.note(path, "bias", "ignored", "zero")
        return None
    source.note(path, "bias", "kept", extent(bias))
    return bias


class Neurons:
    """What a reader makes of neurons; source: takes the stages and fates."""

    def __init__(self, nir: ModuleType, options: Options, name: str) -> None:
        self.nir, self.options, self.name, self.dt = nir, options, name, options.dt
        self.source = Source("nir", (), [])

    def spiking(self, path: str, node: Any, signal: Signal, feedback: tuple[str, Any] | None) -> Signal:
        """A neuron with its recurrence."""
        dynamics = self.dynamics(path, node, signal)
        reset = self.reset(path, node, dynamics, recurrent=feedback is not None)
        gain, offset, weight = dynamics.gain, dynamics.offset, None
        if feedback is not None:
            weight, bias = self.feedback(*feedback, path, gain, signal)
            if bias is not None and not np.any(dynamics.current_decay):
                offset = offset + gain * bias
                self.source.note(feedback[0], "bias", "folded", f"into the offset of {path}")
            elif bias is not None:
                signal = self.bias_below(feedback[0], path, bias, signal)
        mark, shape = mark_of(node), signal.shape
        decay, threshold = recorded(mark, "decay", dynamics.decay, shape), recorded(mark, "threshold", dynamics.threshold, shape)
        stage = Spiking(
            own_path(path, node),
            decay,
            threshold,
            recorded(mark, "current_decay", dynamics.current_decay, shape),
            reset,
            self.reset_by(path, mark, decay, threshold, shape) if reset == "subtract" else None,
            self.comparison(path, mark),
            recorded(mark, "gain", self.scaled_gain(path, gain, signal), shape),
            recorded(mark, "offset", offset, shape),
            weight,
            single(mark.get("trace_decay")),
        )
        self.source.stages.append(stage)
        return Signal(shape)

    def scaled_gain(self, path: str, gain: np.ndarray, signal: Signal) -> np.ndarray:
        """The gain of what comes from below, not of the recurrence."""
        if signal.scale is None:
            return gain
        self.source.note(signal.scaled_by, "scale", "folded", f"into the gain of {path}")
        return gain * signal.scale

    def comparison(self, path: str, mark: Mapping[str, Any]) -> Literal[">=", ">"]:
        """The caller's, or what graph_of wrote, or NIR's own."""
        own = word(mark, "comparison", (">", ">="))
        found = self.options.comparison or own or ">"
        self.source.note(path, "comparison", "kept" if found == own else "added", f"potential {found} threshold")
        return ">=" if found == ">=" else ">"

    def reset(self, path: str, node: Any, dynamics: Dynamics, recurrent: bool) -> Literal["subtract", "zero"]:
        """Which reset, and v_reset taken off the potentials."""
        own = word(mark_of(node), "reset", ("subtract", "zero"))
        reset: Literal["subtract", "zero"] = "subtract" if (self.options.reset or own) == "subtract" else "zero"
        v_reset = dynamics.v_reset
        if reset == "subtract" and np.any(v_reset != 0):
            remedy = 'use reset="zero", which resets to v_reset'
            raise refuse(path, "v_reset", extent(v_reset), 'zero where the threshold is subtracted (reset="subtract")', remedy)
        delayed_zero = self.options.reset_delay and reset == "zero"
        if delayed_zero and (recurrent or np.any(dynamics.current_decay)):  # else the potential is zero before it leaks: no difference
            found = "reset_delay=True with a reset to zero, which would lose a step's input"
            raise refuse(path, "reset", found, "at once", "train it with reset_delay=False")
        if np.any(v_reset != 0):
            dynamics.threshold = dynamics.threshold - v_reset
            dynamics.offset = dynamics.offset - (1 - dynamics.decay) * v_reset
            self.source.note(path, "v_reset", "folded", f"potentials are shifted by {extent(v_reset)} and start there")
        else:
            detail = 'ignored: reset="subtract"' if reset == "subtract" else "zero"
            self.source.note(path, "v_reset", "ignored" if reset == "subtract" else "kept", detail)
        if np.any(dynamics.threshold <= 0):
            raise refuse(path, "v_threshold", extent(node.v_threshold), "above v_reset", "raise the threshold")
        self.source.note(path, "reset", "kept" if own == reset else "added", reset)
        return reset

    def reset_by(
        self, path: str, mark: Mapping[str, Any], decay: Parameter, threshold: Parameter, shape: tuple[int, ...]
    ) -> Parameter | None:
        """What a spike subtracts; None: the threshold."""
        if not self.options.reset_delay:
            return recorded_alone(mark, "reset_by", shape) if self.options.reset is None else None
        if np.any(np.asarray(decay) == 0):
            raise refuse(path, "decay", 0, "above 0 with reset_delay=True", "use reset_delay=False")
        self.source.note(path, "reset_by", "added", "threshold / decay: a step later, after the leak")
        return parameter_of(spread(threshold, shape) / spread(decay, shape))

    def feedback(self, path: str, node: Any, neuron: str, gain: np.ndarray, signal: Signal) -> tuple[np.ndarray, np.ndarray | None]:
        """A recurrence's weights, times the gain that NIR's neurons have for all input, and its bias, not so."""
        weight, n = matrix(path, node, "weight", 2), signal.size
        if weight.shape != (n, n) or len(signal.shape) != 1:
            found = f"{weight.shape} for neurons of shape {signal.shape}"
            raise refuse(path, "weight", found, "(n, n) of n neurons, flat", f"check the recurrence of {neuron}")
        bias = bias_of(path, node, n, self.source)
        if np.all(gain == 1):
            self.source.note(path, "weight", "kept", f"feedback of {neuron}")
            return weight, bias
        self.source.note(path, "weight", "rescaled", f"feedback of {neuron}, times its gain {extent(gain)}")
        return np.broadcast_to(gain, signal.shape)[:, None] * weight, bias

    def bias_below(self, path: str, neuron: str, bias: np.ndarray, signal: Signal) -> Signal:
        """A bias that a synaptic current filters belongs to what comes in. -> the signal, its scale applied."""
        last = self.source.stages[-1] if self.source.stages else None
        if not isinstance(last, Dense):
            if not bias.any():
                return signal
            found = "a recurrent bias that the synaptic current filters, without a Linear or Affine before the neuron"
            raise refuse(path, "bias", found, "zero", f"add an Affine before {neuron}")
        if signal.scale is not None:
            factor = np.broadcast_to(signal.scale, signal.shape)
            last = replace(last, weight=last.weight * factor[:, None], bias=None if last.bias is None else last.bias * factor)
            self.source.note(signal.scaled_by, "scale", "folded", f"into {last.path}.weight")
        self.source.stages[-1] = replace(last, bias=bias if last.bias is None else last.bias + bias)
        self.source.note(path, "bias", "folded", f"into {last.path}.bias")
        return replace(signal, scale=None)

    def integrating(self, path: str, node: Any, signal: Signal) -> Signal:
        """The readout's neurons."""
        dynamics = self.dynamics(path, node, signal)
        if np.any(dynamics.current_decay != 0):
            current = f"a synaptic current with decay {extent(dynamics.current_decay)}"
            raise refuse(path, "tau_syn", current, "none: readouts integrate what arrives", "use an LI")
        gain = self.scaled_gain(path, dynamics.gain, signal)
        found = {"decay": dynamics.decay, "gain": gain, "offset": dynamics.offset}
        parameters = {name: recorded(mark_of(node), name, value, signal.shape) for name, value in found.items()}
        self.source.stages.append(Integrating(own_path(path, node), **parameters))
        return Signal(signal.shape)

    def dynamics(self, path: str, node: Any, signal: Signal) -> Dynamics:
        """A neuron's continuous parameters in steps."""
        nir, note = self.nir, self.source.note

        def number(name: str) -> np.ndarray:
            return fitting(path, name, numbers(path, node, name).astype(np.float64), signal.shape)

        zero, one = np.zeros(()), np.ones(())
        decay, current_decay, gain, offset = one, zero, number("r"), zero
        if isinstance(node, nir.IF | nir.I):
            note(path, "r", "kept", f"gain {extent(gain)} a step")
        else:
            tau = "tau" if isinstance(node, nir.LIF | nir.LI) else "tau_mem"
            decay, leak = self.decayed(path, tau, number(tau))
            v_leak = number("v_leak")
            gain, offset = gain * (leak if self.options.membrane_input == "current" else 1.0), leak * v_leak
            note(path, "v_leak", "folded", f"offset {extent(offset)}")
            if tau == "tau_mem":
                current_decay, fall = self.decayed(path, "tau_syn", number("tau_syn"))
                gain = gain * number("w_in") * (fall if self.options.synapse_input == "current" else 1.0)
                note(path, "w_in", "folded", "into the gain")
            note(path, "r", "folded", f"gain {extent(gain)}")
        gain = np.where(np.abs(gain - 1) < ROUNDING, 1.0, gain)
        dynamics = Dynamics(decay, gain, offset, current_decay)
        if spikes(self.nir, node):
            dynamics.threshold, dynamics.v_reset = number("v_threshold"), zero if node.v_reset is None else number("v_reset")
            note(path, "v_threshold", "kept", extent(dynamics.threshold))
        return dynamics

    def decayed(self, path: str, name: str, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A time constant as the factor a step, and 1 minus it."""
        if self.dt is None:
            raise refuse(path, name, f"{extent(tau)} in seconds", "known in steps", "give dt=..., the seconds a step")
        if np.any(tau <= 0):
            raise refuse(path, name, extent(tau), "> 0", "use an IF for a neuron that does not leak")
        per_step = self.dt / tau
        if self.options.decay == "exponential":
            decay, rest = np.exp(-per_step), -np.expm1(-per_step)
        else:
            if np.any(per_step > 1 + 1e-6):  # dt = tau, rounded, is a decay of zero
                remedy = 'use a smaller dt, or decay="exponential"; EXPORTERS has the dt of some libraries'
                raise refuse(path, name, f"{extent(tau)} with dt {self.dt:g}", "at least dt", remedy)
            rest = np.minimum(per_step, 1.0)
            decay = 1.0 - rest
        self.source.note(path, name, "rescaled", f"decay {extent(decay)} a step of {self.dt:g}")
        return decay, rest
