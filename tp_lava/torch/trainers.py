"""Which trainer a rule has."""

from __future__ import annotations

from typing import Any

from tp_lava.errors import invalid
from tp_lava.rules import BaseRule
from tp_lava.torch.product import ProductTrainer
from tp_lava.torch.rule_trainer import RuleTrainer
from tp_lava.torch.tess import TESSTrainer
from tp_lava.torch.tp import TPTrainer

_TRAINERS: tuple[type[RuleTrainer[Any]], ...] = (TPTrainer, TESSTrainer, ProductTrainer)


def trainer_of(rule: BaseRule) -> type[RuleTrainer[Any]]:
    """The trainer that learns by a rule, to be made as `trainer_of(rule)(module, rule)`.

    Raises InvalidValueError, by name, for a rule whose credit PyTorch does not have.
    """
    for trainer in _TRAINERS:
        if trainer.learns_by(rule):
            return trainer
    raise invalid("trainer_of", "rule", repr(rule)[:60], f"a TP(...), or {ProductTrainer.kinds}", "tpl.Learner has them all")
