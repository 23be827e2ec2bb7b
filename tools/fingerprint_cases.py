"""What tools/fingerprints.py carries out: networks, rules, precisions and ways to learn, by name, on a few digits.

Only the public interface is used, so that whatever is inside may be built anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tp_lava as tpl
from tp_lava.graph.connections import Convolution
from tp_lava.graph.pooling import Pool2d
from tp_lava.pretrained import pretrained

SAVED = Path(__file__).resolve().parents[1] / "tests" / "saved"
LEARNED, INFERRED, HALF = 20, 5, 10
CAMERA, FOLDED = (2, 16, 16), (1, 8, 8)  # polarities, height, width

Rule = tpl.TP | tpl.TESS | None
How = Callable[[tpl.Learner, Sequence[tpl.Sample]], tuple[tpl.Learner, list[tpl.Outcome]]]
BOTH: Mapping[str, Any] = {"float": "float", "fixed": "fixed"}
FLOAT: Mapping[str, Any] = {"float": "float"}


class Case(NamedTuple):
    """What learns, and how; precisions: what its name ends in -> precision."""

    network: Callable[[], tpl.Network]
    rule: Rule
    how: How
    precisions: Mapping[str, Any] = BOTH
    options: Mapping[str, Any] = {}


class Result(NamedTuple):
    """What it has come to."""

    fixed: bool
    weights: Mapping[str, np.ndarray]
    outcomes: list[tpl.Outcome]


# Networks ----------------------------------------------------------------------------------------
def dense(*hidden: int, inputs: int = 512, biased: bool = False, **options: Any) -> tpl.Network:
    """All-to-all, so that every layer spikes; the label projection is left as it comes.

    All hidden weights are held with the same exponent, so that layers share what is compiled.
    """
    leak = options.pop("readout_decay", 1.0)
    network = tpl.Network.dense((inputs, *hidden, 10), seed=5, **options)
    weights = {name: network.weights[name] for name in network.weights if name.startswith(("hidden", "recurrent"))}
    weights = {name: array * (0.12 / np.abs(array).max()) for name, array in weights.items()}
    weights |= {name: 0.75 * array + 0.03 for name, array in weights.items() if name not in ("hidden0", "recurrent0")}
    if biased:
        weights |= {f"bias{number}": np.linspace(-0.05, 0.1, size) for number, size in enumerate(hidden)}
        weights["readout_bias"] = np.linspace(0.2, -0.2, 10)
    return replace(network.with_weights(weights), readout_decay=leak)


def convolution(shape: tuple[int, int, int] = CAMERA, pooling: tuple[Pool2d, ...] = (Pool2d((2, 2), (2, 2)),)) -> tpl.Network:
    """A convolution, after poolings, under an all-to-all layer."""
    spatial = Convolution(shape, 4, (3, 3), (2, 2), (1, 1), pooling=pooling)
    network = dense(spatial.size, 20, inputs=spatial.n_inputs)
    kernel = np.random.default_rng(6).normal(0.02, 0.15, spatial.weight_shape)
    layers = tpl.Layer(spatial.size, tpl.LIF(0.9), connection=spatial), network.layers[1]
    return tpl.Network.of_layers(
        network.n_inputs, layers, network.n_classes, {**network.weights, "hidden0": kernel}, seed=network.seed, drawn=network.drawn
    )


def shipped(name: str) -> tpl.Network:
    return tpl.convert(pretrained(name))


two = partial(dense, 20, 20)
taught_by_tess = partial(dense, 20, 20, neuron=tpl.TESS.neuron(0.9))
one = partial(dense, 20)
recurrent_biased = partial(dense, 20, 20, biased=True, recurrent=(True, False))


# Ways to learn -----------------------------------------------------------------------------------
def one_by_one(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    return learner, [learner.learn(sample.events, sample.label) for sample in samples]


def not_at_all(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    return learner, [learner.infer(sample.events) for sample in samples]


def against_given_labels(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    return learner, [
        learner.learn(sample.events, sample.label, contrast_labels=[(sample.label + n) % 10 for n in (3, 0, 1, 7)]) for sample in samples
    ]


def in_batches(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    groups = [samples[begin : begin + 4] for begin in range(0, len(samples), 4)]
    outcomes = [learner.learn_batch([s.events for s in group], [s.label for s in group]) for group in groups]
    return learner, [outcome for group in outcomes for outcome in group]


def in_epochs(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    learner.fit(samples[:HALF], epochs=2, validation=samples[:5])
    return learner, []


def reloaded(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    first = one_by_one(learner, samples[:HALF])[1]
    with tempfile.TemporaryDirectory() as folder:
        learner.save(Path(folder) / "learner")
        again = tpl.Learner.load(Path(folder) / "learner")
    return again, first + one_by_one(again, samples[HALF:])[1]


def with_another_rate(learner: tpl.Learner, samples: Sequence[tpl.Sample]) -> tuple[tpl.Learner, list[tpl.Outcome]]:
    first = one_by_one(learner, samples[:HALF])[1]
    learner.rule = replace(learner.rule, rate=(0.0, 5e-5))  # type: ignore[type-var]
    return learner, first + one_by_one(learner, samples[HALF:])[1]


def after_quantising(rule: Rule, bits: int) -> Result:
    """By tpl.quantise, which has chosen every exponent."""
    quantised = tpl.quantise(one(), digits()[0][:8], weight_bits=bits, rule=rule, check_ranges=False)
    return run(lambda: quantised.network, rule, one_by_one, quantised.fixed)


# What is recorded --------------------------------------------------------------------------------
TP = tpl.TP(2e-4, 2e-3)  # slow: the faster it learns, the further processors drift apart in float
SLOW = replace(TP, rate=1e-4)
WALSH = tpl.TESS(2e-2, 2e-3, basis="walsh")
CASES: dict[str, Case] = {
    **{
        f"TP, {name}": Case(network, TP, one_by_one)
        for name, network in {
            "1 layer": one,
            "2 layers": two,
            "3 layers": partial(dense, 24, 20, 16),
            "biases of a decaying current": partial(dense, 20, biased=True, neuron=tpl.LIF(0.9, current_decay=0.5, bias_to="current")),
            "recurrent, biases": recurrent_biased,
            "reset to zero, strictly above": partial(dense, 20, neuron=tpl.LIF(0.95, 0.9, ">", "zero", surrogate=tpl.Triangle())),
            "reset by, no leak": partial(dense, 20, neuron=tpl.LIF(1.0, reset_by=1.25, surrogate=tpl.FastSigmoid(5.0))),
            "leaky scores": partial(dense, 20, readout_decay=0.9),
        }.items()
    },
    **{
        f"TP, {name}": Case(two, rule, one_by_one)
        for name, rule in {
            "contrast 2": replace(TP, contrast=2),
            "contrast all": replace(TP, contrast="all"),
            "match": replace(TP, readout=tpl.Match()),
            "label projection learns": replace(TP, train_target=True),
            "sequence": replace(TP, update="sequence"),
            "first layer frozen": replace(TP, rate=(0.0, 2e-4)),
            "readout frozen": replace(TP, readout_rate=0.0),
            "readout published": replace(TP, readout=tpl.Readout()),
            "readout of the step": replace(TP, readout=tpl.Readout(decay=0.0, features="spike")),
            "readout of the last steps": replace(TP, readout=tpl.Readout(0.9, 2.5, True, "count", 4), update="sequence"),
        }.items()
    },
    **{
        f"TESS, {name}": Case(network, rule, one_by_one)
        for name, (network, rule) in {
            "square, sequence": (taught_by_tess, replace(WALSH, basis="square")),
            "square, step": (taught_by_tess, replace(WALSH, basis="square", update="step")),
            "walsh, sequence": (taught_by_tess, WALSH),
            "walsh, step": (taught_by_tess, replace(WALSH, update="step")),
            "causal only": (taught_by_tess, replace(WALSH, acausal=0.0)),
            "acausal only": (taught_by_tess, replace(WALSH, causal=0.0, update="step")),
            "activity trace": (taught_by_tess, replace(WALSH, activity="trace", temperature=0.05)),
            "learn last": (taught_by_tess, replace(WALSH, learn_last=10, update="step")),
            "learn last, sequence": (taught_by_tess, replace(WALSH, learn_last=10)),
            "recurrent, biases": (recurrent_biased, WALSH),
        }.items()
    },
    "TP, frozen convolution": Case(convolution, replace(TP, rate=(0.0, 2e-4)), one_by_one),
    "TESS, frozen convolution": Case(convolution, replace(WALSH, rate=(0.0, 2e-2)), one_by_one),
    "no rule": Case(two, None, not_at_all),
    "no rule, recurrent, biases": Case(recurrent_biased, None, not_at_all),
    "TP, momentum": Case(two, replace(TP, rate=2e-5), one_by_one, FLOAT, {"optimiser": tpl.SGD(0.9)}),
    "TP, Adam, momentum": Case(two, TP, one_by_one, FLOAT, {"optimiser": {"hidden1": tpl.Adam(epsilon=1e-4), "readout": tpl.SGD(0.5)}}),
    "TESS, Adam": Case(taught_by_tess, replace(WALSH, rate=1e-3), one_by_one, FLOAT, {"optimiser": tpl.Adam(epsilon=1e-4)}),
    "TP, labels given": Case(two, TP, against_given_labels),
    "TP, batch": Case(two, replace(TP, rate=8e-4), in_batches),
    "TESS, batch": Case(taught_by_tess, WALSH, in_batches),
    "TP, epochs": Case(two, TP, in_epochs, options={"schedule": tpl.Cosine(2, 0.2), "seed": 7}),
    "TP, saved and loaded": Case(recurrent_biased, TP, reloaded),
    "TESS, saved and loaded": Case(recurrent_biased, WALSH, reloaded),
    "TP, another rate half way": Case(two, TP, with_another_rate),
    "TP, bits": Case(one, TP, one_by_one, {"2": tpl.FixedPoint({"hidden0": 2}, {"hidden0": -4})}),
    "TESS, held as in Lava's engine": Case(one, WALSH, one_by_one, {"fixed": tpl.FixedPoint(stock=True)}),
    "TP, shipped": Case(partial(shipped, "digits"), TP, one_by_one),
    "TESS, shipped": Case(partial(shipped, "digits"), WALSH, one_by_one),
    "no rule, shipped": Case(partial(shipped, "digits"), None, not_at_all),
    "TP, shipped without the 9": Case(partial(shipped, "digits_0_to_8"), TP, one_by_one),
}

small = partial(dense, 20, inputs=int(np.prod(FOLDED)))
LEARNERS: dict[str, Callable[[], tpl.Learner]] = {  # saved after half of the digits
    "tp_float": lambda: tpl.Learner(small(), SLOW, seed=3),
    "tp_float_optimisers": lambda: tpl.Learner(
        small(), SLOW, optimiser={"hidden0": tpl.SGD(0.5), "readout": tpl.Adam(epsilon=1e-4)}, schedule=tpl.Cosine(3)
    ),
    "tp_fixed": lambda: tpl.Learner(small(), replace(SLOW, train_target=True), "fixed"),
    "tp_fixed_recurrent": lambda: tpl.Learner(small(recurrent=True), SLOW, "fixed"),
    "tess_fixed_sequence": lambda: tpl.Learner(small(neuron=tpl.TESS.neuron(0.9)), WALSH, "fixed"),
    "no_rule_fixed": lambda: tpl.Learner(small(), None, "fixed"),
}
NETWORKS: dict[str, tuple[Callable[[], tpl.Network], Rule]] = {
    "plain": (partial(small, readout_decay=0.9), SLOW),
    "biased": (partial(small, biased=True, recurrent=True), SLOW),
    "convolution": (partial(convolution, FOLDED, ()), replace(SLOW, rate=(0.0, 2e-4))),
}


def configurations() -> dict[str, Callable[[], Result]]:
    """By name, each a function that carries it out."""
    all_of_them: dict[str, Callable[[], Result]] = {}
    for name, case in CASES.items():
        for ending, precision in case.precisions.items():
            all_of_them[f"{name}, {ending}"] = partial(run, case.network, case.rule, case.how, precision, **case.options)
    all_of_them["TP, quantised to 4 bits"] = partial(after_quantising, TP, 4)
    all_of_them |= {f"saved learner {name}": partial(gone_on, name) for name in LEARNERS}
    all_of_them |= {f"saved network {name}": partial(learned_from, name, rule) for name, (_, rule) in NETWORKS.items()}
    return all_of_them


# Carrying it out ---------------------------------------------------------------------------------
@cache
def digits(folded: bool = False) -> tuple[list[tpl.Sample], list[tpl.Sample]]:
    """(to learn, to infer); folded: as a camera with a quarter of the pixels and no polarity would see them."""
    train, test = (samples[:count] for samples, count in zip(tpl.data.digits(), (LEARNED, INFERRED), strict=True))
    return (list(map(_folded, train)), list(map(_folded, test))) if folded else (train, test)


def _folded(sample: tpl.Sample) -> tpl.Sample:
    polarities, height, width = CAMERA
    spikes = sample.events.to_dense().reshape(-1, polarities, height // 2, 2, width // 2, 2).any(axis=(1, 3, 5))
    return tpl.Sample(tpl.Events.from_dense(spikes.reshape(len(spikes), -1)), sample.label)


def run(network: Callable[[], tpl.Network], rule: Rule, how: How, precision: Any, **options: Any) -> Result:
    train, test = digits()
    return _finished(*how(tpl.Learner(network(), rule, precision, **options), train), test)


def gone_on(name: str) -> Result:
    """A saved learner, which learns the other half."""
    train, test = digits(folded=True)
    learner = tpl.Learner.load(SAVED / f"{name}.safetensors")
    return _finished(*(one_by_one if learner.rule else not_at_all)(learner, train[HALF:]), test)


def learned_from(name: str, rule: Rule) -> Result:
    """A saved network, which learns."""
    train, test = digits(folded=True)
    return _finished(*one_by_one(tpl.Learner(tpl.load_network(SAVED / f"{name}.tplava"), rule), train[:HALF]), test)


def _finished(learner: tpl.Learner, outcomes: list[tpl.Outcome], test: Sequence[tpl.Sample]) -> Result:
    """The label projection counts only where it is used."""
    names = sorted(name for name in learner.weights if name != "target" or isinstance(learner.rule, tpl.TP))
    inferred = [learner.infer(sample.events) for sample in test]
    return Result(learner.precision == "fixed", {name: learner.weights[name] for name in names}, outcomes + inferred)


def save() -> None:
    """Write the files that are not there."""
    SAVED.mkdir(exist_ok=True)
    for name, make in LEARNERS.items():
        if not (path := SAVED / f"{name}.safetensors").exists():
            learner = make()
            (one_by_one if learner.rule else not_at_all)(learner, digits(folded=True)[0][:HALF])
            learner.save(path)
    for name, (network, _) in NETWORKS.items():
        if not (path := SAVED / f"{name}.tplava").exists():
            tpl.save_network(network(), path)
