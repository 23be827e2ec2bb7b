"""Fine-tuning in fixed point beside float: networks of several libraries learn a changed sensor from five recordings a class.

    uv run python tools/float_and_fixed.py [--recordings nmnist_small.npz --net nmnist.net]

Dense: the shipped digits network, the camera mirrored. Convolutions: a CNN of sinabs, trained here on the digits and read from its NIR
graph, the camera mirrored. Recurrent: a network of snnTorch, trained here on seven touch-like patterns of 12 sensors, whose order is then
reversed. Exploded: the same, trained for longer without clipping gradients, so that a third of its neurons spike in nearly every step and
half of them never. SLAYER: see tools/slayer_nmnist.py, which makes the file. Needs snntorch, sinabs and nir. Printed: accuracy on the new
task before and after, means over seeds, which draw the recordings.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tp_lava as tpl
from tp_lava.data.sensors import through
from tp_lava.finetuning import RULE, few
from tp_lava.pretrained import pretrained

BATCH, SHOTS, STEPS, SENSORS, LETTERS, WITHIN = 40, 5, 60, 12, 7, 0.05
Task = tuple[tpl.Network, list[tpl.Sample], list[tpl.Sample], dict[str, Any]]  # network, samples and test of the new task, options


def dense(given: argparse.Namespace) -> Task:
    train, test = tpl.data.digits()
    return tpl.convert(pretrained("digits")), through("mirrored", train), through("mirrored", test), {}


def slayer(given: argparse.Namespace) -> Task | None:
    if given.net is None:
        return None
    train, test = tpl.data.from_nmnist(given.recordings, n_steps=30, step=10_000)
    options = {"rule": tpl.TP(1e-3, 1e-2, contrast="all"), "epochs": 10}
    return tpl.convert(given.net), through("mirrored", train), through("mirrored", test), options


# Trained here ----------------------------------------------------------------------------------------
def trained(
    module: torch.nn.Module, samples: list[tpl.Sample], out: Callable[[torch.Tensor], torch.Tensor], epochs: int, clip: float = 1.0
) -> None:
    """By backpropagation. out: of frames (B, T, n), the scores (B, classes); clip: largest norm of the gradient."""
    frames = torch.as_tensor(np.stack([sample.events.to_dense() for sample in samples]).astype(np.float32))
    labels = torch.as_tensor([sample.label for sample in samples])
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(BATCH):
            loss = torch.nn.functional.cross_entropy(out(frames[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), clip)  # spikes fed back let it explode
            optimiser.step()


def convolutions(given: argparse.Namespace) -> Task:
    import sinabs.layers as sl
    from sinabs.activation import SingleSpike
    from sinabs.nir import to_nir

    train, test = tpl.data.digits()
    torch.manual_seed(0)
    neurons = [sl.IAFSqueeze(batch_size=BATCH, spike_fn=SingleSpike) for _ in range(2)]
    side, steps = int((train[0].events.n_units // 2) ** 0.5), train[0].events.n_steps
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 8, 3, bias=False), neurons[0], sl.SumPool2d(2), torch.nn.Conv2d(8, 16, 3, bias=False),
        neurons[1], torch.nn.Flatten(), torch.nn.LazyLinear(10, bias=False),
    )  # fmt: skip

    def out(frames: torch.Tensor) -> torch.Tensor:
        for layer in neurons:
            layer.reset_states()
            layer.batch_size = len(frames)
        return net(frames.reshape(-1, 2, side, side)).reshape(len(frames), steps, 10).mean(1) * 5

    trained(net, train[:800], out, 5)
    graph = to_nir(net.eval(), torch.zeros(steps * BATCH, 2, side, side))
    return tpl.convert(graph, exporter="sinabs"), through("mirrored", train), through("mirrored", test), {}


def touched(letter: int, rng: np.random.Generator, reversed_: bool) -> tpl.Sample:
    """A pattern moves over the sensors: two bumps a sensor, whose rises and falls spike in a channel each."""
    shape = np.random.default_rng(letter)
    at, size, width = shape.uniform(10, 50, (SENSORS, 2)), shape.uniform(0.3, 1, (SENSORS, 2)), 5.0
    at, size = at * rng.uniform(0.9, 1.1) + rng.normal(0, 1.5, at.shape), size * rng.uniform(0.7, 1.3, (SENSORS, 1))
    force = (size * np.exp(-0.5 * ((np.arange(STEPS)[:, None, None] - at) / width) ** 2)).sum(2) + rng.normal(0, 0.02, (STEPS, SENSORS))
    change = np.diff(force, axis=0, prepend=0)
    frames = np.concatenate([change > 0.05, change < -0.05], 1)
    order = np.arange(SENSORS)[::-1] if reversed_ else np.arange(SENSORS)
    return tpl.Sample(tpl.Events.from_dense(frames[:, np.concatenate([order, SENSORS + order])]), letter)


def recurrent(given: argparse.Namespace, exploded: bool = False, seed: int = 0) -> Task:
    import snntorch as snn

    rng = np.random.default_rng(0)
    old, new, test = ([touched(k % LETTERS, rng, r) for k in range(LETTERS * n)] for n, r in ((40, False), (20, True), (30, True)))
    torch.manual_seed(seed)
    spike = None if exploded else snn.surrogate.fast_sigmoid(slope=25)
    hidden = snn.RLeaky(0.9, linear_features=80, init_hidden=True, spike_grad=spike)
    hidden.recurrent.weight.data *= 1.0 if exploded else 0.3
    net = torch.nn.Sequential(torch.nn.Linear(2 * SENSORS, 80), hidden, torch.nn.Linear(80, LETTERS))

    def out(frames: torch.Tensor) -> torch.Tensor:
        hidden.reset_mem()
        return torch.stack([net(frame) for frame in frames.transpose(0, 1)]).mean(0) * 5

    trained(net, old, out, 60 if exploded else 15, float("inf") if exploded else 1.0)
    hidden.reset_mem()
    options = {"epochs": 40} if exploded else {}  # after 20 neither float nor fixed point is done
    return tpl.convert(net.eval(), input_shape=2 * SENSORS), new, test, options


def exploded(given: argparse.Namespace) -> Task:
    return recurrent(given, exploded=True)


def exploded_again(given: argparse.Namespace) -> Task:
    return recurrent(given, exploded=True, seed=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--net", type=Path, help="SLAYER's; without it that line is left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="Names of networks.")
    parser.add_argument("--epochs", type=int, help="Others than each network's own.")
    parser.add_argument("--usual-weights", action="store_true", help="In fixed point, formats of weights as without measuring.")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for make in (dense, recurrent, exploded, exploded_again, convolutions, slayer):
        if (given.only and make.__name__ not in given.only) or (task := make(given)) is None:
            continue
        network, samples, test, options = task
        options |= {"epochs": given.epochs} if given.epochs else {}
        precisions: dict[str, Any] = {"float": "float", "fixed": "fixed"}
        tuned: dict[str, list[tpl.FineTuned]] = {name: [] for name in precisions}
        for seed in range(given.seeds):
            shots = few(samples, SHOTS, seed)
            if given.usual_weights:
                precisions["fixed"] = tpl.measured_formats(network, options.get("rule", RULE), shots)
            for name, precision in precisions.items():
                tuned[name].append(tpl.finetune(network, shots, test, precision=precision, seed=seed, **options))
        (f0, f1), (i0, i1) = ([float(np.mean([getattr(run, at) for run in runs])) for at in ("before", "after")] for runs in tuned.values())
        within = "within" if i1 >= f1 - WITHIN else "NOT within"
        print(f"{make.__name__:14} float {f0:.3f} -> {f1:.3f}   fixed {i0:.3f} -> {i1:.3f}   {within} {WITHIN}", flush=True)


if __name__ == "__main__":
    main()
