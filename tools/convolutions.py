"""Accuracy of small networks of convolutions that learn one sample at a time, with plain SGD, and of dense ones beside them.

    uv run python tools/convolutions.py nmnist --recordings nmnist_small.npz
    uv run python tools/convolutions.py mnist --recordings mnist.npz --networks dense --rules TESS --rate 0.1 --seeds 1 --epochs 2

nmnist: N-MNIST recordings in 30 steps of 10 ms (tpl.data.from_nmnist). mnist: MNIST's pictures through the simulated event camera, in
20 steps. Frozen: kernels stay as drawn, the readout learns; learned-basis: TESS whose bases learn. Printed: test accuracy of the last
epoch and of the best one, mean and deviation over seeds, and seconds of an epoch on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import tp_lava as tpl
from tp_lava.data.events import Sample
from tp_lava.graph.sequential import LayerSpec

STEPS = {"nmnist": 30, "mnist": 20}
CAMERA = tpl.data.EventCamera(side=28, extent=28.0, n_steps=STEPS["mnist"])
SHAPES = {"nmnist": (2, 34, 34), "mnist": (2, 28, 28)}
CHUNK = 1000  # pictures that the camera sees together
READOUT = tpl.Readout(normalised=True, features="count", learn_last=1)
READOUT_RATE = 3e-3
TESS = {"basis": "walsh", "temperature": 0.05, "activity": "trace", "grid": 8}
RULES: dict[str, Callable[[float | None], tpl.TP | tpl.TESS]] = {  # of the hidden layers' rate, if it is another one
    "frozen": lambda rate: tpl.TESS(0.0, READOUT_RATE, readout=READOUT, **TESS),  # type: ignore[arg-type]
    "TP": lambda rate: tpl.TP(7e-4 if rate is None else rate, READOUT_RATE, "all", update="sequence", readout=READOUT, grid=8),
    "TESS": lambda rate: tpl.TESS(0.5 if rate is None else rate, 1e-3, readout=READOUT, **TESS),  # type: ignore[arg-type]
    "learned-basis": lambda rate: tpl.TESS(0.5 if rate is None else rate, 1e-3, readout=READOUT, **TESS, basis_rate=0.01),  # type: ignore[arg-type]
}
# A random walk of rounding adds to what 8-bit weights learn, and is as large as their resolution: twice the default one for kernels on the
# input and the readout, which leaves them 1 and 0.5 to grow to. Third factors use the 7 bits of a smaller range.
FINE = tpl.FixedPoint(weight_exponents={"hidden0": -7, "readout": -8}, third_factor_range=2.0)


def conv(shape: tuple[int, int, int], seed: int) -> tpl.Network:
    """16 maps of 5x5 with stride 2, then 32 of 3x3, pooled by maximum."""
    layers: list[LayerSpec] = [tpl.Conv2d(16, 5, stride=2, padding=2, gain=2.5), tpl.Conv2d(32, 3, padding=1, gain=2.5), tpl.MaxPool2d(2)]
    return tpl.Network.sequential(shape, layers, 10, tpl.LIF(0.9), 0.9, seed)


def pooled(shape: tuple[int, int, int], seed: int) -> tpl.Network:
    """The same maps; the first ones are pooled instead of the last, and the second are a quarter as large."""
    layers: list[LayerSpec] = [tpl.Conv2d(16, 5, stride=2, padding=2, gain=2.5), tpl.MaxPool2d(2), tpl.Conv2d(32, 3, padding=1, gain=2.5)]
    return tpl.Network.sequential(shape, layers, 10, tpl.LIF(0.9), 0.9, seed)


def dense(shape: tuple[int, int, int], seed: int) -> tpl.Network:
    """200 hidden neurons."""
    return tpl.Network.dense((int(np.prod(shape)), 200, 10), tpl.LIF(0.9), 0.9, seed=seed)


NETWORKS = {"conv": conv, "pooled": pooled, "dense": dense}


def mnist(path: Path) -> tuple[list[Sample], list[Sample]]:
    """(train, test) of a file with image (n, 28, 28) uint8, label, split (0: train), seen by one camera in an order that is drawn."""
    with np.load(path) as file:
        pictures, labels, split = (file[name] for name in ("image", "label", "split"))
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    order = np.random.default_rng(0).permutation(len(pictures))
    for begin in range(0, len(order), CHUNK):
        shown = order[begin : begin + CHUNK]
        for events, label, part in zip(CAMERA.record(pictures[shown] / 255.0), labels[shown], split[shown], strict=True):
            parts[int(part != 0)].append(Sample(events, int(label)))
    return parts


def nmnist(path: Path) -> tuple[list[Sample], list[Sample]]:
    """(train, test)."""
    return tpl.data.from_nmnist(path, n_steps=STEPS["nmnist"], step=10_000)


DATA = {"nmnist": nmnist, "mnist": mnist}


def held_out(samples: Sequence[Sample], count: int) -> tuple[list[Sample], list[Sample]]:
    """(train, test) of training samples alone: so many are drawn to be tested, always the same ones."""
    order = np.random.default_rng(7).permutation(len(samples))
    return [samples[i] for i in order[:-count]], [samples[i] for i in order[-count:]]


def learned(
    options: argparse.Namespace, network: str, rule: tpl.TP | tpl.TESS, precision: str, seed: int, train: Sequence, test: Sequence
) -> dict:
    """Accuracy after each epoch, and seconds of one."""
    steps = options.epochs * options.parts
    schedule = tpl.Cosine(steps, 0.05 if steps < 3 else 0.0)
    held = FINE if precision == "fixed" and network != "dense" and isinstance(rule, tpl.TP) else precision
    learner = tpl.Learner(NETWORKS[network](SHAPES[options.data], seed), rule, held, seed=seed, schedule=schedule)  # type: ignore[arg-type]
    varied = tpl.Augmentation(pixels=options.pixels) if options.pixels else None
    accuracies, seconds = [], 0.0
    for _ in range(options.epochs):
        begin = time.perf_counter()
        for part in range(options.parts):
            learner.fit(train[part :: options.parts], augmentation=varied)
        seconds += time.perf_counter() - begin
        accuracies.append(learner.evaluate(test))
    return {"accuracies": accuracies, "seconds": seconds / options.epochs}


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=["conv"])
    parser.add_argument("--rules", nargs="*", choices=RULES, default=list(RULES))
    parser.add_argument("--precisions", nargs="*", choices=("float", "fixed"), default=["float", "fixed"])
    parser.add_argument("--rate", type=float, help="of the hidden layers, another one than 7e-4 of TP and 0.5 of TESS")
    parser.add_argument("--pixels", type=int, default=0, help="that a recording moves at most while it is learned, each time another way")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--parts", type=int, default=1, help="of an epoch, at each of which the schedule lowers the rates")
    parser.add_argument("--train", type=int, help="only so many samples")
    parser.add_argument("--held-out", type=int, help="test on so many of the samples to learn, to choose settings by")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    train, test = DATA[options.data](options.recordings)
    if options.held_out:
        train, test = held_out(train, options.held_out)
    train, figures = train[: options.train], {}
    for network in options.networks:
        for rule in options.rules:
            for precision in options.precisions:
                args = options, network, RULES[rule](options.rate), precision
                runs = [learned(*args, seed, train, test) for seed in range(options.seeds)]
                figures[f"{network}, {rule}, {precision}"] = runs
                last, best = (np.array([pick(run["accuracies"]) for run in runs]) for pick in (lambda a: a[-1], max))
                seconds = min(run["seconds"] for run in runs)
                shown = f"last {last.mean():.4f} ± {last.std():.4f}  best {best.mean():.4f} ± {best.std():.4f}  {seconds:.1f} s an epoch"
                print(f"{network}, {rule}, {precision:6} {shown}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
