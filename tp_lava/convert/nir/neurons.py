"""Neurons of NIR, which live in continuous time, as neurons in steps; the options say what NIR does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.nir.graph import Named
from tp_lava.convert.nir.values import Recorded, array_in, spread_in
from tp_lava.convert.stages import Integrating, Spiking
from tp_lava.convert.values import Parameter, check_shape, extent, refuse, spread, unspread
from tp_lava.errors import invalid

ROUNDING = 1e-12  # a gain this close to 1 was meant to be 1
_GAIN = 1000.0  # thresholds a unit of input, from which on a gain is taken for a rate per second
Drive = Literal["current", "jump"]
Reset = Literal["subtract", "zero"]
_ALLOWED: Mapping[str, tuple[Any, ...]] = {
    "reset": ("subtract", "zero", None),
    "reset_delay": (True, False),
    "decay": ("euler", "exponential"),
    "comparison": (">=", ">", None),
    **dict.fromkeys(("membrane_input", "synapse_input", "integrator_input"), ("current", "jump")),
}


@dataclass(frozen=True)
class Options:
    """How an exporter meant its graphs: the options of read_nir, by default as NIR means them."""

    dt: float | None = None
    reset: Reset | None = None
    reset_delay: bool = False
    decay: Literal["euler", "exponential"] = "euler"
    comparison: Literal[">=", ">"] | None = None
    membrane_input: Drive = "current"
    synapse_input: Drive = "current"
    integrator_input: Drive = "jump"
    exporter: str | None = None

    def __post_init__(self) -> None:
        if self.dt is not None and not (is_number(self.dt) and self.dt > 0):
            raise invalid("read_nir", "dt", repr(self.dt), "a number > 0", "give the length of a step in seconds")
        for name, allowed in _ALLOWED.items():
            found = getattr(self, name)
            if not isinstance(found, str | bool | None) or found not in allowed:
                remedy = "EXPORTERS has the options of some libraries"
                raise invalid("read_nir", name, repr(found), "one of " + ", ".join(map(repr, allowed)), remedy)


@dataclass(frozen=True, eq=False)
class _Dynamics:
    """Parameters in steps; arrays that broadcast against the population's shape."""

    decay: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    current_decay: np.ndarray


def _near_one(gain: np.ndarray) -> np.ndarray:
    return np.where(np.abs(gain - 1) < ROUNDING, 1.0, gain)


class NeuronReader:
    """Appends the stages of neurons."""

    def __init__(self, nir: ModuleType, options: Options, builder: SourceBuilder) -> None:
        self.nir, self.options, self.builder = nir, options, builder

    def append_spiking(self, path: str, node: Any, feedback: Named | None) -> None:
        """A spiking neuron with its recurrence, the path and node of a map."""
        shape, recorded, dynamics = self.builder.shape, Recorded(node), self._dynamics(path, node)
        reset = self._reset(path, recorded, delayed_input=feedback is not None or bool(np.any(dynamics.current_decay)))
        threshold, v_reset = spread_in(path, node, "v_threshold", shape), self._v_reset(path, node, reset)
        if np.any(threshold <= v_reset):
            raise refuse(path, "v_threshold", extent(threshold), "above v_reset", "raise the threshold")
        threshold, offset = threshold - v_reset, dynamics.offset - (1 - dynamics.decay) * v_reset
        weight = None
        if feedback is not None:
            weight, drive = self._feedback(*feedback, path, dynamics)
            offset = offset + drive
        gain = self.builder.scaled_gain(path, dynamics.gain)
        values = {"decay": dynamics.decay, "threshold": threshold, "current_decay": dynamics.current_decay, "gain": gain, "offset": offset}
        numbers: dict[str, Any] = {name: recorded.exact(name, value, shape) for name, value in values.items()}
        if reset == "subtract":
            numbers["reset_by"] = self._reset_by(path, recorded, numbers["decay"], numbers["threshold"])
        comparison = self._comparison(path, recorded)
        trace_decay = recorded.parameter("trace_decay", shape)
        self.builder.neurons(Spiking(path, **numbers, reset=reset, comparison=comparison, feedback=weight, trace_decay=trace_decay))

    def append_integrating(self, path: str, node: Any) -> None:
        """The readout's neurons."""
        recorded, dynamics = Recorded(node), self._dynamics(path, node)
        if np.any(dynamics.current_decay):
            found = f"a synaptic current with decay {extent(dynamics.current_decay)}"
            raise refuse(path, "tau_syn", found, "none: readouts integrate what arrives", "use an LI")
        values = {"decay": dynamics.decay, "gain": self.builder.scaled_gain(path, dynamics.gain), "offset": dynamics.offset}
        numbers = {name: recorded.exact(name, value, self.builder.shape) for name, value in values.items()}
        self.builder.neurons(Integrating(path, **numbers))

    def _comparison(self, path: str, recorded: Recorded) -> Literal[">=", ">"]:
        """The caller's, or what graph_of recorded, or NIR's own."""
        own = recorded.word("comparison", ">", ">=")
        found = self.options.comparison or own or ">"
        self.builder.record(path, "comparison", "kept" if found == own else "added", f"potential {found} threshold")
        return ">=" if found == ">=" else ">"

    def _reset(self, path: str, recorded: Recorded, delayed_input: bool) -> Reset:
        """The caller's, or what graph_of recorded, or NIR's own. delayed_input: whether spikes or currents of earlier steps arrive."""
        own = recorded.word("reset", "subtract", "zero")
        reset: Reset = "subtract" if (self.options.reset or own) == "subtract" else "zero"
        if self.options.reset_delay and reset == "zero" and delayed_input:
            found = "reset_delay=True with a reset to zero, which would lose a step's input"
            raise refuse(path, "reset", found, "at once", "train it with reset_delay=False")
        self.builder.record(path, "reset", "kept" if own == reset else "added", reset)
        return reset

    def _v_reset(self, path: str, node: Any, reset: Reset) -> np.ndarray:
        """The potential to which spikes reset, by which potentials are shifted."""
        v_reset = np.zeros(()) if node.v_reset is None else spread_in(path, node, "v_reset", self.builder.shape)
        if not np.any(v_reset):
            self.builder.record(path, "v_reset", "ignored" if reset == "subtract" else "kept", "zero")
        elif reset == "subtract":
            limit = 'zero where the threshold is subtracted (reset="subtract")'
            raise refuse(path, "v_reset", extent(v_reset), limit, 'use reset="zero", which resets to v_reset')
        else:
            self.builder.record(path, "v_reset", "folded", f"potentials are shifted by {extent(v_reset)} and start there")
        return v_reset

    def _reset_by(self, path: str, recorded: Recorded, decay: Parameter, threshold: Parameter) -> Parameter | None:
        """What a spike subtracts; None: the threshold."""
        shape = self.builder.shape
        if not self.options.reset_delay:
            return recorded.parameter("reset_by", shape) if self.options.reset is None else None
        if np.any(np.asarray(decay) == 0):
            raise refuse(path, "decay", 0, "above 0 with reset_delay=True", "use reset_delay=False")
        self.builder.record(path, "reset_by", "added", "threshold / decay: a step later, after the leak")
        return unspread(spread(threshold, shape) / spread(decay, shape))

    def _feedback(self, path: str, node: Any, neuron: str, dynamics: _Dynamics) -> tuple[np.ndarray, Any]:
        """A recurrence's weights, times the gain that NIR's neurons have for all input. -> (weights, offset for its bias)."""
        builder, gain, n, weight = self.builder, dynamics.gain, self.builder.shape[0], array_in(path, node, "weight")
        if weight.shape != (n, n) or len(builder.shape) > 1:
            found = f"of shape {weight.shape} for neurons of shape {builder.shape}"
            raise refuse(path, "weight", found, "(n, n) of n neurons, flat", f"check the recurrence of {neuron}")
        if np.all(gain == 1):
            builder.record(path, "weight", "kept", f"feedback of {neuron}")
        else:
            builder.record(path, "weight", "rescaled", f"feedback of {neuron}, times its gain {extent(gain)}")
            weight = np.broadcast_to(gain, (n,))[:, None] * weight
        if getattr(node, "bias", None) is None:
            return weight, 0.0
        bias = array_in(path, node, "bias")
        check_shape(path, "bias", bias, (n,))
        if np.any(dynamics.current_decay):  # which filters this bias as it does what arrives
            builder.fold_bias(path, "bias", bias)
            return weight, 0.0
        builder.record(path, "bias", "folded", f"into the offset of {neuron}")
        return weight, gain * bias

    def _dynamics(self, path: str, node: Any) -> _Dynamics:
        """A neuron's continuous parameters in steps."""
        nir, options = self.nir, self.options

        def number(name: str) -> np.ndarray:
            return spread_in(path, node, name, self.builder.shape)

        gain, zero = number("r"), np.zeros(())
        if isinstance(node, nir.IF | nir.I):
            return _Dynamics(np.ones(()), self._integrated(path, node, gain), zero, zero)
        tau = "tau" if isinstance(node, nir.LIF | nir.LI) else "tau_mem"
        decay, leak = self._decay(path, tau, number(tau))
        gain, offset, current_decay = gain * (leak if options.membrane_input == "current" else 1.0), leak * number("v_leak"), zero
        if tau == "tau_mem":
            current_decay, fall = self._decay(path, "tau_syn", number("tau_syn"))
            gain = gain * number("w_in") * (fall if options.synapse_input == "current" else 1.0)
        return _Dynamics(decay, _near_one(gain), offset, current_decay)

    def _integrated(self, path: str, node: Any, gain: np.ndarray) -> np.ndarray:
        """What an IF or I adds for a unit of input: r, or r dt. An r that is a rate, and would fire at anything, is refused."""
        options = self.options
        if options.integrator_input == "current":
            if options.dt is None:
                raise refuse(path, "r", f"{extent(gain)} a second", "known in steps", "give dt=..., the seconds a step")
            self.builder.record(path, "r", "rescaled", f"{extent(gain * options.dt)} a step of {options.dt:g}")
            return _near_one(gain * options.dt)
        threshold = getattr(node, "v_threshold", None)
        if threshold is not None and not Recorded(node).entries and np.any(np.abs(gain) > _GAIN * np.abs(np.asarray(threshold))):
            limit = f"at most {_GAIN:g} thresholds a unit of input"
            remedy = 'pass integrator_input="current" if r is a rate per second, as exporter="spikingjelly" does'
            raise refuse(path, "r", extent(gain), limit, remedy)
        return gain

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
