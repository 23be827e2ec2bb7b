"""VGG-9 learns a few real pictures in the engine, one at a time, by TESS with Adam, as published: does its loss fall?

    uv run --with pillow python tools/vgg9.py --recordings cifar10_jpeg.npz

The network is that of bench_convolutions.py: 64-128-M-256-256-M-512-512-M-512-512-average on 3x32x32, T = 6. Printed after each epoch:
the mean cross entropy of softmax(scores / T) and the accuracy, both on the pictures learned, and seconds of learning a picture.
The file: arrays jpeg (bytes, concatenated), end, label, split (0: to learn), as tools/experiments reads them.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_convolutions import vgg9

import tp_lava as tpl
from tp_lava.data.events import Sample

MEAN, SPREAD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
STEPS = 6


def pictures(file: Path, count: int, network: tpl.Network) -> list[Sample]:
    """So many training pictures, drawn, always the same ones, normalised colour by colour and rounded to the network's input format."""
    from PIL import Image

    with np.load(file) as held:
        packed, end, label, split = (held[name] for name in ("jpeg", "end", "label", "split"))
    begin, format = np.concatenate([[0], end[:-1]]), network.input_format
    assert format is not None
    samples = []
    for number in np.random.default_rng(0).permutation(np.flatnonzero(split == 0))[:count]:
        encoded = io.BytesIO(packed[begin[number] : end[number]].tobytes())
        colours = np.asarray(Image.open(encoded).convert("RGB")).transpose(2, 0, 1) / 255.0
        normalised = (colours - np.reshape(MEAN, (3, 1, 1))) / np.reshape(SPREAD, (3, 1, 1))
        shown = format.real(format.quantise(normalised))
        samples.append(Sample(tpl.Events.constant(shown, STEPS), int(label[number])))
    return samples


def seen(learner: tpl.Learner, samples: Sequence[Sample]) -> tuple[float, float]:
    """(mean cross entropy, accuracy)."""
    losses, right = [], 0
    for events, label in samples:
        told = learner.infer(events)
        logits = np.asarray(told.scores, np.float64) / STEPS
        losses.append(np.logaddexp.reduce(logits) - logits[label])
        right += int(told.prediction == label)
    return float(np.mean(losses)), right / len(samples)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=3e-4, help="of the hidden layers")
    parser.add_argument("--readout-rate", type=float, default=1e-3)
    parser.add_argument("--threshold", type=float, default=0.6, help="of the neurons; at 1 the upper layers are silent")
    parser.add_argument("--basis-rate", type=float, default=0.0, help="of the layers' bases; 0: they are fixed, as published")
    parser.add_argument("--temperature", type=float, default=0.05, help="of the layers' errors")
    parser.add_argument("--grid", type=int, default=4, help="places to which maps are averaged, by as many")
    parser.add_argument("--threads", default=1, type=int, help="that share the work; the results are the same")
    options = parser.parse_args()
    network, _ = vgg9(options.threshold)
    samples = pictures(options.recordings, options.pictures, network)
    readout = tpl.Readout(normalised=True, features="count", learn_last=1)
    how = {"basis_rate": options.basis_rate, "temperature": options.temperature, "grid": options.grid}
    rule = tpl.TESS(options.rate, options.readout_rate, basis="walsh", activity="trace", readout=readout, **how)
    learner = tpl.Learner(network, rule, optimiser=tpl.Adam(), threads=options.threads)
    print("before: loss {:.3f}  accuracy {:.3f}".format(*seen(learner, samples)), flush=True)
    for epoch in range(1, options.epochs + 1):
        begin = time.perf_counter()
        learner.fit(samples)
        taken = (time.perf_counter() - begin) / len(samples)
        print("epoch {}: loss {:.3f}  accuracy {:.3f}  {:.1f} ms a picture".format(epoch, *seen(learner, samples), taken * 1e3), flush=True)


if __name__ == "__main__":
    main()
