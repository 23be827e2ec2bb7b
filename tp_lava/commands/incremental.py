"""`tp-lava continual`: new words or new speakers in sessions of a few samples, learned by several learners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.printing import make_folder, print_result, print_rows


def continual(
    context: typer.Context,
    recordings: Annotated[Path, typer.Option(help="Words of several speakers: .npz, see from_spike_lists; or .h5 in SHD's layout.")],
    protocol: Annotated[
        Literal["classes", "speakers"], typer.Option(help="Sessions of new words, asked of unseen speakers; or speakers one by one.")
    ] = "classes",
    method: Annotated[list[str] | None, typer.Option(help="Only learners whose name contains this text; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each learner, with seeds 0, 1, ...: splits, weights, order.")] = 3,
    base: Annotated[int | None, typer.Option(min=1, help="classes: words of the base (20).")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="classes: sessions after it (5).")] = None,
    words: Annotated[int | None, typer.Option(min=1, help="classes: new words a session (4).")] = None,
    shots: Annotated[int, typer.Option(min=1, help="Samples of each word a session.")] = 5,
    unseen: Annotated[int, typer.Option(min=1, help="Speakers held out: asked (classes), or learned one by one (speakers).")] = 6,
    hidden: Annotated[int, typer.Option(min=1, help="Neurons of the hidden layer.")] = 400,
    epochs: Annotated[int, typer.Option(min=1, help="Number of times each sample of the base is learned.")] = 12,
    session_epochs: Annotated[int, typer.Option(min=1, help="Number of times each sample of a session is learned.")] = 20,
    offline: Annotated[int, typer.Option(min=1, help="Samples presented to the offline learner at each session.")] = 12000,
    precision: options.Precision = "float",
    processes: Annotated[int, typer.Option(min=1, help="Seeds in parallel.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the table, the figures and the picture.")] = Path("tp-lava-continual"),
    config: Config = None,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Learn new words, or new speakers, session after session, and ask for the old ones and the new: accuracies and what learning costs."""
    from tp_lava.incremental import Settings, compare
    from tp_lava.incremental.learners import methods_named
    from tp_lava.incremental.running import protocol_named, save, spoken

    counts = {"base": base, "sessions": sessions, "words": words}
    splitter = protocol_named(protocol, shots=shots, unseen=unseen, **counts)
    methods, heard = methods_named(method), spoken(recordings)
    make_folder(out)
    settings = Settings(hidden, epochs=epochs, session_epochs=session_epochs, offline=offline, precision=precision)
    results = compare(heard, splitter, settings, methods, seeds, processes, progress)
    files = [*save(out, results), configuration.save(context, out / configuration.NAME)]
    result = {**results.to_dict(), "table": results.table(), "files": [str(file) for file in files]}
    title = f"{results.protocol}: {len(results.sizes['learned']) - 1} sessions, {seeds} seeds; mean over the sessions, costs a new sample"
    print_result(context, as_json, result, lambda: print_rows(title, results.table()), files)
