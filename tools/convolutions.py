"""Accuracy of small networks of convolutions that learn one sample at a time, with plain SGD, and of dense ones beside them.

    uv run python tools/convolutions.py nmnist --recordings nmnist_small.npz
    uv run python tools/convolutions.py mnist --recordings mnist.npz --networks dense --rules TESS --rate 0.1 --seeds 1 --epochs 2

nmnist: N-MNIST recordings in 30 steps of 10 ms (tpl.data.from_nmnist). mnist: MNIST's pictures through the simulated event camera, in
20 steps. Frozen: kernels stay as drawn, the readout learns. Printed: test accuracy of the last epoch and of the best one, mean and
deviation over seeds, and seconds of an epoch on one core.
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
TESS = {"basis": "walsh", "temperature": 0.05, "activity": "trace", "grid": 8}
RULES: dict[str, Callable[[float | None], tpl.TP | tpl.TESS]] = {  # of the hidden layers' rate, if it is another one
    "frozen": lambda rate: tpl.TESS(0.0, 1e-3, readout=READOUT, **TESS),  # type: ignore[arg-type]
    "TP": lambda rate: tpl.TP(1e-3 if rate is None else rate, 1e-3, contrast="all", readout=READOUT),
    "TESS": lambda rate: tpl.TESS(0.5 if rate is None else rate, 1e-3, readout=READOUT, **TESS),  # type: ignore[arg-type]
}


def conv(shape: tuple[int, int, int], seed: int) -> tpl.Network:
    """16 maps of 5x5 with stride 2, then 32 of 3x3, pooled by maximum."""
    layers: list[LayerSpec] = [tpl.Conv2d(16, 5, stride=2, padding=2, gain=2.5), tpl.Conv2d(32, 3, padding=1, gain=2.5), tpl.MaxPool2d(2)]
    return tpl.Network.sequential(shape, layers, 10, tpl.LIF(0.9), 0.9, seed)


def dense(shape: tuple[int, int, int], seed: int) -> tpl.Network:
    """200 hidden neurons."""
    return tpl.Network.dense((int(np.prod(shape)), 200, 10), tpl.LIF(0.9), 0.9, seed=seed)


NETWORKS = {"conv": conv, "dense": dense}


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


def learned(
    data: str, network: str, rule: tpl.TP | tpl.TESS, precision: str, seed: int, epochs: int, train: Sequence, test: Sequence
) -> dict:
    """Accuracy after each epoch, and seconds of one."""
    schedule = tpl.Cosine(epochs, 0.05) if epochs < 3 else tpl.Cosine(epochs)
    made = NETWORKS[network](SHAPES[data], seed)
    learner = tpl.Learner(made, rule, precision, seed=seed, schedule=schedule)  # type: ignore[arg-type]
    accuracies, begin, testing = [], time.perf_counter(), 0.0
    for _ in range(epochs):
        learner.fit(train)
        start = time.perf_counter()
        accuracies.append(learner.evaluate(test))
        testing += time.perf_counter() - start
    return {"accuracies": accuracies, "seconds": (time.perf_counter() - begin - testing) / epochs}


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=["conv"])
    parser.add_argument("--rules", nargs="*", choices=RULES, default=list(RULES))
    parser.add_argument("--precisions", nargs="*", choices=("float", "fixed"), default=["float", "fixed"])
    parser.add_argument("--rate", type=float, help="of the hidden layers, another one than 1e-3 of TP and 0.5 of TESS")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train", type=int, help="only so many samples")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    train, test = DATA[options.data](options.recordings)
    train, figures = train[: options.train], {}
    for network in options.networks:
        for rule in options.rules:
            for precision in options.precisions:
                args = options.data, network, RULES[rule](options.rate), precision
                runs = [learned(*args, seed, options.epochs, train, test) for seed in range(options.seeds)]
                figures[f"{network}, {rule}, {precision}"] = runs
                last, best = (np.array([pick(run["accuracies"]) for run in runs]) for pick in (lambda a: a[-1], max))
                seconds = min(run["seconds"] for run in runs)
                shown = f"last {last.mean():.4f} ± {last.std():.4f}  best {best.mean():.4f} ± {best.std():.4f}  {seconds:.1f} s an epoch"
                print(f"{network}, {rule}, {precision:6} {shown}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
