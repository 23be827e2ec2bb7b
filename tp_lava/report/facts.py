"""Facts of a report: everything on the page, computed once."""

from __future__ import annotations

import platform
from collections.abc import Mapping as Named
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from tp_lava.circuit.formats import FixedPoint, plan
from tp_lava.data.events import Sample, check_samples
from tp_lava.deploy.loihi2 import Costs, Counts, Estimate, Limits, Mapping, Remembered, count, estimate, learning_memory, map_network
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.liveness import Finding, check_liveness
from tp_lava.outcome import Outcome
from tp_lava.quantisation.report import QuantisationReport, measure
from tp_lava.ranges import LOIHI, RangeReport, check_ranges
from tp_lava.rules import BaseRule

_PACKAGES = ("tp-lava", "numpy", "numba", "matplotlib", "jinja2", "lava-nc")


@dataclass(frozen=True)
class Facts:
    """The contents of a report.

    name: of the model; accuracy: (float, fixed) of `tested` samples, the first of `available`; inference, learning: operations
    counted, learning None without a rule; alive: what does not learn, see tp_lava.liveness; held: connection -> (weights in
    float, weights in fixed point); shown: outcome of the first sample, of class shown_label.
    """

    name: str
    network: Network
    rule: BaseRule | None
    fixed: FixedPoint
    mapping: Mapping
    quantised: QuantisationReport
    ranges: RangeReport
    accuracy: tuple[float, float]
    tested: int
    inference: Counts
    learning: Counts | None
    estimates: tuple[Estimate, ...]
    memory: tuple[Remembered, ...]
    alive: tuple[Finding, ...]
    held: Named[str, tuple[np.ndarray, np.ndarray]] = field(repr=False)
    shown: Outcome = field(repr=False)
    shown_label: int
    board_asked: bool = False
    available: int = 0
    made_by: Named[str, Any] = field(default_factory=dict)
    versions: Named[str, str] = field(default_factory=dict)

    @property
    def which_tested(self) -> str:
        """The samples that the accuracy is of: how many, and of how many where these are not all."""
        return f"{self.tested:,} samples" if self.tested >= self.available else f"the first {self.tested:,} of {self.available:,} samples"

    @property
    def rule_name(self) -> str:
        """A short name."""
        return self.rule.label if self.rule else "no rule: inference"


def _named(network: Network, class_names: Sequence[str]) -> Network:
    return replace(network, class_names=tuple(class_names)) if class_names and not network.class_names else network


def gather(
    model: Network | Learner,
    samples: Sequence[Sample],
    *,
    name: str = "network",
    rule: BaseRule | None = None,
    fixed: FixedPoint | None = None,
    seed: int = 0,
    counted: int = 10,
    board: str | None = None,
    limits: Limits | None = None,
    costs: Costs | None = None,
    made_by: Named[str, Any] | None = None,
    available: int | None = None,
    class_names: Sequence[str] = (),
) -> Facts:
    """Compute everything about a model on samples. The model is not changed.

    model, rule, fixed, seed, board, limits, costs: as for map_network, Learner and estimate; counted: samples whose operations are counted;
    made_by: options to print; available: so many samples there are; class_names: where the network has none. Raises InvalidValueError.
    """
    check_samples("report", samples)
    mapping, steps = map_network(model, rule, fixed, limits, board), max(sample[0].n_steps for sample in samples)
    learner = model.copy() if isinstance(model, Learner) else Learner(model, rule, mapping.fixed, seed)
    network = _named(learner.network if isinstance(model, Learner) else model, class_names)
    inference, learning = _counts(learner, samples[:counted])
    return Facts(
        name=name,
        network=network,
        rule=learner.rule,
        fixed=mapping.fixed,
        mapping=mapping,
        quantised=measure(network, plan(network, None, mapping.fixed), [e for e, _ in samples], [label for _, label in samples]),
        accuracy=(Learner(network, learner.rule, "float", seed).evaluate(samples), learner.evaluate(samples)),
        tested=len(samples),
        inference=inference,
        learning=learning,
        estimates=tuple(estimate(mapping, counts, costs) for counts in (inference, learning) if counts),
        memory=learning_memory(network, learner.rule, steps),
        alive=check_liveness(learner, samples),
        held=_held(learner, network),
        shown=learner.infer(samples[0][0], record=True),
        shown_label=samples[0][1],
        board_asked=board is not None,
        available=len(samples) if available is None else available,
        ranges=check_ranges(model, rule, fixed, steps=steps, limits=LOIHI, strict=False),
        made_by=dict(made_by or {}),
        versions=versions(),
    )


def _counts(learner: Learner, samples: Sequence[Sample]) -> tuple[Counts, Counts | None]:
    """Operations of inference and, where it has a rule, of learning."""
    return count(learner, samples, learning=False), count(learner, samples) if learner.rule else None


def _held(learner: Learner, network: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """See Facts; network: where the learner starts."""
    started = {**network.weights, **(learner.rule.parameters(network) if learner.rule else {})}
    return {name: (started[name], array) for name, array in learner.weights.items() if not network.is_bias(name)}


def versions() -> dict[str, str]:
    """Versions of the packages that computed the report."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
