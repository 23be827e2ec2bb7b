"""`tp-lava eval`: accuracy, confusion matrix and spikes of a learner or a model on data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import typer

from tp_lava.commands import options
from tp_lava.commands.named import check_fits, fixed_point, is_learner, load_split, load_test, model_named, named_classes
from tp_lava.commands.printing import print_json, print_rows
from tp_lava.continual.in_lava import play_in_lava
from tp_lava.continual.presenter import Round
from tp_lava.data.events import Sample
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.progress import track

Precision = Literal["float", "fixed"]


def evaluate(
    model: options.LearnerOrModel,
    data: options.Data = "digits",
    part: Annotated[
        Literal["test", "train", "all"], typer.Option(help="Part of the data; split as train does, where it has no test part of its own.")
    ] = "test",
    precision: Annotated[Precision | None, typer.Option(help="Number system of a model (float); a Learner has its own.")] = None,
    bits: options.Bits = None,
    in_lava: Annotated[bool, typer.Option("--in-lava", help="Run in Lava instead of the engine; spikes are not counted there.")] = False,
    threads: options.Threads = "1",
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Accuracy, confusion matrix, each class, and spikes per sample, of a saved learner or a model."""
    n_threads = options.n_threads("eval", threads, in_lava)
    learner = _learner(model, precision, bits, seed)
    learner.threads = n_threads
    samples = _samples(data, part, seed)
    if not samples:
        raise invalid("eval", "part", part, "one that has samples", "use --part all")
    check_fits("eval", samples, learner.network)
    result = evaluation(learner, samples, in_lava, progress)
    if names := named_classes(learner.network, data).class_names:
        result["classes"] = [{"class": row["class"], "name": names[row["class"]], **row} for row in result["classes"]]
    if as_json:
        print_json({"model": model, "data": data, "part": part, "precision": learner.precision, "in_lava": in_lava, **result})
    else:
        _print(result)


def evaluation(learner: Learner, samples: Sequence[Sample], in_lava: bool = False, progress: bool = False) -> dict[str, Any]:
    """Results on samples, as JSON values.

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
    of_label, of_prediction, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    return {
        "samples": len(samples),
        "accuracy": float(right.sum() / len(samples)),
        "spikes_per_sample": spikes,
        "samples_per_second": len(samples) / seconds,
        "classes": [
            {"class": number, "samples": int(n), "recall": _share(hits, n), "precision": _share(hits, predicted)}
            for number, (hits, n, predicted) in enumerate(zip(right, of_label, of_prediction, strict=True))
        ],
        "confusion": confusion.tolist(),
    }


def _samples(data: str, part: str, seed: int) -> list[Sample]:
    if part == "test":
        return load_test(data, seed)
    train, test = load_split(data, seed)
    return train if part == "train" else train + test


def _learner(model: str, precision: Precision | None, bits: int | None, seed: int) -> Learner:
    if is_learner(model):
        if precision or bits is not None:
            raise invalid("eval", "precision or bits", "given with a saved Learner", "those of the learner", "leave them out")
        return Learner.load(model)
    if precision != "fixed" and bits is not None:
        raise invalid("eval", "bits", "given in float", "left out", "or use --precision fixed")
    network = model_named(model, seed)
    return Learner(network, precision=fixed_point(network, bits) if precision == "fixed" else "float")


def _in_engine(learner: Learner, samples: Sequence[Sample], progress: bool) -> tuple[np.ndarray, list[float] | None, float]:
    """-> predictions, mean spikes of each layer, seconds."""
    learner.evaluate(samples[:1], progress)  # compiles, and imports what draws the bar
    start = time.perf_counter()
    outcomes = [learner.infer(sample.events) for sample in track(samples, len(samples), "evaluating", progress)]
    seconds = time.perf_counter() - start
    spikes = np.array([[counts.sum() for counts in outcome.spike_counts] for outcome in outcomes])
    return np.array([outcome.prediction for outcome in outcomes]), spikes.mean(axis=0).tolist(), seconds


def _in_lava(learner: Learner, samples: Sequence[Sample], progress: bool) -> tuple[np.ndarray, list[float] | None, float]:
    run = play_in_lava(learner, [Round(samples, learns=False)], progress=progress)
    return run.predictions, None, run.seconds


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _print(result: dict[str, Any]) -> None:
    print_rows("classes", result["classes"], left=2 if "name" in result["classes"][0] else 1)
    counts = [{str(column): count or "" for column, count in enumerate(row)} for row in result["confusion"]]
    labels = [f"{row['class']} {row['name']}" if "name" in row else row["class"] for row in result["classes"]]
    print_rows("confusion", [{"label, prediction": label, **row} for label, row in zip(labels, counts, strict=True)])
    spikes = result["spikes_per_sample"]
    fired = f"; spikes a sample: {', '.join(f'{mean:.1f}' for mean in spikes)}" if spikes else ""
    print(f"{result['samples']} samples: accuracy {result['accuracy']:.3f}, {result['samples_per_second']:.0f} samples a second{fired}")
