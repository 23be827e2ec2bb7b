"""Import each library whose networks are converted, as the tests do: one that fails would have its tests skipped.

uv run python tools/libraries.py
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings

from tp_lava.lava import make_importable

LIBRARIES = (
    "torch", "nir", "snntorch.export_nir", "sinabs.layers", "sinabs.nir", "norse.torch", "spikingjelly.activation_based.neuron",
    "spikingjelly.activation_based.nir_exchange", "lava.lib.dl.slayer", "lava.lib.dl.netx.hdf5",
)  # fmt: skip


def main() -> None:
    """Print the libraries; the first that cannot be imported is an ImportError."""
    warnings.simplefilter("ignore")
    make_importable()
    sys.modules.setdefault("lava.lib.dl.slayer.object_detection", types.ModuleType("object_detection"))  # needs torchvision
    for name in LIBRARIES:
        importlib.import_module(name)
        print(f"{name} can be imported")


if __name__ == "__main__":
    main()
