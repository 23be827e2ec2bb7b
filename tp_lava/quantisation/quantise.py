"""quantise: from a float network to the weights and formats it is best held in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tp_lava.backends.layerwise import Batch
from tp_lava.checks import is_number, is_whole
from tp_lava.circuit.formats import FixedPoint, Formats, plan
from tp_lava.circuit.labels import check_label
from tp_lava.circuit.names import SCORE
from tp_lava.data.events import Events, Sample, check_events, check_samples
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.numbers import seed_key
from tp_lava.quantisation.report import LayerReport, QuantisationReport, measure
from tp_lava.quantisation.search import Search, SearchOptions
from tp_lava.ranges.checking import check_ranges as prove
from tp_lava.ranges.report import RangeReport
from tp_lava.rules import BaseRule
from tp_lava.rules.layer_rates import frozen


class QuantisationWarning(UserWarning):
    """A layer that fixed point silences or saturates, or that no calibration sample made spike."""


@dataclass(frozen=True)
class Quantised:
    """A network ready for fixed point: `Learner(network, rule, precision=fixed)`, `lava.run(network, rule, samples, fixed=fixed)`.

    network: its weights, biases and the rule's own parameters rounded to what will be held; fixed: bits and exponent of every
    connection, binary point of every membrane; report: what it has cost.
    """

    network: Network
    fixed: FixedPoint
    report: QuantisationReport


def quantise(
    network: Network,
    samples: Sequence[Events | Sample | tuple[Events, int]],
    *,
    weight_bits: int | Mapping[str, int] | Literal["search"] = 8,
    rule: BaseRule | None = None,
    freeze: Sequence[str] | str = (),
    room_to_learn: float | None = None,
    accept: float = 0.95,
    calibration: int = 32,
    seed: int = 0,
    check_ranges: bool = True,
) -> Quantised:
    """Choose every weight exponent and membrane binary point so that fixed point keeps the float network's spikes.

    For each connection, from the input on, the exponents around the one that just holds the largest weight are tried (smaller
    ones clip); kept is the one whose layer spikes most like the float layer, sum(a and b) / sum(a or b) over steps and
    neurons; of the readout the one with the least noise in the scores.

    samples: Events, or pairs with a label; those without labels say nothing of accuracy. weight_bits: 2..8, for all
    connections or by name (the others 8), or "search": the fewest of each connection that keep `accept`, in (0, 1], of the
    agreement that 8 bits give (readout: of the predictions). rule: by which it will learn on; freeze: layers that keep their weights
    then, as `finetune` is told; the weights it changes may grow to
    room_to_learn (>= 1, by default 2) times their largest, blank ones to what a Learner gives them; without a rule, room_to_learn
    holds for all. Room costs resolution: 2 is one bit. calibration: samples, drawn by seed, that the search looks at; the report
    looks at all. check_ranges: prove that every number fits, in samples as long as these, and say so in the report
    (docs/ranges.md).
    Warns (QuantisationWarning) of layers that fixed point silences or saturates, of those that never spiked at all, and of samples so
    long that scores could reach the end of their register, where they stay.
    Raises InvalidValueError, and NumberRangeError for what no exponent makes fit.
    """
    _check_options(network, rule, weight_bits, room_to_learn, accept, calibration)
    rule = _frozen(rule, network, freeze)
    events, labels = _checked_samples(network, samples)
    seed_key(seed)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(events))[:calibration])
    batch = Batch.of([events[index] for index in drawn])
    fixed = Search(network, batch, SearchOptions(weight_bits, rule, room_to_learn, accept)).run()
    formats = plan(network, rule, fixed)
    report = measure(network, formats, events, labels, rule)
    if check_ranges:
        report = replace(report, ranges=_proven(network, rule, fixed, max(sample.n_steps for sample in events)))
    for layer in report.layers:
        _warn(layer)
    own = rule.parameters(network) if rule else {}
    held = replace(network, weights=_held(network.weights, formats), rule_parameters={**network.rule_parameters, **_held(own, formats)})
    return Quantised(held, fixed, report)


def _frozen(rule: BaseRule | None, network: Network, freeze: Sequence[str] | str) -> BaseRule | None:
    """The rule that leaves these layers as they are."""
    if not freeze:
        return rule
    if rule is None:
        raise invalid("quantise", "freeze", repr(freeze)[:60], "left out without a rule", "give the rule by which it will learn on")
    return frozen(rule, network, freeze)


def _held(arrays: Mapping[str, np.ndarray], formats: Formats) -> dict[str, np.ndarray]:
    """Every array rounded to its format."""
    return {name: formats[name].real(formats[name].quantise(array)).astype(np.float32) for name, array in arrays.items()}


def _proven(network: Network, rule: BaseRule | None, fixed: FixedPoint, steps: int) -> RangeReport:
    """The proof for samples of so many steps. Scores saturate in every form, so what they could reach in the worst case is only told."""
    ranges = prove(network, rule, fixed, steps=steps, strict=False)
    if any(entry.name != SCORE for entry in ranges.problems):
        return ranges.check()
    for entry in ranges.problems:
        remedy = "beyond, scores stay at the end of their register; fewer weight_bits of the readout or a frozen one leave more room"
        warnings.warn(f"{entry.message} This is the worst case; {remedy}.", QuantisationWarning, stacklevel=3)
    return ranges


def _warn(layer: LayerReport) -> None:
    before, after = layer.spikes
    if before and not after:
        found = f"spikes {before} times in float and never in fixed point; give it more weight_bits, or train with smaller outliers"
    elif not before:
        found = "never spikes in float, so its exponents follow from the weights alone; calibrate with samples that reach it"
    elif layer.head_room < 0:
        found = "has membranes that saturate; use fewer weight_bits for it, whose coarser steps leave head-room, or smaller weights"
    else:
        return
    warnings.warn(f"{layer.name} {found}.", QuantisationWarning, stacklevel=3)


def _checked_samples(network: Network, samples: Any) -> tuple[list[Events], list[int | None]]:
    check_samples("quantise", samples, "give some that the network was trained on")
    pairs = [(sample, None) if isinstance(sample, Events) else sample for sample in samples]
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise invalid("quantise", "samples", f"of {type(pair).__name__}", "Events or (Events, label)", "make tpl.Events of them")
        check_events(pair[0], network.n_inputs, network.input_format)
    labels = [None if label is None else check_label(label, network.n_classes) for _, label in pairs]
    return [events for events, _ in pairs], labels


def _check_options(network: object, rule: object, weight_bits: object, room: object, accept: object, calibration: object) -> None:
    if not isinstance(network, Network):
        raise invalid("quantise", "network", repr(network)[:60], "a Network", "use learner.network or module.network()")
    if rule is not None and not isinstance(rule, BaseRule):
        raise invalid("quantise", "rule", repr(rule)[:60], "a rule or None", "use for example tpl.TP()")
    if not isinstance(weight_bits, Mapping) and weight_bits != "search" and not is_whole(weight_bits, 2, 9):
        found = repr(weight_bits)
        raise invalid("quantise", "weight_bits", found, 'an integer in 2..8, one for each name, or "search"', "8 is what Loihi holds")
    if room is not None and not is_number(room, 1):
        raise invalid("quantise", "room_to_learn", repr(room), "a number of at least 1", "2 lets weights double")
    if not is_number(accept) or not 0 < accept <= 1:  # type: ignore[operator]
        raise invalid("quantise", "accept", repr(accept), "a number in (0, 1]", "0.95 keeps 95 % of the agreement that 8 bits give")
    if not is_whole(calibration, 1):
        raise invalid("quantise", "calibration", repr(calibration), "a positive integer", "32 samples are usually enough")
