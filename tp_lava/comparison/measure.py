"""One run: accuracy, time, memory and work of one benchmark, variant and seed, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from tp_lava.comparison.benchmarks import BPTT, Benchmark
from tp_lava.comparison.variants import BATCH, Variant
from tp_lava.data.events import Sample
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.optimisers import Adam, Cosine
from tp_lava.rules import TP, BaseRule
from tp_lava.rules.memory import bptt, counted

_Samples = Sequence[Sample]
_Functions = tuple[Callable[[], object], Callable[[_Samples], float]]  # learn for an epoch; accuracy on samples
_COUNTED = 5  # samples whose operations are counted


class Work(NamedTuple):
    """What learning a sample takes on a chip, mean of a few samples.

    updates: of weights; spikes: of all neurons, a rule's rows included; messages: numbers that go between neurons and embedded
    processors in a step.
    """

    updates: float
    spikes: float
    messages: float


@dataclass(frozen=True)
class Measured:
    """accuracies: on the test samples after each epoch; seconds: per sample learned; megabytes: peak of the process; formula, counted:
    see Row; work: None for what no chip does: batches, and errors that are carried back through layers.
    """

    accuracies: tuple[float, ...]
    seconds: float
    megabytes: float
    formula: tuple[int, ...]
    counted: tuple[int, ...]
    work: Work | None = None


def measure(benchmark: Benchmark, variant: Variant, seed: int) -> Measured:
    """Train and test."""
    train, test = benchmark.samples(seed)
    classes = max(sample.label for sample in (*train, *test)) + 1
    network = benchmark.network(train[0].events.n_units, classes, seed, tess=variant.has_tess_network)
    fit, evaluate = (_in_torch if variant.in_torch else _in_engine)(benchmark, variant, network, seed, train)
    seconds, accuracies = 0.0, []
    for _ in range(benchmark.epochs):
        start = time.perf_counter()
        fit()
        seconds += time.perf_counter() - start
        accuracies.append(evaluate(test))
    megabytes, rule, batch = _peak_megabytes(), variant.rule and variant.rule_for(benchmark), BATCH if variant.in_torch else 1
    n_steps = max(sample.events.n_steps for sample in train)
    formula = rule.remembered(network, n_steps, batch) if rule else bptt(network, n_steps, batch)
    held = counted(network, rule, batch) if rule else _saved(network, train[:BATCH])
    work = _work(network, rule, train[:_COUNTED]) if rule and rule.local and not variant.in_torch else None
    return Measured(tuple(accuracies), seconds / (len(train) * benchmark.epochs), megabytes, formula, held, work)


def _in_engine(benchmark: Benchmark, variant: Variant, network: Network, seed: int, train: _Samples) -> _Functions:
    rule = variant.rule_for(benchmark)
    Learner(network, rule, variant.precision).learn(*train[0])  # compile
    learner = Learner(network, rule, variant.precision, seed, schedule=Cosine(benchmark.epochs))
    return lambda: learner.fit(train, augmentation=benchmark.augmentation), learner.evaluate


def _in_torch(benchmark: Benchmark, variant: Variant, network: Network, seed: int, train: _Samples) -> _Functions:
    import torch

    from tp_lava.torch import BPTTTrainer, SpikingNetwork, TPTrainer, evaluate, fit

    torch.set_num_threads(1)  # runs share the cores
    module, adam = SpikingNetwork(network), Adam()
    trainer: BPTTTrainer | TPTrainer
    if variant.how == "bptt":
        trainer = BPTTTrainer(module, benchmark.rates[BPTT][0], adam)
    else:
        trainer = TPTrainer(module, cast(TP, variant.rule_for(benchmark)), adam)
    schedule = Cosine(benchmark.epochs)
    varied = benchmark.augmentation
    return lambda: fit(trainer, train, 1, BATCH, schedule, seed, augmentation=varied), lambda test: evaluate(module, test, BATCH)


def _work(network: Network, rule: BaseRule, samples: _Samples) -> Work:
    from tp_lava.deploy.loihi2 import count
    from tp_lava.deploy.loihi2.demand import processor_tasks

    learner = Learner(network, rule, "fixed")
    counts, circuit = count(learner, samples), learner.circuits[1]
    assert circuit is not None
    messages = sum(task.words_in + task.words_out for task in processor_tasks(circuit))
    return Work(counts.mean("updates") + counts.mean("readout_updates"), counts.mean("spikes"), messages)


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
