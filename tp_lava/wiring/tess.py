"""TESS's part of a circuit: each layer's error through its basis, third factors, and the traces they meet."""

from __future__ import annotations

import warnings

from tp_lava.dynamics.basis import basis, untaught
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.neuron import DECAY
from tp_lava.dynamics.tess import BASIS, ThirdFormats, error_program, third_factors_program
from tp_lava.fixedpoint import scale_format
from tp_lava.rules import TESS
from tp_lava.wiring.builder import SPIKE
from tp_lava.wiring.rule import RuleWiring, wires

_THIRD, _CAUSAL, _ACAUSAL, _FEEDBACK_CAUSAL, _FEEDBACK_ACAUSAL, _BIAS = range(6)  # parts of a layer


@wires(TESS)
class TESSWiring(RuleWiring[TESS]):
    """Credit and learning of each layer that learns."""

    def before(self, number: int) -> None:
        """See RuleWiring: presynaptic traces, of this step's input and the last step's feedback."""
        if self.learns(number) and self.rule.causal:
            for weights, events in self.connections(number).items():
                self.keep_pre_trace(weights, events)

    def layer(self, number: int) -> None:
        """See RuleWiring."""
        if not self.learns(number):
            return
        w, rule, name = self.wiring, self.rule, f"hidden{number}"
        self._error(number)
        thirds = self._thirds(number)
        for place, (weights, events) in enumerate(self.connections(number).items()):
            if "causal" in thirds:
                where, trace = w.place(number, _CAUSAL + 2 * place), f"{weights}_pre_trace"
                w.learn(weights, thirds["causal"], name, trace=trace, place=where, last=rule.learn_last)
            if "acausal" in thirds:
                where = w.place(number, _ACAUSAL + 2 * place)
                w.learn(weights, thirds["acausal"], name, events=events, place=where, last=rule.learn_last)
        if "bias" in thirds:
            w.learn_bias(f"bias{number}", thirds["bias"], name, place=w.place(number, _BIAS), last=rule.learn_last)

    def _error(self, number: int) -> None:
        w, name = self.wiring, f"hidden{number}"
        classes, size = w.sizes["class"], w.sizes[name]
        signs = basis(self.rule.basis, classes, size)
        if (silent := untaught(signs)).size:
            _warn(name, silent, size, self.rule.basis)
            signs = signs * (signs != signs[0]).any(axis=0)  # no signal at all, however the errors are rounded
        scale = 1.0 / (size * self.rule.temperature)
        gain = scale_format(scale) if w.formats else None
        bindings = {
            "activity": f"{name}_{self.rule.activity}",
            "basis": w.parameter(f"{name}_basis", BASIS, signs, ("class", name)),
            "label": w.buffer("sample_label", ("b", "class"), "work", SPIKE),
            "gain": w.parameter(f"{name}_error_gain", gain, scale),
            "error": w.buffer(f"{name}_error", ("b", "class"), "work", ERROR),
        }
        sizes = {"b": w.students, "c": classes, "n": size}
        w.run(error_program(sizes, w.buffers[bindings["activity"]].format, gain, fixed=bool(w.formats), name=f"{name}_error"), bindings)

    def _thirds(self, number: int) -> dict[str, str]:
        """Third factors of a layer: those that anything learns by -> their buffers."""
        w, rule, name = self.wiring, self.rule, f"hidden{number}"
        wanted = {"causal": rule.causal != 0, "acausal": rule.acausal != 0, "bias": f"bias{number}" in w.network.weights}
        thirds = {third: f"{name}_{third}" for third, is_wanted in wanted.items() if is_wanted}
        formats = {third: ThirdFormats(w.format(f"{buffer}_rate"), w.format(f"{buffer}_third")) for third, buffer in thirds.items()}
        post_trace = w.format(f"{name}_post_trace")
        program = third_factors_program(w.sizes["class"], formats, post_trace, fixed=bool(w.formats), name=f"{name}_third_factors")
        bindings = {"basis": f"{name}_basis", "error": f"{name}_error", "surrogate": f"{name}_surrogate"}
        bindings["post_trace"] = w.buffer(f"{name}_post_trace", ("b", name), "state", post_trace)
        bindings["post_decay"] = w.parameter("post_decay", DECAY, rule.post_decay)
        for third, buffer in thirds.items():
            bindings[f"{third}_rate"] = w.rate(buffer, name)
            bindings[third] = w.buffer(f"{buffer}_third", ("b", name), "work", formats[third].result)
        w.run(program, bindings, place=w.place(number, _THIRD))
        return {third: f"{buffer}_third" for third, buffer in thirds.items()}


def _warn(layer: str, silent, size: int, name: str) -> None:
    listed = ", ".join(map(str, silent[:20])) + (", ..." if silent.size > 20 else "")
    warnings.warn(
        f"{layer}: the {name} basis gives {silent.size} of {size} neurons no learning signal, so they never learn: {listed}; "
        f'use TESS(basis="walsh") to teach them all.',
        stacklevel=2,
    )
