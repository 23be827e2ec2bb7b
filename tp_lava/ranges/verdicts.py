"""From intervals to verdicts: what fits, what saturates in the worst case, and what is wrong, with the smallest remedy.

An error: a number that could leave its register unclamped; an accumulator too small for its sums; a constant that its
format does not hold; a threshold that rounds to nothing or at which the membrane saturates; a trace whose largest
value, 1 / (1 - decay), does not fit; scores that overflow within the steps stated, or, leaky, at all.
Information: every other clamp that the worst case reaches - all inputs, or only those of one sign, at every step - such as a
membrane's or a third factor's. A clamp of what is no state, by less than a hundredth of its largest, is rounding. Weights that
learn stop at the ends of their format, and weights are clipped where quantising chose that; both are intended.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tp_lava.circuit import Accumulate, Buffer, ListEvents, Owner
from tp_lava.circuit.names import SCORE
from tp_lava.dynamics.program import Instruction
from tp_lava.numbers import PRODUCT_BITS, REGISTER_BITS, STATE_BITS, Format
from tp_lava.ranges.analysis import WEIGHTS, IntervalAnalysis, ProgramUse
from tp_lava.ranges.evaluator import Clamp, acting_clamps, bits_needed, values_written
from tp_lava.ranges.intervals import Interval, product
from tp_lava.ranges.report import CLAMPED, CLIPPED, ERROR, FITS, MAY_SATURATE, SILENT, Entry

_Verdict = tuple[str, str]  # and why
_RANK = {verdict: rank for rank, verdict in enumerate((FITS, CLIPPED, CLAMPED, SILENT, MAY_SATURATE, ERROR))}
_LEARNS = CLAMPED, "learns, to the ends of its format"
_ROUNDING = 100  # a clamp that takes off less than such a part of the largest mantissa is rounding


@dataclass(frozen=True)
class Limits:
    """Bits of the registers that a target has. state: of a neuron's own states, None where their format alone counts."""

    register: int = REGISTER_BITS
    product: int = PRODUCT_BITS
    state: int | None = None


LOIHI = Limits(state=STATE_BITS)


def entries_of(analysis: IntervalAnalysis, limits: Limits) -> tuple[Entry, ...]:
    """An entry for each number of an analysed circuit, buffers first."""
    programs = _Programs(analysis, limits)
    intermediates = [entry for use in analysis.uses.values() for entry in programs.entries(use)]
    buffers = _Buffers(analysis, programs.of_buffers)
    return (*(buffers.entry(buffer) for buffer in analysis.circuit.buffers.values() if buffer.format), *intermediates)


def layer_of(analysis: IntervalAnalysis, owner: Owner) -> str:
    """What an owner's numbers are listed under: a population, the readout, or a rule's own."""
    circuit = analysis.circuit
    if owner.kind in ("connection", "plasticity"):
        delivery = next((o for o in circuit.step if isinstance(o, Accumulate) and o.weights == owner.name), None)
        owner = circuit.buffers[delivery.into if delivery else owner.name].owner  # biases belong to their population
    return owner.name or owner.kind


def bits_of(low: int, high: int) -> int:
    """Bits of a mantissa in low..high, with a sign if it may be negative."""
    return max(low.bit_length(), high.bit_length()) + (low < 0)


class _Programs:
    """Entries of the intermediate values, and (of_buffers) verdicts on the buffers that programs clamp."""

    def __init__(self, analysis: IntervalAnalysis, limits: Limits) -> None:
        self._analysis, self._limits, self._buffers = analysis, limits, analysis.circuit.buffers
        self.of_buffers: dict[str, _Verdict] = {}

    def entries(self, use: ProgramUse) -> Iterator[Entry]:
        """Of one program."""
        evaluator, program, layer = use.evaluator, use.operation.program, layer_of(self._analysis, use.operation.owner)
        values = {index: interval for (number, index), interval in self._analysis.values.items() if number == use.number}
        verdicts, ports = dict(self._clamps(use, values)), {index: name for name, index in program.writes}
        spikes = any(i.op == "spike" for i in program.instructions)
        for i in program.instructions:
            format, index = program.values[i.result].format, i.result
            if i.op in ("constant", "random") or format is None or index not in values:
                continue
            low, high = values[index].bounds
            of_neuron = spikes and index in ports and program.port(ports[index]).role == "state"
            verdict, note = self._register(i, values, of_neuron) or verdicts.get(index, (FITS, ""))
            name = ports.get(index) or f"{evaluator.leads_to(index)} %{index} ({', '.join(evaluator.sources(index)) or 'constants'})"
            room = self._limits.register - 1 - max(low.bit_length(), high.bit_length())
            yield Entry(layer, program.name, name, low, high, str(format), bits_of(low, high), room, verdict, note, use.number, index)

    def _register(self, i: Instruction, values: Mapping[int, Interval], of_neuron: bool) -> _Verdict | None:
        """The verdict on a value that does not fit its register, or a neuron's state its narrower one."""
        low, high = values[i.result].bounds
        narrow = self._limits.state if of_neuron else None
        bits, used = narrow or self._limits.register, bits_of(low, high) + (low >= 0 and not narrow)
        if used > bits:
            register = f"a state's {bits} bits" if narrow else f"the {bits}-bit register"
            return ERROR, f"reaches {low}..{high}, beyond {register}; use {_bits(used - bits, 'fractional ')} fewer"
        if i.op in ("mul", "mul_random"):
            wide = product(i, *(values[a] for a in i.arguments)).bounds
            used = max(bound.bit_length() for bound in wide) + 1
            if used > self._limits.product:
                found = f"is a product of {used} bits before its shift, beyond {self._limits.product}"
                return ERROR, f"{found}; use {_bits(used - self._limits.product, 'fractional ')} fewer in its factors"
        return None

    def _clamps(self, use: ProgramUse, values: Mapping[int, Interval]) -> Iterator[tuple[int, _Verdict]]:
        """Verdicts on the values that are clamped; those of a buffer's own clamp are kept for the buffer."""
        for clamp in acting_clamps(use.evaluator, values):
            port = use.evaluator.leads_to(clamp.result)
            buffer = use.buffers[port]
            if buffer in self._analysis.growth:
                continue  # judged by what it can add up to
            verdict = self._clamp(use, values, clamp, port)
            if use.operation.program.port(port).role == "state" or clamp.result in values_written(use.evaluator, port):
                worst = max(self.of_buffers.get(buffer, (FITS, "")), verdict, key=lambda each: _RANK[each[0]])
                self.of_buffers[buffer], verdict = worst, (FITS, f"clamped into {buffer}")
            yield clamp.result, verdict

    def _clamp(self, use: ProgramUse, values: Mapping[int, Interval], clamp: Clamp, port: str) -> _Verdict:
        """A trace, whose format is unsigned, and a score may never be clamped; a membrane or a third factor may."""
        buffer, program = self._buffers[use.buffers[port]], use.operation.program
        format, state = buffer.format, program.port(port).role == "state"
        if buffer.role in WEIGHTS:
            return _LEARNS
        if state and format and (not format.signed or buffer.name == SCORE):
            more = bits_needed(use.evaluator, port, {name: values[index] for name, index in program.reads}, format)
            enough = Format(format.bits + more, format.frac) if format.signed else Format(format.bits, format.frac - more)
            remedy = f"use Format({enough.bits}, {enough.frac}), {_bits(more)} more before the point"
            return ERROR, f"reaches more than {format.high}, the most that {format} holds; {remedy}"
        if clamp.excess <= (0 if state else max(1, clamp.high // _ROUNDING)):
            return FITS, f"rounds, by {clamp.excess} steps at most"
        return MAY_SATURATE, clamp.note


class _Buffers:
    """Entries of the buffers. clamped: verdicts on those that programs clamp."""

    def __init__(self, analysis: IntervalAnalysis, clamped: Mapping[str, _Verdict]) -> None:
        self._analysis, self._circuit, self._clamped = analysis, analysis.circuit, clamped
        self._populations = {o.spikes: o.population for o in analysis.circuit.step if isinstance(o, ListEvents)}
        self._learned = {name for o in analysis.circuit.step for name in o.writes} if analysis.learning else set()

    def entry(self, buffer: Buffer) -> Entry:
        """Of one."""
        name, format = buffer.name, buffer.format
        assert format is not None
        low, high = self._analysis.reach.get(name, self._analysis.buffers[name]).bounds
        verdict, note = self._verdict(buffer, format, low, high)
        if verdict == FITS:
            low, high = self._analysis.buffers[name].bounds
        room, layer = format.bits - format.signed - max(low.bit_length(), high.bit_length()), layer_of(self._analysis, buffer.owner)
        return Entry(layer, "", name, low, high, str(format), bits_of(low, high), room, verdict, note)

    def _verdict(self, buffer: Buffer, format: Format, low: int, high: int) -> _Verdict:
        name = buffer.name
        if name in self._analysis.growth:
            return self._sum(name, format, low, high)
        if low < format.low or high > format.high:
            needs = bits_of(low, high) + (format.signed and low >= 0)
            more = needs - format.bits
            remedy = f"use Format({needs}, {format.frac}), {_bits(more)} wider, or a weight exponent larger by {more}"
            return ERROR, f"accumulates to {low}..{high}, but {format} holds {format.low}..{format.high}; {remedy}"
        if name in self._circuit.values and (verdict := self._constant(buffer, format)):
            return verdict
        if name in self._populations:
            return self._spikes(self._populations[name])
        return self._clamped.get(name, (FITS, ""))

    def _sum(self, name: str, format: Format, low: int, high: int) -> _Verdict:
        """What adds up from step to step."""
        growth, steps = self._analysis.growth[name].bounds, self._analysis.sum_steps[name]
        ends = [limit // step for limit, step in zip((format.low, format.high), growth, strict=True) if step]
        safe = min(ends, default=0)
        if steps is None:
            return (MAY_SATURATE, f"after {safe} steps that all add the most") if ends else (FITS, "")
        if low >= format.low and high <= format.high:
            return FITS, f"within {steps} step{'s' if steps > 1 else ''}"
        if name != SCORE:
            return MAY_SATURATE, f"after {safe} of {steps} steps that all add the most"
        more = bits_of(low, high) + (low >= 0) - format.bits
        remedy = f"use Format({format.bits + more}, {format.frac}), {_bits(more)} wider, or at most {safe} steps a sample"
        return ERROR, f"reaches {low}..{high} within {steps} steps, but {format} holds {format.low}..{format.high}; {remedy}"

    def _constant(self, buffer: Buffer, format: Format) -> _Verdict | None:
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
        if buffer.owner.kind == "population" and buffer.local == "threshold":
            return self._threshold(buffer.owner.name, values, format, mantissas)
        return _LEARNS if buffer.role in WEIGHTS and buffer.name in self._learned else None

    def _threshold(self, population: str, values: np.ndarray, format: Format, mantissas: np.ndarray) -> _Verdict | None:
        """values: one, or one a neuron."""
        least, value, mantissa = float(values.min()), float(values.max()), int(mantissas.max())
        if mantissas.min() == 0:
            finer = -math.floor(math.log2(least))
            found = (
                f"is {least:g}, which rounds to zero in {format}, so that every neuron{' that has it' * (values.size > 1)} spikes at rest"
            )
            return ERROR, f"{found}; use membrane_frac >= {finer}"
        if mantissa == format.high and self._circuit.network.population(population).neuron.comparison == ">":
            found = f"is {value:g}, mantissa {mantissa}, at which the membrane saturates, so that none is above it"
            return ERROR, f"{found} ({format} holds {format.low}..{format.high}); use membrane_frac <= {format.frac - 1}"
        return None

    def _spikes(self, population: str) -> _Verdict:
        spikes = self._analysis.active[population]
        if not spikes.any():
            return SILENT, "no input reaches the threshold of any neuron"
        return FITS, f"{np.count_nonzero(~spikes)} of {spikes.size} neurons can never spike" if not spikes.all() else ""


def _bits(count: int, kind: str = "") -> str:
    return f"{count} {kind}bit{'s' if count > 1 else ''}"
