"""The neuron: leaky integrate-and-fire with synaptic current, bias, spike trace and surrogate derivative.

    u[t]   = current_decay * u[t-1] + input              synaptic current (current_decay 0: u is the input)
    pre[t] = decay * v[t-1] + u[t] + bias                (bias_to "current": the bias is part of the input instead)
    s[t]   = 1 where pre >= threshold (comparison ">=") or pre > threshold (">"), decided before the reset
    v[t]   = pre - reset_by * s (reset "subtract"; reset_by: the threshold unless given), or 0 where s = 1 (reset "zero")
    e[t]   = trace_decay * e[t-1] + s[t]                 spike trace
    psi[t] = surrogate(pre - threshold)

Decays, threshold and reset_by are numbers, or one number a neuron (see parameters.py).

Fixed point: decays multiply with 12 bits and round toward zero, membrane and current saturate at 24 bits,
as Loihi's and Lava's bit-accurate LIF do; see numbers.py for the widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Literal, get_args

from tp_lava.dynamics.parameters import Parameter, as_parameter, axes_of, check_decay, check_parameter, highest, lowest
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.surrogate import ArcTan, Surrogate, pseudo_derivative
from tp_lava.dynamics.symbols import Symbol, Tracer, absolute, fit, saturate, select, spike
from tp_lava.errors import invalid
from tp_lava.numbers import DECAY_BITS, REGISTER_BITS, Format

DECAY = Format(DECAY_BITS, DECAY_BITS, signed=False)
FADED = 2.0**-20  # of a spike
COMPARISONS = (">=", ">")
RESETS = ("subtract", "zero")
BIASED = ("membrane", "current")
PER_NEURON = ("decay", "threshold", "current_decay", "reset_by")  # options that may have one number a neuron


@dataclass(frozen=True)
class LIF:
    """A leaky integrate-and-fire neuron in physical units (one time step; membrane in units of the threshold).

    decay: membrane factor per step, [0, 1] (1: integrate and fire); threshold: > 0; comparison: ">=" or ">"; reset:
    "subtract" or "zero"; current_decay: synaptic current factor per step, [0, 1); surrogate: ArcTan(), Triangle() or
    FastSigmoid(); reset_by: > 0, what a spike subtracts (None: the threshold); bias_to: "membrane" or "current".
    decay, threshold, current_decay and reset_by: one number, or one a neuron, of maps also one a channel: a tuple, list or array,
    kept as a tuple in C order. Raises InvalidValueError.
    Source: arXiv 2509.13053 (TP), arXiv 2502.01837 (TESS).
    """

    decay: Parameter = 0.98
    threshold: Parameter = 1.0
    comparison: Literal[">=", ">"] = ">="
    reset: Literal["subtract", "zero"] = "subtract"
    current_decay: Parameter = 0.0
    surrogate: Surrogate = field(default_factory=ArcTan)
    reset_by: Parameter | None = None
    bias_to: Literal["membrane", "current"] = "membrane"

    def __post_init__(self) -> None:
        for name in PER_NEURON:
            object.__setattr__(self, name, as_parameter(getattr(self, name)))
        check_parameter("LIF", "decay", self.decay, "in [0, 1]", lambda decay: 0 <= decay <= 1, "a time constant tau gives exp(-1 / tau)")
        check_decay("LIF", "current_decay", self.current_decay)
        check_parameter("LIF", "threshold", self.threshold, "> 0", lambda threshold: threshold > 0, "use for example threshold=1.0")
        if self.comparison not in COMPARISONS:
            raise invalid("LIF", "comparison", repr(self.comparison), '">=" or ">"', 'TP uses ">=", Lava and SLAYER ">"')
        if self.reset not in RESETS:
            raise invalid("LIF", "reset", repr(self.reset), '"subtract" or "zero"', 'TP uses "subtract", Lava\'s LIF "zero"')
        if not isinstance(self.surrogate, Surrogate):
            limit = f"one of {', '.join(f'{known.__name__}()' for known in get_args(Surrogate))}"
            raise invalid("LIF", "surrogate", repr(self.surrogate), limit, "use for example surrogate=ArcTan()")
        if self.bias_to not in BIASED:
            raise invalid("LIF", "bias_to", repr(self.bias_to), '"membrane" or "current"', "Lava's LIF adds it to the membrane")
        if self.reset_by is not None:
            limit, remedy = '> 0 with reset "subtract"', "leave it out to subtract the threshold"
            if self.reset != "subtract":
                raise invalid("LIF", "reset_by", f'{self.reset_by!r} with reset "{self.reset}"', f"a number {limit}", remedy)
            check_parameter("LIF", "reset_by", self.reset_by, limit, lambda amount: amount > 0, remedy)

    @property
    def leaks(self) -> bool:
        """Whether the membrane of any neuron decays."""
        return lowest(self.decay) < 1

    @property
    def has_current(self) -> bool:
        """Whether any neuron has a synaptic current that outlasts a step."""
        return highest(self.current_decay) > 0


def check_knows(neuron: LIF, known: frozenset[str], form: str) -> None:
    """Refuse a neuron that differs from the default in an option that a form of the network does not know.

    known: the options that the form carries out, or leaves out on purpose. Raises InvalidValueError, naming the option.
    """
    for option in fields(neuron):
        default = option.default if option.default_factory is MISSING else option.default_factory()
        value = getattr(neuron, option.name)
        if option.name not in known and value != default:
            limit = "left out" if default is MISSING else f"left at {default!r}"
            raise invalid(form, f"neuron.{option.name}", repr(value), limit, "use the engine")


@dataclass(frozen=True)
class NeuronFormats:
    """Number formats of a population: membrane (current and threshold too) and trace."""

    membrane: Format
    trace: Format


def leaky_integrate_and_fire(
    neuron: LIF, leaked: Symbol, drive: Symbol, threshold: Symbol, reset_by: Symbol | None, format: Format | None
) -> tuple[Symbol, Symbol, Symbol]:
    """One step of membrane, spike and reset. leaked: decay * v; drive: current plus bias; format: of the membrane (fixed).

    -> (v, spiked, excess = pre - threshold).
    """
    pre = saturate(leaked + drive, format)
    spiked = pre >= threshold if neuron.comparison == ">=" else pre > threshold
    excess = pre - threshold
    subtracted = excess if reset_by is None else pre - reset_by
    after = subtracted if neuron.reset == "subtract" else 0.0
    return select(spiked, after, pre), spiked, excess


def spike_trace(trace: Symbol, event: Symbol, decay: Symbol) -> Symbol:
    """e[t] = decay * e[t-1] + s[t]."""
    return trace * decay + event


def neuron_program(
    neuron: LIF,
    inputs: Mapping[str, Format | None],
    formats: NeuronFormats | None = None,
    *,
    bias: bool = False,
    surrogate: bool = True,
    traces: bool = True,
    trace_decay: Parameter = 0.0,
    name: str = "lif",
) -> Program:
    """The LIF program of a population over axes (row, n): a row is one sample or one stream.

    inputs: input port -> format of its accumulated weights (None in a real program); formats: None for a
    real program; traces: it keeps spike traces; trace_decay: theirs, of which only counts whether there is one a neuron. Ports: the
    inputs, parameters threshold, trace_decay (decay, current_decay, reset_by), over (n) where there is one a neuron, (bias (n)),
    states membrane, trace (current), outputs spike (surrogate).
    """
    fixed = formats is not None
    t = Tracer(name, fixed=fixed, axes={"row": 1, "n": 1})
    per_neuron, membrane_format = ("row", "n"), formats.membrane if formats else None

    def parameter(name: str, value: Parameter, format: Format | None) -> Symbol:
        return t.read(name, "parameter", axes_of(value), format)

    drive = None
    for port, format in inputs.items():
        arriving = _within_register(t.read(port, "input", per_neuron, format), membrane_format)
        drive = arriving if drive is None else drive + arriving
    assert drive is not None
    filtered = bias and neuron.bias_to == "current"
    if filtered:
        drive = drive + t.read("bias", "parameter", ("n",), membrane_format)
    if neuron.has_current:
        current = t.read("current", "state", per_neuron, membrane_format)
        drive = saturate(current * parameter("current_decay", neuron.current_decay, DECAY) + drive, membrane_format)
        t.write("current", drive)
    if bias and not filtered:
        drive = drive + t.read("bias", "parameter", ("n",), membrane_format)
    membrane = t.read("membrane", "state", per_neuron, membrane_format)
    leaked = membrane * parameter("decay", neuron.decay, DECAY) if neuron.leaks else membrane
    threshold = parameter("threshold", neuron.threshold, membrane_format)
    reset_by = None if neuron.reset_by is None else parameter("reset_by", neuron.reset_by, membrane_format)
    after, spiked, excess = leaky_integrate_and_fire(neuron, leaked, drive, threshold, reset_by, membrane_format)
    event = spike(spiked)
    t.write("membrane", after)
    if traces:
        trace = t.read("trace", "state", per_neuron, formats.trace if formats else None)
        t.write("trace", spike_trace(trace, event, parameter("trace_decay", trace_decay, DECAY)))
    t.write("spike", event, per_neuron, Format(1, 0, signed=False))
    if surrogate:
        psi = pseudo_derivative(neuron.surrogate, excess)
        t.write("surrogate", psi, per_neuron, psi.value.format)
    return t.program()


def _within_register(arriving: Symbol, membrane: Format | None) -> Symbol:
    """An accumulated input, saturated where its shift to the membrane's binary point could leave the register."""
    if membrane is None:
        return arriving
    lift = membrane.frac - arriving.format.frac
    return saturate(arriving, Format(REGISTER_BITS - 2 - lift, arriving.format.frac))


def trace_program(
    format: Format | None = None,
    name: str = "trace",
    *,
    fades: bool = False,
    event: Format | None = None,
    signed: bool = False,
    decay: Parameter = 0.0,
) -> Program:
    """A spike trace alone, over axes (row, n): ports spike (input), trace (state), trace_decay (parameter).

    event: format of what spikes, 0 or 1 if it is not given; signed: it may be negative; decay: of which only counts whether there is
    one a neuron, which trace_decay has over (n) then.
    fades: a real trace below FADED becomes zero, as a fixed one does below its resolution: so that a synapse whose neuron
    has long been silent costs nothing.
    """
    t = Tracer(name, fixed=format is not None, axes={"row": 1, "n": 1})
    spikes = t.read("spike", "input", ("row", "n"), event or Format(1, 0, signed=False))
    arriving = fit(spikes, Format(REGISTER_BITS - 1, format.frac)) if format and event else spikes
    trace = t.read("trace", "state", ("row", "n"), format)
    after = spike_trace(trace, arriving, t.read("trace_decay", "parameter", axes_of(decay), DECAY))
    t.write("trace", _faded(after, signed=signed) if fades and not t.fixed else after)
    return t.program()


def _faded(trace: Symbol, *, signed: bool) -> Symbol:
    """A real trace, zero where it is small."""
    return select((absolute(trace) if signed else trace) < FADED, 0.0, trace)


def second_trace_program(
    format: Format | None = None, first: Format | None = None, name: str = "second_trace", *, signed: bool = False
) -> Program:
    """The trace of a trace, x2[t] = decay * x2[t-1] + x1[t], over axes (row, n).

    Ports x1 (input), trace (state), trace_decay (parameter). signed: x1 may be negative.
    """
    t = Tracer(name, fixed=format is not None, axes={"row": 1, "n": 1})
    trace = t.read("trace", "state", ("row", "n"), format)
    arriving = fit(t.read("x1", "input", ("row", "n"), first), Format(REGISTER_BITS - 1, format.frac) if format else None)
    after = trace * t.read("trace_decay", "parameter", (), DECAY) + arriving
    t.write("trace", after if t.fixed else _faded(after, signed=signed))
    return t.program()


def count_program(format: Format | None = None, name: str = "count", event: Format | None = None) -> Program:
    """Spikes so far, over axes (row, n): ports spike (input), count (state). event: format of what is counted, 0 or 1 if not given."""
    t = Tracer(name, fixed=format is not None, axes={"row": 1, "n": 1})
    arriving = t.read("spike", "input", ("row", "n"), event or Format(1, 0, signed=False))
    t.write("count", t.read("count", "state", ("row", "n"), format) + arriving)
    return t.program()
