"""How well a network tells classes apart: over samples, against bits and memory, and which it takes for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from tp_lava.circuit.labels import check_label
from tp_lava.plots.style import BLUE, GREY, VERMILION, array_of, count_of, drawing, line_style, same_length, some

_DARK = 0.6  # share from which white figures are read better


@drawing
def accuracy_over_samples(axes: Axes, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Axes:
    """Test accuracy against samples learned. curves: name -> (samples, accuracies); names among COLOURS are coloured so."""
    what = "plots.accuracy_over_samples"
    for place, (name, (samples, accuracies)) in enumerate(some(what, "curves", curves).items()):
        same_length(what, f"curves[{name!r}]", np.asarray(accuracies), len(samples))
        axes.plot(samples, accuracies, marker="o", markersize=3, label=name, **line_style(place, name))
    axes.set(xlabel="samples learned", ylabel="test accuracy", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    return axes


@drawing
def accuracy_against_bits(
    axes: Axes, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], *, reference: float | None = None
) -> Axes:
    """Accuracy against the bits of a weight. curves: name -> (bits, accuracies); reference: in float, drawn across."""
    what = "plots.accuracy_against_bits"
    for place, (name, (bits, accuracies)) in enumerate(some(what, "curves", curves).items()):
        same_length(what, f"curves[{name!r}]", np.asarray(accuracies), len(bits))
        axes.plot(bits, accuracies, marker="o", markersize=4, label=name, **line_style(place, name))
    if reference is not None:
        axes.axhline(reference, color=GREY, linewidth=1.2, linestyle="--", label="float")
    axes.set_xticks(sorted({int(bit) for bits, _ in curves.values() for bit in bits}))
    axes.set(xlabel="bits of a weight", ylabel="test accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    return axes


@drawing
def accuracy_against_memory(axes: Axes, rows: Mapping[str, tuple[Sequence[float], int]]) -> Axes:
    """Accuracy of each form, a dot per seed and their mean as a line, its learning memory beside its name.

    rows: name -> (accuracy of each seed, numbers that learning a sample remembers).
    """
    for place, (accuracies, _) in enumerate(some("plots.accuracy_against_memory", "rows", rows).values()):
        axes.plot(accuracies, [place] * len(accuracies), "o", markersize=4, alpha=0.6, color=BLUE)
        axes.plot(np.mean(accuracies), place, "|", markersize=16, markeredgewidth=2, color=VERMILION)
    axes.set_yticks(range(len(rows)), [f"{name}  ({numbers:,})" for name, (_, numbers) in rows.items()])
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy", title="in brackets: numbers that learning a sample remembers, hidden layers")
    axes.grid(axis="x", alpha=0.3)
    return axes


@drawing
def confusion(axes: Axes, labels: Sequence[int], predictions: Sequence[int], n_classes: int) -> Axes:
    """Which class is taken for which: samples of each label (rows) by prediction (columns), shaded by share of the row."""
    what = "plots.confusion"
    count_of(what, "n_classes", n_classes, 2)
    told = same_length(what, "predictions", array_of(what, "predictions", predictions, 1), len(array_of(what, "labels", labels, 1)))
    table = np.zeros((n_classes, n_classes), int)
    for label, prediction in zip(labels, told.astype(int), strict=True):
        table[check_label(label, n_classes), check_label(prediction, n_classes, "prediction")] += 1
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(table):
        ink = "white" if shares[row, column] > _DARK else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=ink, fontsize="small")
    axes.set_xticks(range(n_classes))
    axes.set_yticks(range(n_classes))
    axes.set(xlabel="told", ylabel="is", title=f"{np.trace(table)} of {table.sum()} right")
    return axes
