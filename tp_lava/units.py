"""Units of potentials: a network with thresholds of its own, such as SLAYER's 80, becomes one with thresholds of 1, and back.

    w' = f w,   bias' = f bias,   threshold' = f threshold,   reset_by' = f reset_by,   adaptation' = f adaptation

f, one factor a population, scales all that its membranes are measured by, so that not a spike differs, while surrogate derivatives, rates,
third factors and label projections, which are made for thresholds about 1, find what they are made for. Weights of the readout have a
unit of their own, that of the scores, with a factor of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tp_lava.circuit.formats import FixedPoint
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter, mean, shown
from tp_lava.dynamics.surrogate import stretched
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.graph.network import Connection, Network

_SCALED = ("threshold", "reset_by", "adaptation")  # of a neuron, in units of its membrane


@dataclass(frozen=True)
class Units:
    """By how much the potentials of each population, and the scores, are scaled.

    factors: population or "readout" -> f > 0, 1 for those left out; residuals: population -> what is left of its threshold where f is a
    power of two, so that integers stay what they are. Raises InvalidValueError.
    """

    factors: Mapping[str, float]
    residuals: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, factor in {**self.factors, **self.residuals}.items():
            if not (math.isfinite(factor) and factor > 0):
                raise invalid("Units", name, repr(factor), "a finite number > 0", "1 leaves a population as it is")

    @classmethod
    def of(cls, network: Network, *, powers: bool = False, readout: float = 1.0) -> Units:
        """The units in which each threshold, or the mean of a population's, becomes 1.

        powers: by powers of two alone, which round nothing, in float or in the integers of a file; each threshold then ends between
        0.71 and 1.41, and what is left of it is a residual, by which surrogates and rates are scaled; readout: factor of the scores.
        """
        thresholds = {p.name: mean(p.neuron.threshold) for p in network.populations}
        factors = {name: 2.0 ** -round(math.log2(value)) if powers else 1.0 / value for name, value in thresholds.items()}
        residuals = {name: factors[name] * value for name, value in thresholds.items()} if powers else {}
        return cls({**factors, READOUT: readout}, residuals)

    @property
    def change(self) -> bool:
        """Whether anything is scaled."""
        return any(value != 1 for value in (*self.factors.values(), *self.residuals.values()))

    def inverse(self) -> Units:
        """The way back, of thresholds and weights; residuals inverted too."""
        return Units({n: 1.0 / f for n, f in self.factors.items()}, {n: 1.0 / r for n, r in self.residuals.items()})

    def apply(self, network: Network, own: Sequence[Connection] = ()) -> Network:
        """The same network in these units: every spike is the same, scores are times the readout's factor.

        own: connections of a rule, whose parameters the network may bring along. Of standardised connections the gain is scaled. Where
        there are residuals, surrogate derivatives are as much wider.
        """
        if not self.change:
            return network
        posts = {c.name: c.post for c in (*network.connections, *own)} | {p.bias: p.name for p in network.populations}
        posts |= {READOUT_BIAS: READOUT}
        standardised = {c.name for c in network.connections if c.standardisation}
        scale = {name: 1.0 if name in standardised else self.factors.get(posts.get(name, ""), 1.0) for name in posts}

        def scaled(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: _times(array, scale.get(name, 1.0)) for name, array in arrays.items()}

        connections = [
            replace(c, standardisation=replace(c.standardisation, gain=c.standardisation.gain * self.factors.get(c.post, 1.0)))
            if c.standardisation
            else c
            for c in network.connections
        ]
        populations = [replace(p, neuron=self._neuron(p.name, p.neuron)) for p in network.populations]
        provenance = network.provenance and replace(network.provenance, fixed=self._own_fixed(network.provenance.fixed, network, own))
        return replace(
            network,
            populations=tuple(populations),
            connections=tuple(connections),
            weights=scaled(network.weights),
            rule_parameters=scaled(network.rule_parameters),
            provenance=provenance,
        )

    def fixed(self, fixed: FixedPoint, network: Network, own: Sequence[Connection] = ()) -> FixedPoint:
        """Fixed-point options in these units: exponents and binary points move, so that every integer stays what it is.

        Raises InvalidValueError where a factor of what has an exponent or a binary point is not a power of two.
        """
        posts = {c.name: c.post for c in (*network.connections, *own)}
        exponents = {name: e + self._octaves(posts[name]) if name in posts else e for name, e in fixed.weight_exponents.items()}
        frac: int | Mapping[str, int] | None = fixed.membrane_frac
        if frac is not None:
            frac = {p.name: given - self._octaves(p.name) for p in network.populations if (given := fixed.frac(p.name)) is not None}
        return replace(fixed, weight_exponents=exponents, membrane_frac=frac)

    def _own_fixed(self, fixed: object, network: Network, own: Sequence[Connection]) -> object:
        """The formats of a source, as far as they can be had in these units."""
        whole = all(math.frexp(f)[0] == 0.5 for f in self.factors.values())
        return self.fixed(fixed, network, own) if isinstance(fixed, FixedPoint) and whole else None

    def _octaves(self, name: str) -> int:
        mantissa, exponent = math.frexp(self.factors.get(name, 1.0))
        if mantissa != 0.5:
            raise invalid("Units", name, repr(self.factors[name]), "a power of two, for exponents are", "use Units.of(..., powers=True)")
        return exponent - 1

    def _neuron(self, name: str, neuron: LIF) -> LIF:
        factor, residual = self.factors.get(name, 1.0), self.residuals.get(name, 1.0)
        if factor != 1 and type(neuron) is not LIF:
            found, limit = f"a {type(neuron).__name__} with a threshold of {shown(neuron.threshold)}", "a LIF, or one with a threshold of 1"
            raise invalid(name, "neuron", found, limit, "only its author knows which of its numbers to scale")
        numbers: dict[str, Any] = {attr: _number(getattr(neuron, attr), factor) for attr in _SCALED if getattr(neuron, attr) is not None}
        return replace(neuron, surrogate=stretched(neuron.surrogate, residual), **numbers)


def _number(value: Parameter, factor: float) -> Parameter:
    """A parameter times a factor; 0.9999999, which 1 / 3 times 3 may be, is 1."""
    if isinstance(value, tuple):
        return tuple(each * factor for each in value)
    return 1.0 if math.isclose(value * factor, 1.0, rel_tol=1e-12) else value * factor


def _times(array: np.ndarray, factor: float) -> np.ndarray:
    return array if factor == 1 else np.asarray(np.asarray(array, np.float64) * factor, np.float32)
