"""Run the experiments of the two papers, TP and TESS, on the whole data or on a small stand-in.

    uv run python tools/experiments/run.py list
    uv run python tools/experiments/run.py nmnist --data DIR
    uv run python tools/experiments/run.py nmnist --small --recordings nmnist_small.npz --form streaming --precision fixed
    uv run python tools/experiments/run.py shd --small
    uv run python tools/experiments/run.py cifar10 --data DIR --device cuda --json cifar10.json
    uv run python tools/experiments/run.py cifar10 --small --recordings cifar10_jpeg.npz

The whole data sets are read from --data, as tonic lays them out, CIFAR's in their binary version; nothing is downloaded. --small runs a
stand-in: the embedded digits or generated speech, or the file of --recordings; of convolutional networks it compares four ways to
learn on smaller data: of the file, or of the folder shared/data beside the repository. The output separates published figures from those
measured here. --form engine and torch are the published one (Adam, batches) in tp_lava's engine and in PyTorch, streaming
tp_lava's own (plain SGD, one sample at a time).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import report
from experiments.cifar import LayoutError
from experiments.config import Comparison, Convolution, Experiment
from experiments.configs import EXPERIMENTS
from experiments.on_disk import MissingDataError
from experiments.plan import all_seeds, compared_in, load, planned
from experiments.training import Mode
from tp_lava.errors import ArchiveError

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=["list", *EXPERIMENTS])
    parser.add_argument("--data", type=Path, help="folder with the whole data sets, laid out as tonic does")
    parser.add_argument("--small", action="store_true", help="a stand-in instead of the whole data set")
    parser.add_argument("--recordings", type=Path, help="with --small: N-MNIST, MNIST or JPEG (.npz), or SHD's layout (.h5)")
    parser.add_argument("--form", choices=("engine", "torch", "streaming"), help="by default torch for convolutions or with --device")
    parser.add_argument("--precision", choices=("float", "fixed"), default="float")
    parser.add_argument("--device", help="of PyTorch, for example cuda")
    parser.add_argument("--seeds", type=_count, help="number of seeds")
    parser.add_argument("--epochs", type=_count)
    parser.add_argument("--train", type=_count, help="use at most this many training samples")
    parser.add_argument("--test", type=_count, help="use at most this many test samples")
    parser.add_argument("--processes", type=_count, default=os.cpu_count() or 1, help="number of seeds in parallel")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="with --small: only these of the methods that it compares")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    options = parser.parse_args(arguments)
    _check(parser, options)
    return options


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that exclude each other."""
    if options.experiment == "list":
        return
    experiment = EXPERIMENTS[options.experiment]
    if options.small == (options.data is not None):
        parser.error("give either --data DIR, for the whole data set, or --small")
    if options.recordings is not None and not options.small:
        parser.error("--recordings goes with --small")
    if options.small and options.recordings is None and isinstance(experiment.small, Comparison):
        options.recordings = _SHARED / experiment.small.file
    if options.recordings is not None and not options.recordings.is_file():
        parser.error(f"there is no file {options.recordings}; give --recordings FILE")
    if options.form is None:
        options.form = "torch" if options.device or isinstance(experiment.network, Convolution) else "engine"
    _check_methods(parser, options, experiment)
    if options.form == "streaming" and experiment.streaming is None:
        parser.error(f"{experiment.name} has no streaming form: use --form torch or engine")
    if options.form != "streaming" and options.precision == "fixed":
        parser.error("Adam needs floating point: use --form streaming, which learns by plain SGD")
    if options.device is not None and options.form != "torch":
        parser.error("--device is for --form torch: the others run in tp_lava's engine")
    if options.form == "torch":
        _check_device(parser, options.device or "cpu")


def _check_methods(parser: argparse.ArgumentParser, options: argparse.Namespace, experiment: Experiment) -> None:
    small = experiment.small if options.small else None
    known = [method.name for method in compared_in(small, options.form)] if isinstance(small, Comparison) else []
    if unknown := sorted({*(options.methods or ())} - {*known}):
        parser.error(f"--methods {', '.join(unknown)}: {experiment.name} compares {', '.join(known) or 'none, as it is run'}")


def _check_device(parser: argparse.ArgumentParser, device: str) -> None:
    try:
        import torch

        torch.zeros(1, device=device)
    except (ImportError, RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        parser.error(f"PyTorch is not there on {device} ({reason}): install it, leave out --device, or use --form engine")


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    alone = options.processes == 1 or options.seeds == 1
    mode = Mode(options.form, options.precision, options.device or "cpu", progress=alone and sys.stderr.isatty())
    limits = (options.epochs, options.seeds, options.train, options.test)
    plan = planned(EXPERIMENTS[options.experiment], mode, options.data, options.recordings, *limits, methods=options.methods)
    start = time.perf_counter()
    data = load(plan)
    found = all_seeds(plan, 1 if options.form == "torch" else options.processes)
    return report.measured(plan, data, found, time.perf_counter() - start)


def _result(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The text to print, and its JSON values."""
    experiments = list(EXPERIMENTS.values())
    if options.experiment == "list":
        states = {one.name: {"title": one.title, "published": report.published_rows(one)} for one in experiments}
        return report.listing(experiments), {"experiments": states}
    measured = _measure(options)
    return report.results_text(measured), measured


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    try:
        printed, values = _result(options)
    except (MissingDataError, LayoutError, ArchiveError) as error:
        sys.exit(str(error))
    print(printed)
    if options.json:
        options.json.write_text(json.dumps({**values, "printed": printed}, indent=1) + "\n")


if __name__ == "__main__":
    main()
