"""Neurons of NIR, which live in continuous time, as neurons in steps."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.nir.graph import Named
from tp_lava.convert.nir.options import Options
from tp_lava.convert.nir.values import Recorded, array_in, spread_in
from tp_lava.convert.stages import Integrating, Spiking
from tp_lava.convert.values import Parameter, extent, refuse, spread, unspread

ROUNDING = 1e-12  # a gain this close to 1 was meant to be 1


@dataclass
class _Dynamics:
    """Parameters in steps; arrays that broadcast against the population's shape."""

    decay: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    current_decay: np.ndarray


class NeuronReader:
    """Appends the stages of neurons."""

    def __init__(self, nir: ModuleType, options: Options, builder: SourceBuilder) -> None:
        self.nir, self.options, self.builder = nir, options, builder

    def append_spiking(self, path: str, node: Any, feedback: Named | None) -> None:
        """A spiking neuron with its recurrence, the path and node of a map."""
        shape, own = self.builder.shape, Recorded(node)
        dynamics = self._dynamics(path, node)
        threshold = spread_in(path, node, "v_threshold", shape)
        self.builder.record(path, "v_threshold", "kept", extent(threshold))
        reset, v_reset = self._reset(path, node, dynamics, feedback is not None)
        if np.any(threshold <= v_reset):
            raise refuse(path, "v_threshold", extent(threshold), "above v_reset", "raise the threshold")
        threshold, offset = threshold - v_reset, dynamics.offset - (1 - dynamics.decay) * v_reset
        weight = None
        if feedback is not None:
            weight, drive = self._feedback(*feedback, path, dynamics)
            offset = offset + drive
        kept = {"decay": dynamics.decay, "threshold": threshold, "current_decay": dynamics.current_decay, "offset": offset}
        numbers: dict[str, Any] = {name: own.exact(name, value, shape) for name, value in kept.items()}
        stage = Spiking(
            path,
            **numbers,
            reset=reset,
            reset_by=self._reset_by(path, own, numbers["decay"], numbers["threshold"]) if reset == "subtract" else None,
            comparison=self._comparison(path, own),
            gain=own.exact("gain", self.builder.scaled_gain(path, dynamics.gain), shape),
            feedback=weight,
            trace_decay=own.number("trace_decay"),
        )
        self.builder.neurons(stage)

    def append_integrating(self, path: str, node: Any) -> None:
        """The readout's neurons."""
        shape, own = self.builder.shape, Recorded(node)
        dynamics = self._dynamics(path, node)
        if np.any(dynamics.current_decay):
            found = f"a synaptic current with decay {extent(dynamics.current_decay)}"
            raise refuse(path, "tau_syn", found, "none: readouts integrate what arrives", "use an LI")
        gain = self.builder.scaled_gain(path, dynamics.gain)
        numbers = {"decay": dynamics.decay, "gain": gain, "offset": dynamics.offset}
        self.builder.neurons(Integrating(path, **{name: own.exact(name, value, shape) for name, value in numbers.items()}))

    def _comparison(self, path: str, own: Recorded) -> Literal[">=", ">"]:
        """The caller's, or what graph_of recorded, or NIR's own."""
        recorded = own.word("comparison", ">", ">=")
        found = self.options.comparison or recorded or ">"
        self.builder.record(path, "comparison", "kept" if found == recorded else "added", f"potential {found} threshold")
        return ">=" if found == ">=" else ">"

    def _reset(self, path: str, node: Any, dynamics: _Dynamics, recurrent: bool) -> tuple[Literal["subtract", "zero"], np.ndarray]:
        """-> (which reset, the v_reset by which potentials are shifted)."""
        recorded = Recorded(node).word("reset", "subtract", "zero")
        reset: Literal["subtract", "zero"] = "subtract" if (self.options.reset or recorded) == "subtract" else "zero"
        v_reset = np.zeros(()) if node.v_reset is None else spread_in(path, node, "v_reset", self.builder.shape)
        if reset == "subtract" and np.any(v_reset):
            limit, remedy = 'zero where the threshold is subtracted (reset="subtract")', 'use reset="zero", which resets to v_reset'
            raise refuse(path, "v_reset", extent(v_reset), limit, remedy)
        if self.options.reset_delay and reset == "zero" and (recurrent or np.any(dynamics.current_decay)):
            found = "reset_delay=True with a reset to zero, which would lose a step's input"  # else the leak of zero is zero
            raise refuse(path, "reset", found, "at once", "train it with reset_delay=False")
        if np.any(v_reset):
            self.builder.record(path, "v_reset", "folded", f"potentials are shifted by {extent(v_reset)} and start there")
        elif reset == "subtract":
            self.builder.record(path, "v_reset", "ignored", 'for reset="subtract"')
        else:
            self.builder.record(path, "v_reset", "kept", "zero")
        self.builder.record(path, "reset", "kept" if recorded == reset else "added", reset)
        return reset, v_reset

    def _reset_by(self, path: str, own: Recorded, decay: Parameter, threshold: Parameter) -> Parameter | None:
        """What a spike subtracts; None: the threshold."""
        shape = self.builder.shape
        if not self.options.reset_delay:
            return own.parameter("reset_by", shape) if self.options.reset is None else None
        if np.any(np.asarray(decay) == 0):
            raise refuse(path, "decay", 0, "above 0 with reset_delay=True", "use reset_delay=False")
        self.builder.record(path, "reset_by", "added", "threshold / decay: a step later, after the leak")
        return unspread(spread(threshold, shape) / spread(decay, shape))

    def _feedback(self, path: str, node: Any, neuron: str, dynamics: _Dynamics) -> tuple[np.ndarray, Any]:
        """A recurrence's weights, times the gain that NIR's neurons have for all input. -> (weights, offset for its bias)."""
        builder, weight = self.builder, array_in(path, node, "weight")
        (n, *others), gain = builder.shape, dynamics.gain
        if weight.shape != (n, n) or others:
            found = f"of shape {weight.shape} for neurons of shape {builder.shape}"
            raise refuse(path, "weight", found, "(n, n) of n neurons, flat", f"check the recurrence of {neuron}")
        if np.all(gain == 1):
            builder.record(path, "weight", "kept", f"feedback of {neuron}")
        else:
            builder.record(path, "weight", "rescaled", f"feedback of {neuron}, times its gain {extent(gain)}")
            weight = np.broadcast_to(gain, (n,))[:, None] * weight
        bias = bias_in(path, node, n)
        if bias is None:
            return weight, 0.0
        if np.any(dynamics.current_decay):  # which filters this bias as it does what arrives
            builder.fold_bias(path, "bias", bias)
            return weight, 0.0
        builder.record(path, "bias", "folded", f"into the offset of {neuron}")
        return weight, gain * bias

    def _dynamics(self, path: str, node: Any) -> _Dynamics:
        """A neuron's continuous parameters in steps."""
        nir, record, shape = self.nir, self.builder.record, self.builder.shape

        def number(name: str) -> np.ndarray:
            return spread_in(path, node, name, shape)

        gain, offset, current_decay = number("r"), np.zeros(()), np.zeros(())
        if isinstance(node, nir.IF | nir.I):
            record(path, "r", "kept", f"gain {extent(gain)} a step")
            return _Dynamics(np.ones(()), gain, offset, current_decay)
        tau = "tau" if isinstance(node, nir.LIF | nir.LI) else "tau_mem"
        decay, leak = self._decay(path, tau, number(tau))
        gain, offset = gain * (leak if self.options.membrane_input == "current" else 1.0), leak * number("v_leak")
        record(path, "v_leak", "folded", f"offset {extent(offset)}")
        if tau == "tau_mem":
            current_decay, fall = self._decay(path, "tau_syn", number("tau_syn"))
            gain = gain * number("w_in") * (fall if self.options.synapse_input == "current" else 1.0)
            record(path, "w_in", "folded", "into the gain")
        record(path, "r", "folded", f"gain {extent(gain)}")
        return _Dynamics(decay, np.where(np.abs(gain - 1) < ROUNDING, 1.0, gain), offset, current_decay)

    def _decay(self, path: str, name: str, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A time constant as the factor a step, and 1 minus it."""
        dt = self.options.dt
        if dt is None:
            raise refuse(path, name, f"{extent(tau)} in seconds", "known in steps", "give dt=..., the seconds a step")
        if np.any(tau <= 0):
            raise refuse(path, name, extent(tau), "> 0", "use an IF for a neuron that does not leak")
        per_step = dt / tau
        if self.options.decay == "exponential":
            decay, rest = np.exp(-per_step), -np.expm1(-per_step)
        elif np.any(per_step > 1 + 1e-6):  # dt = tau, rounded, is a decay of zero
            remedy = 'use a smaller dt, or decay="exponential"; EXPORTERS has the dt of some libraries'
            raise refuse(path, name, f"{extent(tau)} with dt {dt:g}", "at least dt", remedy)
        else:
            rest = np.minimum(per_step, 1.0)
            decay = 1.0 - rest
        self.builder.record(path, name, "rescaled", f"decay {extent(decay)} a step of {dt:g}")
        return decay, rest


def bias_in(path: str, node: Any, n_outputs: int) -> np.ndarray | None:
    """A map's bias, or None where it has none."""
    if getattr(node, "bias", None) is None:
        return None
    bias = array_in(path, node, "bias")
    if bias.shape != (n_outputs,):
        raise refuse(path, "bias", f"of shape {bias.shape}", f"({n_outputs},)", "check the node")
    return bias
