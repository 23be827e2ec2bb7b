"""The page: facts through a template into one HTML file that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from tp_lava.deploy.loihi2.counting import Counts
from tp_lava.ranges.report import FITS
from tp_lava.report import drawings, figures
from tp_lava.report.facts import Facts
from tp_lava.report.svg import drawn


def render(facts: Facts) -> str:
    """The report as HTML."""
    room = files(__package__)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"thousands": thousands, "short": short, "span": span, "rough": rough}
    sources = Sources()
    template = environment.from_string(room.joinpath("page.html.jinja").read_text("utf-8"))
    style = Markup(room.joinpath("style.css").read_text("utf-8"))
    return template.render(
        facts=facts,
        style=style,
        sources=sources,
        pictures=_pictures(facts),
        operations=list(_operations(facts)),
        ranges=[entry for entry in facts.ranges.entries if not entry.program or entry.verdict != FITS],
        chips=drawings.shown_chips(facts.mapping),
        colour_of=partial(drawings.colour_of, facts.mapping),
    )


class Sources:
    """Footnotes: each source is numbered when it is first asked for."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def note(self, source: str) -> Markup:
        """The mark of a source; nothing for none."""
        if not source:
            return Markup("")
        number = self.numbers.setdefault(source, len(self.numbers) + 1)
        return Markup('<sup><a href="#source-{0}" aria-label="source {0}">{0}</a></sup>').format(number)

    def link(self, source: str) -> Markup:
        """A source as a link, or as it is where it is no address."""
        return Markup('<a href="{0}">{0}</a>').format(source) if source.startswith("https://") else escape(source)


# Numbers ------------------------------------------------------------------------------------------


def thousands(value: float) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def span(low: float, high: float) -> str:
    """low to high, once where they look the same."""
    return short(low) if short(low) == short(high) else f"{short(low)} to {short(high)}"


def rough(low: float, high: float) -> str:
    """The same with two digits that count: for estimates."""
    ends = [short(float(f"{value:.2g}")) for value in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


# Content ------------------------------------------------------------------------------------------


def _pictures(facts: Facts) -> dict[str, Any]:
    """Every picture, as markup."""
    made: dict[str, Any] = {"architecture": drawings.architecture(facts.network, facts.rule, facts.mapping)}
    made["chips"] = [Markup(drawings.core_map(facts.mapping, chip)) for chip in drawings.shown_chips(facts.mapping)]
    counts = facts.learning or facts.inference
    height = 1.2 + 0.42 * len(facts.mapping.layers)
    plots: dict[str, tuple[str, Callable, tuple[float, float]]] = {
        "operations": ("Operations of the mean sample by layer", partial(figures.operations, counts=counts), (5.4, height)),
        "energy": ("Energy of a sample, each part from low to high", partial(figures.energy, estimate=facts.estimates[-1]), (5.4, 2.6)),
        "memory": ("Numbers that learning remembers, by rule", partial(figures.memory, rows=facts.memory), (5.4, 2.9)),
    }
    for name, (label, draw, size) in plots.items():
        made[name] = drawn(name, label, draw, size)
    made = {name: Markup(picture) if isinstance(picture, str) else picture for name, picture in made.items()}
    made["weights"] = [
        (name, Markup(drawn(f"weights-{name}", f"Histogram of the weights {name}", partial(figures.weights, real=a, held=b), (3.6, 2.3))))
        for name, (a, b) in facts.held.items()
    ]
    made["layers"] = [_of_layer(facts, number, demand.name) for number, demand in enumerate(facts.mapping.layers)]
    return made


def _of_layer(facts: Facts, number: int, name: str) -> tuple[str, Markup, Markup]:
    """(name, histogram of traces, raster) of the sample shown."""
    from tp_lava import plots

    assert facts.shown.traces is not None
    traces = partial(figures.traces, values=facts.shown.traces[number])
    raster = partial(plots.raster, outcome=facts.shown, layer=number)
    return (
        name,
        Markup(drawn(f"traces-{name}", f"Histogram of the spike traces of {name}", traces, (3.6, 2.3))),
        Markup(drawn(f"raster-{name}", f"Spikes of {name} on its traces, over the steps of one sample", raster, (5.4, 3.2))),
    )


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
    """(where, what, cells): mean and range over the samples counted, inferred and learned; lines of zeros are left out."""
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
