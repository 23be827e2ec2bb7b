"""What a comparison is asked for and what it shows: forms by part of their name, the table, the picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from tp_lava.comparison import FORMS, TASKS, Form, Row, Task
from tp_lava.errors import invalid


def chosen_task(name: str, recordings: Path | None, epochs: int | None, train: int | None, test: int | None) -> Task:
    """A task with what the user asked for. Raises InvalidValueError before any work is done."""
    if name not in TASKS:
        raise invalid("compare-rules", "data", repr(name), f"one of {', '.join(TASKS)}", "tp_lava.comparison.Task takes other data")
    task = TASKS[name]
    if task.needs_recordings and (recordings is None or not recordings.is_file()):
        remedy = "give --recordings FILE" if recordings is None else "check the path"
        raise invalid("compare-rules", "recordings", recordings and str(recordings), f"the file of {name}", remedy)
    return replace(task, recordings=recordings, epochs=epochs or task.epochs, n_train=train, n_test=test)


def chosen_forms(texts: Sequence[str]) -> list[Form]:
    """Forms whose name holds one of the texts, all without any; those in PyTorch only where it is installed."""
    forms = [form for form in FORMS if not texts or any(text.lower() in form.name.lower() for text in texts)]
    if find_spec("torch") is None:
        left_out = [form for form in forms if form.in_torch]
        forms = [form for form in forms if not form.in_torch]
        if left_out and not forms:
            raise invalid("compare-rules", "form", texts[0], "one that runs here", 'install PyTorch: pip install "tp-lava[torch]"')
    if not forms:
        raise invalid(
            "compare-rules", "form", ", ".join(texts), "part of a form's name", f"the forms are {'; '.join(f.name for f in FORMS)}"
        )
    return forms


def _cells(row: Row) -> tuple[str, ...]:
    numbers = ("+".join(f"{count:,}" for count in counts) for counts in (row.formula, row.counted))
    return row.form, f"{row.mean:.3f}", f"{row.std:.3f}", f"{row.milliseconds:.2f}", f"{row.megabytes:.0f}", *numbers


_COLUMNS = ("form", "accuracy", "std", "ms per sample", "peak MB", "memory, formula", "memory, counted")


def table(task: Task, rows: Sequence[Row], seeds: int):
    """A rich Table."""
    from rich.table import Table

    drawn = Table(title=f"{task.name}: {task.hidden} hidden neurons, {task.epochs} epochs, {seeds} seeds")
    for column in _COLUMNS:
        drawn.add_column(column, justify="left" if column == "form" else "right")
    for row in rows:
        drawn.add_row(*_cells(row))
    return drawn


def save(out: Path, task: Task, rows: Sequence[Row]) -> list[Path]:
    """Write the figures, the table as Markdown and the picture into a folder. -> the files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tp_lava import plots

    files = [out / f"{task.name}.{kind}" for kind in ("json", "md", "png")]
    described = {"task": task.name, "hidden": task.hidden, "epochs": task.epochs, "rows": [row.to_dict() for row in rows]}
    files[0].write_text(json.dumps(described, indent=1) + "\n")
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, rows)]
    files[1].write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    figure = Figure(figsize=(9, 0.42 * len(rows) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    plots.accuracy_against_memory(figure.subplots(), {row.form: (row.accuracies, sum(row.counted)) for row in rows})
    figure.savefig(files[2], dpi=120)
    return files
