"""Damaged and malicious files of every format that is read: each must be read, or refused by one of our errors.

    uv run python tools/fuzz.py --count 1000

Needs nir, h5py and PyTorch for their formats. Prints, for each format, how many files were still readable, the seconds and
the peak of memory; anything but our own errors ends it with a traceback. Each format runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path

FORMATS = ("tplava", "nir", "slayer", "state dict")


def nir_files(count: int, folder: Path) -> int:
    hostile_files = import_module("test_convert_nir").hostile_files
    from tp_lava.convert.nir import read_nir
    from tp_lava.errors import TpLavaError

    readable = 0
    for _, path in hostile_files(count, folder):
        try:
            read_nir(path)
            readable += 1
        except TpLavaError:
            continue
    return readable


def fuzzed(format: str, count: int, folder: Path) -> int:
    """-> how many files could still be read."""
    if format == "nir":
        return nir_files(count, folder)
    if format == "tplava":
        return import_module("hostile_networks").fuzz(count, folder)
    if format == "slayer":
        return import_module("test_convert_slayer").hostile(folder, count)
    return import_module("test_convert_torch").fuzz(count, folder)[0]


def run(format: str, count: int) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        readable = fuzzed(format, count, Path(folder))
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{format:12} {count} files, {readable} readable, {seconds:.1f} s, peak {peak:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    failed = []
    for format in FORMATS:
        process = spawn.Process(target=run, args=(format, options.count))
        process.start()
        process.join()
        failed += [format] if process.exitcode else []
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
