"""The Learner as those see it who look at what it does (liveness.py, state_history.py), and whom it uses itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from tp_lava.circuit import Buffer, Circuit
from tp_lava.data.events import Events
from tp_lava.graph.network import Network
from tp_lava.outcome import Outcome
from tp_lava.rules import BaseRule


class LearnerView(Protocol):
    """See tp_lava.Learner for all of them."""

    learning: bool

    @property
    def network(self) -> Network:
        """The network as it is now."""

    @property
    def rule(self) -> BaseRule | None:
        """By which it learns."""

    @property
    def precision(self) -> str:
        """Number system."""

    @property
    def circuits(self) -> tuple[Circuit, Circuit | None]:
        """The circuit that infers, and the one that learns."""

    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """Every array by name: axes, role, number format."""

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays, live."""

    def copy(self) -> LearnerView:
        """A learner of its own that goes on as this one would."""

    def begin(self, label: int | None = None, n_steps: int | None = None, **given: Sequence[int] | None) -> None:
        """Start a sample."""

    def step(self, units: np.ndarray, checked: bool = False, values: np.ndarray | None = None) -> None:
        """One time step of it."""

    def learn(self, events: Events, label: int) -> Outcome:
        """Present a sample and learn it."""

    def outcome(self) -> Outcome:
        """What the present sample has given so far."""
