"""Data by name: the embedded digits, or a file of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tp_lava.comparison.benchmarks import TEST_SHARE, hold_back
from tp_lava.data import digits, from_nmnist, from_shd, load_samples
from tp_lava.data.arrays import is_plain
from tp_lava.data.events import Sample
from tp_lava.errors import invalid
from tp_lava.network import Network


def load(name: str) -> tuple[list[Sample], list[Sample]]:
    """(train, test) of "digits" or an N-MNIST archive (.npz); (all, []) of own arrays (.npz) or a file in SHD's layout (.h5)."""
    if name == "digits":
        return digits()
    path = Path(name)
    if path.suffix == ".npz":
        return (load_samples(path), []) if is_plain(path) else from_nmnist(path)
    if path.suffix not in (".h5", ".hdf5"):
        limit = "digits, an .npz of save_samples or from_nmnist, or an .h5 in SHD's layout"
        raise invalid("data", "name", repr(name), limit, "tpl.data.from_arrays and save_samples make one of your arrays")
    return from_shd(path).samples, []


def load_split(name: str, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, test); where the data has no test part of its own, one sample in five is drawn for testing."""
    samples, test = load(name)
    return (samples, test) if test else hold_back(samples, TEST_SHARE, seed)


def check_fits(command: str, samples: Sequence[Sample], network: Network) -> None:
    """Raise InvalidValueError for samples with another number of inputs than the model, most often those of the default data."""
    units = samples[0].events.n_units
    if units != network.n_inputs:
        raise invalid(command, "data", f"of {units} inputs", f"of the model's {network.n_inputs}", "give what the model is for with --data")
