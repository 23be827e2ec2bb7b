"""What a Learner is given, refused where it cannot be meant."""

from __future__ import annotations

from collections.abc import Sequence

from tp_lava.circuit.formats import FixedPoint
from tp_lava.data.events import Sample
from tp_lava.data.recordings import Recordings
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.rules import BaseRule


def check_samples(obj: str, samples: Sequence[Sample]) -> None:
    """Refuse no samples, and what holds samples but is none. obj: what was called."""
    if isinstance(samples, Recordings):
        found = f"Recordings: {len(samples.samples)} samples, and who spoke them"
        raise invalid(obj, "samples", found, "a sequence of samples", "give recordings.samples, for example from_shd(file).samples")
    if len(samples) == 0:
        raise invalid(obj, "samples", "empty", "at least one sample", "check where they come from")


def check_arguments(network: object, rule: object, precision: object) -> None:
    """Refuse what is no network, rule or precision."""
    if not isinstance(network, Network):
        raise invalid("Learner", "network", repr(network)[:60], "a Network", "make one with tpl.Network.dense(...)")
    if rule is not None and not isinstance(rule, BaseRule):
        raise invalid("Learner", "rule", repr(rule)[:60], "a rule or None", "use for example tpl.TP()")
    if not isinstance(precision, FixedPoint) and precision not in ("float", "fixed"):
        remedy = 'use precision="fixed" for integers'
        raise invalid("Learner", "precision", repr(precision), '"float", "fixed" or tpl.FixedPoint(...)', remedy)
