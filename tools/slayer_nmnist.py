"""A network trained by SLAYER for Loihi learns on in fixed point: N-MNIST, the camera mirrored, five recordings a digit.

    uv run python tools/slayer_nmnist.py --recordings nmnist_small.npz --net nmnist.net

The file is made first where it does not exist: 2312-128-10 CUBA neurons of threshold 80 (1.25 in SLAYER), 30 steps of 10 ms, 12 epochs;
that needs lava-dl. Then each recipe learns 50 mirrored recordings for 10 epochs; printed are means over seeds, new and old task.
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

STEPS, STEP, HIDDEN, SHOTS, EPOCHS = 30, 10_000, 128, 5, 10
NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.1, "tau_grad": 0.1, "scale_grad": 1, "requires_grad": False}
FAST, FASTER = tpl.TP(1e-3, 1e-2, contrast="all"), tpl.TP(3e-3, 2e-2, contrast="all")
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "default, old samples": {"old": True},
    "rates 1e-3, 1e-2": {"rule": FAST},
    "and 3 old ones each, where wrong": {"rule": FAST, "old": True, "gate": tpl.Gate("wrong", of="old"), "replay": tpl.Replay(250, 3)},
    "rates 3e-3, 2e-2, 5 old ones each": {"rule": FASTER, "old": True, "gate": None, "replay": tpl.Replay(250, 5)},
}


def train(samples: list[tpl.Sample], path: Path, epochs: int = 12) -> None:
    """Train with lava-dl and write the .net file."""
    make_importable()
    sys.modules.setdefault("lava.lib.dl.slayer.object_detection", types.ModuleType("object_detection"))
    import h5py
    import torch
    from lava.lib.dl import slayer

    torch.manual_seed(0)
    frames = torch.as_tensor(np.stack([sample.events.to_dense() for sample in samples]).astype(np.uint8))
    labels = torch.as_tensor([sample.label for sample in samples])
    sizes = (samples[0].events.n_units, HIDDEN, 10)
    blocks = [slayer.block.cuba.Dense(NEURON, a, b, weight_scale=1, weight_norm=True) for a, b in pairwise(sizes)]
    network = torch.nn.Sequential(*blocks)
    loss_of = slayer.loss.SpikeRate(true_rate=0.3, false_rate=0.03, reduction="sum")
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(len(labels)).split(40):
            loss = loss_of(network(frames[batch].permute(0, 2, 1).float()), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        print(f"epoch {epoch + 1}: loss of the last batch {float(loss.detach()):.2f}", flush=True)
    with h5py.File(path, "w") as file:
        for number, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{number}"))


def main() -> None:
    """Train where there is no file, and print a line a recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--net", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--precision", choices=("float", "fixed"), default="fixed")
    given = parser.parse_args()
    samples, test = tpl.data.from_nmnist(given.recordings, n_steps=STEPS, step=STEP)
    if not given.net.exists():
        train(samples, given.net)
    network, new_test = tpl.convert(given.net), through("mirrored", test)
    for name, recipe in RECIPES.items():
        found = []
        for seed in range(1, given.seeds + 1):
            options = dict(recipe) | ({"old": samples} if recipe.get("old") else {})
            shots = through("mirrored", few(samples, SHOTS, seed))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = tpl.finetune(network, shots, new_test, old_test=test, epochs=EPOCHS, seed=seed, precision=given.precision, **options)
            found.append((done.before, done.after, done.old_before, done.old_after))
        before, after, old_before, old_after = np.mean(found, axis=0)
        print(
            f"{name:36} new {before:.3f} -> {after:.3f} (least {min(f[1] for f in found):.2f})  old {old_before:.3f} -> {old_after:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
