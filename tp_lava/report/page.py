"""The page: the template, filled with facts and pictures, as one HTML file that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.axes import Axes

from tp_lava.deploy.loihi2.counting import Counts
from tp_lava.ranges.report import FITS
from tp_lava.report import drawings, figures
from tp_lava.report.facts import Facts

_MOST_CHIPS = 8  # that are drawn


def render(facts: Facts) -> str:
    """The report as HTML."""
    loader = PackageLoader("tp_lava.report", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"thousands": thousands, "short": short, "span": span, "rough": rough}
    return environment.get_template(
        "page.html.jinja"
    ).render(
        facts=facts,
        style=Markup(environment.loader.get_source(environment, "style.css")[0]),  # type: ignore[union-attr]
        sources=Sources(),
        architecture=drawings.Architecture.of(facts.network, facts.rule, facts.mapping),
        colours=(figures.INK, figures.MUTED, figures.RULE, figures.PALE),
        pictures=_pictures(facts),
        operations=list(_operations(facts)),
        ranges=[entry for entry in facts.ranges.entries if not entry.program or entry.verdict != FITS],
        chips=facts.mapping.chips[:_MOST_CHIPS],
        colour_of=partial(drawings.colour_of, facts.mapping),
    )


class Sources:
    """Footnotes: a source gets its number when it is first used."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def note(self, source: str) -> Markup:
        """The footnote mark of a source; nothing for an empty source."""
        if not source:
            return Markup("")
        number = self.numbers.setdefault(source, len(self.numbers) + 1)
        return Markup('<sup><a href="#source-{0}" aria-label="source {0}">{0}</a></sup>').format(number)

    def link(self, source: str) -> Markup:
        """A source as a link, or as text where it is no address."""
        return Markup('<a href="{0}">{0}</a>').format(source) if source.startswith("https://") else escape(source)


# Numbers ------------------------------------------------------------------------------------------


def thousands(value: float) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def span(low: float, high: float) -> str:
    """low to high, or one number where they are written alike."""
    return short(low) if short(low) == short(high) else f"{short(low)} to {short(high)}"


def rough(low: float, high: float) -> str:
    """The same with two significant digits: for estimates."""
    ends = [short(float(f"{value:.2g}")) for value in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


# Content ------------------------------------------------------------------------------------------


def _pictures(facts: Facts) -> dict[str, Any]:
    """Every picture, as markup."""
    from tp_lava import plots

    def drawn(name: str, title: str, draw: Callable[[Axes], object], size: tuple[float, float]) -> Markup:
        return Markup(figures.drawn(name, title, draw, size))

    counts, estimate, shown = facts.learning or facts.inference, facts.estimates[-1], facts.shown
    layers = [population.name for population in facts.network.populations]
    assert shown.traces is not None
    wide, small, tall = (5.4, 2.8), (3.6, 2.3), (5.4, 1.2 + 0.42 * len(facts.mapping.layers))
    made: dict[str, Any] = {
        "operations": drawn("operations", "Operations per sample, by layer", partial(figures.operations, counts=counts), tall),
        "energy": drawn("energy", "Energy of a sample, each part from low to high", partial(figures.energy, estimate=estimate), wide),
        "memory": drawn("memory", "Numbers stored for learning, by rule", partial(figures.memory, rows=facts.memory), wide),
        "weights": [],
        "layers": [],
    }
    for name, (real, held) in facts.held.items():
        weights = partial(figures.weights, real=real, held=held)
        made["weights"].append((name, drawn(f"weights-{name}", f"Histogram of the weights {name}", weights, small)))
    for number, name in enumerate(layers):
        traces = partial(plots.trace_histogram, traces={name: shown.traces[number]})
        raster = partial(plots.raster, outcome=shown, layer=number)
        histogram = drawn(f"traces-{name}", f"Histogram of the spike traces of {name}", traces, small)
        made["layers"].append((name, histogram, drawn(f"raster-{name}", f"Spikes and traces of {name} in one sample", raster, (5.4, 3.2))))
    return made


_QUANTITIES = (
    ("synaptic", "synaptic operations"),
    ("rule_synaptic", "synaptic operations of target streams"),
    ("updates", "plastic updates"),
    ("neuron_updates", "compartments stepped"),
    ("spikes", "spikes"),
    ("rule_spikes", "spikes of target streams"),
)
_OF_SAMPLE = (
    ("input_spikes", "input spikes"),
    ("readout_synaptic", "readout: synaptic operations"),
    ("readout_updates", "readout: plastic updates"),
    ("credit", "embedded processors: operations"),
)


def _operations(facts: Facts) -> Iterator[tuple[str, str, list[str]]]:
    """(where, what, cells): mean and range over the samples, for inference and for learning; rows of zeros are left out."""
    runs: list[Counts] = [counts for counts in (facts.inference, facts.learning) if counts]
    for name, what in _OF_SAMPLE:
        found = [[getattr(sample, name) for sample in counts.samples] for counts in runs]
        if any(map(any, found)):
            yield "sample", what, [_mean(values) for values in found]
    for number, demand in enumerate(facts.mapping.layers):
        for name, what in _QUANTITIES:
            found = [[getattr(sample.layers[number], name) for sample in counts.samples] for counts in runs]
            if any(map(any, found)):
                yield demand.name, what, [_mean(values) for values in found]


def _mean(values: list[int]) -> str:
    mean = thousands(sum(values) / len(values))
    return mean if min(values) == max(values) else f"{mean} ({thousands(min(values))} to {thousands(max(values))})"
