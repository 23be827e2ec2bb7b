"""Training by a local rule: hidden layers forward only, step by step, and the readout by its delta rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.standardisation import Standardisation
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import BaseRule
from tp_lava.torch.delta_rule import DeltaRule
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.trainer import Trainer, within_last

R = TypeVar("R", bound=BaseRule)


class Steps(ABC):
    """All hidden layers of one batch, silent at first: what they do step by step, and add to the gradients."""

    @abstractmethod
    def step(self, below: Tensor, learns: bool) -> Tensor:
        """One step. below: what the input sends, (B, n_inputs); learns: whether this step teaches. -> what the last layer sends."""

    def told(self, readout: DeltaRule, learns: bool) -> None:
        """Called once the readout has done the step, before any weight changes."""
        return


class RuleTrainer(Trainer, Generic[R]):
    """Learns by one kind of rule, whose equations are tp_lava.rules'.

    kinds: its rules, in words; others: what to use for other rules.
    """

    kinds: ClassVar[str]
    others: ClassVar[str]

    @classmethod
    @abstractmethod
    def learns_by(cls, rule: object) -> bool:
        """Whether it has such a rule."""

    def __init__(self, module: SpikingNetwork, rule: R, optimiser: Optimiser | Mapping[str, Optimiser] = SGD()) -> None:  # noqa: B008 (frozen)
        super().__init__(module, optimiser)
        self._readout = self._checked_readout(rule)
        module.learn_by(rule)
        self.rule, network = rule, module.network()
        self._rates, self._own_connections = rule.with_most_rows(network.n_classes).rates(network), rule.connections(network)
        self._learn({**self._rates, READOUT: rule.readout_rate})

    def _checked_readout(self, rule: R) -> Readout:
        """The readout of a rule of this kind. Raises InvalidValueError for another rule, and for one without a readout."""
        obj = type(self).__name__
        if not self.learns_by(rule):
            raise invalid(obj, "rule", repr(rule)[:60], self.kinds, self.others)
        if not isinstance(rule.readout, Readout):
            remedy = "use for example tpl.Readout()"
            raise invalid(obj, "readout", repr(rule.readout), "a Readout, which the module's scores come from", remedy)
        return rule.readout

    @abstractmethod
    def _steps(self, labels: Tensor, gradients: Gradients) -> Steps:
        """The hidden layers of one batch. labels: (B,)."""

    def learn_batch(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """See Trainer."""
        spikes, labels = self._checked(spikes, labels)
        rule, count = self.rule, len(spikes)
        with torch.no_grad():
            gradients = Gradients(self._learning, self._standardisations())
            hidden = self._steps(labels, gradients)
            readout = DeltaRule(self.module, self._readout, labels, count, gradients)
            for number, inputs in enumerate(spikes):
                learns = within_last(rule.learn_last, number, count)
                readout.step(hidden.step(inputs.to(self.module.dtype), learns))
                hidden.told(readout, learns)
                if rule.update == "step":
                    self._apply(gradients, self._at_rest(number, count))
            if rule.update == "sequence":
                self._apply(gradients)
        return readout.scores

    def _standardisations(self) -> dict[str, Standardisation]:
        """Those of the module's connections, by name of the weights."""
        module = self.module
        connections = [module.readout_connection, *(connection for layer in module.layers for connection in layer.connections)]
        return {connection.name: connection.standardisation for connection in connections if connection.standardisation}

    def _at_rest(self, step: int, steps: int) -> set[str]:
        """Parameters that do not learn in step number `step` of `steps`."""
        last = dict.fromkeys(self._readout_names, self._readout.learn_last)
        return {name for name in self._learning if not within_last(last.get(name, self.rule.learn_last), step, steps)}
