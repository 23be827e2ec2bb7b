"""Runs the notebooks in clean kernels: python tools/notebooks.py --check | --write [FILE ...].

Each runs in an empty folder of its own, in which nothing may be left, and in less than two minutes; what a cell writes to
standard error, such as a warning, counts as a failure. --write puts the outputs into the file, without what differs from run to
run (times of execution, ids of cells); --check leaves the files as they are.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
LIMIT = 120.0  # seconds
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}


def normalised(notebook: Any) -> Any:
    """The notebook without what differs from run to run: ids by number, no metadata but the kernel's, what is printed in one."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for number, cell in enumerate(notebook.cells):
        cell["id"], cell["metadata"] = f"cell-{number}", {}
        if "outputs" in cell:
            cell["outputs"] = joined(cell["outputs"])
    return notebook


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs without metadata; what was printed in pieces, as the kernel happened to send it, in one."""
    kept: list[Any] = []
    for output in outputs:
        if "metadata" in output:
            output["metadata"] = {}
        if kept and "name" in output and kept[-1].get("name") == output["name"]:
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    return kept


def told_on_stderr(notebook: Any) -> str:
    """What cells have written to standard error."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == "stderr")


def processor_seconds() -> float:
    """Of the kernels that have ended, and of what they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def execute(path: Path, limit: float) -> tuple[Any, float, str]:
    """Run one. -> the notebook with its outputs, seconds, and what is wrong with it, "" if nothing is."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        try:
            NotebookClient(notebook, timeout=int(limit), kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        except (CellExecutionError, TimeoutError) as error:
            return notebook, time.perf_counter() - start, re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        seconds, left = time.perf_counter() - start, os.listdir(folder)
    wrong = told_on_stderr(notebook) or (f"it leaves {', '.join(left)} behind" if left else "")
    return notebook, seconds, wrong or (f"it takes more than {limit:.0f} s" if seconds > limit else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """-> 0 if every notebook ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="only run them")
    what.add_argument("--write", action="store_true", help="and keep their outputs")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that one may take (%(default).0f)")
    parser.add_argument("files", nargs="*", type=Path, help="by default all in notebooks/")
    options = parser.parse_args(arguments)
    failed = 0
    for path in options.files or sorted(FOLDER.glob("*.ipynb")):
        before = processor_seconds()
        notebook, seconds, wrong = execute(path, options.limit)
        used = processor_seconds() - before
        print(f"{path.name}: {f'FAILED: {wrong}' if wrong else 'ok'}, {seconds:.0f} s ({used:.0f} s of processor)", flush=True)
        failed += bool(wrong)
        if options.write and not wrong:
            nbformat.write(normalised(notebook), path)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
