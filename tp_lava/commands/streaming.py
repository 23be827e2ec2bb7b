"""`tp-lava stream`: recordings played without end to a learner, and a view of it while it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from tp_lava.circuit.labels import Reset
from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.named import check_fits, is_learner, learner_named, load_split
from tp_lava.commands.options import RuleName
from tp_lava.commands.printing import make_folder, print_result, print_table
from tp_lava.data.events import Events, Sample, steps_of
from tp_lava.streams import Stream, shown
from tp_lava.streams.live import as_table
from tp_lava.streams.stream import BaseStream


def stream(
    context: typer.Context,
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
    config: Config = None,
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
    files = list[Path]()
    if out:
        learner.save(out)
        files = [out, configuration.save(context, configuration.beside(out))]
    sizes = {name: size._asdict() for name, size in running.weights().items()}
    told = {"steps": last.steps, "accuracy": last.accuracy, "stretches": last.stretches, "rates": dict(last.rates), "weights": sizes}
    print_result(context, as_json, {**told, "files": [str(file) for file in files]}, lambda: print_table(as_table(running, last)), files)


def _chunks(running: BaseStream, samples: Sequence[Sample], steps: int, size: int, seed: int) -> Iterator[Events]:
    """Recordings in a drawn order, in pieces, until there were so many steps; each begins a stretch."""
    rng = np.random.default_rng(seed)
    while running.steps < steps:
        events, label = samples[int(rng.integers(len(samples)))]
        running.label(label)
        for begin in range(0, min(events.n_steps, steps - running.steps), size):
            yield steps_of(events, begin, min(begin + size, events.n_steps, begin + steps - running.steps))
