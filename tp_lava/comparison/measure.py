"""One run: accuracy, time and memory of one form, task and seed, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tp_lava.comparison.forms import BATCH, Form
from tp_lava.comparison.memory import by_counting, by_formula
from tp_lava.comparison.tasks import Task
from tp_lava.data.events import Sample
from tp_lava.learner import Learner
from tp_lava.graph.network import Network
from tp_lava.optimisers import Adam, Cosine
from tp_lava.rules import TP


@dataclass(frozen=True)
class Measured:
    """accuracy: on the test samples, at the end; seconds: per sample learned; megabytes: peak of the process; the rest: see Row."""

    accuracy: float
    seconds: float
    megabytes: float
    formula: tuple[int, ...]
    counted: tuple[int, ...]


def measure(task: Task, form: Form, seed: int) -> Measured:
    """Learn, test, and take stock."""
    train, test = task.samples(seed)
    classes = max(sample.label for sample in (*train, *test)) + 1
    network = task.network(train[0].events.n_units, classes, seed, tess=form.kind == "tess")
    run = _in_torch if form.in_torch else _in_engine
    accuracy, seconds = run(task, form, network, seed, train, test)
    steps = max(sample.events.n_steps for sample in train)
    megabytes = _peak_megabytes()
    if form.kind == "bptt":
        formula, counted = by_formula(form, None, network, steps, BATCH), _saved(network, train[:BATCH])
    else:
        rule, batch = form.rule_for(task), BATCH if form.kind == "batch" else 1
        formula, counted = by_formula(form, rule, network, steps, batch), by_counting(form, rule, network, batch)
    return Measured(accuracy, seconds / (len(train) * task.epochs), megabytes, formula, counted)


def _in_engine(task: Task, form: Form, network: Network, seed: int, train: Sequence[Sample], test: Sequence[Sample]) -> tuple[float, float]:
    """-> accuracy, seconds of learning."""
    rule = form.rule_for(task)
    Learner(network, rule, form.precision).learn(*train[0])  # compile
    learner = Learner(network, rule, form.precision, seed, schedule=Cosine(task.epochs))
    start = time.perf_counter()
    learner.fit(train, task.epochs)
    seconds = time.perf_counter() - start
    return learner.evaluate(test), seconds


def _in_torch(task: Task, form: Form, network: Network, seed: int, train: Sequence[Sample], test: Sequence[Sample]) -> tuple[float, float]:
    """-> accuracy, seconds of learning, on one thread: runs share the cores."""
    import torch

    from tp_lava.torch import BPTTTrainer, SpikingNetwork, TPTrainer, evaluate, fit

    torch.set_num_threads(1)
    module, adam = SpikingNetwork(network), Adam()
    if form.kind == "bptt":
        trainer: BPTTTrainer | TPTrainer = BPTTTrainer(module, task.adam_rates[0], adam)
    else:
        rule = form.rule_for(task)
        assert isinstance(rule, TP)
        trainer = TPTrainer(module, rule, adam)
    start = time.perf_counter()
    fit(trainer, train, task.epochs, BATCH, Cosine(task.epochs), seed)
    seconds = time.perf_counter() - start
    return evaluate(module, test, BATCH), seconds


def _saved(network: Network, samples: Sequence[Sample]) -> tuple[int, ...]:
    """Numbers that PyTorch keeps for the backward pass of a batch; of all layers together."""
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
    """Largest resident size of this process; /proc, because getrusage takes the parent's along."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")
