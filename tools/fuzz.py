"""Damaged and malicious files of every format that is read: each must be read, or refused by one of our errors.

    uv run python tools/fuzz.py --count 20000
    uv run python tools/fuzz.py --count 1000 --formats "SHD .h5" nir

Needs nir, h5py and PyTorch for their formats. Prints, for each format, how many files were still readable, the seconds in all, the longest
of a file (of computing), and the peak of memory. Anything but our own errors, a file that takes longer than 5 s, and more than 1 GB end
the format with a traceback, and the program with exit code 1. Each format runs in a process of its own.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

RECORDINGS = ("own .npz", "class names", "N-MNIST .npz", "spike lists", "N-MNIST .bin", "SHD .h5", "inspect .tplava", "inspect learner")
FORMATS = (*RECORDINGS, "tplava", "nir", "slayer", "state dict", "toml")
LONGEST, LARGEST = 5.0, 1024.0  # seconds of one file, MB of a format's process


class Watch:
    """Times every call of what it watches, and ends the process, with a traceback, where one does not end."""

    def __init__(self) -> None:
        self.longest = 0.0

    def __call__(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, watched."""

        @wraps(read)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            faulthandler.dump_traceback_later(100 * LONGEST, exit=True)  # where it waits
            signal.setitimer(signal.ITIMER_PROF, LONGEST)  # where it computes, whatever else this machine does
            start = time.process_time()
            try:
                return read(*arguments, **keywords)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                faulthandler.cancel_dump_traceback_later()
                self.longest = max(self.longest, time.process_time() - start)

        return watched


def recordings(format: str, count: int, folder: Path, watch: Watch) -> int:
    from tp_lava.errors import TpLavaError

    readable = 0
    for name, path, read in import_module("hostile_recordings").hostile(format, count, folder):
        try:
            watch(read)(path)
            readable += 1
        except TpLavaError:
            continue
        except Exception as error:
            raise RuntimeError(f"{format}, file {name}") from error
    return readable


def nir_files(count: int, folder: Path, watch: Watch) -> int:
    hostile_files = import_module("test_convert_nir").hostile_files
    from tp_lava.convert.nir import read_nir
    from tp_lava.errors import TpLavaError

    readable = 0
    for _, path in hostile_files(count, folder):
        try:
            watch(read_nir)(path)
            readable += 1
        except TpLavaError:
            continue
    return readable


def configurations(count: int, folder: Path, watch: Watch) -> int:
    import numpy as np

    from tp_lava.commands.configuration import read
    from tp_lava.errors import TpLavaError

    damages, rng, readable = import_module("hostile_recordings").ANY, np.random.default_rng(0), 0
    good = b'[train]\ndata = "digits"\nhidden = [200, 100]\nrate = 1e-3\n\n[demo]\nepochs = 5\nfixed = true\n'
    for number in range(count):
        path = folder / "hostile.toml"
        path.write_bytes(damages[number % len(damages)](good, rng))
        try:
            watch(read)(path)
            readable += 1
        except TpLavaError:
            continue
    return readable


def fuzzed(format: str, count: int, folder: Path, watch: Watch) -> int:
    """-> how many files could still be read."""
    if format in RECORDINGS:
        return recordings(format, count, folder, watch)
    if format in ("nir", "toml"):
        return (nir_files if format == "nir" else configurations)(count, folder, watch)
    where, name, fuzz = {
        "tplava": ("hostile_networks", "load_network", "fuzz"),
        "slayer": ("test_convert_slayer", "read_slayer", "hostile"),
        "state dict": ("test_convert_torch", "read_state_dict", "fuzz"),
    }[format]
    module = import_module(where)
    setattr(module, name, watch(getattr(module, name)))  # the name by which the module calls the reader
    done = getattr(module, fuzz)(*((folder, count) if format == "slayer" else (count, folder)))
    return done[0] if isinstance(done, tuple) else done


def run(format: str, count: int) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    warnings.simplefilter("ignore")
    watch = Watch()
    faulthandler.register(signal.SIGPROF, chain=True)  # a traceback, and then the end of the process
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        readable = fuzzed(format, count, Path(folder), watch)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = f"{seconds:.0f} s, longest {watch.longest:.2f} s"
    print(f"{format:16} {count} files, {readable} readable, {times}, peak {peak:.0f} MB", flush=True)
    if peak > LARGEST:
        sys.exit(f"{format}: more than {LARGEST:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    failed = []
    for format in options.formats:
        process = spawn.Process(target=run, args=(format, options.count))
        process.start()
        process.join()
        failed += [format] if process.exitcode else []
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
