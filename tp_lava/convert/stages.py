"""The one intermediate form: what every reader of a foreign format makes, and `assemble` turns into a Network.

A model is a chain of stages, each with its path in the source. Between two populations of neurons there may be any number
of maps (dense, convolution, pooling); what follows the last neurons is the readout. Units of a (channels, height, width)
shape are numbered in C order, as PyTorch flattens them, so flattening is no stage. Numbers are the source's own; time is in
steps. Arrays of neuron parameters have one number per unit of the population, or per channel, or are single numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tp_lava.errors import InvalidValueError, invalid
from tp_lava.circuit.formats import FixedPoint
from tp_lava.provenance import Fate, What

Parameter = float | np.ndarray


@dataclass(frozen=True, eq=False)
class Dense:
    """y = weight x + bias. weight: (n_out, n_in); bias: (n_out,) or None."""

    path: str
    weight: np.ndarray
    bias: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution as PyTorch's Conv2d. kernel: (c_out, c_in / groups, height, width); bias: (c_out,) or None; pairs: (y, x)."""

    path: str
    kernel: np.ndarray
    bias: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Pooling:
    """Sums over windows, channel by channel, times `scale` (1 / window: the average). Windows beyond the edge see zeros."""

    path: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Spiking:
    """Leaky integrate-and-fire neurons, as dynamics/neuron.py has them, in the source's units.

    u[t] = current_decay u[t-1] + gain x[t] + feedback s[t-1];   pre[t] = decay v[t-1] + u[t] + offset
    s[t] = pre compared with threshold; v[t] = pre - reset_by s (reset "subtract"; None: the threshold), or 0 where s = 1 ("zero")

    x: what the maps below deliver, biases included; gain: of it (an input resistance, a step over a time constant);
    offset: a constant drive (a leak potential other than zero); feedback: (n, n) recurrent weights or None, whose bias
    belongs into offset; where current_decay is not 0, biases of the maps below are filtered with it as the rest of x.
    trace_decay: of the spike traces that learning uses, or None: the membrane's decay.
    """

    path: str
    decay: Parameter
    threshold: Parameter
    current_decay: Parameter = 0.0
    reset: Literal["subtract", "zero"] = "subtract"
    reset_by: Parameter | None = None
    comparison: Literal[">=", ">"] = ">="
    gain: Parameter = 1.0
    offset: Parameter = 0.0
    feedback: np.ndarray | None = None
    trace_decay: float | None = None


@dataclass(frozen=True, eq=False)
class Integrating:
    """The readout's neurons: m[t] = decay m[t-1] + gain x[t] + offset, without spikes; the largest m at the end is the prediction."""

    path: str
    decay: Parameter = 1.0
    gain: Parameter = 1.0
    offset: Parameter = 0.0


Stage = Dense | Convolution | Pooling | Spiking | Integrating


@dataclass
class Source:
    """What a reader returns. input_shape: (n,) or (channels, height, width); fates: of all that the source had; fixed: its
    own fixed-point formats, if it has any.
    """

    format: str
    input_shape: tuple[int, ...]
    stages: list[Stage]
    fates: list[Fate] = field(default_factory=list)
    fixed: FixedPoint | None = None

    def note(self, path: str, parameter: str, what: What, detail: str = "") -> None:
        """Record a fate."""
        self.fates.append(Fate(path, parameter, what, detail))


def refuse(path: str, parameter: str, found: object, limit: str, remedy: str) -> InvalidValueError:
    """The error of a thing that cannot be carried over: raise it."""
    return invalid(f"convert: {path}", parameter, found, limit, remedy)
