"""The readout's part of a circuit: the integrator and, with a rate, how it learns."""

from __future__ import annotations

from collections.abc import Callable

from tp_lava.circuit import names
from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.names import READOUT_COUNT, SCORE, sample_path
from tp_lava.circuit.products import learn_bias, learn_by
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.neuron import DECAY, count_program
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.readout import Readout, readout_program
from tp_lava.graph.names import READOUT, READOUT_BIAS

_ERROR, _LEARN, _LEARN_BIAS = range(3)  # random streams
_PORTS = ("input", "rate", "gain", "decay", "elapsed", "potential", "third_factor", "score_decay", "error")


def add_readout(b: Builder, told: Callable[[], None] | None = None) -> None:
    """Append the readout. told: called once the error is there, of a rule that learns by it, even if the readout does not learn."""
    rule, network, tells_error = b.rule, b.network, told is not None
    learns = rule is not None and isinstance(rule.readout, Readout) and rule.readout_rate > 0
    readout = rule.readout if rule and isinstance(rule.readout, Readout) and (learns or tells_error) else None
    has_bias = READOUT_BIAS in network.weights
    with b.owned(Owner("readout"), "readout"):
        arriving = names.of(READOUT, "input")
        b.deliver(network.readout, network.readout.pre, arriving, (SAMPLES, CLASSES), b.format(arriving), local="input")
        program = _program(b, readout, has_bias, learns, tells_error)
        b.run(program, _bindings(b, program, readout), random_stream=_ERROR)
    if told is not None:
        told()
    if learns:
        assert readout is not None
        _learn(b, readout, has_bias)


def _program(b: Builder, readout: Readout | None, has_bias: bool, learns: bool, tells_error: bool) -> Program:
    formats = {port: b.format(names.of(READOUT, port)) for port in _PORTS} if b.formats else {}
    if b.formats:
        formats |= {"score": b.format(SCORE), "potential": b.format(SCORE), "bias": b.format(READOUT_BIAS)}
    leaky = b.network.readout_decay < 1
    return readout_program(b.network.n_classes, formats, readout, bias=has_bias, leaky=leaky, teaches=learns, tells_error=tells_error)


def _bindings(b: Builder, program: Program, readout: Readout | None) -> dict[str, str]:
    """Declare the buffers behind the program's ports."""
    bound = {port: names.of(READOUT, port) for port in _PORTS} | {"score": SCORE, "bias": READOUT_BIAS}
    rows = (SAMPLES, CLASSES)
    b.buffer(SCORE, rows, "state", b.format(SCORE))
    if program.has("bias"):
        b.buffer(READOUT_BIAS, (CLASSES,), "bias", b.format(READOUT_BIAS), local="bias")
    if program.has("score_decay"):
        b.parameter(bound["score_decay"], DECAY, b.network.readout_decay, local="score_decay")
    if readout is None:
        return bound
    bound["label"] = b.labels()
    if program.has("rate"):
        bound["rate"] = b.rate(READOUT, READOUT)
    if program.has("decay"):
        b.parameter(bound["decay"], DECAY, readout.decay, local="decay")
    if program.has("gain"):
        b.parameter(bound["gain"], b.format(bound["gain"]), 1.0 / readout.temperature, local="gain")
    for port, axes in (("potential", rows), ("elapsed", ())):
        if program.has(port):
            b.buffer(bound[port], axes, "state", program.port(port).format, local=port)
    for port, format in (("third_factor", b.format(bound["third_factor"])), ("error", ERROR)):
        if program.has(port):
            b.buffer(bound[port], rows, "work", format, local=port)
    return bound


def _learn(b: Builder, readout: Readout, has_bias: bool) -> None:
    third, switch, last = names.of(READOUT, "third_factor"), b.learning_switch(READOUT), readout.learn_last
    below = b.network.readout.pre
    with b.owned(Owner("plasticity", READOUT), "learn"):
        if readout.features == "spike":
            values = b.values_of(below)
            met = {"trace": values} if values else {"events": below}
            learn_by(b, b.network.readout, third, READOUT, switch, stream=_LEARN, last=last, **met)
        else:
            trace = names.of(below, "trace") if readout.features == "trace" else _count(b, below)
            learn_by(b, b.network.readout, third, READOUT, switch, trace=trace, stream=_LEARN, last=last)
    if has_bias:
        with b.owned(Owner("plasticity", READOUT_BIAS), "learn"):
            learn_bias(b, READOUT_BIAS, third, READOUT, switch, _LEARN_BIAS, last)


def _count(b: Builder, below: str) -> str:
    """Append the counting of the last population's spikes."""
    format = b.format(READOUT_COUNT)
    count = b.buffer(READOUT_COUNT, (SAMPLES, b.axis(below)), "state", format, local="count")
    sent = b.sent(sample_path(b.network.population(below)))
    b.run(count_program(format, READOUT_COUNT, b.buffers[sent].format), {"spike": sent, "count": count})
    return READOUT_COUNT
