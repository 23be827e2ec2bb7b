"""Activity in one sample, step by step: events, spikes, traces and membranes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from tp_lava.data.events import Events
from tp_lava.errors import invalid
from tp_lava.outcome import Outcome
from tp_lava.plots.style import COLOURS, FROM_ZERO, GREY, array_of, count_of, draw_lines, drawing, finished, line_style, same_length, some


@drawing
def events(axes: Axes, events: Events) -> Axes:
    """The events of a recording, by step and unit."""
    if not isinstance(events, Events):
        raise invalid("plots.events", "events", f"of type {type(events).__name__}", "Events", "a sample's first entry is its events")
    axes.plot(events.times, events.units, "|", color=COLOURS["spike"], markersize=3)
    return finished(axes, xlabel="step", ylabel="unit", xlim=(-0.5, events.n_steps - 0.5), ylim=(-0.5, events.n_units - 0.5))


@drawing
def raster(axes: Axes, outcome: Outcome, layer: int = 0, neurons: int = 40) -> Axes:
    """Spikes of a layer's most active neurons, on their traces, or alone where what is traced is pooled.

    outcome: from infer(..., record=True).
    """
    spikes, traces = recorded("raster", outcome, "spikes"), recorded("raster", outcome, "traces")
    count_of("raster", "neurons", neurons, 1)
    layer = count_of("raster", "layer", layer, 0, len(spikes))
    shown = np.argsort(-spikes[layer].sum(axis=0), kind="stable")[:neurons]
    own = traces[layer].shape == spikes[layer].shape
    behind = traces[layer] if own else np.zeros_like(spikes[layer], np.float32)
    axes.imshow(behind[:, shown].T, aspect="auto", cmap=FROM_ZERO, origin="lower", interpolation="nearest", vmin=0)
    steps, rows = np.nonzero(spikes[layer][:, shown])
    axes.plot(steps, rows, "|", color=COLOURS["spike"], markersize=4)
    title = "spikes on their traces" if own else "spikes"
    return finished(axes, xlabel="step", ylabel=f"neuron (the {len(shown)} most active)", title=title)


@drawing
def traces(axes: Axes, values: np.ndarray, names: Sequence[object] | None = None, *, level: float | None = None) -> Axes:
    """States over steps, one line each: traces, membranes, scores.

    values: (T,) or (T, n); names: one per line; level: a horizontal line, such as a threshold.
    """
    lines = draw_lines(axes, "plots.traces", "values", values, names, linewidth=1.3)
    if level is not None:
        axes.axhline(level, color=GREY, linewidth=1, linestyle="--")
    return finished(axes, xlabel="step", xlim=(-0.5, len(lines) - 0.5), legend=names is not None, grid=True)


@drawing
def lanes(axes: Axes, signals: dict[str, np.ndarray], colours: Mapping[str, str] | None = None) -> Axes:
    """Signals of different units over the same steps, each in its own lane, with its largest absolute value beside it.

    signals: name -> (T,), from top to bottom. A signal of only 0 and 1 is drawn as ticks, like spikes. colours: name -> colour; the others
    get one by their place.
    """
    what = "plots.lanes"
    arrays = {name: array_of(what, f"signals[{name!r}]", values, 1) for name, values in some(what, "signals", signals).items()}
    steps = len(next(iter(arrays.values())))
    for place, (name, values) in enumerate(arrays.items()):
        same_length(what, f"signals[{name!r}]", values, steps)
        _lane(axes, -place, name, values, (colours or {}).get(name, line_style(place)["color"]))
    axes.set_yticks([-place for place in range(len(arrays))], list(arrays))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return finished(axes, xlabel="step", xlim=(-0.5, steps - 0.5), ylim=(0.5 - len(arrays), 0.55))


def _lane(axes: Axes, centre: float, name: str, values: np.ndarray, colour: str) -> None:
    """A signal at its lane's centre +- 0.4: 0.4 * value / largest absolute value."""
    axes.axhline(centre, color=GREY, linewidth=0.5, alpha=0.6)
    if np.isin(values, (0, 1)).all():
        axes.vlines(np.flatnonzero(values), centre - 0.3, centre + 0.3, color=COLOURS["spike"], linewidth=1, label=name)
        return
    largest = float(np.abs(values).max())
    axes.step(np.arange(len(values)), centre + 0.4 * values / largest, where="mid", color=colour, linewidth=1.2, label=name)
    text = f"{'±' if (values < 0).any() else ''}{largest:.2g}"
    axes.annotate(text, (1.0, centre), xycoords=("axes fraction", "data"), fontsize="x-small", va="center", color=colour)


def recorded(what: str, outcome: Outcome, attr: str) -> tuple[np.ndarray, ...]:
    """Spikes, membranes or traces of an outcome. Raises InvalidValueError where they were not recorded."""
    layers = getattr(outcome, attr, None)
    if layers is None:
        raise invalid(what, "outcome", f"without {attr}", "a recorded one", "use infer(events, record=True)")
    return layers
