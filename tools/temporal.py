"""What gives a network a memory of time, measured: words of speakers whom the network has not heard, one option after the other.

    uv run python tools/temporal.py speech_commands.npz                    # 3 seeds, tested on the 6 speakers held out
    uv run python tools/temporal.py speech_commands.npz --validate --seeds 1   # what settings are chosen by: 4 others of the 18

Recordings: 40 words, 24 speakers, 64 channels (see tp_lava.data.from_spike_lists), four steps of 5 ms made one. Columns: accuracy after the
last epoch (mean and deviation over the seeds) and in the best; weights; numbers that learning a sample keeps beside them, delay
lines not counted; ms a sample learned, on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import tp_lava as tpl
from tp_lava.data import from_spike_lists

UNSEEN, VALIDATED = 6, 4  # speakers, from the highest number downwards
HIDDEN, EPOCHS, BATCH = 400, 12, 64
MEASURED = 10  # samples by which third factors' ranges are chosen
TP = tpl.TP(3e-3, 1e-3, contrast=8)
VARIED = tpl.Augmentation(shift=3, units=2, drop=0.2)
MIXED = tpl.LIF(tuple(1 - np.geomspace(0.03, 0.2, HIDDEN)))
ADAPTIVE = tpl.LIF(0.9, adaptation=0.1, adaptation_decay=0.9)


def plain(sizes: tuple[int, ...], seed: int, **options) -> tpl.Network:
    """Without delay lines."""
    return tpl.Network.dense(sizes, **{"neuron": tpl.LIF(0.9), "trace_decay": 0.9, "seed": seed, **options})


def temporal(sizes: tuple[int, ...], seed: int, **options) -> tpl.Network:
    """With delay lines."""
    return tpl.Network.temporal(sizes, seed=seed, **options)


@dataclass(frozen=True)
class Option:
    """One row: how the network is made, by what it learns, and how."""

    make: Callable[..., tpl.Network]
    rule: tpl.rules.BaseRule | None = TP  # None: backpropagation through time, in PyTorch
    varied: tpl.Augmentation | None = VARIED
    precision: str = "float"  # "fixed", or "measured": fixed point with measured ranges of third factors
    options: tuple[tuple[str, object], ...] = ()
    hidden: tuple[int, ...] = (HIDDEN,)

    def network(self, n_inputs: int, n_classes: int, seed: int) -> tpl.Network:
        """Blank."""
        return self.make((n_inputs, *self.hidden, n_classes), seed, **dict(self.options))


def options() -> dict[str, Option]:
    """All rows by name."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 45, (12, 64))
    rules = {
        "TESS": Option(temporal, tpl.TESS(0.2, 1e-3), options=(("neuron", tpl.TESS.neuron(0.9)),)),
        "OTTT": Option(temporal, tpl.OTTT()),
        "e-prop": Option(temporal, tpl.EProp()),
        "S-TLLR": Option(temporal, tpl.STLLR()),
        "DECOLLE": Option(temporal, tpl.DECOLLE(0.3, 5e-4)),
    }
    return {
        "no memory": Option(plain),
        "no memory, not varied": Option(plain, varied=None),
        "recurrent": Option(plain, options=(("recurrent", True),)),
        "mixed time constants": Option(plain, options=(("neuron", MIXED),)),
        "adaptive thresholds": Option(plain, options=(("neuron", ADAPTIVE),)),
        "delays, 8 copies": Option(temporal, options=(("copies", 8), ("span", 42))),
        "delays, 12 copies": Option(temporal),
        "delays, 12 copies, not varied": Option(temporal, varied=None),
        "delays, 12 copies, fixed point": Option(temporal, precision="fixed"),
        "delays, 16 copies": Option(temporal, options=(("copies", 16), ("span", 45))),
        "delays drawn at random": Option(plain, options=(("delays", drawn),)),
        "delays, recurrent": Option(temporal, options=(("recurrent", True),)),
        "delays, mixed time constants": Option(temporal, options=(("neuron", MIXED),)),
        "delays, adaptive thresholds": Option(temporal, options=(("neuron", ADAPTIVE),)),
        "delays, two layers": Option(temporal, hidden=(HIDDEN, HIDDEN)),
        "delays, K = 4": Option(temporal, tpl.TP(3e-3, 1e-3)),
        "delays, K = 4, fixed point": Option(temporal, tpl.TP(3e-3, 1e-3), precision="fixed"),
        "delays, K = all": Option(temporal, tpl.TP(3e-3, 1e-3, contrast="all")),
        "delays, K = all, fixed point": Option(temporal, tpl.TP(3e-3, 1e-3, contrast="all"), precision="fixed"),
        "delays, K = all, measured ranges": Option(temporal, tpl.TP(3e-3, 1e-3, contrast="all"), precision="measured"),
        "delays, 1000 neurons": Option(temporal, hidden=(1000,)),
        "delays, 1000 neurons, fixed point": Option(temporal, precision="fixed", hidden=(1000,)),
        "delays, frozen hidden layer": Option(temporal, tpl.TP(0.0, 1e-3)),
        **{f"delays, {name}": option for name, option in rules.items()},
        "BPTT": Option(temporal, None),
        "BPTT, no memory": Option(plain, None),
        "BPTT, recurrent": Option(plain, None, options=(("recurrent", True),)),
    }


@lru_cache(maxsize=1)
def recordings(path: Path, validate: bool) -> tuple[list[tpl.Sample], list[tpl.Sample]]:
    """(to learn, to test), mixed: no speaker is in both."""
    samples = from_spike_lists(path, n_units=64, n_steps=200, merged=4)
    speakers = samples.speakers
    known = np.unique(speakers)
    held = known[-UNSEEN - VALIDATED : -UNSEEN] if validate else known[-UNSEEN:]
    left_out = known[-UNSEEN:] if validate else ()
    parts: tuple[list[tpl.Sample], list[tpl.Sample]] = ([], [])
    for index in np.random.default_rng(0).permutation(len(samples)):
        if speakers[index] not in left_out:
            parts[int(speakers[index] in held)].append(samples[index])
    return parts


@dataclass(frozen=True)
class Measured:
    """accuracies: after each epoch; weights, remembered: numbers; seconds: a sample learned."""

    accuracies: list[float]
    weights: int
    remembered: int | None
    seconds: float


def measure(path: Path, validate: bool, name: str, seed: int, epochs: int) -> Measured:
    """Learn and test, in this process."""
    option, (train, test) = options()[name], recordings(path, validate)
    n_classes = 1 + max(sample.label for sample in train)
    network = option.network(train[0].events.n_units, n_classes, seed)
    made = _in_torch if option.rule is None else _in_engine
    fit, evaluate = made(network, option, seed, epochs, train)
    accuracies, seconds = [], 0.0
    for _ in range(epochs):
        start = time.perf_counter()
        fit(train)
        seconds += time.perf_counter() - start
        accuracies.append(evaluate(test))
    remembered = None if option.rule is None else sum(option.rule.remembered(network, train[0].events.n_steps))
    return Measured(accuracies, sum(array.size for array in network.weights.values()), remembered, seconds / (epochs * len(train)))


def _in_engine(network: tpl.Network, option: Option, seed: int, epochs: int, train: list[tpl.Sample]):
    assert option.rule is not None
    precision = tpl.measured_formats(network, option.rule, train[:MEASURED]) if option.precision == "measured" else option.precision
    tpl.Learner(network, option.rule, precision, seed).learn(tpl.Events([], [], 1, network.n_inputs), 0)  # type: ignore[arg-type] # compile
    learner = tpl.Learner(network, option.rule, precision, seed, schedule=tpl.Cosine(epochs))  # type: ignore[arg-type]
    return lambda samples: learner.fit(samples, augmentation=option.varied), learner.evaluate


def _in_torch(network: tpl.Network, option: Option, seed: int, epochs: int, train: list[tpl.Sample]):
    import torch

    from tp_lava.torch import BPTTTrainer, SpikingNetwork, evaluate, fit

    torch.set_num_threads(1)
    module = SpikingNetwork(network)
    trainer = BPTTTrainer(module, 1e-3, tpl.Adam())
    schedule = tpl.Cosine(epochs)
    return (
        lambda samples: fit(trainer, samples, 1, BATCH, schedule, seed, augmentation=option.varied),
        lambda samples: evaluate(module, samples, BATCH),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--validate", action="store_true", help="test on 4 of the 18 speakers, learn the other 14")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--only", default="", help="only options whose name holds one of these texts, separated by ;")
    parser.add_argument("--workers", type=int, default=1, help="options measured at the same time; one for true times")
    parser.add_argument("--json", type=Path, help="write what was measured to this file too")
    given = parser.parse_args()
    names = [name for name in options() if any(text.strip() in name for text in given.only.split(";"))]
    print(f"{'':34} {'last epoch':>15} {'best':>6} {'weights':>8} {'kept':>7} {'ms':>6}")
    found: dict[str, list[Measured]] = {}
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = {
            name: [pool.submit(measure, given.recordings, given.validate, name, seed, given.epochs) for seed in range(given.seeds)]
            for name in names
        }
        for name, runs in jobs.items():
            found[name] = [run.result() for run in runs]
            last, best = [m.accuracies[-1] for m in found[name]], [max(m.accuracies) for m in found[name]]
            kept, ms = found[name][0].remembered, min(m.seconds for m in found[name]) * 1e3
            columns = f"{np.mean(last):.3f} +- {np.std(last):.3f}", f"{np.mean(best):.3f}", found[name][0].weights, kept or "", f"{ms:.2f}"
            print("{:34} {:>15} {:>6} {:>8} {:>7} {:>6}".format(name, *columns), flush=True)
    if given.json:
        given.json.write_text(json.dumps({name: [vars(m) for m in runs] for name, runs in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
