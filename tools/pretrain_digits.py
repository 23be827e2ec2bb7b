"""Make the networks that ship with tp_lava: the embedded digits, learned in PyTorch by backpropagation through time.

    uv run --extra torch python tools/pretrain_digits.py

Writes tp_lava/pretrained/digits.safetensors, and digits_0_to_8.safetensors, whose training never sees a 9: plain state dicts
with their layers described in the metadata, as any PyTorch program could write them. Prints the accuracies of the model card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import tp_lava as tpl
from tp_lava.torch import BPTTTrainer, SpikingNetwork, fit

HIDDEN, EPOCHS, BATCH, RATE, SEED = 200, 10, 64, 2e-3, 0
FOLDER = Path(__file__).resolve().parents[1] / "tp_lava" / "pretrained"
LAYERS = [
    {"type": "linear", "name": "hidden"},
    {"type": "lif", "decay": 0.98, "threshold": 1.0, "reset": "subtract", "comparison": ">="},
    {"type": "linear", "name": "readout"},
]


def trained(train: list, test: list) -> tuple[SpikingNetwork, float]:
    """-> (the module, its accuracy)."""
    network = tpl.Network.dense((train[0].events.n_units, HIDDEN, 10), tpl.LIF(0.98), seed=SEED)
    module = SpikingNetwork(network)
    accuracies = fit(BPTTTrainer(module, RATE, tpl.Adam()), train, EPOCHS, BATCH, tpl.Cosine(EPOCHS), SEED, test)
    return module, accuracies[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    torch.set_num_threads(1)  # the same weights wherever it runs
    train, test = tpl.data.digits(SEED)
    for name, classes in (("digits", range(10)), ("digits_0_to_8", range(9))):
        known = [[sample for sample in samples if sample.label in classes] for samples in (train, test)]
        module, accuracy = trained(*known)
        state = {f"{layer}.weight": module.weights[key].detach() for layer, key in (("hidden", "hidden0"), ("readout", "readout"))}
        metadata = {"layers": json.dumps({"input_shape": [module.n_inputs], "layers": LAYERS})}
        save_file(state, out / f"{name}.safetensors", metadata)
        print(f"{name}: {accuracy:.3f} of {len(known[1])} test samples")


if __name__ == "__main__":
    main()
