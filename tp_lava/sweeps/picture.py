"""The picture of a sweep: the settings by mean and deviation over seeds, and which of them nothing beats at less memory or updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tp_lava.plots.style import BLUE, VERMILION, figure_file, finished
from tp_lava.sweeps.results import Results

PICTURE = "results.png"
_MOST_NAMED = 30  # settings


def draw(results: Results) -> list[Path]:
    """Write results.png: the best settings, and the measure against each cost. -> the file, or none where no trial has a result."""
    rows = sorted((row for row in results.means if row["seeds"]), key=lambda row: -row[results.measure])
    if not rows:
        return []
    columns = 1 + len(results.costs)
    height = 1.6 + 0.25 * max(10, min(len(rows), _MOST_NAMED))
    with figure_file(results.out / PICTURE, (5.5 * columns, height), columns) as drawn:
        first, *others = np.atleast_1d(drawn)
        _draw_settings(first, rows[:_MOST_NAMED], results.measure)
        for axes, cost in zip(others, results.costs, strict=True):
            _draw_front(axes, rows, results.measure, cost)
    return [results.out / PICTURE]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, value) that no other one beats or equals in both, by growing cost: the Pareto front."""
    found: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not found or points[index][1] > points[found[-1]][1]:
            found.append(index)
    return found


def _draw_settings(axes: Axes, rows: Sequence[Mapping[str, Any]], measure: str) -> None:
    means, deviations = [row[measure] for row in rows], [row["deviation"] for row in rows]
    axes.errorbar(means, range(len(rows)), xerr=deviations, fmt="o", markersize=4, color=BLUE)
    names = list(rows[0])[: list(rows[0]).index("seeds")]
    axes.set_yticks(range(len(rows)), [", ".join(f"{name} {_short(row[name])}" for name in names) for row in rows], fontsize="small")
    axes.invert_yaxis()
    finished(axes, xlabel=f"{measure}, mean and deviation over seeds", grid=True)


def _draw_front(axes: Axes, rows: Sequence[Mapping[str, Any]], measure: str, cost: str) -> None:
    kept = [row for row in rows if row[cost] is not None]
    points = [(row[cost], row[measure]) for row in kept]
    costs, values = np.array(points).T
    axes.errorbar(costs, values, yerr=[row["deviation"] for row in kept], fmt="o", markersize=4, alpha=0.6, color=BLUE)
    best = front(points)
    axes.step(costs[best], values[best], where="post", marker="o", markersize=4, color=VERMILION, label="Pareto front")
    finished(axes, xlabel=cost, ylabel=measure, legend=True, grid=True)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)
