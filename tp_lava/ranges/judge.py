"""From intervals to verdicts: what fits, what saturates in the worst case, and what is wrong, with the smallest remedy.

Wrong, and an error: a number that could leave its register unclamped; an accumulator too small for its sums; a constant that its
format does not hold; a threshold that rounds to nothing or at which the membrane saturates; a spike trace whose largest
value, 1 / (1 - decay), does not fit; scores that overflow within the steps stated, or, leaky, at all.
Information: every other clamp that the worst case reaches - all inputs, or only those of one sign, at every step - such as a
membrane's or a third factor's. A clamp of what is no state, by less than a hundredth of its largest, is rounding. Weights that
learn stop at the ends of their format, and weights are clipped where quantising chose that; neither is an accident.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tp_lava.circuit import Buffer
from tp_lava.dynamics.program import Instruction
from tp_lava.numbers import PRODUCT_BITS, REGISTER_BITS, STATE_BITS, Format
from tp_lava.ranges.abstract import WEIGHTS, AbstractRun, Site
from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import Interval, product
from tp_lava.ranges.report import CLAMPED, CLIPPED, ERROR, FITS, MAY_SATURATE, SILENT, Entry
from tp_lava.ranges.states import bits_needed

_TRACES = ("trace", "post_trace")  # states whose largest value is known beforehand
_SCORE = "score"
_LEARNS = "learns, to the ends of its format"
_ROUNDING = 100  # a clamp that takes off less than such a part of the largest mantissa is rounding


@dataclass(frozen=True)
class Limits:
    """Bits of the registers that a target has. state: of a neuron's own states, None where their format alone counts."""

    register: int = REGISTER_BITS
    product: int = PRODUCT_BITS
    state: int | None = None


LOIHI = Limits(state=STATE_BITS)


@dataclass(frozen=True)
class _Clamp:
    """A clamp that can act. base: what it clamps; low, high: to what."""

    result: int
    base: tuple[int, int]
    low: int
    high: int

    @property
    def excess(self) -> int:
        """Steps of the mantissa that it takes off in the worst case."""
        return max(self.base[1] - self.high, self.low - self.base[0])

    @property
    def note(self) -> str:
        """By how much."""
        ends = zip(self.base, (self.low, self.high), strict=True)
        return f"up to {max(found / limit for found, limit in ends if limit):.3g} times what it holds, in the worst case"


def layer_of(name: str) -> str:
    """The layer a buffer or a program belongs to."""
    found = re.match(r"(hidden|recurrent|bias|target)(\d*)", name)
    if found:
        return f"{'target' if found[1] == 'target' else 'hidden'}{found[2] or 0}"
    if name.startswith((_SCORE, "readout", "sample_label", "match")):
        return "readout"
    return next((layer for layer in ("label", "input") if name.startswith(layer)), "rule")


def bits_of(low: int, high: int) -> int:
    """Bits of a mantissa in low..high, with a sign if it may be negative."""
    return max(low.bit_length(), high.bit_length()) + (low < 0)


class Judge:
    """Makes the entries of one abstract run."""

    def __init__(self, run: AbstractRun, limits: Limits) -> None:
        self._run, self._limits, self._circuit = run, limits, run.circuit
        self._verdicts: dict[str, tuple[str, str]] = {}  # of buffers, from the programs that write them

    def entries(self) -> tuple[Entry, ...]:
        """All of them, buffers first."""
        intermediates = [entry for site in self._run.sites.values() for entry in self._program(site)]
        return tuple([self._buffer(buffer) for buffer in self._circuit.buffers.values() if buffer.format] + intermediates)

    # Buffers --------------------------------------------------------------------------------------
    def _buffer(self, buffer: Buffer) -> Entry:
        name, format = buffer.name, buffer.format
        assert format is not None
        low, high = self._run.reach.get(name, self._run.buffers[name]).bounds
        verdict, note = self._verdict(buffer, format, low, high)
        if verdict == FITS:
            low, high = self._run.buffers[name].bounds
        room = format.bits - format.signed - max(low.bit_length(), high.bit_length())
        return Entry(layer_of(name), "", name, low, high, str(format), bits_of(low, high), room, verdict, note)

    def _verdict(self, buffer: Buffer, format: Format, low: int, high: int) -> tuple[str, str]:
        name = buffer.name
        if name in self._run.growth:
            return self._sum(name, format, low, high)
        if low < format.low or high > format.high:
            needs = bits_of(low, high) + (format.signed and low >= 0)
            more = needs - format.bits
            remedy = f"use Format({needs}, {format.frac}), {_bits(more)} wider, or a weight exponent larger by {more}"
            return ERROR, f"accumulates to {low}..{high}, but {format} holds {format.low}..{format.high}; {remedy}"
        if name in self._circuit.values and (told := self._constant(buffer, format)):
            return told
        if name.endswith("_spike") and name.removesuffix("_spike") in self._run.active:
            return self._spiking(name.removesuffix("_spike"))
        return self._verdicts.get(name, (FITS, ""))

    def _sum(self, name: str, format: Format, low: int, high: int) -> tuple[str, str]:
        """What adds up from step to step."""
        growth, steps = self._run.growth[name].bounds, self._run.steps
        ends = [limit // step for limit, step in zip((format.low, format.high), growth, strict=True) if step]
        safe = min(ends, default=0)
        if steps is None:
            return (MAY_SATURATE, f"after {safe} steps that all add the most") if ends else (FITS, "")
        if low >= format.low and high <= format.high:
            return FITS, f"within {steps} steps"
        if name != _SCORE:
            return MAY_SATURATE, f"after {safe} of {steps} steps that all add the most"
        more = bits_of(low, high) + (low >= 0) - format.bits
        remedy = f"use Format({format.bits + more}, {format.frac}), {_bits(more)} wider, or at most {safe} steps a sample"
        return ERROR, f"reaches {low}..{high} within {steps} steps, but {format} holds {format.low}..{format.high}; {remedy}"

    def _constant(self, buffer: Buffer, format: Format) -> tuple[str, str] | None:
        values = np.asarray(self._circuit.values[buffer.name], np.float64)
        mantissas = np.rint(np.ldexp(values, format.frac))
        beyond = (mantissas < format.low) | (mantissas > format.high)
        if beyond.any() and buffer.role in ("weight", "kernel"):
            return CLIPPED, f"{beyond.mean():.2%} of the weights, to the largest that {format} holds"
        worst = float(values.flat[np.argmax(np.abs(values))]) if values.size else 0.0
        if beyond.any():
            fewer = math.ceil(math.log2(np.abs(mantissas).max() / format.high)) if worst > 0 or format.signed else 0
            remedy = f"use at most {format.frac - fewer} fractional bits, or a value it holds" if fewer else "give it the other sign"
            return ERROR, f"is {worst:g}, but {format} holds {format.real(format.low):.9g}..{format.largest:.9g}; {remedy}"
        if buffer.name.endswith("_threshold"):
            return self._threshold(buffer.name.removesuffix("_threshold"), worst, format, int(np.max(mantissas)))
        return (CLAMPED, _LEARNS) if buffer.role in WEIGHTS and self._learns(buffer.name) else None

    def _threshold(self, layer: str, value: float, format: Format, mantissa: int) -> tuple[str, str] | None:
        neuron = self._circuit.network.layers[int(layer.removeprefix("hidden"))].neuron
        if mantissa == 0:
            finer = -math.floor(math.log2(value))
            found = f"is {value:g}, which rounds to zero in {format}, so that every neuron spikes at rest"
            return ERROR, f"{found}; use membrane_frac >= {finer}"
        if mantissa == format.high and neuron.comparison == ">":
            found = f"is {value:g}, mantissa {mantissa}, at which the membrane saturates, so that none is above it"
            return ERROR, f"{found} ({format} holds {format.low}..{format.high}); use membrane_frac <= {format.frac - 1}"
        return None

    def _spiking(self, population: str) -> tuple[str, str]:
        spikes = np.broadcast_to(self._run.buffers[f"{population}_spike"].high.max(axis=0) > 0, self._run.active[population].shape)
        if not spikes.any():
            return SILENT, "no input reaches the threshold of any neuron"
        return FITS, f"{np.count_nonzero(~spikes)} of {spikes.size} neurons can never spike" if not spikes.all() else ""

    def _learns(self, weights: str) -> bool:
        """Whether a program writes these weights."""
        sites = [site for site in self._run.sites.values() if weights in site.buffers.values()]
        written = any(site.buffers.get(port) == weights for site in sites for port, _ in site.operation.program.writes)
        return self._run.learning and written

    # Programs -------------------------------------------------------------------------------------
    def _program(self, site: Site) -> Iterator[Entry]:
        evaluator, program = site.evaluator, site.operation.program
        values = {index: interval for (place, index), interval in self._run.values.items() if place == site.place}
        verdicts, ports = dict(self._clamps(site, values)), {index: name for name, index in program.writes}
        spikes = any(i.op == "spike" for i in program.instructions)
        for i in program.instructions:
            format, index = program.values[i.result].format, i.result
            if i.op in ("constant", "random") or format is None or index not in values:
                continue
            low, high = values[index].bounds
            state = spikes and index in ports and program.port(ports[index]).role == "state"
            verdict, note = self._register(i, values, state) or verdicts.get(index, (FITS, ""))
            name = ports.get(index) or f"{evaluator.leads_to(index)} %{index} ({', '.join(evaluator.sources(index)) or 'constants'})"
            room = self._limits.register - 1 - max(low.bit_length(), high.bit_length())
            layer, held = layer_of(program.name), str(format)
            yield Entry(layer, program.name, name, low, high, held, bits_of(low, high), room, verdict, note, site.place, index)

    def _register(self, i: Instruction, values: Mapping[int, Interval], state: bool) -> tuple[str, str] | None:
        """The verdict on a value that does not fit its register, or a neuron's state its narrower one."""
        low, high = values[i.result].bounds
        narrow = self._limits.state if state else None
        bits, used = narrow or self._limits.register, bits_of(low, high) + (low >= 0 and not narrow)
        if used > bits:
            register = f"a state's {bits} bits" if narrow else f"the {bits}-bit register"
            return ERROR, f"reaches {low}..{high}, beyond {register}; use {_fewer(used - bits)}"
        if i.op in ("mul", "mul_random"):
            wide = product(i, *(values[a] for a in i.arguments)).bounds
            used = max(bound.bit_length() for bound in wide) + 1
            if used > self._limits.product:
                found = f"is a product of {used} bits before its shift, beyond {self._limits.product}"
                return ERROR, f"{found}; use {_fewer(used - self._limits.product)} in its factors"
        return None

    def _clamps(self, site: Site, values: Mapping[int, Interval]) -> Iterator[tuple[int, tuple[str, str]]]:
        """Verdicts on the values that are clamped; those of a buffer's own clamp are kept for the buffer."""
        for clamp in _acting(site.evaluator, values):
            port = site.evaluator.leads_to(clamp.result)
            buffer, state = site.buffers[port], site.operation.program.port(port).role == "state"
            if buffer in self._run.growth:
                continue  # judged by what it can add up to
            verdict, note = self._judged(site, values, clamp, port)
            if state or clamp.result in _written(site.evaluator, port):
                before = self._verdicts.get(buffer, (FITS, ""))
                self._verdicts[buffer] = max(before, (verdict, note), key=lambda told: _RANK[told[0]])
                verdict, note = FITS, f"clamped into {buffer}"
            yield clamp.result, (verdict, note)

    def _judged(self, site: Site, values: Mapping[int, Interval], clamp: _Clamp, port: str) -> tuple[str, str]:
        buffer, program = self._circuit.buffers[site.buffers[port]], site.operation.program
        format, state = buffer.format, program.port(port).role == "state"
        if buffer.role in WEIGHTS:
            return CLAMPED, _LEARNS
        if state and format and (port in _TRACES or buffer.name == _SCORE):
            more = bits_needed(site.evaluator, port, {name: values[index] for name, index in program.reads}, format)
            enough = Format(format.bits, format.frac - more) if port in _TRACES else Format(format.bits + more, format.frac)
            remedy = f"use Format({enough.bits}, {enough.frac}), {_bits(more)} more before the point"
            return ERROR, f"reaches more than {format.high}, the most that {format} holds; {remedy}"
        if clamp.excess <= (0 if state else max(1, clamp.high // _ROUNDING)):
            return FITS, f"rounds, by {clamp.excess} steps at most"
        return MAY_SATURATE, clamp.note


def _bits(count: int) -> str:
    return f"{count} bit{'s' if count > 1 else ''}"


def _fewer(count: int) -> str:
    return f"{count} fractional bit{'s' if count > 1 else ''} fewer"


_RANK = {verdict: rank for rank, verdict in enumerate((FITS, CLIPPED, CLAMPED, SILENT, MAY_SATURATE, ERROR))}


def _written(evaluator: Evaluator, port: str) -> set[int]:
    """What a port is written with, and the clamps it has just come through."""
    producer = {i.result: i for i in evaluator.program.instructions}
    index, found = dict(evaluator.program.writes)[port], set[int]()
    while index not in found:
        found.add(index)
        i = producer.get(index)
        if i is None:
            break
        if i.saturates:
            index = evaluator.clamped(i)
        elif i.op == "add":  # of a zero: the value on more axes
            constants = [a for a in i.arguments if a in producer and producer[a].op == "constant" and producer[a]["value"] == 0]
            index = next((a for a in i.arguments if constants and a != constants[0]), index)
    return found


def _acting(evaluator: Evaluator, values: Mapping[int, Interval]) -> Iterator[_Clamp]:
    """The clamps that can act; a min and a select that follow each other are one."""
    producer = {i.result: i for i in evaluator.program.instructions}
    inner = {evaluator.clamped(i) for i in evaluator.program.instructions if i.saturates}
    for i in evaluator.program.instructions:
        if not i.saturates or i.result in inner or i.result not in values:
            continue
        low, high, last = None, None, i
        while True:
            limit = producer[last.arguments[1]]["value"]
            low, high = (limit, high) if last.op == "select" else (low, limit)
            following = producer.get(evaluator.clamped(last))
            if following is None or not following.saturates:
                break
            last = following
        base = values[evaluator.clamped(last)].bounds
        low, high = base[0] if low is None else low, base[1] if high is None else high
        if base[0] < low or base[1] > high:
            yield _Clamp(i.result, base, low, high)
