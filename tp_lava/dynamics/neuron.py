"""The neuron: leaky integrate-and-fire with synaptic current, bias, adaptive threshold, refractory time, spike trace, surrogate derivative.

    u[t]   = current_decay * u[t-1] + input              synaptic current (current_decay 0: u is the input)
    pre[t] = decay * v[t-1] + u[t] + bias                (bias_to "current": the bias is part of the input instead)
    a[t]   = adaptation_decay * a[t-1] + s[t-1]          (adaptation 0: none)
    th[t]  = threshold + adaptation * a[t]
    s[t]   = 1 where pre >= th (comparison ">=") or pre > th (">"), decided before the reset
    v[t]   = pre - reset_by * s (reset "subtract"; reset_by: the threshold, without its adaptation, unless given), or 0 where s = 1 ("zero")
    e[t]   = trace_decay * e[t-1] + s[t]                 spike trace
    psi[t] = surrogate(pre - th)
    r[t]   = decay * (1 - reset_by * psi) (reset "subtract"), or decay * (1 - s - pre * psi) ("zero")

r, the retention, is d pre[t+1] / d pre[t], psi in the place of the spike's derivative, reset included: what the next step keeps of a
change of the membrane. It is had of neurons without synaptic current, adaptation and refractory time alone.

For `refractory` steps after a spike s and psi are 0 and the membrane stays where its reset put it, v[t] = v[t-1]: what arrives is lost to
it, while u, a and e go on. Parameters are numbers, or one number a neuron (see parameters.py).

The state adaptation_trace holds a[t+1] after step t, and refractory_left the refractory steps to come.

Fixed point: decays multiply with 12 bits and round toward zero, membrane and current saturate at 24 bits,
as Loihi's and Lava's bit-accurate LIF do; adaptation * a rounds down to the membrane's binary point; see numbers.py for the widths.

Source: adaptive thresholds, Bellec et al., Long short-term memory and learning-to-learn in networks of spiking neurons, NeurIPS 2018,
arXiv 1803.09574; refractory time, Lava's LIFRefractory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import ClassVar, Literal, get_args

from tp_lava.checks import register
from tp_lava.dynamics.parameters import Parameter, as_parameter, axes_of, check_decay, check_parameter, highest, lowest, shown
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.surrogate import ArcTan, Surrogate, pseudo_derivative
from tp_lava.dynamics.symbols import Symbol, Tracer, absolute, fit, multiply, saturate, select, spike
from tp_lava.errors import invalid
from tp_lava.numbers import DECAY_BITS, REFRACTORY_BITS, REGISTER_BITS, Format

DECAY = Format(DECAY_BITS, DECAY_BITS, signed=False)
STEPS = Format(REFRACTORY_BITS, 0, signed=False)
RETENTION = Format(16, 12)
FADED = 2.0**-20  # of a spike
_SPARE_BITS = 2  # that a product of two 16-bit numbers drops, so that a register holds it
COMPARISONS = (">=", ">")
RESETS = ("subtract", "zero")
BIASED = ("membrane", "current")
PER_NEURON = ("decay", "threshold", "current_decay", "reset_by", "adaptation", "adaptation_decay", "refractory")  # may be one a neuron
_OWN_PORTS = {"membrane", "current", "trace", "adaptation_trace", "refractory_left", "spike", "surrogate", "retention", "input", "bias"}
LONGEST_REFRACTORY = 2**REFRACTORY_BITS - 1


@dataclass(frozen=True)
class LIF:
    """A leaky integrate-and-fire neuron in physical units (one time step; membrane in units of the threshold).

    decay: membrane factor per step, [0, 1] (1: integrate and fire); threshold: > 0; comparison: ">=" or ">"; reset:
    "subtract" or "zero"; current_decay: synaptic current factor per step, [0, 1); surrogate: ArcTan(), Triangle() or
    FastSigmoid(); reset_by: > 0, what a spike subtracts (None: the threshold); bias_to: "membrane" or "current".
    adaptation: >= 0, by how much each spike raises the threshold, which falls back by adaptation_decay per step, [0, 1); refractory:
    steps after a spike in which the membrane stays as it is and does not spike, 0..63.
    Numbers: one, or one a neuron, of maps also one a channel: a tuple, list or array, kept as a tuple in C order.
    A neuron of another kind is a frozen dataclass that inherits LIF: it names its own `states`, and says by `extra` and `after` what
    they do. Its own numbers are fields, which `number` reads. Files find it by its name, once its module is imported.
    Raises InvalidValueError.
    Source: arXiv 2509.13053 (TP), arXiv 2502.01837 (TESS), arXiv 1803.09574 (adaptation), Lava's LIFRefractory.
    """

    decay: Parameter = 0.98
    threshold: Parameter = 1.0
    comparison: Literal[">=", ">"] = ">="
    reset: Literal["subtract", "zero"] = "subtract"
    current_decay: Parameter = 0.0
    surrogate: Surrogate = field(default_factory=ArcTan)
    reset_by: Parameter | None = None
    bias_to: Literal["membrane", "current"] = "membrane"
    adaptation: Parameter = 0.0
    adaptation_decay: Parameter = 0.98
    refractory: int | tuple[int, ...] = 0

    types: ClassVar[dict[str, type[LIF]]] = {}  # neurons that inherit it, by the name that files know
    states: ClassVar[tuple[str, ...]] = ()  # their own, each in the membrane's format and units; 0 when a sample begins

    def __init_subclass__(cls) -> None:
        register(LIF.types, "Neuron", cls)
        if bad := [name for name in cls.states if not name.isidentifier() or name in _OWN_PORTS]:
            limit = f"names of letters, digits and _, none of them {', '.join(sorted(_OWN_PORTS))}"
            raise invalid(cls.__name__, "states", repr(bad[0]), limit, "give the state another name")

    def __post_init__(self) -> None:
        for option in fields(self):
            object.__setattr__(self, option.name, as_parameter(getattr(self, option.name)))
        check_parameter("LIF", "decay", self.decay, "in [0, 1]", lambda decay: 0 <= decay <= 1, "a time constant tau gives exp(-1 / tau)")
        check_decay("LIF", "current_decay", self.current_decay)
        check_parameter("LIF", "threshold", self.threshold, "> 0", lambda threshold: threshold > 0, "use for example threshold=1.0")
        remedy = "use for example adaptation=0.1, or 0 for a threshold that stays"
        check_parameter("LIF", "adaptation", self.adaptation, ">= 0", lambda adaptation: adaptation >= 0, remedy)
        check_decay("LIF", "adaptation_decay", self.adaptation_decay)
        limit, remedy = f"of whole steps, 0..{LONGEST_REFRACTORY}", "use for example refractory=2"
        check_parameter("LIF", "refractory", self.refractory, limit, lambda steps: steps in range(LONGEST_REFRACTORY + 1), remedy)
        whole = tuple(map(int, self.refractory)) if isinstance(self.refractory, tuple) else int(self.refractory)
        object.__setattr__(self, "refractory", whole)
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
                raise invalid("LIF", "reset_by", f'{shown(self.reset_by)} with reset "{self.reset}"', f"a number {limit}", remedy)
            check_parameter("LIF", "reset_by", self.reset_by, limit, lambda amount: amount > 0, remedy)

    def extra(self, t: Tracer, membrane: Symbol, states: Mapping[str, Symbol]) -> Symbol | None:
        """What a neuron of another kind adds to pre[t], beside decay * v[t-1] + u[t] + bias. membrane: v[t-1]; states: its own, of t-1."""
        return None

    def after(self, t: Tracer, membrane: Symbol, event: Symbol, states: Mapping[str, Symbol]) -> Mapping[str, Symbol]:
        """Its own states after the step, all of them. membrane: v[t-1]; event: s[t], 0 or 1; states: those of t-1."""
        return states

    def number(self, t: Tracer, name: str, format: Format | None) -> Symbol:
        """Read the field `name`, one number or one a neuron, in a program. format: in fixed point, such as DECAY or that of a state."""
        return t.read(name, "parameter", axes_of(getattr(self, name)), format)

    @property
    def leaks(self) -> bool:
        """Whether the membrane of any neuron decays."""
        return lowest(self.decay) < 1

    @property
    def has_current(self) -> bool:
        """Whether any neuron has a synaptic current that outlasts a step."""
        return highest(self.current_decay) > 0

    @property
    def adapts(self) -> bool:
        """Whether any neuron's threshold rises with its spikes."""
        return highest(self.adaptation) > 0

    @property
    def rests(self) -> bool:
        """Whether any neuron has a refractory time."""
        return highest(self.refractory) > 0


def check_knows(neuron: LIF, known: frozenset[str], form: str) -> None:
    """Refuse a neuron that differs from the default in an option that a form of the network does not know.

    known: the options that the form carries out, or leaves out on purpose. A neuron of another kind is refused, too.
    Raises InvalidValueError, naming the option.
    """
    if type(neuron) is not LIF:
        raise invalid(form, "neuron", f"a {type(neuron).__name__}", "a LIF, the one neuron that it knows", "use the engine")
    for option in fields(neuron):
        default = option.default if option.default_factory is MISSING else option.default_factory()
        value = getattr(neuron, option.name)
        if option.name not in known and value != default:
            limit = "left out" if default is MISSING else f"left at {default!r}"
            raise invalid(form, f"neuron.{option.name}", shown(value), limit, "use the engine")


@dataclass(frozen=True)
class NeuronFormats:
    """Number formats of a population: membrane (current and threshold too) and trace; of an adaptive threshold's rise per spike and its
    trace.
    """

    membrane: Format
    trace: Format
    adaptation: Format | None = None
    adaptation_trace: Format | None = None


def integrate(leaked: Symbol, drive: Symbol, membrane: Symbol, waits: Symbol | None, format: Format | None) -> Symbol:
    """pre of one step. leaked: decay * v; drive: current plus bias; waits: where the membrane stays; format: of it (fixed)."""
    pre = saturate(leaked + drive, format)
    return pre if waits is None else select(waits, membrane, pre)


def raised_threshold(threshold: Symbol, trace: Symbol, adaptation: Symbol, format: Format | None) -> Symbol:
    """threshold + adaptation * a. trace: a; format: of the membrane (fixed), at whose binary point the product ends, rounded down."""
    if format is None:
        return threshold + trace * adaptation
    frac = min(format.frac, trace.format.frac + adaptation.format.frac - _SPARE_BITS)
    product = multiply(trace, adaptation, Format(format.bits - (format.frac - frac), frac), rounding="floor")
    return threshold + fit(product, format)


def fire(neuron: LIF, pre: Symbol, threshold: Symbol, waits: Symbol | None) -> Symbol:
    """Whether neurons spike. waits: those that do not, whatever they are."""
    spiked = pre >= threshold if neuron.comparison == ">=" else pre > threshold
    if waits is None:
        return spiked
    one = pre.tracer.constant(1, Format(1, 0, signed=False))
    return select(waits, 0.0, select(spiked, one, 0.0)) > 0


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
    retention: bool = False,
    name: str = "lif",
) -> Program:
    """The LIF program of a population over axes (row, n): a row is one sample or one stream.

    inputs: input port -> format of its accumulated weights (None in a real program); formats: None for a
    real program; traces: it keeps spike traces; trace_decay: theirs, of which only counts whether there is one a neuron. Ports: the
    inputs, parameters threshold, trace_decay (decay, current_decay, reset_by, adaptation, adaptation_decay, refractory; numbers of a
    neuron of another kind), over (n) where there is one a neuron, (bias (n)), states membrane, trace (current, adaptation_trace,
    refractory_left, and those of a neuron of another kind), outputs spike (surrogate,
    retention).
    """
    fixed, membrane_format, per_neuron = formats is not None, formats.membrane if formats else None, ("row", "n")
    t = Tracer(name, fixed=fixed, axes={"row": 1, "n": 1})
    drive = _drive(t, neuron, inputs, membrane_format, bias=bias)
    membrane = t.read("membrane", "state", per_neuron, membrane_format)
    decay = neuron.number(t, "decay", DECAY) if neuron.leaks else None
    leaked = membrane if decay is None else membrane * decay
    rest = neuron.number(t, "threshold", membrane_format)
    reset_by = None if neuron.reset_by is None else neuron.number(t, "reset_by", membrane_format)
    left = t.read("refractory_left", "state", per_neuron, STEPS) if neuron.rests else None
    waits = left > 0 if left else None
    states = {own: t.read(own, "state", per_neuron, membrane_format) for own in neuron.states}
    if (extra := neuron.extra(t, membrane, states)) is not None:
        drive = drive + fit(extra, membrane_format)
    pre = integrate(leaked, drive, membrane, waits, membrane_format)
    threshold, raised = _adapted(t, neuron, rest, formats) if neuron.adapts else (rest, None)
    spiked, excess = fire(neuron, pre, threshold, waits), pre - threshold
    subtracted, after = _reset(neuron, rest, reset_by, raised, pre, excess)
    left_over, event = select(spiked, after, pre), spike(spiked)
    t.write("membrane", left_over)
    if raised:
        t.write("adaptation_trace", spike_trace(raised, event, neuron.number(t, "adaptation_decay", DECAY)))
    if left and waits:
        t.write("refractory_left", _steps_left(t, neuron, left, waits, spiked, fixed=fixed))
    if states:
        for own, value in neuron.after(t, membrane, event, states).items():
            t.write(own, fit(value, membrane_format))
    if traces:
        trace = t.read("trace", "state", per_neuron, formats.trace if formats else None)
        t.write("trace", spike_trace(trace, event, t.read("trace_decay", "parameter", axes_of(trace_decay), DECAY)))
    t.write("spike", event, per_neuron, Format(1, 0, signed=False))
    if surrogate:
        psi = pseudo_derivative(neuron.surrogate, excess)
        t.write("surrogate", psi if waits is None else select(waits, 0.0, psi), per_neuron, psi.value.format)
    if retention:
        t.write("retention", _retained(neuron, subtracted, psi, event, decay, fixed=fixed), per_neuron, RETENTION if fixed else None)
    return t.program()


def _reset(
    neuron: LIF, rest: Symbol, reset_by: Symbol | None, raised: Symbol | None, pre: Symbol, excess: Symbol
) -> tuple[Symbol, Symbol | float]:
    """-> (what a spike subtracts from the membrane, the membrane after a spike)."""
    if neuron.reset == "zero":
        return pre, 0.0
    subtracted = rest if reset_by is None else reset_by
    return subtracted, excess if reset_by is None and raised is None else pre - subtracted


def _adapted(t: Tracer, neuron: LIF, rest: Symbol, formats: NeuronFormats | None) -> tuple[Symbol, Symbol]:
    """-> (the threshold of the step, the trace that has raised it from `rest`)."""
    rise = neuron.number(t, "adaptation", formats.adaptation if formats else None)
    raised = t.read("adaptation_trace", "state", ("row", "n"), formats.adaptation_trace if formats else None)
    return raised_threshold(rest, raised, rise, formats.membrane if formats else None), raised


def _steps_left(t: Tracer, neuron: LIF, left: Symbol, waits: Symbol, spiked: Symbol, *, fixed: bool) -> Symbol:
    """One step fewer while it waits, the refractory time after a spike."""
    rests = select(spiked, neuron.number(t, "refractory", STEPS), 0.0)
    return select(waits, left - 1, rests, interval=(0, STEPS.high) if fixed else None)


def _retained(neuron: LIF, subtracted: Symbol, psi: Symbol, event: Symbol, decay: Symbol | None, *, fixed: bool) -> Symbol:
    """decay * (1 - subtracted * psi), or with reset "zero" decay * (1 - event - subtracted * psi); decay None: 1."""
    wide = Format(REGISTER_BITS - 1, RETENTION.frac) if fixed else None
    lost = multiply(subtracted, psi, wide)
    one = subtracted.tracer.constant(1.0, Format(1, 0, signed=False))
    kept = fit(one - event if neuron.reset == "zero" else one, wide) - lost
    kept = fit(kept, RETENTION if fixed else None)
    return kept if decay is None else fit(multiply(kept, decay, wide), RETENTION if fixed else None)


def _drive(t: Tracer, neuron: LIF, inputs: Mapping[str, Format | None], membrane: Format | None, *, bias: bool) -> Symbol:
    """What a step adds to the membrane: the current, or what arrives, and the bias."""
    drive = None
    for port, format in inputs.items():
        arriving = _within_register(t.read(port, "input", ("row", "n"), format), membrane)
        drive = arriving if drive is None else drive + arriving
    assert drive is not None
    filtered = bias and neuron.bias_to == "current"
    if filtered:
        drive = drive + t.read("bias", "parameter", ("n",), membrane)
    if neuron.has_current:
        current = t.read("current", "state", ("row", "n"), membrane)
        drive = saturate(current * neuron.number(t, "current_decay", DECAY) + drive, membrane)
        t.write("current", drive)
    if bias and not filtered:
        drive = drive + t.read("bias", "parameter", ("n",), membrane)
    return drive


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
