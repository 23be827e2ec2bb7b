"""`tp-lava stream`: recordings played without end to a learner, and a view of it while it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from tp_lava.commands import options
from tp_lava.commands.named import check_fits, is_learner, learner_named, load_split
from tp_lava.commands.options import RuleName
from tp_lava.commands.printing import make_folder, print_files, print_json, print_table
from tp_lava.data.events import Events, Sample, steps_of
from tp_lava.streams import Stream, shown
from tp_lava.streams.live import as_table
from tp_lava.streams.stream import BaseStream, Reset


def stream(
    model: options.LearnerOrModel = "digits",
    data: options.Data = "digits",
    rule: Annotated[RuleName | None, typer.Option(help="Learning rule of a model (tp).")] = None,
    rate: options.Rate = None,
    readout_rate: options.ReadoutRate = None,
    reset: Annotated[Reset, typer.Option(help="What begins at zero with each recording: traces (learning), all, or none.")] = "traces",
    steps: Annotated[int, typer.Option(min=1, help="Time steps after which it ends; Ctrl-C ends it before.")] = 1_000_000,
    chunk: Annotated[int, typer.Option(min=1, help="Steps of a chunk.")] = 20,
    out: Annotated[Path | None, typer.Option(help="File for the learner, in the end.")] = None,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Play recordings, drawn from the data again and again, as one stream. Accuracy is that while it learns."""
    learner = learner_named("stream", model, seed, rule or (None if is_learner(model) else "tp"), rate, readout_rate)
    samples, _ = load_split(data, seed)
    check_fits("stream", samples, learner.network)
    if out:
        make_folder(out.parent)
    running = Stream(learner, reset)
    chunks = _chunks(running, samples, steps, chunk, seed)
    for report in shown(running, chunks) if progress else running.run(chunks):
        last = report
    if out:
        learner.save(out)
    if as_json:
        sizes = {name: size._asdict() for name, size in running.weights().items()}
        print_json(
            {"steps": last.steps, "accuracy": last.accuracy, "stretches": last.stretches, "rates": dict(last.rates), "weights": sizes}
        )
        return
    print_table(as_table(running, last))
    print_files([out] if out else [])


def _chunks(running: BaseStream, samples: Sequence[Sample], steps: int, size: int, seed: int) -> Iterator[Events]:
    """Recordings in a drawn order, in pieces, until there were so many steps; each begins a stretch."""
    rng = np.random.default_rng(seed)
    while running.steps < steps:
        events, label = samples[int(rng.integers(len(samples)))]
        running.label(label)
        for begin in range(0, min(events.n_steps, steps - running.steps), size):
            yield steps_of(events, begin, min(begin + size, events.n_steps, begin + steps - running.steps))
