"""snnTorch's neurons (1.0) as stages: what differs from ours, and how each difference is converted. NumPy alone.

m: snnTorch's membrane, s: its spikes, x: what arrives, b: beta and a: alpha clamped to [0, 1], th: the threshold.
In all of them s[t] = 1 where m[t] > th, so the comparison is ">".

    Leaky     m[t] = b m[t-1] + x[t] - th s[t-1]                                     reset "subtract", the default
    Leaky     m[t] = b (1 - s[t-1]) m[t-1] + x[t]                                    reset "zero"
    RLeaky    x[t] + V s[t-1] in place of x[t];  Synaptic, RSynaptic: i[t] = a i[t-1] + x[t] (+ V s[t-1]) in place of x[t]

- Subtraction comes one step later and after the leak. With v[t] = m[t] - th / b s[t], m[t] is b v[t-1] + x[t]: the same
  spikes as subtracting th / b at once (Spiking.reset_by). Where b is 0, th s[t-1] is feedback of a neuron to itself; that
  would be filtered where a is not 0, and is refused.
- Zero of a Leaky: m[t-1] is cleared before the leak, x[t] is kept: our reset "zero". In RLeaky, Synaptic and RSynaptic
  (and Leaky before 0.8), m[t] is cleared whole in the step after a spike: x[t] is lost. Our neuron has no such silent step:
  refused. reset_delay=False clears at once, and is our "zero" exactly.
- Subtraction with reset_delay=False subtracts th at once, as ours does; but where m is above th even after that,
  snnTorch (which avoids a double reset) compares m[t] - th with th in the next step. Ours has no such memory: refused, unless
  `inexact` allows it: spikes then differ where one drive exceeds 2 th.
- RSynaptic ignores reset_delay=False, or fails: refused.
- Reset "none": no reset at all, only as the last layer: the potential m after the last step is what classes are compared
  by (our readout), its spikes are not used.
- graded_spikes_factor: the size of a spike: folded into the next map and the recurrent weights; resets do not depend on it.
- The bias of a recurrent layer drives at every step: offset; in RSynaptic it is filtered as x is: bias of the map before.
- Lapicque is m[t] = (1 - T / (R C)) m[t-1] + T / C x[t] - th s[t-1], T its time_step: a Leaky with that beta and a gain of T / C;
  its reset to zero loses x[t]: refused.
- A population begins at rest, whatever the module's states hold. inhibition and state_quant have no equal: refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tp_lava.convert.builder import SourceBuilder
from tp_lava.convert.maps import convolution_matrix
from tp_lava.convert.stages import Convolution, Integrating, Spiking
from tp_lava.convert.values import Parameter, Shape, broadcast, check_shape, per_unit, refuse, spread, unspread

RESETS = ("subtract", "zero", "none")  # in the order of snnTorch's reset_mechanism_val
MOST_FED_BACK = 4096  # units of a population whose feedback becomes a matrix


@dataclass(frozen=True, eq=False)
class SnnTorchNeuron:
    """One layer. kind: its class; arrays: beta, threshold, alpha, graded_spikes_factor, and of its recurrence "V" or
    "recurrent.weight" ((n, n) or (c, c, height, width)) and "recurrent.bias"; those that it does not have are missing or None.
    """

    path: str
    kind: str
    arrays: Mapping[str, np.ndarray | None]
    reset: str = "subtract"
    reset_delay: bool = True

    def number(self, name: str, shape: Shape, default: Parameter) -> Parameter:
        """A parameter, as PyTorch broadcasts it over the population."""
        array = self.arrays.get(name)
        return default if array is None else broadcast(self.path, name, array, shape)


def append_neurons(builder: SourceBuilder, neuron: SnnTorchNeuron, inexact: bool = False) -> None:
    """Append the layer's stage. Raises InvalidValueError where no neuron of ours does the same."""
    _check_reset(neuron, inexact)
    path, shape = neuron.path, builder.shape
    beta, alpha = _decay(builder, neuron, "beta"), _decay(builder, neuron, "alpha")
    threshold, factor = neuron.number("threshold", shape, 1.0), neuron.number("graded_spikes_factor", shape, 1.0)
    if neuron.reset == "none":
        _append_readout(builder, neuron, beta, alpha)
        return
    feedback, offset, reset_by = _feedback(builder, neuron, factor), _recurrent_bias(builder, neuron), None
    reset: Literal["subtract", "zero"] = "subtract" if neuron.reset == "subtract" else "zero"
    if reset == "subtract" and neuron.reset_delay:
        reset_by, feedback = _delayed_reset(builder, neuron, (beta, alpha, threshold), feedback)
    builder.neurons(Spiking(path, beta, threshold, alpha, reset, reset_by, ">", 1.0, offset, feedback))
    if np.ndim(factor) or factor != 1:
        builder.scale_by(path, "graded_spikes_factor", factor)


def append_lapicque(builder: SourceBuilder, path: str, arrays: Mapping[str, np.ndarray | None], reset: str) -> None:
    """Append a Lapicque's stage. arrays: R, C, time_step, threshold, graded_spikes_factor. Raises InvalidValueError."""
    if reset == "zero":
        limit = "'subtract' in a Lapicque, which loses its input in the step after a spike"
        raise refuse(path, "reset_mechanism", "'zero'", limit, "change it and train on")
    resistance, capacity, step = (np.asarray(arrays[name], np.float64) for name in ("R", "C", "time_step"))
    builder.record(path, "R, C, time_step", "rescaled", "beta 1 - time_step / (R C), what arrives times time_step / C")
    builder.scale_by(path, "time_step / C", broadcast(path, "C", step / capacity, builder.shape))
    beta = 1.0 - step / (resistance * capacity)
    given = {name: arrays.get(name) for name in ("threshold", "graded_spikes_factor")}
    append_neurons(builder, SnnTorchNeuron(path, "Leaky", {"beta": beta, **given}, reset))


def _check_reset(neuron: SnnTorchNeuron, inexact: bool) -> None:
    path, kind, reset, delay = neuron.path, neuron.kind, neuron.reset, neuron.reset_delay
    if reset not in RESETS:
        raise refuse(path, "reset_mechanism", repr(reset), " or ".join(map(repr, RESETS)), "use one of them")
    if reset == "none" and kind.startswith("R"):
        limit = f"'subtract' or 'zero' in a {kind}, whose spikes are fed back"
        raise refuse(path, "reset_mechanism", "'none'", limit, "use a Leaky as the last layer")
    if reset == "none":
        return
    if not delay and kind == "RSynaptic":
        raise refuse(path, "reset_delay", False, "True in an RSynaptic", "set it to True, which is how snnTorch 1.0 runs it")
    if not delay and reset == "subtract" and not inexact:
        remedy = "train with reset_delay=True, or pass inexact=True if drives seldom exceed two thresholds"
        raise refuse(path, "reset_delay", False, "True with reset_mechanism 'subtract' to be converted exactly", remedy)
    if delay and reset == "zero" and kind != "Leaky":
        other = "'subtract'" if kind == "RSynaptic" else "'subtract', or reset_delay=False,"
        limit = f"{other} in a {kind}, which loses its input in the step after a spike"
        raise refuse(path, "reset_mechanism", "'zero'", limit, "change it and train on")


def _decay(builder: SourceBuilder, neuron: SnnTorchNeuron, name: Literal["beta", "alpha"]) -> Parameter:
    """beta or alpha as it is used, clamped."""
    given = neuron.number(name, builder.shape, 0.0)
    clamped = np.clip(given, 0, 1)
    if np.any(clamped != given):
        builder.record(neuron.path, name, "rescaled", "clamped to [0, 1], as snnTorch does at every step")
    return clamped if np.ndim(clamped) else float(clamped)


def _delayed_reset(
    builder: SourceBuilder, neuron: SnnTorchNeuron, numbers: tuple[Parameter, Parameter, Parameter], feedback: np.ndarray | None
) -> tuple[Parameter, np.ndarray | None]:
    """-> (what to subtract at once for th one step later, the feedback, which has that reset where beta is 0)."""
    builder.record(neuron.path, "reset_delay", "rescaled", "threshold / beta is subtracted at once")
    beta, alpha, threshold = (spread(number, builder.shape) for number in numbers)
    forgets = beta == 0
    if np.any(forgets & (alpha != 0)):
        remedy = "train with reset_mechanism 'zero' and reset_delay=False, or a beta above 0"
        raise refuse(neuron.path, "beta", 0, "above 0 where alpha is not 0, for the reset comes a step later", remedy)
    if forgets.any():
        feedback = _zero_feedback(builder, neuron) if feedback is None else feedback
        feedback[np.diag_indices(len(feedback))] -= np.broadcast_to(np.where(forgets, threshold, 0), builder.shape).ravel()
        builder.record(neuron.path, "feedback", "added", "the delayed reset of neurons with beta 0")
    return unspread(threshold / np.where(forgets, 1, beta)), feedback


def _zero_feedback(builder: SourceBuilder, neuron: SnnTorchNeuron) -> np.ndarray:
    size = math.prod(builder.shape)
    if size > MOST_FED_BACK:
        raise refuse(
            neuron.path, "size", size, f"at most {MOST_FED_BACK} units with feedback", "use a Leaky or Synaptic with a beta above 0"
        )
    return np.zeros((size, size))


def _feedback(builder: SourceBuilder, neuron: SnnTorchNeuron, factor: Parameter) -> np.ndarray | None:
    """The recurrent weights as a matrix, times the size of spikes."""
    path, shape = neuron.path, builder.shape
    if neuron.kind not in ("RLeaky", "RSynaptic"):
        return None
    feedback = _zero_feedback(builder, neuron)
    weight = neuron.arrays.get("recurrent.weight")
    if weight is None:
        np.fill_diagonal(feedback, per_unit(neuron.number("V", shape, 1.0), shape).ravel())
    else:
        if weight.ndim == 4:
            stage, _ = Convolution(path, weight, padding=(weight.shape[2] // 2, weight.shape[3] // 2)).checked(shape)
            weight = convolution_matrix(stage, shape)
        check_shape(path, "recurrent.weight", weight, feedback.shape)
        feedback = weight.astype(np.float64)
    return feedback * per_unit(factor, shape).ravel()


def _recurrent_bias(builder: SourceBuilder, neuron: SnnTorchNeuron) -> Parameter:
    """The recurrent layer's bias as an offset; that of an RSynaptic goes into the map before."""
    bias = neuron.arrays.get("recurrent.bias")
    if bias is None:
        return 0.0
    check_shape(neuron.path, "recurrent.bias", bias, builder.shape[:1])
    if neuron.kind == "RSynaptic":
        builder.fold_bias(neuron.path, "recurrent.bias", bias)
        return 0.0
    return bias


def _append_readout(builder: SourceBuilder, neuron: SnnTorchNeuron, beta: Parameter, alpha: Parameter) -> None:
    path = neuron.path
    if np.any(alpha):
        limit = "0 in a layer without reset, for the readout has no current"
        raise refuse(path, "alpha", f"{np.max(alpha):g}", limit, "use a Leaky as the last layer")
    builder.neurons(Integrating(path, beta))
    builder.record(path, "threshold", "ignored", "without reset the potential after the last step is compared, not spikes")
    if neuron.arrays.get("graded_spikes_factor") is not None:
        builder.record(path, "graded_spikes_factor", "ignored", "of spikes that are not used")
