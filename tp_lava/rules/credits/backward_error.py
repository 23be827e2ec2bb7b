"""The readout's error of this step, carried back through the layers, weights transposed: a reference, which no chip holds."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.names import READOUT_ERROR, sample_path
from tp_lava.circuit.products import Signal, unpooled
from tp_lava.dynamics.surrogate import peak
from tp_lava.dynamics.third_factor import back_program, gated_error_program
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.numbers import REGISTER_BITS, WEIGHT_BITS, Format, exponent_to_hold
from tp_lava.rules.credits.base import PEAK_ERROR, Credit, sample_events

_BITS = 16  # of errors on their way back, where so many can be summed up
_PSI = 0.25  # of its peak: what a surrogate derivative is about
_IN_TORCH = "or train in PyTorch, by tp_lava.torch.ProductTrainer"
_ROOM = 4.0  # errors on their way back may be so many times what a third factor may come from


@dataclass(frozen=True)
class BackwardError(Credit):
    """Backpropagation through the layers at one step: no time, and recurrent connections carry nothing back. Not local.

        delta_l = sum over connections that l sends to of W^T (psi * delta of where they go);   from the readout: W^T (softmax - label)

    W: as they are in this step, before anything learns in it. Connections above a population that learns are all-to-all: errors do
    not go back through convolutions (in PyTorch they do), nor to several delayed copies of a unit; to delayed units they go back as if
    these were not. In fixed point errors have 16 bits, or as many as so many units add up, and saturate.
    Raises InvalidValueError. Source: S-TLLR, arXiv 2306.15220; OTTT, arXiv 2210.04195.
    """

    local: ClassVar[bool] = False
    needs_readout_error: ClassVar[bool] = True
    largest: ClassVar[float | None] = None
    instead: ClassVar[str] = 'use feedback="random", of rules that have it, or the credit OutputFeedback: these are local'

    @staticmethod
    def _above(network: Network, population: Population) -> list[Connection]:
        """The connections by which errors come back to a population."""
        return [c for c in network.connections if c.pre == population.name and not c.recurrent]

    def _reached(self, network: Network, learning: Container[str]) -> list[Population]:
        """Populations whose delta is needed: those that learn, and those by which errors go on to them; the highest first."""
        wanted = [p for p in network.populations if p.name in learning or self.carries(network, p, learning)]
        return wanted[::-1]

    def carries(self, network: Network, population: Population, learning: Container[str]) -> bool:
        """See Credit."""
        below = [network.population(c.pre) for c in network.into(population) if not c.recurrent and c.pre in _names(network)]
        return any(p.name in learning or self.carries(network, p, learning) for p in below)

    def bound(self, network: Network, population: Population) -> float | None:
        """See Credit: of errors that add up at random, about the largest; beyond it third factors saturate."""
        return sum(self._bound_through(network, c) for c in self._above(network, population)) or None

    def _bound_through(self, network: Network, connection: Connection) -> float:
        largest = float(np.abs(network.weights[connection.name]).max(initial=0.0)) or 1.0
        if connection.name == READOUT:
            return PEAK_ERROR * largest
        post = network.population(connection.post)
        return math.sqrt(post.size) * largest * _PSI * peak(post.neuron.surrogate) * (self.bound(network, post) or 0.0)

    def go_back(self, builder: Builder, learning: Container[str]) -> None:
        """See Credit."""
        for population in self._reached(builder.network, learning):
            self._delta(builder, population)
            if self.carries(builder.network, population, learning):
                self._error(builder, population)

    def _delta(self, b: Builder, population: Population) -> None:
        network, path = b.network, sample_path(population)
        sources: list[tuple[int, Format | None, Format | None]] = []
        bindings: dict[str, str] = {}
        for number, connection in enumerate(self._above(network, population)):
            if connection.kind.by_place:
                found, limit = "a convolution, above a population that learns", "from all to all: errors do not go back through maps"
                raise invalid(connection.name, "connection", found, limit, f"{self.instead}; {_IN_TORCH}")
            if connection.delays and connection.delays.n_seen != connection.delays.n_units:
                found, limit = "of units in several copies, above a population that learns", "one a unit, or one a synapse"
                raise invalid(connection.name, "delays", found, limit, f"{self.instead}; {_IN_TORCH}")
            weights = b.buffers[b.delivered(connection)]
            error = b.buffers[READOUT_ERROR if connection.name == READOUT else names.of(connection.post, "error")]
            sources.append((b.sizes[weights.axes[-1]], weights.format, error.format))
            bindings |= {f"weight{number}": weights.name, f"error{number}": error.name}
        format = _format(self.bound(network, population), _BITS) if b.formats else None
        with b.owned(Owner("credit", population.name), "error"):
            units = b.axis(population.name)
            bindings["delta"] = b.buffer(path.of("delta"), (SAMPLES, units), "work", format, local="delta")
            b.run(back_program(sources, format, fixed=bool(b.formats), name=path.of("back")), bindings)

    def _error(self, b: Builder, population: Population) -> None:
        """Append psi * delta of a population's neurons, as those below see it."""
        path, held = sample_path(population), b.buffers[names.of(population.name, "delta")]
        bits = min(_BITS, REGISTER_BITS - WEIGHT_BITS - population.size.bit_length())
        largest = (self.bound(b.network, population) or 1.0) * peak(population.neuron.surrogate)
        format = _format(largest, bits) if b.formats else None
        with b.owned(Owner("credit", population.name), "error"):
            delta = unpooled(b, path, held.name, format=held.format)
            error = b.buffer(path.of("error"), (SAMPLES, population.name), "work", format, local="error")
            program = gated_error_program(held.format, format, fixed=bool(b.formats), name=path.of("error"))
            b.run(program, {"delta": delta, "surrogate": path.of("surrogate"), "error": error})

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        path = sample_path(population)
        return [Signal(path, learned=sample_events(builder, population, after_readout=True), delta=path.of("delta"))]


def _names(network: Network) -> set[str]:
    return {population.name for population in network.populations}


def _format(largest: float | None, bits: int) -> Format:
    return Format(bits, -exponent_to_hold(_ROOM * (largest or 1.0), bits))
