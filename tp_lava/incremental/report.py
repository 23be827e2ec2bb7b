"""A protocol as a user asks for it: by its name, from a file; and its table, JSON and picture in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path

from tp_lava.data.recordings import Recordings, from_shd, from_spike_lists
from tp_lava.errors import invalid
from tp_lava.incremental.results import Results
from tp_lava.incremental.running import Splitter
from tp_lava.incremental.splits import class_incremental, domain_incremental
from tp_lava.tables import json_values, markdown

PROTOCOLS: Mapping[str, Splitter] = {"classes": class_incremental, "speakers": domain_incremental}
_UNITS, _STEPS, _MERGED = 64, 200, 4  # of spike lists: 200 steps of 5 ms, four of them made one


def protocol_named(name: str, **options: int | None) -> Splitter:
    """A protocol with the options that are given. Raises InvalidValueError."""
    if name not in PROTOCOLS:
        raise invalid("continual", "protocol", repr(name), f"one of {', '.join(PROTOCOLS)}", "correct the name")
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := sorted(set(given) - set(signature(PROTOCOLS[name]).parameters)):
        raise invalid("continual", unknown[0], given[unknown[0]], f"left out for {name}", "its base is all words of the known speakers")
    return partial(PROTOCOLS[name], **given)


def spoken(path: Path) -> Recordings:
    """Recordings of words and speakers: spike lists (.npz, see from_spike_lists) of 64 channels, or SHD's layout (.h5).

    Raises FileNotFoundError, ArchiveError, InvalidValueError.
    """
    if path.suffix in (".h5", ".hdf5"):
        return from_shd(path, step=0.02)
    if path.suffix != ".npz":
        raise invalid("continual", "recordings", path.name, "an .npz of spike lists or an .h5 in SHD's layout", "convert it")
    return from_spike_lists(path, _UNITS, _STEPS, _MERGED)


def save(out: Path, results: Results) -> list[Path]:
    """Write figures as JSON, the table as Markdown, and the picture into a folder. -> the files."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    files = [out / f"{results.protocol}.{kind}" for kind in ("json", "md", "png")]
    files[0].write_text(json.dumps(json_values(results.to_dict()), indent=1) + "\n")
    files[1].write_text(markdown(results.table()))
    with figure_file(files[2], (11, 4.2), columns=2) as axes:
        for place, name in enumerate(("old", "new")):
            curves: dict[str, Sequence[float]] = {method: results.curve(method, name)[1:].tolist() for method in results.runs}
            plots.accuracy_over_sessions(axes[place], curves, title=f"{results.protocol}: what is {name}", legend=place == 1)
    return files
