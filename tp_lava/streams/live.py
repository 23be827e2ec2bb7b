"""A view in the terminal of a stream while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tp_lava.streams.report import Report
from tp_lava.streams.stream import BaseStream, Chunk
from tp_lava.tables import screen

if TYPE_CHECKING:
    from rich.table import Table

_REFRESH_SECONDS = 0.5


def shown(stream: BaseStream, chunks: Iterable[Chunk], seconds: float = _REFRESH_SECONDS, console: Any = None) -> Iterator[Report]:
    """stream.run(chunks), and a table of it on standard error, drawn anew every so many seconds; none where that is a pipe or a file.

    console: a rich Console instead.
    """
    console = console or screen(stderr=True)
    if not console.is_terminal:
        yield from stream.run(chunks)
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:
        drawn, steps = time.monotonic(), 0
        for report in stream.run(chunks):
            passed = time.monotonic() - drawn
            if passed >= seconds:
                live.update(as_table(stream, report, (report.steps - steps) / passed), refresh=True)
                drawn, steps = time.monotonic(), report.steps
            yield report


def as_table(stream: BaseStream, report: Report, speed: float | None = None) -> Table:
    """A report as a table. speed: steps a second."""
    from rich.table import Table

    table = Table("stream", "")
    fast = "" if speed is None else f" ({speed:,.0f} a second)"
    label = "none" if report.label is None else str(report.label)
    accuracy = "-" if report.accuracy is None else f"{report.accuracy:.3f} (labelled stretches so far: {report.stretches:,})"
    table.add_row("steps", f"{report.steps:,}{fast}")
    table.add_row("label, prediction", f"{label}, {report.prediction}")
    table.add_row("accuracy", accuracy)
    for name, rate in report.rates.items():
        table.add_row(f"{name}: spikes a unit and step", f"{rate:.4f}")
    for name, size in stream.weights().items():
        table.add_row(f"{name}: norm, clipped", f"{size.norm:.3f}, {'-' if size.clipped is None else f'{size.clipped:.2%}'}")
    return table
