"""The fixed-point image of a network: which Format each number has. Users stay in physical units.

Every scale is a power of two. A weight is an 8-bit mantissa times 2**exponent, one exponent a connection;
the binary point of a membrane is put where the threshold uses about 14 bits and no weight loses one;
traces use 16 bits up to their largest value 1/(1-decay); rates scale the third factor, so any rate is
held to 13 bits although the learning engine itself only shifts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import NumberRangeError, invalid
from tp_lava.network import Layer, Network, is_bias
from tp_lava.numbers import (
    RATE_BITS,
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
from tp_lava.readouts import Readout
from tp_lava.rules import Gain, Rule, TraceRange

Formats = Mapping[str, Format]
REAL: Formats = MappingProxyType({})  # no formats: a float network

_GROWTH = 2.0  # learned weights may grow to so many times their largest
_STOCK_SHIFTS = 10  # bits that the learning engine can shift a product with a trace to the right: 7, and 3 that it always does
_RATE_HEADROOM_BITS = 3  # a rate may be raised eightfold while running


@dataclass(frozen=True)
class FixedPoint:
    """How a network is held in integers; what is left out is chosen from its weights and thresholds.

    weight_bits: 2..8, sign included, for all connections or by name; weight_exponents: connection -> e, weight = mantissa *
    2**e; membrane_frac: bits behind the membrane's binary point, for all hidden layers or by name ("hidden0");
    third_factor_range: psi * sum(P * trace) at which the 7-bit third factor saturates; stock: the weights into the first
    hidden layer are held as Lava's own learning engine holds them (see in_stock_engine). Raises InvalidValueError.
    """

    weight_bits: int | Mapping[str, int] = WEIGHT_BITS
    weight_exponents: Mapping[str, int] = field(default_factory=dict)
    membrane_frac: int | Mapping[str, int] | None = None
    third_factor_range: float = 16.0
    stock: bool = False

    def __post_init__(self) -> None:
        for bits in self.weight_bits.values() if isinstance(self.weight_bits, Mapping) else [self.weight_bits]:
            if not is_whole(bits, 2, WEIGHT_BITS + 1):
                raise invalid("FixedPoint", "weight_bits", self.weight_bits, f"an integer in 2..{WEIGHT_BITS}", "8 is what Loihi holds")
        if not self.third_factor_range > 0:
            raise invalid("FixedPoint", "third_factor_range", self.third_factor_range, "> 0", "16 suits traces of decay 0.98")

    def bits(self, name: str) -> int:
        """Weight bits of a connection."""
        return self.weight_bits.get(name, WEIGHT_BITS) if isinstance(self.weight_bits, Mapping) else self.weight_bits

    def frac(self, name: str) -> int | None:
        """The membrane's binary point in hidden layer `name`, if it was given."""
        return self.membrane_frac.get(name) if isinstance(self.membrane_frac, Mapping) else self.membrane_frac

    def resolved(self, network: Network, rule: Rule | None = None) -> FixedPoint:
        """These options with every weight exponent decided, so that they hold while the weights change."""
        return replace(self, weight_exponents=weight_exponents(network, rule, self))


def weight_exponents(network: Network, rule: Rule | None, options: FixedPoint) -> dict[str, int]:
    """Exponent of each connection: the given one, or the smallest that leaves the weights room to grow."""
    names = [name for name in network.weights if not is_bias(name)]
    layers = [f"hidden{number}" for number in range(len(network.layers))]
    for attr, known in (("weight_exponents", names), ("weight_bits", names), ("membrane_frac", layers)):
        given = getattr(options, attr)
        unknown = sorted(set(given) - set(known)) if isinstance(given, Mapping) else []
        if unknown:
            raise invalid("FixedPoint", attr, unknown, f"for names among {known}", "rename them")
    wanted = {name: exponent_to_hold(_range(name, network, rule), options.bits(name)) for name in names}
    return wanted | dict(options.weight_exponents)


def plan(network: Network, rule: Rule | None, options: FixedPoint, students: int = 1) -> Formats:
    """The format of every buffer of a circuit, by buffer name.

    students: samples a batch holds (the rate is shared out among them). Raises NumberRangeError, naming layer,
    value, limit and remedy, for what does not fit.
    """
    formats = {name: Format(options.bits(name), -exponent) for name, exponent in weight_exponents(network, rule, options).items()}
    for number, layer in enumerate(network.layers):
        fan_in = layer.connection.synapses().fan_in if layer.connection else network.sizes[number]
        formats |= _layer_formats(number, layer, fan_in, formats, options)
    if network.readout_decay < 1:
        quantise_decay(network.readout_decay, "Network.readout_decay")
    formats["score"] = Format(SCORE_BITS, formats["readout"].frac)
    formats["readout_bias"] = Format(STATE_BITS, formats["readout"].frac)
    formats["readout_input"] = _sum_format(formats["readout"], network.sizes[-2])
    formats["label_trace"] = formats["hidden0_trace"]
    formats["target0_input"] = _sum_format(formats["target"], 1)
    if rule is not None:
        for name, gain in rule.gains(network).items():
            formats |= _third_formats(name, gain, students, options.third_factor_range)
        for name, decay in rule.decays().items():
            quantise_decay(decay, f"{type(rule).__name__}.{name}")
        formats |= {name: _trace_format(name, trace) for name, trace in rule.traces(network).items()}
        if isinstance(rule.readout, Readout):
            if rule.readout.decay < 1:
                quantise_decay(rule.readout.decay, "Readout")
            formats |= {"readout_count": Format(TRACE_BITS, 0, signed=False), "readout_gain": scale_format(1 / rule.readout.temperature)}
    return in_stock_engine(formats, rule) if options.stock else MappingProxyType(formats)


def in_stock_engine(formats: Mapping[str, Format], rule: Rule | None) -> Formats:
    """The formats where Lava's own learning engine holds the weights of the first hidden layer.

    Its weights have one bit more than ours, half our resolution, and start on ours; its third factors are whole units of
    them: it would round all synapses of a step by one random number, so the neuron rounds, and leaves it nothing to
    round. Then it adds and saturates as ours does, but for one value: at -256 where ours stops at -255.
    TESS's causal factor meets a trace, so there is something to round; it is as fine as the engine's shifts reach.
    """
    fine = formats["hidden0"].frac + 1
    membrane = formats["hidden0_membrane"]
    if membrane.frac < fine:
        raise NumberRangeError(
            f"hidden0: membrane_frac is {membrane.frac}, but the learning engine's weights have {fine} fractional bits; "
            f"use membrane_frac >= {fine}.",
            obj="hidden0",
            attr="membrane_frac",
        )
    held = {"hidden0": Format(STOCK_WEIGHT_BITS, fine), "hidden0_input": Format(formats["hidden0_input"].bits + 1, fine)}
    held |= dict.fromkeys(("hidden0_third", "hidden0_causal_third", "hidden0_acausal_third"), Format(THIRD_FACTOR_BITS, fine))
    if rule and rule.pre_trace_decay > 0 and "hidden0_causal_third" in formats:
        finest = fine - stock_trace_frac(rule.pre_trace_decay) + _STOCK_SHIFTS
        held["hidden0_causal_third"] = Format(THIRD_FACTOR_BITS, min(formats["hidden0_causal_third"].frac, finest))
        held["hidden0_acausal_third"] = Format(THIRD_FACTOR_BITS - 1, fine)  # its rail is offset
    return MappingProxyType({**formats, **held})


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
    first = Format(options.bits("hidden0"), -options.weight_exponents["hidden0"])
    return {**network.weights, "hidden0": first.real(first.quantise(network.weights["hidden0"]))}


def _range(name: str, network: Network, rule: Rule | None) -> float:
    """The largest weight to be held: room to grow for those that learn, about a quarter of a threshold for blank layers."""
    largest = max(float(abs(network.weights[name]).max(initial=0.0)), 2.0**-20)
    high = Format(WEIGHT_BITS, 0).high
    if name == "target":
        return largest * (_GROWTH if rule and rule.train_target else 1.0)
    if name == "readout":
        return max(_GROWTH * largest, high / 128)
    layer = network.layers[int(name.removeprefix("hidden").removeprefix("recurrent"))]
    return max(_GROWTH * largest, layer.neuron.threshold / 4 * high / 128)


def _layer_formats(number: int, layer: Layer, fan_in: int, formats: Formats, options: FixedPoint) -> dict[str, Format]:
    name, threshold = f"hidden{number}", layer.neuron.threshold
    for attr, decay in (("decay", layer.neuron.decay), ("current_decay", layer.neuron.current_decay), ("trace_decay", layer.trace_decay)):
        if attr != "decay" or decay < 1:
            quantise_decay(decay, f"{name}.{attr}")
    sums = {f"{name}_input": _sum_format(formats[name], fan_in)}
    if layer.recurrent:
        sums[f"{name}_feedback"] = _sum_format(formats[f"recurrent{number}"], layer.size)
    finest = max(format.frac for format in (*sums.values(), *((formats["target"],) if number == 0 else ())))
    given = options.frac(name)
    frac = max(THRESHOLD_BITS - math.ceil(math.log2(threshold)), finest) if given is None else given
    membrane = Format(STATE_BITS, frac)
    _check_membrane(name, max(threshold, (layer.neuron.reset_by or 0.0) / 2), membrane, finest)
    trace = Format(TRACE_BITS, TRACE_BITS - _whole_bits(1.0 / (1.0 - layer.trace_decay)), signed=False)
    planned = {f"{name}_membrane": membrane, f"{name}_trace": trace, f"bias{number}": membrane}
    return planned | sums


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


def _sum_format(weight: Format, fan_in: int) -> Format:
    """The accumulator of a connection: the weights' binary point and room for every input at once."""
    return Format(weight.bits + fan_in.bit_length(), weight.frac)


def scale_format(value: float) -> Format:
    """A factor to 13 bits, with head-room to be raised eightfold while running."""
    octave = -math.floor(math.log2(abs(value)))
    return Format(RATE_BITS, RATE_BITS - 1 - _RATE_HEADROOM_BITS + octave, signed=value < 0)


def _third_formats(name: str, gain: Gain, students: int, third_factor_range: float) -> dict[str, Format]:
    """Formats of a rate and of the third factor it scales (7 bits and sign)."""
    value = gain.rate * gain.factor / students
    if value == 0:
        return {}
    largest = abs(value) * (gain.largest or third_factor_range)
    return {f"{name}_rate": scale_format(value), f"{name}_third": Format(THIRD_FACTOR_BITS, -exponent_to_hold(largest, THIRD_FACTOR_BITS))}


def change_format(third: Format) -> Format:
    """Of the changes summed up for a weight: the third factor's binary point."""
    return Format(STATE_BITS, third.frac)


def _trace_format(name: str, trace: TraceRange) -> Format:
    frac = trace.bits - _whole_bits(trace.largest)
    if frac < 0:
        raise NumberRangeError(
            f"{name}: reaches {trace.largest:.0f}, {trace.bits} bits hold {2**trace.bits - 1}; use a smaller decay.", obj=name, attr="decay"
        )
    return Format(trace.bits, frac, signed=False)


def _whole_bits(largest: float) -> int:
    return math.floor(math.log2(largest)) + 1
