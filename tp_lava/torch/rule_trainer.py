"""Training by a local rule: hidden layers forward only, step by step, and the readout by its delta rule (tp_lava.dynamics.readout)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.graph.standardisation import Standardisation
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import BaseRule
from tp_lava.torch.delivery import Delivery
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.neuron import constant
from tp_lava.torch.trainer import Trainer, within_last


class DeltaRule:
    """Scores of one batch, from step to step, and the gradients that its error asks for.

    labels: (B,); steps: of the batch; gradients: of "readout" and "readout_bias" if they learn. The bias learns as a weight
    whose feature is always 1. Attribute scores (B, n_classes); delivery, values: of the readout, V as it was in this step.
    """

    def __init__(self, module: SpikingNetwork, readout: Readout, labels: Tensor, steps: int, gradients: Gradients) -> None:
        self._readout, self._gradients, self._steps = readout, gradients, steps
        self.delivery, self._bias = Delivery.of(module.readout_connection, module.weights[READOUT]), module.weights.get(READOUT_BIAS)
        self._labels = one_hot(labels, module.n_classes).to(module.dtype)
        self._trace_decay = module.layers[-1].population.trace_decay
        self._features: Tensor | float = 0.0
        self._elapsed = 0
        self.scores = torch.zeros_like(self._labels)
        self._potential = self.scores
        self.values = self.delivery.values()

    def step(self, spikes: Tensor) -> None:
        """spikes: what the last layer gives on, (B, units)."""
        readout = self._readout
        self.values = self.delivery.values()
        arriving = self.delivery.drive(spikes, self.values, self._bias)
        self.scores = self.scores + arriving
        self._potential = self.scores if readout.decay == 1 else self._potential * readout.decay + arriving
        kept = self._readout.features  # traces, counts, or the spikes alone
        self._features = spikes + self._features * (constant(self._trace_decay, spikes) if kept == "trace" else float(kept == "count"))
        self._elapsed += 1
        if READOUT in self._gradients and within_last(readout.learn_last, self._elapsed - 1, self._steps):
            self._learn(self._features)

    def error(self) -> Tensor:
        """(softmax(potential / scale) - label) / B of this step, (B, n_classes)."""
        scale = self._readout.temperature * (self._elapsed if self._readout.normalised else 1)
        return (torch.softmax(self._potential / scale, dim=1) - self._labels) / len(self._labels)

    def _learn(self, features: Tensor) -> None:
        error = self.error()
        self.delivery.learn(self._gradients, error, features)
        if self._bias is not None:
            self._gradients.add(READOUT_BIAS, error.sum(dim=0))


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
        own = {c.name: c.pre for c in self._own_connections if self._rates.get(c.pre) and rule.trains(c.name)}  # a layer's classifier
        gains = rule.gains(network)
        self._learn({**self._rates, READOUT: rule.readout_rate, **{name: gains[name].rate for name in own}}, own)

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
