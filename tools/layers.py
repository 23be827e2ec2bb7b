"""The forms of one network against each other, longer than the tests do: engine, opened into layers, Lava's own learning engine.

    uv run python tools/layers.py equal --networks 20
    uv run python tools/layers.py stock

equal: random networks and rules on random samples, in float and fixed point; every weight and score must be the engine's, bit
for bit in fixed point and within 1e-5 in float. stock: a few digits learned in Lava with the hidden weights in a stock LearningDense, in
fixed point, which must end with the weights our engine foresees; then all digits, our own weights against those, in the engine.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import tp_lava as tpl


def random_case(rng: np.random.Generator) -> tuple[tpl.Network, tpl.TP, list]:
    """A network of 1 to 3 hidden layers, a rule and five samples."""
    depth, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    sizes = (int(rng.integers(8, 40)), *(int(n) for n in rng.integers(5, 30, depth)), classes)
    neuron = tpl.LIF(
        float(rng.uniform(0.3, 0.99)),
        float(rng.uniform(0.5, 2.0)),
        str(rng.choice([">=", ">"])),  # type: ignore[arg-type]
        str(rng.choice(["subtract", "zero"])),  # type: ignore[arg-type]
        float(rng.choice([0.0, 0.5])),
    )
    network = tpl.Network.dense(sizes, neuron, recurrent=[bool(r) for r in rng.integers(0, 2, depth)], seed=int(rng.integers(1000)))
    network = network.with_weights({name: weights * 2.5 for name, weights in network.weights.items()})
    rule = tpl.TP(
        float(rng.uniform(0.003, 0.02)), float(rng.uniform(0.003, 0.05)), int(rng.integers(2, classes + 1)), bool(rng.integers(2))
    )
    steps = int(rng.integers(5, 30))
    samples = [(tpl.Events.from_dense(rng.random((steps, sizes[0])) < 0.25), int(rng.integers(classes))) for _ in range(5)]
    return network, rule, samples


def worst_difference(network: tpl.Network, rule: tpl.TP, samples: list, tag: str) -> float:
    """The largest difference of any weight or score between the engine and the layers, as a share of the largest value."""
    learner = tpl.Learner(network, rule, "fixed" if tag == "fixed_pt" else "float", 3)
    scores = np.array([learner.learn(*sample).scores for sample in samples])
    result = tpl.lava.run(network, rule, samples, tag=tag, seed=3, layers=True)  # type: ignore[arg-type]
    pairs = [(result.scores, scores), *((result.weights[name], weights) for name, weights in learner.weights.items())]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-9)) for a, b in pairs)


def equal(networks: int, seed: int) -> bool:
    rng, worst = np.random.default_rng(seed), {"fixed_pt": 0.0, "floating_pt": 0.0}
    for number in range(networks):
        case = random_case(rng)
        for tag in worst:
            worst[tag] = max(worst[tag], worst_difference(*case, tag))
        print(f"{number + 1:3} {case[0]!r:42} worst so far: fixed {worst['fixed_pt']:g}, float {worst['floating_pt']:.1e}", flush=True)
    return worst["fixed_pt"] == 0.0 and worst["floating_pt"] < 1e-5


def stock(count: int, hidden: int, epochs: int, seeds: int) -> bool:
    train, test = tpl.data.digits()
    rule, held = tpl.TP(rate=7e-4), tpl.FixedPoint(stock=True)
    network, start = tpl.Network.dense((512, hidden, 10)), time.perf_counter()
    result = tpl.lava.run(network, rule, train[:count], tag="fixed_pt", layers="stock", timeout=600)
    foreseen = tpl.Learner(network, rule, held)
    for sample in train[:count]:
        foreseen.learn(*sample)
    same = all(np.array_equal(result.learner.mantissas[name], foreseen.mantissas[name]) for name in network.weights)
    print(f"stock LearningDense in Lava, {count} samples, {time.perf_counter() - start:.0f} s: foreseen bit for bit: {same}", flush=True)
    accuracies = np.array([[_trained(hidden, seed, how, epochs, rule, train, test) for how in ("fixed", held)] for seed in range(seeds)])
    print(f"{epochs} epochs of {len(train)} samples, 512-{hidden}-10, {seeds} seeds: test accuracy of ours, of the stock engine")
    print(accuracies.round(3), "mean", accuracies.mean(axis=0).round(4))
    return same and bool(accuracies[:, 1].mean() > accuracies[:, 0].mean() - 0.03)


def _trained(hidden: int, seed: int, precision, epochs: int, rule: tpl.TP, train: list, test: list) -> float:
    learner = tpl.Learner(tpl.Network.dense((512, hidden, 10), seed=seed), rule, precision, seed)
    learner.fit(train, epochs)
    return learner.evaluate(test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("equal", "stock"))
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--train", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.what == "equal":
        sys.exit(not equal(options.networks, 0))
    sys.exit(not stock(options.train, options.hidden, options.epochs, options.seeds))


if __name__ == "__main__":
    main()
