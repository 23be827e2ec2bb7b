"""Fine-tuning: a network trained elsewhere learns from few samples, in the engine or in Lava."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from tp_lava import lava
from tp_lava.checks import is_whole
from tp_lava.circuit.formats import FixedPoint
from tp_lava.data.events import Sample
from tp_lava.data.order import epoch_order
from tp_lava.errors import invalid
from tp_lava.graph.connections import Convolution
from tp_lava.graph.names import READOUT, RELAY
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.optimisers import Cosine
from tp_lava.rules import TP, BaseRule

RULE = TP(1e-3, 5e-4, contrast="all")
CONVOLUTIONS = "convolutions"


@dataclass(frozen=True)
class FineTuned:
    """The result of fine-tuning.

    learner: after the last or the best epoch; before, after: accuracy on the new task; old_before, old_after: on the old task, NaN
    without its samples; curve: accuracy on `validation` before and after each epoch; epoch: the learner's, 0 for no learning.
    """

    learner: Learner
    before: float
    after: float
    old_before: float
    old_after: float
    curve: tuple[float, ...]
    epoch: int

    @property
    def forgotten(self) -> float:
        """Loss of accuracy on the old task."""
        return self.old_before - self.old_after

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        names = ("before", "after", "old_before", "old_after", "forgotten", "epoch")
        return {name: getattr(self, name) for name in names} | {"curve": list(self.curve)}


def few(samples: Sequence[Sample], shots: int, seed: int = 0) -> list[Sample]:
    """`shots` samples of each class, drawn from the seed; all samples of a class that has fewer. Raises InvalidValueError."""
    if not is_whole(shots, 1):
        raise invalid("few", "shots", repr(shots), "an integer of at least 1", "give the number of samples a class")
    rng, chosen = np.random.default_rng(seed), []
    labels = np.array([label for _, label in samples])
    for label in np.unique(labels):
        chosen += [samples[index] for index in rng.permutation(np.flatnonzero(labels == label))[:shots]]
    return chosen


def frozen(rule: BaseRule, network: Network, layers: Sequence[str] | str) -> BaseRule:
    """The rule with rate 0 for the named layers: "hidden0", ..., "readout", or "convolutions" for all that a convolution reaches.

    A relay, which hands on the spikes of others (see `convert`), keeps its weights always. Raises InvalidValueError.
    """
    rest = {layers} if isinstance(layers, str) else set(layers)
    known = [*(population.name for population in network.populations), READOUT, CONVOLUTIONS]
    if unknown := sorted(rest - set(known)):
        raise invalid("finetune", "freeze", ", ".join(unknown), f"among {', '.join(known)}", "correct the name")
    if CONVOLUTIONS in rest:
        rest |= {c.post for c in network.connections if isinstance(c.kind, Convolution)}
    rest |= {RELAY}
    rates = tuple(0.0 if name in rest else rate for name, rate in rule.rates(network).items())
    return replace(rule, rate=rates, readout_rate=0.0 if READOUT in rest else rule.readout_rate)


def finetune(
    network: Network,
    samples: Sequence[Sample],
    test: Sequence[Sample],
    *,
    rule: BaseRule = RULE,
    precision: Literal["float", "fixed"] | FixedPoint = "fixed",
    epochs: int = 20,
    freeze: Sequence[str] | str = (),
    old_test: Sequence[Sample] = (),
    validation: Sequence[Sample] = (),
    patience: int | None = None,
    keep_best: bool = False,
    in_lava: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> FineTuned:
    """Learn the samples of a new task, one at a time, and measure the accuracy on the new and on the old task.

    samples: see `few`; test, old_test: of the new and of the old task; freeze: layers that keep their weights, by name, or
    "convolutions"; validation: samples for early stopping, tested after each epoch; patience: epochs without improvement after which
    learning stops; keep_best: return the learner of the best epoch instead of the last; in_lava: learn in one run in Lava, with
    constant rates (in the engine they follow a cosine) and without early stopping. Raises InvalidValueError.
    """
    if not is_whole(epochs, 1):
        raise invalid("finetune", "epochs", repr(epochs), "an integer of at least 1", "20 suits a few samples a class")
    if patience is not None and not is_whole(patience, 1):
        raise invalid("finetune", "patience", repr(patience), "an integer of at least 1, or None", "leave it out not to stop early")
    if (patience or keep_best) and not validation:
        raise invalid("finetune", "validation", "empty", "given, to stop early or keep the best", "hold some samples back")
    if in_lava and (patience or keep_best):
        raise invalid("finetune", "in_lava", "asked for with early stopping", "one of them", "a run in Lava has a fixed length")
    rule = frozen(rule, network, freeze)
    start = Learner(network, rule, precision, seed, schedule=None if in_lava else Cosine(epochs))
    before, old_before = start.evaluate(test), _accuracy(start, old_test)
    if in_lava:
        rounds = [Round([samples[i] for i in epoch_order(len(samples), seed, epoch)], learns=True) for epoch in range(epochs)]
        learner, curve, epoch = run_in_lava(start, rounds, progress)[1].learner, list[float](), epochs
    else:
        learner, curve, epoch = _in_engine(start, samples, epochs, validation, patience, keep_best, progress)
    return FineTuned(learner, before, learner.evaluate(test), old_before, _accuracy(learner, old_test), tuple(curve), epoch)


def _in_engine(
    learner: Learner,
    samples: Sequence[Sample],
    epochs: int,
    validation: Sequence[Sample],
    patience: int | None,
    keep_best: bool,
    progress: bool,
) -> tuple[Learner, list[float], int]:
    """-> learner, accuracies on the validation samples, the learner's epoch."""
    curve = [learner.evaluate(validation)] if validation else []
    best, kept = 0, learner.copy() if keep_best else learner
    for epoch in range(1, epochs + 1):
        learner.fit(samples, progress=progress)
        if validation:
            curve.append(learner.evaluate(validation))
            if curve[-1] > curve[best]:
                best, kept = epoch, learner.copy() if keep_best else learner
            if patience and epoch - best >= patience:
                break
    return (kept, curve, best) if keep_best else (learner, curve, learner.epochs_done)


def _accuracy(learner: Learner, samples: Sequence[Sample]) -> float:
    return learner.evaluate(samples) if samples else float("nan")


class Round(NamedTuple):
    """Samples that are presented in Lava one after another. learns: whether with their labels."""

    samples: Sequence[Sample]
    learns: bool


def run_in_lava(start: Learner, rounds: Sequence[Round], progress: bool = False) -> tuple[list[float], lava.LavaResult]:
    """Present all rounds in one run in Lava, which begins with the learner's weights. -> accuracy of each round, the result.

    Accuracies are those of the predictions at each sample, as it is learned or tested.
    """
    samples = [sample for part, _ in rounds for sample in part]
    learn = [learns for part, learns in rounds for _ in part]
    tag: Literal["fixed_pt", "floating_pt"] = "fixed_pt" if start.precision == "fixed" else "floating_pt"
    result = lava.run(start.network, start.rule, samples, learn, tag, start.seed, fixed=start.fixed, progress=progress)
    right = result.predictions == np.array([label for _, label in samples])
    ends = np.cumsum([len(part) for part, _ in rounds])
    return [float(part.mean()) for part in np.split(right, ends[:-1])], result
