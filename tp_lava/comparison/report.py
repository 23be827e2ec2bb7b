"""What a user asks of a comparison and what comes out: benchmark and variants by name, table, files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from tp_lava.comparison import BENCHMARKS, VARIANTS, Benchmark, Row, Variant, grid
from tp_lava.comparison.measure import Work
from tp_lava.comparison.variants import FROZEN
from tp_lava.errors import invalid
from tp_lava.tables import markdown


def chosen_benchmark(
    name: str, recordings: Path | None, epochs: int | None, train: int | None, test: int | None, hidden: int | None = None
) -> Benchmark:
    """A benchmark with the user's settings, None: the benchmark's own. Raises InvalidValueError before any work is done."""
    if name not in BENCHMARKS:
        limit = f"one of {', '.join(BENCHMARKS)}"
        raise invalid("compare-rules", "data", repr(name), limit, "make a tp_lava.comparison.Benchmark for other data")
    benchmark = BENCHMARKS[name]
    if benchmark.needs_recordings and (recordings is None or not recordings.is_file()):
        remedy = "give --recordings FILE" if recordings is None else "check the path"
        raise invalid("compare-rules", "recordings", recordings and str(recordings), f"the file of {name}", remedy)
    chosen = replace(benchmark, recordings=recordings, n_train=train, n_test=test)
    return replace(chosen, epochs=epochs or benchmark.epochs, hidden=hidden or benchmark.hidden)


def chosen_variants(texts: Sequence[str], every_part: bool = False) -> list[Variant]:
    """Variants whose name contains one of the texts, all if there are none; without PyTorch, those that run without it.

    every_part: of all credits with all products instead of the rules.
    """
    known = tuple(grid()) if every_part else VARIANTS
    found = [variant for variant in known if not texts or any(text.lower() in variant.name.lower() for text in texts)]
    if not found:
        names = "; ".join(variant.name for variant in known)
        raise invalid("compare-rules", "form", ", ".join(texts), "part of a form's name", f"the forms are {names}")
    if find_spec("torch") is None:
        found = [variant for variant in found if not variant.in_torch]
    if not found:
        raise invalid("compare-rules", "form", texts[0], "one that runs here", 'install PyTorch: pip install "tp-lava[torch]"')
    return found


def table(rows: Sequence[Row], brief: bool = False) -> list[dict[str, str]]:
    """The rows of the table, as texts: accuracy after the last epoch and after the best one, and by how much it is above a frozen hidden
    layer's; milliseconds to learn a sample; numbers stored for that, hidden layers; unless brief, updates and spikes a sample, messages
    a step.
    """
    frozen = next((row.mean for row in rows if row.form == FROZEN.name), None)
    return [
        {
            "form": row.form,
            "last epoch": f"{row.mean:.3f} ± {row.std:.3f}",
            "best": f"{row.best_mean:.3f}",
            "above frozen": "" if frozen is None else f"{row.mean - frozen:+.3f}",
            "ms": f"{row.milliseconds:.2f}",
            "memory": "+".join(f"{count:,}" for count in row.counted),
            **{name: f"{getattr(row.work, name):,.0f}" if row.work else "" for name in Work._fields if not brief},
        }
        for row in rows
    ]


def save(out: Path, benchmark: Benchmark, rows: Sequence[Row]) -> list[Path]:
    """Write figures as JSON, the table as Markdown, and the picture into a folder. -> the files."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    files = [out / f"{benchmark.name}.{kind}" for kind in ("json", "md", "png")]
    result = {"task": benchmark.name, "hidden": benchmark.hidden, "epochs": benchmark.epochs, "rows": [row.to_dict() for row in rows]}
    files[0].write_text(json.dumps(result, indent=1) + "\n")
    files[1].write_text(markdown(table(rows)))
    with figure_file(files[2], (9, 0.42 * len(rows) + 1.4)) as axes:
        plots.accuracy_against_memory(axes, {row.form: (row.accuracies, sum(row.counted)) for row in rows})
    return files
