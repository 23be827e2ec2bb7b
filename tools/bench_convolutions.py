"""Time and memory of convolutions that learn: our engine on one core, one sample at a time, and our PyTorch form in batches on two.

    uv run --extra torch python tools/bench_convolutions.py
    uv run --extra torch python tools/bench_convolutions.py --network small --rule TP --recordings nmnist_small.npz

small: 2x34x34, 16 maps (5x5), maximum pooling, 32 maps (3x3), maximum pooling, 10 classes; 30 steps of 137 events, drawn, as N-MNIST's
in steps of 10 ms, or --recordings, a file of N-MNIST. pooled, conv: those networks of convolutions.py, whose first convolution has
stride 2, on the same. VGG-9: 3x32x32 pictures as a constant current, T = 6, 64-128-M-256-256-M-512-512-M-512-512-average. Every form
runs in a process of its own, one after the other; a time is the shortest of several, since other work on a machine only adds. "spikes":
share of neurons that spike in a step, which --threshold sets; the engine's time depends on it, PyTorch's does not. Memory: the engine's
arrays, and the process's peak beyond its start.

--processor: on a machine that does other work, the processor's time, all forms on one thread; PyTorch's is then halved, as if its two
threads were twice as fast as one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

CLASSES, PIXEL = 10, (8, 5)  # bits of a pixel, and those behind the binary point
BATCH, TORCH_THREADS = 16, 2
FORMS = ("engine float", "engine fixed", "PyTorch")
Clock = Callable[[], float]


def small(threshold: float, recordings: Path | None = None):
    """As above. -> network, samples."""
    import tp_lava as tpl
    from tp_lava.graph.sequential import LayerSpec

    pooling = tpl.MaxPool2d(2)
    layers: list[LayerSpec] = [tpl.Conv2d(16, 5, padding=2, gain=2.5), pooling, tpl.Conv2d(32, 3, padding=1, gain=2.5), pooling]
    network = tpl.Network.sequential((2, 34, 34), layers, CLASSES, tpl.LIF(0.9, threshold), 0.9)
    return network, small_samples(recordings)


def small_samples(recordings: Path | None):
    """Recordings, or events that are drawn."""
    import tp_lava as tpl

    if recordings:
        return tpl.data.from_nmnist(recordings, n_steps=30, step=10_000)[0][:BATCH]
    n = 2 * 34 * 34
    spikes = np.random.default_rng(0).random((BATCH, 30, n)) < 137 / n
    return [(tpl.Events.from_dense(each), k % CLASSES) for k, each in enumerate(spikes)]


def strided(name: str, threshold: float, recordings: Path | None = None):
    """As above. -> network, samples."""
    import convolutions

    return convolutions.NETWORKS[name]((2, 34, 34), 0), small_samples(recordings)


def vgg9(threshold: float, recordings: Path | None = None):
    """As above. -> network, samples."""
    import tp_lava as tpl
    from tp_lava.graph.sequential import LayerSpec

    layers: list[LayerSpec] = []
    for block in ((64, 128), (256, 256), (512, 512), (512, 512)):
        layers += [*(tpl.Conv2d(channels, 3, padding=1, gain=1.7) for channels in block), tpl.MaxPool2d(2)]
    layers[-1] = tpl.AdaptiveAvgPool2d(1)
    neuron, format = tpl.LIF(0.5, threshold, ">", surrogate=tpl.Triangle()), tpl.Format(*PIXEL)
    network = tpl.Network.sequential((3, 32, 32), layers, CLASSES, neuron, 0.5, input_format=format)
    rng = np.random.default_rng(0)
    pictures = (format.real(format.quantise(rng.normal(0, 1, (3, 32, 32)))) for _ in range(BATCH))
    return network, [(tpl.Events.constant(picture, 6), k % CLASSES) for k, picture in enumerate(pictures)]


NETWORKS: dict[str, Callable] = {"small": small, "VGG-9": vgg9, **{name: partial(strided, name) for name in ("pooled", "conv")}}


def rule_of(name: str):
    """TP or TESS, with small rates, so that activity stays about what it is."""
    import tp_lava as tpl

    return tpl.TP(1e-4, 1e-4) if name == "TP" else tpl.TESS(0.1, 1e-4, basis="walsh")


def engine(precision: str, network, samples, rule, repetitions: int, clock: Clock) -> dict[str, float]:
    """Seconds per sample, spikes, and memory."""
    import tp_lava as tpl

    learner = tpl.Learner(network, rule, precision)  # type: ignore[arg-type]
    told = learner.learn(*samples[0])
    spikes = sum(counts.sum() for counts in told.spike_counts) / sum(counts.size for counts in told.spike_counts) / samples[0][0].n_steps
    arrays = sum(array.nbytes for array in learner.memory.values())
    weights = sum(learner.memory[c.name].nbytes for c in network.connections)
    times = []
    for _ in range(repetitions):
        start = clock()
        learner.fit(samples)
        times.append((clock() - start) / len(samples))
    return {"seconds": min(times), "spikes": float(spikes), "arrays_MB": arrays / 1e6, "weights_MB": weights / 1e6}


def in_torch(network, samples, rule, repetitions: int, clock: Clock) -> dict[str, float]:
    """Seconds per sample of a batch."""
    import torch

    import tp_lava as tpl
    from tp_lava.torch import SpikingNetwork, TESSTrainer, TPTrainer, dense

    threads = 1 if clock is time.process_time else TORCH_THREADS
    torch.set_num_threads(threads)
    trainer = (TPTrainer if isinstance(rule, tpl.TP) else TESSTrainer)(SpikingNetwork(network), rule)
    inputs, labels = dense([events for events, _ in samples]), [label for _, label in samples]
    trainer.learn_batch(inputs, labels)
    times = []
    for _ in range(repetitions):
        start = clock()
        trainer.learn_batch(inputs, labels)
        times.append((clock() - start) / len(samples))
    return {"seconds": min(times) * threads / TORCH_THREADS}


def measure(form: str, options: argparse.Namespace) -> dict[str, float]:
    """One form, in this process."""
    warnings.simplefilter("ignore")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    network, samples = NETWORKS[options.network](options.threshold, options.recordings)
    made, rule = time.perf_counter() - start, rule_of(options.rule)
    clock = time.process_time if options.processor else time.perf_counter
    if form == "PyTorch":
        found = in_torch(network, samples, rule, options.repetitions, clock)
    else:
        found = engine(form.split()[1], network, samples, rule, options.repetitions, clock)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return found | {"made_s": made, "peak_MB": peak}


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--rule", choices=("TP", "TESS"), default="TESS")
    parser.add_argument("--threshold", type=float, default=1.0, help="of the neurons: the higher, the fewer spikes")
    parser.add_argument("--recordings", type=Path, help="a file of N-MNIST, for the small networks")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--processor", action="store_true", help="the processor's time, see above")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--only", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options)))
        return
    figures = {}
    for form in FORMS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", form]
        threads = {} if form == "PyTorch" else {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **threads})
        figures[form] = json.loads(done.stdout)
    for form, found in figures.items():
        faster = figures["PyTorch"]["seconds"] / found["seconds"]
        rest = "  ".join(f"{name} {value:.3g}" for name, value in found.items() if name != "seconds")
        print(
            f"{options.network}, {options.rule}, {form:14} {found['seconds'] * 1e3:8.2f} ms a sample  {faster:5.2f} times PyTorch  {rest}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
