"""Models, data and learning rules by their names on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from tp_lava.archive import kind_of
from tp_lava.circuit.formats import FixedPoint, own_fixed_point
from tp_lava.commands.options import RuleName, RuleNameOrNone
from tp_lava.comparison.benchmarks import BENCHMARKS, TEST_SHARE, hold_back
from tp_lava.comparison.variants import FAMILY, variant_named
from tp_lava.convert import convert
from tp_lava.data import class_names, digits, from_nmnist, from_shd, from_spike_lists, load_samples
from tp_lava.data.augmentation import Augmentation
from tp_lava.data.digits import digits_to_test
from tp_lava.data.events import Sample
from tp_lava.deploy.bundle.graph import why_not_in_engine
from tp_lava.errors import ArchiveError, invalid
from tp_lava.finetuning import RULE
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.pretrained import NAMES, pretrained
from tp_lava.reading.npz import names_of
from tp_lava.rules import TESS, BaseRule

RECORDINGS = (".npz", ".h5", ".hdf5")  # endings of files of recordings
_STREAMS = 4  # TP's target streams, where there are as many classes
_TRAINING = {"tp": f"TP, K = {_STREAMS}", "tess": "TESS, walsh, sequence"}  # variants, with the rates of the digits
_TRAINING |= {"stllr": "S-TLLR, random", "etlp": "ETLP", "decolle": "DECOLLE, softmax", "ottt": "OTTT, random", "sltt": "SLTT, random"}
_TRAINING |= {"eprop": "e-prop, random", "ostl": "OSTL, random", "osttp": "OSTTP"}
_FINE_TUNING: Mapping[str, BaseRule] = {
    "tp": RULE,
    "tess": TESS(0.2, 1e-3, basis="walsh", temperature=0.05, activity="trace"),
    **{name: FAMILY[variant] for name, variant in _TRAINING.items() if variant in FAMILY},
}


# Models -------------------------------------------------------------------------------------------


def model_named(name: str, seed: int) -> Network:
    """A network that ships, or that of a file, which may be a saved Learner's."""
    if is_learner(name):
        return Learner.load(name).network
    return convert(pretrained(name) if name in NAMES else name, seed=seed)


def is_learner(model: str) -> bool:
    """Whether it is the file of a saved Learner."""
    try:
        return Path(model).is_file() and kind_of(model) == "learner"
    except ArchiveError:
        return False


def fixed_point(network: Network, bits: int | None) -> FixedPoint:
    """With the given bits of weights, else the formats that the network was quantised to, else the default."""
    return FixedPoint(weight_bits=bits) if bits is not None else own_fixed_point(network)


def learner_named(
    command: str,
    model: str,
    seed: int,
    rule: RuleNameOrNone | None,
    rate: float | None = None,
    readout_rate: float | None = None,
    bits: int | None = None,
    learning_engine: bool = False,
) -> Learner:
    """A saved Learner, or a fixed-point Learner made of a model and the options. Raises InvalidValueError.

    command: for error messages; learning_engine: use the weight format of Lava's learning engine, where that can learn the model.
    """
    if is_learner(model):
        if seed or any(value is not None for value in (rule, rate, readout_rate, bits)):
            raise invalid(command, "rule, rates, bits or seed", "given with a saved Learner", "those of the learner", "leave them out")
        return Learner.load(model)
    if rule in (None, "none") and (rate is not None or readout_rate is not None):
        raise invalid(command, "rate", "given without a rule", "left out", "or give --rule tp or another one")
    network = model_named(model, seed)
    chosen = None if rule is None or rule == "none" else fine_tuning_rule(rule, rate, readout_rate)
    fixed = fixed_point(network, bits)
    if learning_engine:
        fixed = replace(fixed, stock=not why_not_in_engine(network, chosen))
    return Learner(network, chosen, fixed, seed)


# Data ---------------------------------------------------------------------------------------------


def load(name: str) -> tuple[list[Sample], list[Sample]]:
    """(train, test) of "digits" or N-MNIST (.npz, or a folder); (all, []) of own arrays or spike lists (.npz) or
    a file in SHD's layout (.h5); of spike lists steps are merged until at most 64 are left.
    """
    if name == "digits":
        return digits()
    path = Path(name)
    if path.is_dir():
        return from_nmnist(path)
    if path.suffix == ".npz":
        arrays = set(names_of(path))
        if {"step", "unit", "count"} <= arrays:
            return from_spike_lists(path, merged=None).samples, []
        return from_nmnist(path) if {"dt_lo", "addr_lo"} & arrays else (load_samples(path), [])
    if path.suffix not in RECORDINGS:
        limit = "digits, an .npz of save_samples, from_spike_lists or from_nmnist, N-MNIST's folder, or an .h5 in SHD's layout"
        raise invalid("data", "name", repr(name), limit, "tpl.data.from_arrays and save_samples make one of your arrays")
    return from_shd(path).samples, []


def named_classes(network: Network, data: str) -> Network:
    """The network with the names of its classes: its own, or those of the data where it has none and the data have enough."""
    names = () if network.class_names else class_names(data)[: network.n_classes]
    return replace(network, class_names=names) if len(names) == network.n_classes else network


def load_split(name: str, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, test); where the data has no test part of its own, one sample in five is drawn for testing."""
    samples, test = load(name)
    return (samples, test) if test else hold_back(samples, TEST_SHARE, seed)


def load_test(name: str, seed: int) -> list[Sample]:
    """The test part of load_split, without making the rest where that takes time."""
    return digits_to_test() if name == "digits" else load_split(name, seed)[1]


def check_fits(command: str, samples: Sequence[Sample], network: Network) -> None:
    """Raise InvalidValueError for samples with another number of inputs than the model, most often those of the default data."""
    units = samples[0].events.n_units
    if units != network.n_inputs:
        raise invalid(command, "data", f"of {units} inputs", f"of the model's {network.n_inputs}", "give what the model is for with --data")


# Learning rules -----------------------------------------------------------------------------------


def fine_tuning_rule(name: RuleName, rate: float | None = None, readout_rate: float | None = None) -> BaseRule:
    """The rule with settings for a few samples a class, or with the given rates."""
    given = {"rate": rate, "readout_rate": readout_rate}
    return replace(_FINE_TUNING[name], **{field: value for field, value in given.items() if value is not None})


def training_rule(name: RuleName, network: Network, options: Mapping[str, Any]) -> BaseRule:
    """The rule with settings for many samples and such a network, or with the given options of `tp-lava train`.

    Raises InvalidValueError.
    """
    rule = _training(name, "commands" if any(c.delays for c in network.connections) else "digits")
    given = {field: value for field, value in options.items() if value is not None}
    if hasattr(rule, "contrast"):
        given["contrast"] = _contrast(given.get("contrast"), network.n_classes)
    return replace(rule, **given)


def rules_with(field: str) -> list[str]:
    """Names of the rules that have this field."""
    return [name for name in _TRAINING if hasattr(_training(name), field)]


def _training(name: str, benchmark: str = "digits") -> BaseRule:
    return variant_named(_TRAINING[name]).rule_for(BENCHMARKS[benchmark])


def _contrast(text: str | None, n_classes: int) -> int | Literal["all"]:
    if text is None:
        return min(_STREAMS, max(n_classes, 2))
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise invalid("train", "contrast", repr(text), 'a number of target streams, or "all"', f"{_STREAMS} is usual")
    return int(text)


def augmentation_of(command: str, text: str | None) -> Augmentation | None:
    """How samples vary, from name=number,name=number; None of None. Raises InvalidValueError for other text."""
    if text is None:
        return None
    kinds: dict[str, Callable[[str], Any]] = {field.name: int if field.type == "int" else float for field in fields(Augmentation)}
    given: dict[str, Any] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        try:
            given[name] = kinds[name](number)
        except (KeyError, ValueError):
            limit = f"{'=, '.join(kinds)}= and a number"
            raise invalid(command, "augment", repr(part), limit, "for example shift=3,units=2") from None
    return Augmentation(**given)
