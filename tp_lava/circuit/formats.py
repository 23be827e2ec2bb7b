"""The fixed-point image of a network: which Format each number has. Users stay in physical units.

Every scale is a power of two. A weight is an 8-bit mantissa times 2**exponent, one exponent a connection;
the binary point of a membrane is put where the threshold uses about 14 bits and no weight loses one;
traces use 16 bits up to their largest value 1/(1-decay); rates scale the third factor, so any rate is
held to 13 bits although the learning engine itself only shifts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import names
from tp_lava.circuit.payloads import SPIKE, sent_format
from tp_lava.circuit.terms import Gain, LearningRule, StateRange, third_factor_of
from tp_lava.dynamics.parameters import Parameter, highest, is_per_neuron, lowest
from tp_lava.dynamics.readout import Readout
from tp_lava.errors import NumberRangeError, invalid
from tp_lava.graph.names import READOUT, READOUT_BIAS, of_rule
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.numbers import (
    RATE_BITS,
    REGISTER_BITS,
    SCORE_BITS,
    STATE_BITS,
    STOCK_TRACE_BITS,
    STOCK_WEIGHT_BITS,
    THIRD_FACTOR_BITS,
    THRESHOLD_BITS,
    TRACE_BITS,
    WEIGHT_BITS,
    Format,
    exponent_to_hold,
    quantise_decay,
)

Formats = Mapping[str, Format]
REAL: Formats = MappingProxyType({})  # no formats: a float network

RULE_WEIGHTS: set[str] = set()  # names of the connections that rules bring along; each rule adds its own
GROWTH = 2.0  # learned weights may grow to so many times their largest
THIRD_FACTOR_RANGE = 16.0  # of psi * sum(P * trace); suits traces of decay 0.98
KERNEL_GROWTH = 4.0  # those of kernels, of which few reach a unit
_STOCK_SHIFTS = 10  # bits that the learning engine can shift a product with a trace to the right: 7, and 3 that it always does
_RATE_HEADROOM_BITS = 3  # a rate may be raised eightfold while running

_FARTHEST_POINT = 63  # places of a binary point from a number's last bit


@dataclass(frozen=True)
class FixedPoint:
    """How a network is held in integers; what is left out is chosen from its weights and thresholds.

    weight_bits: 2..8, sign included, for all connections or by name; weight_exponents: connection -> e, weight = mantissa *
    2**e; membrane_frac: bits behind the membrane's binary point, for all hidden layers or by name ("hidden0");
    third_factor_range: psi * sum(P * trace) at which the 7-bit third factor saturates, for all hidden layers or by name (the others 16),
    see tp_lava.quantisation.measured_formats; stock: the weights into the first
    hidden layer are held as Lava's own learning engine holds them (see in_stock_engine). Raises InvalidValueError.
    """

    weight_bits: int | Mapping[str, int] = WEIGHT_BITS
    weight_exponents: Mapping[str, int] = field(default_factory=dict)
    membrane_frac: int | Mapping[str, int] | None = None
    third_factor_range: float | Mapping[str, float] = THIRD_FACTOR_RANGE
    stock: bool = False

    def __post_init__(self) -> None:
        for bits in self.weight_bits.values() if isinstance(self.weight_bits, Mapping) else [self.weight_bits]:
            if not is_whole(bits, 2, WEIGHT_BITS + 1):
                raise invalid("FixedPoint", "weight_bits", self.weight_bits, f"an integer in 2..{WEIGHT_BITS}", "8 is what Loihi holds")
        for attr in ("weight_exponents", "membrane_frac"):
            given = getattr(self, attr)
            for number in given.values() if isinstance(given, Mapping) else [] if given is None else [given]:
                if not is_whole(number, -_FARTHEST_POINT, _FARTHEST_POINT + 1):
                    limit = f"integers in -{_FARTHEST_POINT}..{_FARTHEST_POINT}"
                    raise invalid("FixedPoint", attr, repr(number)[:60], limit, "leave it out, and it is chosen from the weights")
        ranges = self.third_factor_range
        if not all(reach > 0 for reach in (ranges.values() if isinstance(ranges, Mapping) else [ranges])):
            raise invalid("FixedPoint", "third_factor_range", self.third_factor_range, "> 0", "16 suits traces of decay 0.98")

    def bits(self, name: str) -> int:
        """Weight bits of a connection."""
        return self.weight_bits.get(name, WEIGHT_BITS) if isinstance(self.weight_bits, Mapping) else self.weight_bits

    def frac(self, name: str) -> int | None:
        """The membrane's binary point in hidden layer `name`, if it was given."""
        return self.membrane_frac.get(name) if isinstance(self.membrane_frac, Mapping) else self.membrane_frac

    def reach(self, name: str) -> float:
        """Where the third factors of hidden layer `name` saturate, before their rate."""
        ranges = self.third_factor_range
        return ranges.get(name, THIRD_FACTOR_RANGE) if isinstance(ranges, Mapping) else ranges

    def resolved(self, network: Network, rule: LearningRule | None = None) -> FixedPoint:
        """These options with every weight exponent decided, so that they hold while the weights change."""
        return replace(self, weight_exponents=weight_exponents(network, rule, self))


def own_fixed_point(network: Network) -> FixedPoint:
    """The formats in which a network's source holds its integers, or to which it was quantised; FixedPoint() where there are none, or
    where its weights have left them since.
    """
    kept = network.provenance.fixed if network.provenance else None
    if not isinstance(kept, FixedPoint):
        return FixedPoint()
    for name, exponent in kept.weight_exponents.items():
        if name in network.weights:
            format, weights = Format(kept.bits(name), -exponent), network.weights[name]
            if (np.abs(format.real(format.quantise(weights)) - weights) > format.resolution).any():
                return FixedPoint()
    return kept


def weight_exponents(network: Network, rule: LearningRule | None, options: FixedPoint) -> dict[str, int]:
    """Exponent of each connection: the given one, or the smallest that leaves the weights room to grow.

    Given ones of a rule's own connections stay, whatever the rule, so that options suit every rule.
    """
    weights = _weights(network, rule)
    populations = [population.name for population in network.populations]
    _check_names(options, weights, populations)
    wanted = {name: exponent_to_hold(_range(name, array, network, rule), options.bits(name)) for name, array in weights.items()}
    return wanted | dict(options.weight_exponents)


def _check_names(options: FixedPoint, weights: Iterable[str], populations: Sequence[str]) -> None:
    """Refuse options for what is not there. Those for weights that another rule would bring along are left alone."""
    connections = list(dict.fromkeys([*weights, *RULE_WEIGHTS]))
    of_rules = [of_rule(name, population) for name in RULE_WEIGHTS for population in populations]
    for attr, known, others in (
        ("weight_exponents", connections, of_rules),
        ("weight_bits", connections, of_rules),
        ("membrane_frac", populations, ()),
        ("third_factor_range", populations, ()),
    ):
        given = getattr(options, attr)
        unknown = sorted(set(given).difference(known, others)) if isinstance(given, Mapping) else []
        if unknown:
            raise invalid("FixedPoint", attr, unknown, f"for names among {list(known)}", "rename them")


def _weights(network: Network, rule: LearningRule | None) -> dict[str, np.ndarray]:
    """Weights of all connections, the rule's own among them."""
    weights = {name: array for name, array in network.weights.items() if not network.is_bias(name)}
    return weights | (dict(rule.parameters(network)) if rule else {})


def plan(network: Network, rule: LearningRule | None, options: FixedPoint, batch_size: int = 1) -> Formats:
    """The format of every buffer of a circuit, by buffer name.

    batch_size: samples learned together (the rate is shared out among them). Raises NumberRangeError, naming layer,
    value, limit and remedy, for what does not fit.
    """
    formats = {name: Format(options.bits(name), -exponent) for name, exponent in weight_exponents(network, rule, options).items()}
    own = rule.connections(network) if rule else ()
    formats |= {names.of(c.name, "input"): _sum_format(formats[c.name], 1) for c in own}  # one label at a time
    for population in network.populations:
        formats |= _population_formats(network, population, own, formats, options)
    if network.readout_decay < 1:
        quantise_decay(network.readout_decay, "Network.readout_decay")
    sent = sent_format(network, network.readout.pre)
    formats[names.SCORE] = Format(SCORE_BITS, formats[READOUT].frac + sent.frac)
    formats[READOUT_BIAS] = Format(STATE_BITS, formats[READOUT].frac + sent.frac)
    formats[names.of(READOUT, "input")] = _sum_format(formats[READOUT], network.readout.kind.fan_in, sent)
    if rule is not None:
        formats |= _rule_formats(network, rule, options, batch_size)
    return in_stock_engine(formats, network, rule) if options.stock else MappingProxyType(formats)


def _rule_formats(network: Network, rule: LearningRule, options: FixedPoint, batch_size: int) -> dict[str, Format]:
    formats: dict[str, Format] = {}
    owners = {third_factor_of(population, term): population.name for population in network.populations for term in rule.terms}
    for name, gain in rule.gains(network).items():
        formats |= _third_factor_formats(name, gain, batch_size, options.reach(owners.get(name, name)))
    for name, decay in rule.decays().items():
        quantise_decay(decay, f"{type(rule).__name__}.{name}")
    formats |= {name: _state_format(name, state) for name, state in rule.states(network).items()}
    if isinstance(rule.readout, Readout):
        if rule.readout.decay < 1:
            quantise_decay(rule.readout.decay, "Readout")
        formats[names.READOUT_COUNT] = replace(sent_format(network, network.readout.pre), bits=TRACE_BITS)
        formats[names.of(READOUT, "gain")] = scale_format(1 / rule.readout.temperature)
    return formats


def in_stock_engine(formats: Mapping[str, Format], network: Network, rule: LearningRule | None) -> Formats:
    """The formats where Lava's own learning engine holds the weights of the first hidden layer.

    Its weights have one bit more than ours, half our resolution, and start on ours; its third factors are whole units of
    them: it would round all synapses of a step by one random number, so the neuron rounds, and leaves it nothing to
    round. Then it adds and saturates as ours does, but for one value: at -256 where ours stops at -255.
    A third factor that meets a trace leaves something to round; it is as fine as the engine's shifts reach.
    """
    population, weights = network.populations[0].name, first_weights(network)
    arriving, fine = names.of(population, "input"), formats[weights].frac + 1
    membrane = formats[names.of(population, "membrane")]
    if membrane.frac < fine:
        raise NumberRangeError(
            f"{population}: membrane_frac is {membrane.frac}, but the learning engine's weights have {fine} fractional bits; "
            f"use membrane_frac >= {fine}.",
            obj=population,
            attr="membrane_frac",
        )
    held = {weights: Format(STOCK_WEIGHT_BITS, fine), arriving: Format(formats[arriving].bits + 1, fine)}
    traced = rule is not None and rule.keeps_pre_trace
    for term in (t for t in (rule.terms if rule else ()) if t.pre != "one"):
        name = names.of(third_factor_of(population, term), "third_factor")
        held[name] = Format(THIRD_FACTOR_BITS - traced, fine)  # beside a trace, its rail is offset
        if traced and term.pre == "trace" and name in formats:
            assert rule is not None
            finest = fine - stock_trace_frac(rule.pre_decay) + _STOCK_SHIFTS
            held[name] = Format(THIRD_FACTOR_BITS, min(formats[name].frac, finest))
    return MappingProxyType({**formats, **held})


def first_weights(network: Network) -> str:
    """Name of the weights into the first hidden population."""
    return network.into(network.populations[0])[0].name


def stock_trace_frac(decay: float) -> int:
    """Bits behind the binary point of the learning engine's 7-bit trace, which is largest in the middle of an epoch of two steps."""
    high = 2**STOCK_TRACE_BITS - 1
    frac = math.floor(math.log2(high * (1.0 - decay) * math.sqrt(decay)))
    if frac < 0:
        raise NumberRangeError(
            f"TESS: pre_decay is {decay}, a trace of up to {1 / (1 - decay):.0f}, but the learning engine's holds {high}; use a smaller "
            "pre_decay, or layers=True.",
            obj="TESS",
            attr="pre_decay",
        )
    return frac


def start_weights(network: Network, options: FixedPoint | None) -> Mapping[str, np.ndarray]:
    """The weights a fixed-point network starts with, physical, before they are rounded to their formats.

    Lava's own learning engine takes 8-bit weights at first, whatever it makes of them later. options: resolved.
    """
    if options is None or not options.stock:
        return network.weights
    name = first_weights(network)
    first = Format(options.bits(name), -options.weight_exponents[name])
    return {**network.weights, name: first.real(first.quantise(network.weights[name]))}


def _range(name: str, weights: np.ndarray, network: Network, rule: LearningRule | None) -> float:
    """The largest weight to be held: room to grow for those that learn, about a quarter of a threshold for blank layers.

    Kernels that learn get as much as a threshold.
    """
    largest = max(float(abs(weights).max(initial=0.0)), 2.0**-20)
    high = Format(WEIGHT_BITS, 0).high
    if name not in network.weights:
        return largest * (GROWTH if rule and rule.trains(name) else 1.0)
    if name == READOUT:
        return max(GROWTH * largest, high / 128)
    post = network.connection(name).post
    threshold = highest(network.population(post).neuron.threshold)
    if network.connection(name).kind.by_place and rule is not None and rule.rates(network)[post] > 0:
        return max(KERNEL_GROWTH * largest, threshold * high / 128)
    return max(GROWTH * largest, threshold / 4 * high / 128)


def _population_formats(
    network: Network, population: Population, own: tuple[Connection, ...], formats: Mapping[str, Format], options: FixedPoint
) -> dict[str, Format]:
    """Of a population's membrane, trace, biases and arriving sums. own: connections of the rule."""
    name, neuron = population.name, population.neuron
    for attr, decay in (("decay", neuron.decay), ("current_decay", neuron.current_decay), ("trace_decay", population.trace_decay)):
        if attr != "decay" or neuron.leaks:
            quantise_decay(highest(decay), f"{name}.{attr}")
    sums = {
        names.of(name, names.arriving_at(c, network)): _sum_format(formats[c.name], c.kind.fan_in, sent_format(network, c.pre))
        for c in network.into(population)
    }
    finest = max(format.frac for format in (*sums.values(), *(formats[c.name] for c in own if c.post == name)))
    given = options.frac(name)
    frac = max(THRESHOLD_BITS - math.ceil(math.log2(highest(neuron.threshold))), finest) if given is None else given
    membrane = Format(STATE_BITS, frac)
    _check_membrane(name, max(highest(neuron.threshold), highest(neuron.reset_by or 0.0) / 2), membrane, finest)
    if is_per_neuron(neuron.threshold):
        _check_membrane(name, lowest(neuron.threshold), membrane, finest)
    trace = _trace_format(sent_format(network, name).largest, population.trace_decay)
    held = {names.of(name, "membrane"): membrane, names.of(name, "trace"): trace, population.bias: membrane}
    if neuron.adapts:
        quantise_decay(highest(neuron.adaptation_decay), f"{name}.adaptation_decay")
        held[names.of(name, "adaptation")] = scale_format(highest(neuron.adaptation))
        held[names.of(name, "adaptation_trace")] = _trace_format(SPIKE.largest, neuron.adaptation_decay)
    return held | sums


def _trace_format(event: float, decay: Parameter) -> Format:
    """Of a trace of events of this largest value: as fine as its largest value leaves room for."""
    return Format(TRACE_BITS, TRACE_BITS - _whole_bits(event / (1.0 - highest(decay))), signed=False)


def _check_membrane(name: str, threshold: float, membrane: Format, finest: int) -> None:
    if membrane.frac < finest:
        raise NumberRangeError(
            f"{name}: membrane_frac is {membrane.frac}, but its weights have {finest} fractional bits that would be lost; "
            f"use membrane_frac >= {finest} or a larger weight exponent.",
            obj=name,
            attr="membrane_frac",
        )
    if threshold * 2 > membrane.largest or threshold < membrane.resolution:
        raise NumberRangeError(
            f"{name}: threshold is {threshold}, but a {membrane.bits}-bit membrane with {membrane.frac} fractional bits holds "
            f"{membrane.resolution:g} to {membrane.largest:g} and needs twice the threshold; "
            f"use membrane_frac <= {STATE_BITS - 2 - math.ceil(math.log2(threshold))}, "
            f"or a weight exponent (now {-finest}) nearer to the threshold.",
            obj=name,
            attr="threshold",
        )


def _sum_format(weight: Format, fan_in: int, sent: Format = SPIKE) -> Format:
    """The accumulator of a connection: room for every input at once, each with its largest value."""
    return Format(weight.bits + (fan_in * sent.high).bit_length(), weight.frac + sent.frac)


def scale_format(value: float) -> Format:
    """A factor to 13 bits, with head-room to be raised eightfold while running."""
    octave = -math.floor(math.log2(abs(value)))
    return Format(RATE_BITS, RATE_BITS - 1 - _RATE_HEADROOM_BITS + octave, signed=value < 0)


def _third_factor_formats(name: str, gain: Gain, batch_size: int, third_factor_range: float) -> dict[str, Format]:
    """Formats of a rate and of the third factor it scales (7 bits and sign)."""
    value = gain.rate * gain.factor / batch_size
    if value == 0:
        return {}
    largest = abs(value) * (gain.largest or third_factor_range)
    result = Format(THIRD_FACTOR_BITS, -exponent_to_hold(largest, THIRD_FACTOR_BITS))
    return {names.of(name, "rate"): scale_format(value), names.of(name, "third_factor"): result}


def change_format(third_factor: Format, trace: Format | None = None) -> Format:
    """Of the changes summed up for a weight: the third factor's binary point, or that of its product with a trace."""
    if trace is None:
        return Format(STATE_BITS, third_factor.frac)
    return Format(REGISTER_BITS - 1, third_factor.frac + trace.frac)


def _state_format(name: str, state: StateRange) -> Format:
    bits = state.bits - state.signed
    frac = bits - _whole_bits(state.largest)
    if frac < 0:
        raise NumberRangeError(
            f"{name}: reaches {state.largest:.0f}, {state.bits} bits hold {2**bits - 1}; use a smaller decay.", obj=name, attr="decay"
        )
    return Format(state.bits, frac, signed=state.signed)


def _whole_bits(largest: float) -> int:
    return math.floor(math.log2(largest)) + 1
