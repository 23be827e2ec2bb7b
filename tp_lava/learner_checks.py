"""What a Learner is given, refused where it cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tp_lava.checks import is_whole
from tp_lava.circuit.formats import FixedPoint
from tp_lava.circuit.labels import check_label
from tp_lava.data.events import Events, check_events
from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.rules import BaseRule


def checked_in_order(network: Network, samples: Sequence[tuple[Events, int]], order: Iterable[int]) -> Iterator[tuple[Events, int]]:
    """Samples in an order, each checked when it is asked for: what is as usual without a call, which would take as long as a step."""
    n_inputs, format, n_classes = network.n_inputs, network.input_format, network.n_classes
    for number in order:
        try:
            events, label = samples[number]
        except (TypeError, ValueError):
            found = type(samples[number]).__name__
            raise invalid("sample", f"number {number}", f"of type {found}", "a pair (Events, label)", "give both, in this order") from None
        if type(events) is not Events or events.n_units != n_inputs or events.values is not None:
            check_events(events, n_inputs, format)
        usual = type(label) is int and 0 <= label < n_classes
        yield events, label if usual else check_label(label, n_classes)


def check_epochs(batch: object, epochs: object) -> None:
    """Refuse what is no number of samples learned together, or of epochs."""
    for attr, value, least, remedy in (("batch", batch, 1, "1 learns sample by sample"), ("epochs", epochs, 0, "give their number")):
        if not is_whole(value, least):
            raise invalid("fit", attr, repr(value), f"an integer of at least {least}", remedy)


def check_batch(events: Sequence[Events], labels: Sequence[int]) -> None:
    """Refuse samples that are no batch."""
    if len(events) != len(labels) or len(events) < 2:
        found = f"{len(events)} samples and {len(labels)} labels"
        raise invalid("learn_batch", "events", found, "at least two samples and a label for each", "use learn for one sample")


def check_endless(obj: str, network: Network, rule: BaseRule | None) -> None:
    """Refuse a rule, by name, that needs the end or the length of a sample. obj: what has neither."""
    if rule is None:
        return
    readout = rule.readout if isinstance(rule.readout, Readout) and (rule.learns_readout or rule.credit.needs_readout_error) else None
    name, integral = type(rule).__name__, 'a potential that leaks: readout=tpl.Readout(decay=0.98, features="trace")'
    refused = (
        (rule.update == "sequence", "update", "sequence", 'update="step"'),
        (rule.learn_last is not None, "learn_last", rule.learn_last, "learn_last=None"),
        (readout and readout.learn_last is not None, "readout.learn_last", readout and readout.learn_last, "learn_last=None"),
        (readout and readout.decay == 1 and network.readout_decay == 1, "readout.decay", 1, integral),
        (readout and readout.normalised, "readout.normalised", True, "normalised=False"),
        (readout and readout.features == "count", "readout.features", "count", 'features="trace"'),
    )
    for is_so, attr, found, remedy in refused:
        if is_so:
            limit = "what needs neither a sample's end nor its length, of which a stream has none"
            raise invalid(obj, f"rule.{attr}", f"{found!r} of {name}", limit, f"use {remedy}")


def check_arguments(network: object, rule: object, precision: object) -> None:
    """Refuse what is no network, rule or precision."""
    if not isinstance(network, Network):
        raise invalid("Learner", "network", repr(network)[:60], "a Network", "make one with tpl.Network.dense(...)")
    if rule is not None and not isinstance(rule, BaseRule):
        raise invalid("Learner", "rule", repr(rule)[:60], "a rule or None", "use for example tpl.TP()")
    if not isinstance(precision, FixedPoint) and precision not in ("float", "fixed"):
        remedy = 'use precision="fixed" for integers'
        raise invalid("Learner", "precision", repr(precision), '"float", "fixed" or tpl.FixedPoint(...)', remedy)
