"""Training by a local rule: hidden layers forward only, step by step, and the readout by its delta rule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.standardisation import Standardisation
from tp_lava.optimisers import Optimiser
from tp_lava.rules import BaseRule
from tp_lava.torch.delta_rule import DeltaRule
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.trainer import Gradients, Trainer, within_last

R = TypeVar("R", bound=BaseRule)
Step = Callable[[Tensor, bool], Tensor]  # spikes of the input, whether hidden layers learn in this step -> spikes of the last layer


class RuleTrainer(Trainer, Generic[R]):
    """Learns by one kind of rule, whose equations are tp_lava.rules'.

    kind: the type of its rules; others: what to use for other rules.
    """

    kind: ClassVar[type[BaseRule]]
    others: ClassVar[str]

    def __init__(self, module: SpikingNetwork, rule: R, optimiser: Optimiser | Mapping[str, Optimiser]) -> None:
        super().__init__(module, optimiser)
        self._readout = self._checked_readout(rule)
        module.learn_by(rule)
        self.rule, network = rule, module.network()
        self._rates, self._own_connections = rule.with_most_rows(network.n_classes).rates(network), rule.connections(network)
        self._learn({**self._rates, READOUT: rule.readout_rate})

    def _checked_readout(self, rule: R) -> Readout:
        """The readout of a rule of this kind. Raises InvalidValueError for another rule, and for one without a readout."""
        obj, kind = type(self).__name__, self.kind
        if type(rule) is not kind:
            raise invalid(obj, "rule", repr(rule)[:60], f"a {kind.__name__}(...)", f"{self.others} are for others")
        if not isinstance(rule.readout, Readout):
            remedy = "use for example tpl.Readout()"
            raise invalid(obj, "readout", repr(rule.readout), "a Readout, which the module's scores come from", remedy)
        return rule.readout

    @abstractmethod
    def _steps(self, labels: Tensor, gradients: Gradients) -> Step:
        """What carries out a step of all hidden layers of one batch, silent at first, and adds to the gradients."""

    def learn_batch(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """See Trainer."""
        spikes, labels = self._checked(spikes, labels)
        rule, count = self.rule, len(spikes)
        with torch.no_grad():
            gradients = Gradients(self._learning, self._standardisations())
            step = self._steps(labels, gradients)
            readout = DeltaRule(self.module, self._readout, labels, count, gradients)
            for number, inputs in enumerate(spikes):
                readout.step(step(inputs.to(self.module.dtype), within_last(rule.learn_last, number, count)))
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
