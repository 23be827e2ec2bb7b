"""Pictures: each function draws on a matplotlib Axes and returns it. Colours are Okabe and Ito's, safe for the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from tp_lava.errors import invalid
from tp_lava.outcome import Outcome
from tp_lava.quantisation import QuantisationReport

COLOURS = {"float": "#0072B2", "fixed": "#D55E00", "frozen": "#999999", "before": "#56B4E9", "trace": "#009E73", "spike": "#000000"}


def accuracy_over_samples(axes: Axes, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Axes:
    """Test accuracy against samples learned. curves: name -> (samples, accuracies); names among COLOURS are coloured so."""
    for name, (samples, accuracies) in curves.items():
        axes.plot(samples, accuracies, marker="o", markersize=3, color=COLOURS.get(name), label=name)
    axes.set(xlabel="samples learned", ylabel="test accuracy", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    return axes


def raster(axes: Axes, outcome: Outcome, layer: int = 0, neurons: int = 40) -> Axes:
    """Spikes of a layer's most active neurons over their traces. outcome: from infer(..., record=True)."""
    if outcome.spikes is None or outcome.traces is None:
        raise invalid("raster", "outcome", "without spikes and traces", "a recorded one", "use infer(events, record=True)")
    spikes, traces = outcome.spikes[layer], outcome.traces[layer]
    shown = np.argsort(-spikes.sum(axis=0), kind="stable")[:neurons]
    axes.imshow(traces[:, shown].T, aspect="auto", cmap="Greens", origin="lower", interpolation="nearest", vmin=0)
    steps, rows = np.nonzero(spikes[:, shown])
    axes.plot(steps, rows, "|", color=COLOURS["spike"], markersize=4)
    axes.set(xlabel="step", ylabel=f"neuron (the {len(shown)} most active)", title="spikes on their traces")
    return axes


def weight_histogram(axes: Axes, before: np.ndarray, after: Mapping[str, np.ndarray], bins: int = 80) -> Axes:
    """Distribution of weights before and after learning, counts on a logarithmic scale."""
    largest = max(np.abs(w).max() for w in (before, *after.values()))
    edges = np.linspace(-largest, largest, bins + 1)
    axes.hist(before.ravel(), edges, color=COLOURS["before"], alpha=0.6, label="before")
    for name, weights in after.items():
        axes.hist(weights.ravel(), edges, histtype="step", color=COLOURS.get(name), linewidth=1.5, label=f"after, {name}")
    axes.set(xlabel="weight", ylabel="synapses", yscale="log", title="hidden weights")
    axes.legend(frameon=False)
    return axes


def accuracy_against_memory(axes: Axes, rows: Mapping[str, tuple[Sequence[float], int]]) -> Axes:
    """Accuracy of each form, a dot per seed and their mean as a line, its learning memory beside its name.

    rows: name -> (accuracy of each seed, numbers that learning a sample remembers).
    """
    for place, (accuracies, _) in enumerate(rows.values()):
        axes.plot(accuracies, [place] * len(accuracies), "o", markersize=4, alpha=0.6, color=COLOURS["float"])
        axes.plot(np.mean(accuracies), place, "|", markersize=16, markeredgewidth=2, color=COLOURS["fixed"])
    axes.set_yticks(range(len(rows)), [f"{name}  ({numbers:,})" for name, (_, numbers) in rows.items()])
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy", title="in brackets: numbers that learning a sample remembers, hidden layers")
    axes.grid(axis="x", alpha=0.3)
    return axes


def quantisation(axes: Axes, report: QuantisationReport) -> Axes:
    """What fixed point keeps of each hidden layer: the share of its spikes, and the (step, neuron) that are equal."""
    places = np.arange(len(report.layers))
    axes.barh(places - 0.2, [layer.agreement for layer in report.layers], 0.36, color=COLOURS["fixed"], label="spikes in both forms")
    axes.barh(places + 0.2, [layer.equal for layer in report.layers], 0.36, color=COLOURS["before"], label="steps that are equal")
    held = {connection.name: f"{connection.bits} bits, 2^{connection.exponent}" for connection in report.connections}
    axes.set_yticks(places, [f"{layer.name}\n{held[layer.name]}" for layer in report.layers])
    axes.invert_yaxis()
    kept = "" if report.accuracy is None else f", accuracy {report.accuracy[0]:.3f} → {report.accuracy[1]:.3f}"
    axes.set(xlabel="share", xlim=(0, 1.02), title=f"predictions agree on {report.agreement:.1%}{kept}")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    return axes
