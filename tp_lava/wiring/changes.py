"""Changes: weights that a rule changes at once, and those whose changes are summed up, to be applied by an optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tp_lava.dynamics.optimiser import optimiser_program
from tp_lava.numbers import Format
from tp_lava.optimisers import SGD, of_layer

if TYPE_CHECKING:
    from tp_lava.wiring.builder import Wiring

_PLACE = 1 << 16  # random bits: beyond the layers' own


@dataclass(frozen=True)
class _Sum:
    """The summed changes of some weights. layer: whose optimiser applies them, as long as `switch` is on, in the `last` steps."""

    weights: str
    layer: str
    switch: str
    last: int | None


class Changes:
    """Of one circuit under construction."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._sums: dict[str, _Sum] = {}

    def of(self, weights: str, layer: str, switch: str, format: Format | None, last: int | None) -> str:
        """The buffer that a plasticity program changes: the weights, or the sum of their changes in `format`.

        last: steps at a sample's end in which it is changed.
        """
        w = self._wiring
        if w.update == "step" and of_layer(w.optimiser, layer) == SGD():
            return weights
        self._sums.setdefault(weights, _Sum(weights, layer, w.switch(switch), 1 if w.update == "sequence" else last))
        return w.buffer(f"{weights}_change", w.buffers[weights].axes, "state", format)

    def apply(self) -> None:
        """Append the optimisers: at every step, or at the last one of a sample."""
        for number, total in enumerate(self._sums.values()):
            self._apply(total, _PLACE + number)

    def _apply(self, total: _Sum, place: int) -> None:
        w, weights = self._wiring, total.weights
        buffer, change = w.buffers[weights], w.buffers[f"{weights}_change"]
        optimiser, axes = of_layer(w.optimiser, total.layer), ("pre", "post")[-len(buffer.axes) :]
        program = optimiser_program(optimiser, axes, buffer.format, change.format, f"{weights}_optimiser")
        bindings = {"weight": weights, "change": change.name}
        if program.has("rate"):
            bindings["rate"] = w.learning_rate(f"{total.layer}_rate", None, w.rate_of(total.layer))
        for port in program.ports:
            if port.name not in bindings:
                bindings[port.name] = w.buffer(f"{weights}_{port.name}", buffer.axes if port.axes else (), "moment")
        w.run(program, bindings, place=place, switch=total.switch, last=total.last)
