"""network.json: what is in a bundle and in which formats - weights, parameters, learning rules, Processes and their connections."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tp_lava import archive
from tp_lava.backends.loihi2.learning_engine import learning_string, presynaptic_trace, unsuited
from tp_lava.circuit import Circuit, RunProgram, UpdateWeights
from tp_lava.circuit.formats import first_weights
from tp_lava.deploy.bundle.graph import Bundled, why_not_in_engine
from tp_lava.deploy.samples import learned_names
from tp_lava.graph.names import READOUT
from tp_lava.lava.learning import PERIOD
from tp_lava.learner import Learner
from tp_lava.numbers import STOCK_TRACE_BITS, Format
from tp_lava.parts.graph import LEARNING_DENSE

NO_DECAY = 1e18  # time constant of the rails: Lava's engine decays y once before it is used
_LISTED = 16  # parameters with more values are in the file of weights
_ROWS = "further rows go through these weights too, and one LearningDense cannot tell their spikes and third factors from the sample's"
_ALONE = "stock LearningDense learns {first} alone here; see docs/processes.md of tp_lava, Lava's own learning engine"
_READOUT = "its presynaptic term is {trace} in {bits} bits, the engine's traces have {stock}; PlasticDense keeps it"
_FORM = "this learner holds its weights in 8 bits; with precision=tpl.FixedPoint(stock=True) they are in the engine's form"


def arrays(learner: Learner) -> dict[str, np.ndarray]:
    """weights.npz: every weight (n_out, n_in) and bias (n,), and parameters of many values, as mantissas."""
    circuit = circuit_of(learner)
    large = {name: _mantissas(circuit, name) for name in _parameters(circuit)}
    return {**learner.mantissas, **{name: held for name, held in large.items() if held.size > _LISTED}}


def described(learner: Learner, name: str, graph: Bundled) -> dict[str, Any]:
    """What network.json says, as JSON values."""
    circuit, learned = circuit_of(learner), learned_names(learner)
    return {
        "name": name,
        "rule": archive.encoded(learner.rule),
        "fixed_point": archive.encoded(learner.fixed),
        "seed": learner.seed,
        "sizes": dict(circuit.sizes),
        "lava_steps_of_a_time_step": graph.period,
        "value": "mantissa * 2**-frac; weights: mantissa * 2**exponent",
        "weights": {key: _weight(learner, key, held, key in learned) for key, held in learner.mantissas.items()},
        "parameters": {key: _parameter(circuit, key) for key in _parameters(circuit)},
        "formats": {key: _format(buffer.format) for key, buffer in circuit.buffers.items() if buffer.format},
        "learning": [_learning(learner, circuit, o, graph) for o in circuit.step if isinstance(o, UpdateWeights)],
        "processes": [
            {"name": n.name, "class": n.what, "stock": n.stock, "of": n.of, "loihi2": n.place, "lag": n.lag} for n in graph.nodes
        ],
        "connections": [list(link) for link in graph.links],
    }


def circuit_of(learner: Learner) -> Circuit:
    """The circuit that learns, or of a learner without a rule the one that infers."""
    inference, learning = learner.circuits
    return learning or inference


def _parameters(circuit: Circuit) -> list[str]:
    return [name for role in ("parameter", "switch") for name in circuit.names(role) if name in circuit.values]


def _mantissas(circuit: Circuit, name: str) -> np.ndarray:
    return np.broadcast_to(circuit.buffers[name].encode(circuit.values[name]), circuit.shape(name))


def _parameter(circuit: Circuit, name: str) -> dict[str, Any]:
    held, format = _mantissas(circuit, name), circuit.buffers[name].format
    where = {"values": held.ravel().tolist()} if held.size <= _LISTED else {"in": "weights.npz"}
    return {**where, "shape": list(held.shape), **({"format": _format(format)} if format else {})}


def _format(format: Format) -> dict[str, int | bool]:
    return {"bits": format.bits, "frac": format.frac, "signed": format.signed}


def _weight(learner: Learner, name: str, held: np.ndarray, learned: bool) -> dict[str, Any]:
    format = learner.buffers[name].format
    bits = {"bits": format.bits} if format else {}
    return {"shape": list(held.shape), "type": str(held.dtype), **bits, "exponent": learner.exponents[name], "learns": learned}


# Learning rules -----------------------------------------------------------------------------------


def _learning(learner: Learner, circuit: Circuit, operation: UpdateWeights, graph: Bundled) -> dict[str, Any]:
    """One rule: its string, the traces it takes, and whether a stock LearningDense learns by it."""
    weights, third = operation.owner.name, circuit.buffers[operation.third_factor].format
    process = next(node.what for node in graph.nodes if operation.owner in node.owners)
    assert third is not None
    rails = {
        "of": operation.third_factor,
        "rails": "y1 - y2: the neuron writes max(third, 0) into y1 and max(-third, 0) into y2 in each step that learns, else 0",
        "format": _format(third),
        "decay": "none",
    }
    missing = unsuited(operation)
    told = {
        "weights": weights,
        "rule": f"none: the engine has not {missing[0]}" if missing else learning_string(circuit, operation),
        "third_factor": rails,
        "presynaptic": _presynaptic(circuit, presynaptic_trace(operation)),
        "switch": operation.switch,
        "last_steps": operation.last_steps or "all",
        "process": process,
    }
    if process == LEARNING_DENSE:
        return {**told, "engine": {"class": "Loihi3FLearningRule", "t_epoch": PERIOD, "y_tau": NO_DECAY}}
    return {**told, "why_not_stock": _why(learner, circuit, weights, presynaptic_trace(operation))}


def _presynaptic(circuit: Circuit, trace: str) -> dict[str, Any]:
    """x0, or the trace x1: its impulse and time constant, in time steps."""
    if not trace:
        return {"x0": "spike of the step"}
    format = circuit.buffers[trace].format
    assert format is not None
    decays = _decays(circuit, trace)
    taus = [-1 / math.log(decay) if decay else 0.0 for decay in decays]
    kept: dict[str, Any] = {"decay": None}
    if len(decays) > 1:
        kept = {"decay": decays, "tau": taus}  # one a unit
    elif decays[0]:
        kept = {"decay": decays[0], "tau": taus[0]}
    return {"x1": trace, "format": _format(format), "impulse": 2**format.frac, **kept}


def _decays(circuit: Circuit, trace: str) -> list[float]:
    """Of a trace: one, or one a unit; [0]: none."""
    bound = (dict(o.bindings) for o in circuit.step if isinstance(o, RunProgram) and trace in o.writes)
    decays = (bindings["trace_decay"] for bindings in bound if bindings.get("trace") == trace and "trace_decay" in bindings)
    return next((np.asarray(circuit.values[name], np.float64).ravel().tolist() for name in decays), [0.0])


def _why(learner: Learner, circuit: Circuit, weights: str, trace: str) -> str:
    first = first_weights(learner.network)
    if weights == first:
        return why_not_in_engine(learner.network, learner.rule) or _FORM
    if weights == READOUT:
        format = circuit.buffers[trace].format if trace else None
        what = {"trace": trace, "bits": format.bits} if format else {"trace": "the spike", "bits": 1}
        return _READOUT.format(**what, stock=STOCK_TRACE_BITS)
    return _ROWS if circuit.row_counts else _ALONE.format(first=first)
