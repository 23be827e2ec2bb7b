"""Learning, step by step: contrast, third factors, weights; and histograms of weights and traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tp_lava.plots.activity import lanes
from tp_lava.plots.style import (
    ABOUT_ZERO,
    COLOURS,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    array_of,
    class_style,
    draw_lines,
    drawing,
    finished,
    line_style,
    names_of,
    same_length,
    some,
)


@drawing
def contrast(axes: Axes, errors: np.ndarray, labels: Sequence[object] | None = None) -> Axes:
    """The error vector of a layer over steps, one line per target stream; the first, the sample's own label's, is wider.

    errors: (T, K), softmax(similarity) - softmax(-distance): positive where the layer is too similar to a stream, negative where
    it is not similar enough; labels: of the streams, each of which has one colour in all pictures.
    """
    values = array_of("plots.contrast", "errors", errors, 2)
    for place, name in enumerate(names_of("plots.contrast", "labels", labels, values.shape[1])):
        width: dict[str, Any] = {"linewidth": 1.0} if place else {"linewidth": 2.5, "zorder": 3}
        label = name if place else f"{name} (its own)"
        axes.plot(np.arange(len(values)), values[:, place], label=label, **width, **class_style(name))
    axes.axhline(0, color=COLOURS["spike"], linewidth=0.6)
    axes.legend(frameon=False, fontsize="small", title="stream of", ncols=2 if values.shape[1] > 4 else 1)
    return finished(axes, xlabel="step", ylabel="contrast", xlim=(-0.5, len(values) - 0.5))


@drawing
def third_factor(axes: Axes, surrogate: np.ndarray, error: np.ndarray, third: np.ndarray, labels: Sequence[object] | None = None) -> Axes:
    """The third factor of a neuron and what it is computed from, in lanes: psi, the contrast of each stream, the third factor.

    surrogate: psi, (T,); error: (T, K); third: (T,); labels: of the streams.
    """
    errors = array_of("plots.third_factor", "error", error, 2)
    names = names_of("plots.third_factor", "labels", labels, errors.shape[1])
    streams = {f"contrast {name}": errors[:, place] for place, name in enumerate(names)}
    colours = {"ψ": GREY, "third factor": GREY} | {f"contrast {name}": class_style(name)["color"] for name in names}
    return lanes(axes, {"ψ": surrogate, **streams, "third factor": third}, colours)


@drawing
def third_factors(axes: Axes, third: np.ndarray, neurons: int = 40) -> Axes:
    """The third factors of a layer, (T, n), as an image.

    neurons: number shown: those with the largest absolute values, the largest at the bottom.
    """
    values = array_of("plots.third_factors", "third", third, 2)
    shown = np.argsort(-np.abs(values).max(axis=0), kind="stable")[:neurons]
    largest = float(np.abs(values).max()) or 1.0
    drawn = axes.imshow(
        values[:, shown].T, aspect="auto", cmap=ABOUT_ZERO, origin="lower", interpolation="nearest", vmin=-largest, vmax=largest
    )
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    return finished(axes, xlabel="step", ylabel=f"neuron (the {len(shown)} with the largest)", title="third factors")


@drawing
def weights_over_time(
    axes: Axes, weights: np.ndarray, names: Sequence[object] | None = None, *, arrivals: np.ndarray | None = None, unit: str = "step"
) -> Axes:
    """Weights of one synapse, or of several, over time.

    weights: (T,) or (T, n), at the end of each step; arrivals: (T,), not zero where a presynaptic spike arrived, which is when a
    spike-driven rule changes the weight; unit: of the horizontal axis.
    """
    what = "plots.weights_over_time"
    lines = draw_lines(axes, what, "weights", weights, names, drawstyle="steps-post", linewidth=1.5)
    if arrivals is not None:
        steps = np.flatnonzero(same_length(what, "arrivals", array_of(what, "arrivals", arrivals, 1), len(lines)))
        axes.plot(steps, np.zeros(steps.size), "|", color=COLOURS["spike"], transform=axes.get_xaxis_transform(), markersize=12)
    return finished(axes, xlabel=unit, ylabel="weight", xlim=(-0.5, len(lines) - 0.5), legend=names is not None, grid=True)


@drawing
def weight_histogram(axes: Axes, before: np.ndarray, after: Mapping[str, np.ndarray], bins: int = 80) -> Axes:
    """Distribution of weights before and after learning, counts on a logarithmic scale."""
    what = "plots.weight_histogram"
    first = array_of(what, "before", before, 1, 2, 4)
    later = {name: array_of(what, f"after[{name!r}]", values, 1, 2, 4) for name, values in after.items()}
    largest = max(np.abs(w).max() for w in (first, *later.values())) or 1.0
    edges = np.linspace(-largest, largest, bins + 1).tolist()
    axes.hist(first.ravel(), edges, color=COLOURS["before"], alpha=0.6, label="before")
    for place, (name, weights) in enumerate(later.items()):
        axes.hist(weights.ravel(), edges, histtype="step", linewidth=1.5, label=f"after, {name}", **line_style(place, name))
    return finished(axes, xlabel="weight", ylabel="synapses", yscale="log", title="hidden weights", legend=True)


@drawing
def trace_histogram(axes: Axes, traces: Mapping[str, np.ndarray], bins: int = 50, *, largest: float | None = None) -> Axes:
    """Distribution of traces, or of another state that is never negative, counts on a logarithmic scale.

    traces: name -> array; largest: the largest value that the register holds, drawn as a line.
    """
    what = "plots.trace_histogram"
    arrays = {name: array_of(what, f"traces[{name!r}]", values, 1, 2, 3) for name, values in some(what, "traces", traces).items()}
    high = max([values.max() for values in arrays.values()] + ([] if largest is None else [largest]))
    edges = np.linspace(0.0, high or 1.0, bins + 1).tolist()
    for place, (name, values) in enumerate(arrays.items()):
        axes.hist(values.ravel(), edges, histtype="step", linewidth=1.5, label=name, **line_style(place, name))
    if largest is not None:
        axes.axvline(largest, color=PURPLE, linewidth=1.2, linestyle="--", label="largest that fits")
    return finished(axes, xlabel="trace", ylabel="neurons and steps", yscale="log", legend=True)


@drawing
def weight_changes(axes: Axes, changes: np.ndarray) -> Axes:
    """Weight changes of a layer at each step: the sum of the increases and the sum of the decreases. changes: (T, ...)."""
    values = array_of("plots.weight_changes", "changes", changes, 2, 3)
    flat = values.reshape(len(values), -1)
    steps = np.arange(len(flat))
    axes.bar(steps, np.clip(flat, 0, None).sum(axis=1), 0.8, color=GREEN, label="strengthened")
    axes.bar(steps, np.clip(flat, None, 0).sum(axis=1), 0.8, color=VERMILION, label="weakened")
    axes.axhline(0, color=COLOURS["spike"], linewidth=0.6)
    return finished(axes, xlabel="step", ylabel="summed change of weights", xlim=(-0.5, len(flat) - 0.5), legend=True)
