"""Training by any rule that is a product: a credit and terms, batch by batch. Equations and sources: tp_lava.rules.

    dW = -rate * mean over samples of sum over terms of factor * (delta * A) x B

Of update "step" at every step, of "sequence" once, by what the steps of a batch sum up to. And which trainer a rule has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import one_hot

from tp_lava.errors import invalid
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import TESS, BaseRule
from tp_lava.torch.credits import CREDITS, BatchCredit
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.product_layer import ProductLayer, check_layer
from tp_lava.torch.rule_trainer import DeltaRule, RuleTrainer, Steps
from tp_lava.torch.tp import TPTrainer


class ProductTrainer(RuleTrainer[BaseRule]):
    """Learns by any rule of the product form, batch by batch: weights, recurrent weights and the biases that a term is for.

    rule: of one of the credits BasisError, LocalClassifier, OutputFeedback, TargetProjection, BackwardError, and any terms: tpl.STLLR,
    tpl.OTTT, tpl.SLTT, tpl.EProp, tpl.ETLP, tpl.DECOLLE, tpl.OSTL, tpl.OSTTP, tpl.TESS, tpl.Rule, and rules of your own.
    module: layers of all kinds. A batch of one sample learns what tpl.Learner does in float. optimiser: SGD() or Adam(), for all or by
    layer.
    BackwardError goes back through convolutions and poolings here, which the engine refuses, and of delayed units as if they were not
    delayed. A state per synapse is kept for each sample, (B, n, n_in), of connections from all to all, at most 2^29 numbers each.
    Neurons that a basis gives no signal stay as they are, without a warning.
    Raises InvalidValueError.
    """

    kinds: ClassVar[str] = f"a rule with one of the credits {', '.join(kind.__name__ for kind in CREDITS)}"
    others: ClassVar[str] = "TPTrainer is for TP, and tpl.Learner has them all"

    def __init__(self, module: SpikingNetwork, rule: BaseRule, optimiser: Optimiser | Mapping[str, Optimiser] = SGD()) -> None:  # noqa: B008 (frozen)
        super().__init__(module, rule, optimiser)
        for layer in module.layers:
            if self._rates[layer.name] > 0:
                check_layer(layer, rule)
        self._credit = CREDITS[type(rule.credit)](rule.credit, module.network())

    @classmethod
    def learns_by(cls, rule: object) -> bool:
        """See RuleTrainer."""
        return isinstance(rule, BaseRule) and type(rule.credit) in CREDITS

    def _steps(self, labels: Tensor, gradients: Gradients) -> Steps:
        module, rows = self.module, len(labels)
        layers = [ProductLayer(module, number, self.rule, rows, gradients, self._credit.traces) for number in range(len(module.layers))]
        return _Steps(layers, self._credit, one_hot(labels, module.n_classes).to(module.dtype))


class _Steps(Steps):
    """Layers go forward, the readout tells its error, and what learns is told its delta."""

    def __init__(self, layers: list[ProductLayer], credit: BatchCredit, labels: Tensor) -> None:
        self._layers, self._credit, self._labels = layers, credit, labels

    def step(self, below: Tensor, learns: bool) -> Tensor:
        for layer in self._layers:
            below = layer.step(below)
        return below

    def told(self, readout: DeltaRule, learns: bool) -> None:
        if learns:
            for layer, delta in self._credit.deltas(self._layers, self._labels, readout):
                layer.learn(delta)
        for layer in self._layers:
            layer.close()


class TESSTrainer(ProductTrainer):
    """ProductTrainer of tpl.TESS alone: learns with TESS, batch by batch, weights, recurrent weights and the biases the network has.

    Maps are averaged to the rule's grid before their basis.

    optimiser: SGD() or Adam(), for all or by layer. Recurrent weights take the layer's own spikes of the step before.
    Neurons that a basis gives no signal stay as they are, without a warning; a Learner of the same rule names them.
    Raises InvalidValueError.
    """

    kinds: ClassVar[str] = "a TESS(...)"
    others: ClassVar[str] = "TPTrainer, ProductTrainer and BPTTTrainer are for others"

    @classmethod
    def learns_by(cls, rule: object) -> bool:
        """See RuleTrainer."""
        return type(rule) is TESS


_TRAINERS: tuple[type[RuleTrainer[Any]], ...] = (TPTrainer, TESSTrainer, ProductTrainer)


def trainer_of(rule: BaseRule) -> type[RuleTrainer[Any]]:
    """The trainer that learns by a rule, to be made as `trainer_of(rule)(module, rule)`.

    Raises InvalidValueError, by name, for a rule whose credit PyTorch does not have.
    """
    for trainer in _TRAINERS:
        if trainer.learns_by(rule):
            return trainer
    raise invalid("trainer_of", "rule", repr(rule)[:60], f"a TP(...), or {ProductTrainer.kinds}", "tpl.Learner has them all")
