"""NeuroBench's harness and metrics around a continual learner: new words in sessions of a few samples, see tp_lava.incremental.

    uv pip install neurobench snntorch
    uv run python tools/neurobench_harness.py --recordings speech_commands.npz

Harness (version 2.3): its Benchmark runs the queries so far after each session, with its ClassificationAccuracy, ParameterCount and
Footprint. Beside these stand metrics of ours for what it has none of: what learning cost since the base was learned.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.abstract import StaticMetric
from neurobench.metrics.static import Footprint, ParameterCount
from neurobench.metrics.workload import ClassificationAccuracy
from neurobench.models import NeuroBenchModel
from torch.utils.data import DataLoader, TensorDataset

import tp_lava as tpl
from tp_lava.incremental import Settings, Split, class_incremental
from tp_lava.incremental.learners import METHODS, ContinualLearner
from tp_lava.incremental.running import spoken
from tp_lava.torch import SpikingNetwork, dense

BATCH = 64


class ContinualModel(NeuroBenchModel):
    """What the harness sees of a continual learner: predictions (B,) for spikes (B, T, n), and its parameters as a module."""

    def __init__(self, continual: tpl.Continual) -> None:
        super().__init__()
        self.continual = continual

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Predictions."""
        outcomes = [self.continual.infer(tpl.Events.from_dense(spikes.numpy() > 0)) for spikes in batch]
        return torch.tensor([outcome.prediction for outcome in outcomes])

    def __net__(self) -> torch.nn.Module:
        return SpikingNetwork(self.continual.learner.network)


class _Cost(StaticMetric):
    """A count of tpl.Cost."""

    name = ""

    def __call__(self, model: ContinualModel) -> float:
        return float(getattr(model.continual.cost, self.name))


class WeightUpdates(_Cost):
    """Weights changed, one by one."""

    name = "weight_updates"


class Presentations(_Cost):
    """Samples presented to learn, with and without their label, replayed ones among them."""

    name = "presentations"


class ReplayBytes(_Cost):
    """Compressed samples held to be replayed."""

    name = "replay_bytes"


METRICS = [[ParameterCount, Footprint, WeightUpdates, Presentations, ReplayBytes], [ClassificationAccuracy]]


def loader(samples: Sequence[tpl.Sample]) -> DataLoader:
    """Spikes (N, T, n) and labels, in batches."""
    spikes = dense([sample.events for sample in samples]).transpose(0, 1)
    return DataLoader(TensorDataset(spikes, torch.tensor([sample.label for sample in samples])), batch_size=BATCH)


def harnessed(split: Split, settings: Settings, seed: int = 0) -> list[dict[str, Any]]:
    """NeuroBench's results after the base and after each session."""
    student = settings.learner_for(METHODS[0], settings.base(split, seed), split.base)
    assert isinstance(student, ContinualLearner)
    rows, queries = [], list(split.base.queries)
    for number, stage in enumerate(split.stages):
        if number:
            student.learn(stage)
            queries += stage.queries
        rows.append(Benchmark(ContinualModel(student.continual), loader(queries), [], [], METRICS).run(quiet=True))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for row in harnessed(class_incremental(spoken(given.recordings), given.seed), Settings(), given.seed):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
