"""`tp-lava eval`: how well a learner or a model tells classes apart, which it takes for which, and how much it spikes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import typer

from tp_lava import lava
from tp_lava.commands import tasks
from tp_lava.commands.converting import is_learner, model_named
from tp_lava.commands.options import AsJson, Data, LearnerOrModel, Precision, Progress
from tp_lava.commands.printing import print_json, print_rows
from tp_lava.data.events import Sample
from tp_lava.errors import invalid
from tp_lava.circuit.formats import FixedPoint
from tp_lava.learner import Learner
from tp_lava.progress import track

Part = Literal["test", "train", "all"]


def evaluate(
    model: LearnerOrModel,
    data: Data = "digits",
    part: Annotated[Part, typer.Option(help="Of the data; where it has none of its own, as train splits it.")] = "test",
    precision: Annotated[Precision | None, typer.Option(help="Of a model (float); a Learner has its own.")] = None,
    bits: Annotated[int | None, typer.Option(help="In fixed point: of a model's weights, 2 to 8 (8).")] = None,
    in_lava: Annotated[bool, typer.Option("--in-lava", help="Run in Lava instead of the engine; spikes are not counted there.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, and of a model's label projection.")] = 0,
    as_json: AsJson = False,
    progress: Progress = True,
) -> None:
    """Accuracy, confusion matrix, each class, and spikes a sample, of a saved learner or a model."""
    learner = _learner(model, precision, bits, seed)
    train, test = tasks.split(data, seed)
    samples = {"test": test, "train": train, "all": train + test}[part]
    if not samples:
        raise invalid("eval", "part", part, "one that has samples", "use --part all")
    tasks.check_fits("eval", samples, learner.network)
    told = evaluated(learner, samples, in_lava, progress)
    if as_json:
        print_json({"model": model, "data": data, "part": part, "precision": learner.precision, "in_lava": in_lava, **told})
        return
    _show(told)


def evaluated(learner: Learner, samples: Sequence[Sample], in_lava: bool = False, progress: bool = False) -> dict[str, Any]:
    """What a learner makes of samples, as JSON-able values.

    confusion: [label][prediction] counts; classes: recall and precision of each, None without samples; spikes_per_sample: of
    each hidden layer, mean over the samples, None in Lava; samples_per_second: without compiling. Raises InvalidValueError.
    """
    n_classes = learner.network.n_classes
    labels = np.array([label for _, label in samples])
    if labels.max() >= n_classes:
        limit = f"among the {n_classes} classes of the network"
        raise invalid("eval", "data", f"labelled up to {labels.max()}", limit, "evaluate on the data that it learned")
    predictions, spikes, seconds = (_in_lava if in_lava else _in_engine)(learner, samples, progress)
    confusion = np.zeros((n_classes, n_classes), int)
    np.add.at(confusion, (labels, predictions), 1)
    rows, columns, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    told = [
        {"class": number, "samples": int(row), "recall": _share(hits, row), "precision": _share(hits, column)}
        for number, (hits, row, column) in enumerate(zip(right, rows, columns, strict=True))
    ]
    figures = {"samples": len(samples), "accuracy": float(right.sum() / len(samples)), "spikes_per_sample": spikes}
    return {**figures, "samples_per_second": len(samples) / seconds, "classes": told, "confusion": confusion.tolist()}


def _learner(model: str, precision: Literal["float", "fixed"] | None, bits: int | None, seed: int) -> Learner:
    if is_learner(model):
        if precision or bits is not None:
            raise invalid("eval", "precision or bits", "given with a saved Learner", "those of the learner", "leave them out")
        return Learner.load(model)
    network = model_named(model, seed)
    if precision != "fixed":
        if bits is not None:
            raise invalid("eval", "bits", "given in float", "left out", "or use --precision fixed")
        return Learner(network)
    kept = network.provenance.fixed if network.provenance else None
    return Learner(network, precision=FixedPoint(weight_bits=bits) if bits is not None else kept or FixedPoint())


def _in_engine(learner: Learner, samples: Sequence[Sample], progress: bool) -> tuple[np.ndarray, list[float] | None, float]:
    learner.evaluate(samples[:1], progress)  # compiles, and loads what draws the bar
    start = time.perf_counter()
    outcomes = [learner.infer(sample.events) for sample in track(samples, len(samples), "evaluating", progress)]
    seconds = time.perf_counter() - start
    spikes = np.array([[counts.sum() for counts in outcome.spike_counts] for outcome in outcomes])
    return np.array([outcome.prediction for outcome in outcomes]), spikes.mean(axis=0).tolist(), seconds


def _in_lava(learner: Learner, samples: Sequence[Sample], progress: bool) -> tuple[np.ndarray, list[float] | None, float]:
    tag: Literal["fixed_pt", "floating_pt"] = "fixed_pt" if learner.precision == "fixed" else "floating_pt"
    how = {"tag": tag, "seed": learner.seed, "fixed": learner.fixed, "progress": progress}
    result = lava.run(learner.network, learner.rule, samples, False, **how)  # type: ignore[arg-type]
    return result.predictions, None, result.seconds


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _show(told: dict[str, Any]) -> None:
    shares = ("recall", "precision")
    print_rows(
        "classes", [row | {share: "-" if row[share] is None else f"{row[share]:.3f}" for share in shares} for row in told["classes"]]
    )
    told_as = [{str(column): count or "" for column, count in enumerate(row)} for row in told["confusion"]]
    print_rows("confusion", [{"is, told as": label, **row} for label, row in enumerate(told_as)])
    spikes = told["spikes_per_sample"]
    fired = f"; spikes a sample: {', '.join(f'{mean:.1f}' for mean in spikes)}" if spikes else ""
    print(f"{told['samples']} samples: accuracy {told['accuracy']:.3f}, {told['samples_per_second']:.0f} samples a second{fired}")
