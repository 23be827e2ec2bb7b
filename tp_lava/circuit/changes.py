"""Changes: weights that a rule changes at once, and those whose changes are summed up, to be applied by an optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from tp_lava.circuit.buffers import Owner, axes_of, reaching_axes
from tp_lava.dynamics.optimiser import optimiser_program
from tp_lava.numbers import Format
from tp_lava.optimisers import SGD, of_layer

_RANDOM_STREAM = 1 << 16  # random bits: beyond the populations' own


@dataclass(frozen=True)
class _Sum:
    """The summed changes of some weights. layer: whose optimiser applies them, as long as `switch` is on, in the `last` steps."""

    weights: str
    layer: str
    switch: str
    last: int | None


class Changes:
    """Of one circuit under construction."""

    def __init__(self, builder) -> None:
        self._builder = builder
        self._sums: dict[str, _Sum] = {}

    def of(self, weights: str, layer: str, switch: str, format: Format | None, last: int | None, *, summed: bool = False) -> str:
        """The buffer that a plasticity program changes: the weights, or the sum of their changes in `format`.

        last: steps at a sample's end in which it is changed; summed: at least those of a step are summed up, as of weights that
        synapses share, or that are standardised.
        """
        b, held = self._builder, self._builder.buffers[weights]
        at_once = b.rule.update == "step" and of_layer(b.optimiser, layer) == SGD()
        if at_once and not summed:
            return weights
        self._sums.setdefault(weights, _Sum(weights, layer, switch, 1 if b.rule.update == "sequence" else last))
        with b.owned(Owner("plasticity", weights)):
            return b.buffer(f"{weights}_change", held.axes, "state", format, local="change", outputs_last=held.outputs_last)

    def apply(self) -> None:
        """Append the optimisers: at every step, or at the last one of a sample."""
        for number, total in enumerate(self._sums.values()):
            with self._builder.owned(Owner("plasticity", total.weights), "learn"):
                self._apply(total, _RANDOM_STREAM + number)

    def _apply(self, total: _Sum, random_stream: int) -> None:
        b, weights = self._builder, total.weights
        buffer, change = b.buffers[weights], b.buffers[f"{weights}_change"]
        optimiser = of_layer(b.optimiser, total.layer)
        standardisation = next((c.standardisation for c in b.network.connections if c.name == weights), None)
        axes = dict(zip(axes_of(buffer), (b.sizes[axis] for axis in buffer.axes), strict=True))
        through = standardisation and (reaching_axes(buffer), standardisation.gain, standardisation.epsilon)
        program = optimiser_program(optimiser, axes, buffer.format, change.format, f"{weights}_optimiser", through)
        bindings = {"weight": weights, "change": change.name}
        if program.has("rate"):
            own = weights in b.gains and weights not in b.network.weights
            named = weights if own else total.layer
            bindings["rate"] = b.learning_rate(f"{named}_rate", None, b.rate_of(named))
        for port in program.ports:
            if port.name not in bindings:
                held = buffer.axes if port.axes else ()
                bindings[port.name] = b.buffer(f"{weights}_{port.name}", held, "moment", local=port.name)
        b.run(program, bindings, random_stream=random_stream, switch=total.switch, last=total.last)
