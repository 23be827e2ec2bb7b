"""A network trained by SLAYER for Loihi learns on in fixed point: N-MNIST, the camera mirrored, five recordings a digit.

    uv run python tools/slayer_nmnist.py --recordings nmnist_small.npz --net nmnist.net

The file is made first where it does not exist: 2312-512-10 CUBA neurons of threshold 80 (1.25 in SLAYER), 30 steps of 10 ms, 25 epochs of
recordings that are moved and turned a little; that needs lava-dl. Then each recipe learns 50 mirrored recordings for 10 epochs; printed
are means over seeds, which draw the 50 recordings, of the new and of the old task. Two recipes find out that the camera is mirrored; the
last ones are told. Settings of those that find out were chosen by
    --sensor rotated --held-out 400 --first-seed 11 --seeds 2
"""

from __future__ import annotations

import argparse
import sys
import types
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl
from tp_lava.data.sensors import through
from tp_lava.finetuning import few
from tp_lava.lava import make_importable

STEPS, STEP, HIDDEN, SHOTS, EPOCHS = 30, 10_000, 512, 5, 10
NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.05, "tau_grad": 0.1, "scale_grad": 1, "requires_grad": False}
VARIED = tpl.Augmentation(pixels=2, rotation=10)  # while it is trained
FAST, VARYING = tpl.TP(1e-3, 1e-2, contrast="all"), tpl.TP(3e-3, 5e-3, contrast="all")
A_LITTLE = tpl.Augmentation(pixels=1, rotation=8, zoom=0.08)  # of old ones
TWO, VARIED_TWO, ONE = tpl.Replay(250, 2), tpl.Replay(250, 2, augmentation=A_LITTLE), tpl.Replay(250, 1, augmentation=A_LITTLE)
VARIED_FOUR = tpl.Replay(500, 4, augmentation=A_LITTLE)
FEW = tpl.Augmentation(pixels=1, rotation=12, zoom=0.12, drop=0.1)  # of the 50 recordings
MANY: Mapping[str, Any] = {"augmentation": FEW, "variants": 16}
Samples = list[tpl.Sample]
Recipe = Mapping[str, Any]
Accuracies = tuple[float, float, float, float]
RECIPES: Mapping[str, Recipe] = {
    "default": {},
    "default, old samples": {"old": True},
    "rates 1e-3, 1e-2, 2 old ones each": {"rule": FAST, "old": True, "replay": TWO},
    "16 variants each, old ones as they are": {"rule": VARYING, "old": True, "replay": TWO, "augmentation": FEW, "variants": 16},
    "16 variants each, old ones vary too": {"rule": VARYING, "old": True, "replay": VARIED_TWO, "augmentation": FEW, "variants": 16},
    "48 variants each, 1 old one each": {"rule": VARYING, "old": True, "replay": ONE, "augmentation": FEW, "variants": 48},
    "the same, SLTT": {"rule": tpl.SLTT(6e-3, 5e-3), "old": True, "replay": ONE, "augmentation": FEW, "variants": 48},
    "the sensor's change found": {"rule": VARYING, "old": True, "replay": VARIED_FOUR, "gate": None, "sensor": "find", **MANY},
    "the same, old ones if told wrong": {"rule": VARYING, "old": True, "replay": VARIED_FOUR, "sensor": "find", **MANY},
    "25 old recordings a digit, mirrored": {"rule": VARYING, "old": True, "replay": TWO, "shots": 25},
    "the same, 4 variants each": {"rule": VARYING, "old": True, "replay": VARIED_TWO, "shots": 25, "augmentation": FEW, "variants": 4},
}


def train(samples: list[tpl.Sample], path: Path, epochs: int = 25) -> None:
    """Train with lava-dl and write the .net file."""
    make_importable()
    sys.modules.setdefault("lava.lib.dl.slayer.object_detection", types.ModuleType("object_detection"))
    import h5py
    import torch
    from lava.lib.dl import slayer

    torch.manual_seed(0)
    sizes = (samples[0].events.n_units, HIDDEN, 10)
    blocks = [slayer.block.cuba.Dense(NEURON, a, b, weight_scale=1, weight_norm=True) for a, b in pairwise(sizes)]
    network = torch.nn.Sequential(*blocks)
    loss_of = slayer.loss.SpikeRate(true_rate=0.3, false_rate=0.03, reduction="sum")
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, 1e-4)
    for epoch in range(epochs):
        for batch in torch.randperm(len(samples)).split(40):
            varied = [VARIED.applied(samples[i].events, 0, epoch, int(i)).to_dense().T for i in batch]
            frames = torch.as_tensor(np.stack(varied).astype(np.float32))
            loss = loss_of(network(frames), torch.as_tensor([samples[i].label for i in batch]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        print(f"epoch {epoch + 1}: loss of the last batch {float(loss.detach()):.2f}", flush=True)
    network.eval()
    with h5py.File(path, "w") as file:
        for number, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{number}"))


def learned(given: argparse.Namespace, network: tpl.Network, known: Samples, tests: list[Samples], recipe: Recipe, seed: int) -> Accuracies:
    """Accuracies of one recipe: new before and after, old before and after. tests: of the new and of the old task."""
    options = {key: value for key, value in recipe.items() if key != "shots"} | ({"old": known} if recipe.get("old") else {})
    shots = through(given.sensor, few(known, recipe.get("shots", SHOTS), seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = tpl.finetune(network, shots, tests[0], old_test=tests[1], epochs=EPOCHS, seed=seed, precision=given.precision, **options)
    return done.before, done.after, done.old_before, done.old_after


def main() -> None:
    """Train where there is no file, and print a line a recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--net", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--sensor", default="mirrored")
    parser.add_argument("--held-out", type=int, default=0, help="Test on as many training recordings, which are not learned, to choose.")
    parser.add_argument("--only", nargs="*", default=list(RECIPES), help="Names of recipes.")
    parser.add_argument("--precision", choices=("float", "fixed"), default="fixed")
    given = parser.parse_args()
    samples, test = tpl.data.from_nmnist(given.recordings, n_steps=STEPS, step=STEP)
    if not given.net.exists():
        train(samples, given.net)
    order = np.random.default_rng(0).permutation(len(samples))
    held, known = ([samples[i] for i in part] for part in (order[: given.held_out], sorted(order[given.held_out :])))
    network, tests = tpl.convert(given.net), [through(given.sensor, held or test), test]
    for name in given.only:
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        found = [learned(given, network, known, tests, RECIPES[name], seed) for seed in seeds]
        before, after, old_before, old_after = np.mean(found, axis=0)
        print(
            f"{name:40} new {before:.3f} -> {after:.3f} (least {min(f[1] for f in found):.2f})  "
            f"old {old_before:.3f} -> {old_after:.3f} (least {min(f[3] for f in found):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
