"""TP (Traces Propagation): target rows go through the network beside the sample, and each layer contrasts traces with them.

Remembers: of each neuron its trace and, of each target row, a membrane and a trace; the label projection of the first layer.
Local; the error of a layer comes from its own traces and the target traces of the layer below. Published (mean best test accuracy of
10 seeds): N-MNIST 97.26 (200 neurons), SHD 65.43, recurrent 80.75 (450), DVS-Gesture 97.8, CIFAR10-DVS 71.3 (VGG-9).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from tp_lava.checks import is_whole
from tp_lava.dynamics.readout import LEAKY, Match, Readout
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.rules import memory
from tp_lava.rules.base import BaseRule, Update
from tp_lava.rules.credits.contrast import USUAL_ROWS, Contrast


@dataclass(frozen=True)
class TP(BaseRule):
    """Traces Propagation: local, forward-only, supervised learning of every layer.

        dW_l = -rate * psi * (sum_k P[k] * g_l[k]) x s_{l-1}          g: target traces, P: contrast of the layer

    rate: of the hidden layers, one number or one per layer, >= 0 (0 freezes a layer); a layer's loss counts once for each position of
    its maps; readout_rate: >= 0;
    contrast: number of target rows K >= 2, or "all" for one per class: a sample's own label and K - 1
    others drawn for each sample; the default, 4, is one per class where there are fewer than 4; train_target:
    whether the label projection S learns too; update: "step" changes the
    weights at every step, "sequence" sums the changes up and applies them at the sample's end; readout: how the readout is
    taught, by default from a leaky potential, which suits short and long samples alike with one rate; Readout() is the
    published one, Match() none at all. S, the weights `target` (neurons of the first layer, classes) of a Learner, is drawn from the
    network's seed, uniform in +-1 / sqrt(classes), of trained networks times the threshold, or the network's rule_parameters["target"].
    grid: S is drawn for so many by so many places of each map of the first layer, which a place's positions share; None, as published: for
    each position. A kernel is shared by all positions: the codes of single positions are out of its reach, those of places are not.
    Raises InvalidValueError. Source: arXiv 2509.13053, Neuromorph. Comput. Eng. 6 014002 (2026).
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 5e-4
    contrast: int | Literal["all"] = USUAL_ROWS
    train_target: bool = False
    update: Update = "step"
    readout: Readout | Match = LEAKY
    grid: int | None = None

    may_match: ClassVar[bool] = True
    paper: ClassVar[str] = "https://arxiv.org/abs/2509.13053"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contrast != "all" and not is_whole(self.contrast, 2):
            remedy = "a contrast needs the sample's own label and at least one other"
            raise invalid("TP", "contrast", repr(self.contrast), 'an integer of at least 2, or "all"', remedy)
        if self.grid is not None and not is_whole(self.grid, 1):
            raise invalid("TP", "grid", repr(self.grid), "an integer of at least 1, or None", "8 suits maps, None is as published")

    @property
    def credit(self) -> Contrast:
        """See Rule."""
        return Contrast(self.contrast, self.train_target, self.matches, self.grid)

    @property
    def label(self) -> str:
        """See Rule."""
        return f"TP, K = {self.contrast}"

    @property
    def memory_formula(self) -> str:
        """See Rule: a layer's trace, of each target row a membrane and a trace; the first layer's label traces and projection."""
        return "n (2 K + 1), first layer K C + C n more"

    def remembered(self, network: Network, n_steps: int, batch: int = 1) -> tuple[int, ...]:
        """See Rule. A population that does not learn, below one that does, has its target rows alone."""
        rates = self.rates(network).values()
        rows = batch if batch > 1 else self.credit.number_of_rows(network)
        reached = network.populations[: self.credit.last(rates) + 1]
        found = [
            p.size * rows + p.output_size * (rows + batch * (rate > 0)) + (rate > 0) * memory.summed(network, p)
            for p, rate in zip(reached, rates, strict=False)
        ]
        for number, connection in enumerate(self.connections(network) if found else ()):
            place = network.populations.index(network.population(connection.post))
            found[place] += connection.kind.synapse_count + (rows * network.n_classes if number == 0 else 0)
        return (*found, *[0] * (len(rates) - len(found)))

    def rates(self, network: Network):
        """See Rule."""
        if self.contrast != "all" and self.contrast != USUAL_ROWS and self.contrast > network.n_classes:
            limit, remedy = f"at most the number of classes, {network.n_classes}", 'use contrast="all" for one row per class'
            raise invalid("TP", "contrast", self.contrast, limit, remedy)
        return super().rates(network)

    def with_most_rows(self, n_classes: int) -> TP:
        """See Rule."""
        return replace(self, contrast="all") if self.contrast != "all" and self.contrast > n_classes else self

    def to_infer(self) -> TP | None:
        """The rule of a network that only infers: matching needs the target path, a readout nothing."""
        return replace(self, rate=0.0, contrast="all", train_target=False, update="step") if self.matches else None
