"""TESS in batches: every layer from an error of its own, forward only. Equations and source: tp_lava.rules.TESS."""

from __future__ import annotations

from typing import ClassVar

from tp_lava.rules import TESS
from tp_lava.torch.product import ProductTrainer


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
