"""snnTorch's neurons (1.0) as stages: what differs from ours, and how each difference is carried. NumPy alone.

m: snnTorch's membrane, s: its spikes, x: what arrives, b: beta and a: alpha clamped to [0, 1], th: the threshold.
In all of them s[t] = 1 where m[t] > th, so the comparison is ">".

    Leaky     m[t] = b m[t-1] + x[t] - th s[t-1]                                     reset "subtract", the default
    Leaky     m[t] = b (1 - s[t-1]) m[t-1] + x[t]                                    reset "zero"
    RLeaky    x[t] + V s[t-1] in place of x[t];  Synaptic, RSynaptic: i[t] = a i[t-1] + x[t] (+ V s[t-1]) in place of x[t]

- Subtraction comes one step later and after the leak. With v[t] = m[t] - th / b s[t], m[t] is b v[t-1] + x[t]: the same
  spikes as taking th / b off at once (Spiking.reset_by). Where b is 0, th s[t-1] is feedback of a neuron to itself; that
  would be filtered where a is not 0, and is refused.
- Zero of a Leaky: m[t-1] is cleared before the leak, x[t] is kept: our reset "zero". In RLeaky, Synaptic and RSynaptic
  (and Leaky before 0.8), m[t] is cleared whole in the step after a spike: x[t] is lost. Our neuron has no such silent step:
  refused. reset_delay=False clears at once, and is our "zero" exactly.
- Subtraction with reset_delay=False takes th off at once, as ours does; but where m is above th even after that,
  snnTorch (which avoids a double reset) compares m[t] - th with th in the next step. Ours has no such memory: refused, unless
  `inexact` says that it may go: spikes then differ where one drive passes 2 th.
- RSynaptic ignores reset_delay=False, or fails: refused.
- Reset "none": no reset at all, only as the last layer: the potential m after the last step is what classes are compared
  by (our readout), its spikes are not looked at.
- graded_spikes_factor: what a spike is worth: folded into the next map and the recurrent weights; resets do not know it.
- The bias of a recurrent layer drives at every step: offset; in RSynaptic it is filtered as x is: bias of the map below.
- A population begins at rest, whatever the module's states hold. inhibition and state_quant have no equal: refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tp_lava.convert.chain import Chain, array_of, broadcast, pair, per_unit
from tp_lava.convert.folding import convolution_matrix, convolved_shape
from tp_lava.convert.stages import Convolution, Integrating, Parameter, Spiking, refuse

Kind = Literal["Leaky", "RLeaky", "Synaptic", "RSynaptic"]
RESETS = ("subtract", "zero", "none")  # as snnTorch numbers them
MOST_FED_BACK = 4096  # units of a population whose feedback becomes a matrix


@dataclass(frozen=True, eq=False)
class SnnTorchNeuron:
    """One layer's numbers, tensors or arrays. recurrent: weight (n, n) or (c, c, height, width), or V, one to one."""

    path: str
    kind: Kind
    beta: Any
    threshold: Any
    alpha: Any = None
    reset: str = "subtract"
    reset_delay: bool = True
    graded_spikes_factor: Any = None
    weight: Any = None
    bias: Any = None
    v: Any = None


def carry(chain: Chain, neuron: SnnTorchNeuron, inexact: bool = False) -> None:
    """Append the neuron's stage and note what became of its parameters. Raises InvalidValueError where it has no equal."""
    _check_reset(neuron, inexact)
    path, shape = neuron.path, chain.shape
    beta, alpha = _decay(chain, neuron, "beta"), _decay(chain, neuron, "alpha")
    threshold = broadcast(path, "threshold", neuron.threshold, shape)
    if neuron.reset == "none":
        _integrate(chain, neuron, beta, alpha)
        return
    factor = None
    if neuron.graded_spikes_factor is not None:
        factor = broadcast(path, "graded_spikes_factor", neuron.graded_spikes_factor, shape)
    feedback, offset = _feedback(chain, neuron, factor)
    if neuron.bias is not None and neuron.kind == "RSynaptic" and np.any(offset):
        chain.fold_bias(path, "recurrent.bias", np.asarray(array_of(path, "recurrent.bias", neuron.bias)))
        offset = 0.0
    elif neuron.bias is not None:
        chain.note(path, "recurrent.bias", "kept", "as an offset")
    reset_by: Parameter | None = None
    if neuron.reset == "subtract" and neuron.reset_delay:
        reset_by, feedback = _delayed(chain, neuron, (beta, alpha, threshold), feedback)
    reset: Literal["subtract", "zero"] = "subtract" if neuron.reset == "subtract" else "zero"
    stage = Spiking(path, beta, threshold, alpha, reset, reset_by, ">", 1.0, offset, feedback)
    chain.spiking(stage, factor)
    chain.note(path, "threshold", "kept")
    if factor is not None:
        unit = np.ndim(factor) == 0 and factor == 1
        chain.note(path, "graded_spikes_factor", "kept" if unit else "folded", "1" if unit else "into the weights that spikes go through")


def _check_reset(neuron: SnnTorchNeuron, inexact: bool) -> None:
    path, kind, recurrent = neuron.path, neuron.kind, neuron.kind.startswith("R")
    if neuron.reset not in RESETS:
        raise refuse(path, "reset_mechanism", repr(neuron.reset), " or ".join(map(repr, RESETS)), "use one of them")
    if neuron.reset == "none":
        if recurrent:
            remedy = "use a Leaky as the last layer"
            raise refuse(path, "reset_mechanism", "'none'", f"'subtract' or 'zero' in a {kind}, whose spikes are fed back", remedy)
        return
    if not neuron.reset_delay and kind == "RSynaptic":
        remedy = "set reset_delay=True, which is how snnTorch 1.0 runs it"
        raise refuse(path, "reset_delay", False, "True in an RSynaptic, which does not reset without delay", remedy)
    if not neuron.reset_delay and neuron.reset == "subtract" and not inexact:
        remedy = "train with reset_delay=True, or pass inexact=True if drives seldom pass two thresholds"
        raise refuse(path, "reset_delay", False, "True with reset_mechanism 'subtract' to be carried exactly", remedy)
    if neuron.reset_delay and neuron.reset == "zero" and kind != "Leaky":
        other = "'subtract'" if kind == "RSynaptic" else "'subtract', or reset_delay=False,"
        limit = f"{other} in a {kind}, which loses its input in the step after a spike"
        raise refuse(path, "reset_mechanism", "'zero'", limit, "change it and train on")


def _decay(chain: Chain, neuron: SnnTorchNeuron, name: Literal["beta", "alpha"]) -> Parameter:
    """beta or alpha as it is used, clamped."""
    value = getattr(neuron, name)
    if value is None:
        return 0.0
    given = broadcast(neuron.path, name, value, chain.shape)
    clamped = np.clip(given, 0, 1)
    same = bool(np.all(clamped == given))
    chain.note(neuron.path, name, "kept" if same else "rescaled", "" if same else "clamped to [0, 1], as snnTorch does at every step")
    return clamped if np.ndim(clamped) else float(clamped)


def _delayed(
    chain: Chain, neuron: SnnTorchNeuron, numbers: tuple[Parameter, Parameter, Parameter], feedback: np.ndarray | None
) -> tuple[Parameter, np.ndarray | None]:
    """What to take off at once for th one step later, and the feedback that stands for it where beta is 0."""
    beta, alpha, threshold = numbers
    chain.note(neuron.path, "reset_delay", "rescaled", "threshold / beta is taken off at once")
    if np.all(np.asarray(beta) > 0):
        if not np.ndim(threshold) and not np.ndim(beta):
            return float(threshold) / float(beta), feedback
        return per_unit(threshold, chain.shape) / per_unit(beta, chain.shape), feedback
    betas, thresholds = per_unit(beta, chain.shape), per_unit(threshold, chain.shape)
    forgets = betas == 0
    if np.any(per_unit(alpha, chain.shape)[forgets]):
        remedy = "train with reset_mechanism 'zero' and reset_delay=False, or a beta above 0"
        raise refuse(neuron.path, "beta", 0, "above 0 where alpha is not 0, for the reset comes a step later", remedy)
    feedback = _square(chain, neuron) if feedback is None else feedback
    feedback[np.diag_indices(chain.size)] -= np.where(forgets, thresholds, 0)
    chain.note(neuron.path, "feedback", "added", "the delayed reset of neurons with beta 0")
    return thresholds / np.where(forgets, 1, betas), feedback


def _square(chain: Chain, neuron: SnnTorchNeuron) -> np.ndarray:
    if chain.size > MOST_FED_BACK:
        limit = f"at most {MOST_FED_BACK} units with feedback"
        raise refuse(neuron.path, "size", chain.size, limit, "use a Leaky or Synaptic with a beta above 0")
    return np.zeros((chain.size, chain.size))


def _feedback(chain: Chain, neuron: SnnTorchNeuron, factor: Parameter | None) -> tuple[np.ndarray | None, Parameter]:
    """The recurrent weights as a matrix, and the recurrent layer's bias."""
    path, size = neuron.path, chain.size
    if neuron.kind not in ("RLeaky", "RSynaptic"):
        return None, 0.0
    square = _square(chain, neuron)
    if neuron.v is not None:
        np.fill_diagonal(square, per_unit(broadcast(path, "V", neuron.v, chain.shape), chain.shape))
        chain.note(path, "V", "kept", "as a diagonal matrix")
    else:
        square = _recurrent_matrix(chain, neuron)
    if factor is not None:
        square = square * per_unit(factor, chain.shape)
    if neuron.bias is None:
        return square, 0.0
    bias = array_of(path, "recurrent.bias", neuron.bias)
    outputs = size if len(chain.shape) == 1 else chain.shape[0]
    if bias.shape != (outputs,):
        raise refuse(path, "recurrent.bias", f"of shape {bias.shape}", f"({outputs},)", "take that of this layer")
    return square, bias


def _recurrent_matrix(chain: Chain, neuron: SnnTorchNeuron) -> np.ndarray:
    path, size = neuron.path, chain.size
    weight = array_of(path, "recurrent.weight", neuron.weight)
    if weight.shape == (size, size) and len(chain.shape) == 1:
        chain.note(path, "recurrent.weight", "kept")
        return weight.astype(np.float64)
    if weight.ndim == 4 and len(chain.shape) == 3:
        padding = pair(path, "kernel_size", tuple(length // 2 for length in weight.shape[2:]), 0)
        convolution = Convolution(path, weight.astype(np.float64), padding=padding)
        if weight.shape[1] == chain.shape[0] and convolved_shape(convolution, chain.shape) == chain.shape:
            chain.note(path, "recurrent.weight", "kept", f"the convolution as a matrix of {size} x {size}")
            return convolution_matrix(convolution, chain.shape)
    limit = f"({size}, {size}), or a kernel of odd sizes, for a population of {chain.shape}"
    raise refuse(path, "recurrent.weight", f"of shape {weight.shape}", limit, "take that of this layer")


def _integrate(chain: Chain, neuron: SnnTorchNeuron, beta: Parameter, alpha: Parameter) -> None:
    path = neuron.path
    if np.any(alpha):
        remedy = "use a Leaky as the last layer"
        raise refuse(path, "alpha", f"{np.max(alpha):g}", "0 in a layer without reset, for the readout has no current", remedy)
    chain.integrating(Integrating(path, beta))
    chain.note(path, "threshold", "ignored", "without reset the potential after the last step is compared, not spikes")
    if neuron.graded_spikes_factor is not None:
        chain.note(path, "graded_spikes_factor", "ignored", "of spikes that are not looked at")
