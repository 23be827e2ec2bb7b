"""Accuracy: over samples, against bits and memory, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from tp_lava.circuit.labels import check_label
from tp_lava.plots.style import BLUE, GREY, VERMILION, array_of, count_of, drawing, finished, line_style, same_length, some

_DARK = 0.6  # share of a row from which on its figure is white


@drawing
def accuracy_over_samples(axes: Axes, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Axes:
    """Test accuracy against samples learned. curves: name -> (samples, accuracies); a name in COLOURS has that colour."""
    _draw_curves(axes, "plots.accuracy_over_samples", curves)
    return finished(axes, xlabel="samples learned", ylabel="test accuracy", ylim=(0, 1.02), legend=True, grid=True)


@drawing
def accuracy_over_sessions(axes: Axes, curves: Mapping[str, Sequence[float]], *, title: str = "", legend: bool = True) -> Axes:
    """Test accuracy after each session of learning, 1 the first. curves: name -> accuracies."""
    what = "plots.accuracy_over_sessions"
    count = len(next(iter(some(what, "curves", curves).values())))
    for name, values in curves.items():
        same_length(what, f"curves[{name!r}]", np.asarray(values), count)
    numbered = {name: (range(1, count + 1), array_of(what, f"curves[{name!r}]", values, 1).tolist()) for name, values in curves.items()}
    _draw_curves(axes, what, numbered)
    labels = {"xlabel": "sessions learned", "ylabel": "test accuracy", "title": title}
    return finished(axes, **labels, xticks=range(1, count + 1), ylim=(0, 1.02), legend=legend, grid=True)


@drawing
def accuracy_against_bits(
    axes: Axes, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], *, reference: float | None = None
) -> Axes:
    """Accuracy against the bits of a weight. curves: name -> (bits, accuracies); reference: accuracy in float, a horizontal line."""
    _draw_curves(axes, "plots.accuracy_against_bits", curves)
    if reference is not None:
        axes.axhline(reference, color=GREY, linewidth=1.2, linestyle="--", label="float")
    ticks = sorted({int(bit) for bits, _ in curves.values() for bit in bits})
    return finished(axes, xlabel="bits of a weight", ylabel="test accuracy", xticks=ticks, legend=True, grid=True)


def _draw_curves(axes: Axes, what: str, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> None:
    for place, (name, (xs, accuracies)) in enumerate(some(what, "curves", curves).items()):
        same_length(what, f"curves[{name!r}]", np.asarray(accuracies), len(xs))
        axes.plot(xs, accuracies, marker="o", markersize=3, label=name, **line_style(place, name))


@drawing
def accuracy_against_memory(axes: Axes, rows: Mapping[str, tuple[Sequence[float], int]]) -> Axes:
    """Accuracy of each variant, a dot per seed and a mark at their mean; its learning memory beside its name.

    rows: name -> (accuracy of each seed, numbers stored to learn one sample).
    """
    for place, (accuracies, _) in enumerate(some("plots.accuracy_against_memory", "rows", rows).values()):
        axes.plot(accuracies, [place] * len(accuracies), "o", markersize=4, alpha=0.6, color=BLUE)
        axes.plot(np.mean(accuracies), place, "|", markersize=16, markeredgewidth=2, color=VERMILION)
    axes.set_yticks(range(len(rows)), [f"{name}  ({numbers:,})" for name, (_, numbers) in rows.items()])
    axes.invert_yaxis()
    title = "in brackets: numbers stored to learn one sample, hidden layers"
    return finished(axes, xlabel="test accuracy", title=title, grid=True)


@drawing
def confusion(axes: Axes, labels: Sequence[int], predictions: Sequence[int], n_classes: int) -> Axes:
    """Confusion matrix: samples of each label (rows) by prediction (columns), shaded by share of the row."""
    what = "plots.confusion"
    count_of(what, "n_classes", n_classes, 2)
    predicted = same_length(what, "predictions", array_of(what, "predictions", predictions, 1), len(array_of(what, "labels", labels, 1)))
    table = np.zeros((n_classes, n_classes), int)
    for label, prediction in zip(labels, predicted.astype(int), strict=True):
        table[check_label(label, n_classes), check_label(prediction, n_classes, "prediction")] += 1
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(table):
        ink = "white" if shares[row, column] > _DARK else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=ink, fontsize="small")
    title, ticks = f"{np.trace(table)} of {table.sum()} right", range(n_classes)
    return finished(axes, xlabel="prediction", ylabel="label", title=title, xticks=ticks, yticks=ticks)
