"""One run: accuracy, time and memory of one benchmark, variant and seed, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tp_lava.comparison.benchmarks import Benchmark
from tp_lava.comparison.variants import BATCH, Variant
from tp_lava.data.events import Sample
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.optimisers import Adam, Cosine
from tp_lava.rules import TP
from tp_lava.rules.memory import bptt, counted

_Samples = Sequence[Sample]
_Functions = tuple[Callable[[], object], Callable[[_Samples], float]]  # train; accuracy on samples


@dataclass(frozen=True)
class Measured:
    """accuracy: on the test samples, at the end; seconds: per sample learned; megabytes: peak of the process; formula, counted: see Row."""

    accuracy: float
    seconds: float
    megabytes: float
    formula: tuple[int, ...]
    counted: tuple[int, ...]


def measure(benchmark: Benchmark, variant: Variant, seed: int) -> Measured:
    """Train and test."""
    train, test = benchmark.samples(seed)
    classes = max(sample.label for sample in (*train, *test)) + 1
    network = benchmark.network(train[0].events.n_units, classes, seed, tess=variant.kind == "tess")
    fit, evaluate = (_in_torch if variant.in_torch else _in_engine)(benchmark, variant, network, seed, train)
    start = time.perf_counter()
    fit()
    seconds = (time.perf_counter() - start) / (len(train) * benchmark.epochs)
    accuracy, megabytes = evaluate(test), _peak_megabytes()
    rule, batch = variant.rule and variant.rule_for(benchmark), BATCH if variant.in_torch else 1
    n_steps = max(sample.events.n_steps for sample in train)
    formula = rule.remembered(network, n_steps, batch) if rule else bptt(network, n_steps, batch)
    held = counted(network, rule, batch) if rule else _saved(network, train[:BATCH])
    return Measured(accuracy, seconds, megabytes, formula, held)


def _in_engine(benchmark: Benchmark, variant: Variant, network: Network, seed: int, train: _Samples) -> _Functions:
    rule = variant.rule_for(benchmark)
    Learner(network, rule, variant.precision).learn(*train[0])  # compile
    learner = Learner(network, rule, variant.precision, seed, schedule=Cosine(benchmark.epochs))
    return lambda: learner.fit(train, benchmark.epochs), learner.evaluate


def _in_torch(benchmark: Benchmark, variant: Variant, network: Network, seed: int, train: _Samples) -> _Functions:
    import torch

    from tp_lava.torch import BPTTTrainer, SpikingNetwork, TPTrainer, evaluate, fit

    torch.set_num_threads(1)  # runs share the cores
    module, adam = SpikingNetwork(network), Adam()
    trainer: BPTTTrainer | TPTrainer
    if variant.kind == "bptt":
        trainer = BPTTTrainer(module, benchmark.adam_rates[0], adam)
    else:
        trainer = TPTrainer(module, cast(TP, variant.rule_for(benchmark)), adam)
    schedule = Cosine(benchmark.epochs)
    return lambda: fit(trainer, train, benchmark.epochs, BATCH, schedule, seed), lambda test: evaluate(module, test, BATCH)


def _saved(network: Network, samples: _Samples) -> tuple[int, ...]:
    """Numbers that PyTorch stores for the backward pass of a batch, all layers together."""
    import torch

    from tp_lava.torch import SpikingNetwork, dense

    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    module = SpikingNetwork(network)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = module.scores(dense([sample.events for sample in samples]))
        scores[-1].sum()
        return (sum(kept.values()) - sum(parameter.numel() for parameter in module.parameters()),)


def _peak_megabytes() -> float:
    """Largest resident size of this process, from /proc: getrusage includes the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")
