"""Two forms of one network: which differences of what they hold their number formats explain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.payloads import sent_format
from tp_lava.divergence.forms import NetworkForm
from tp_lava.graph.chain import GraphLayer
from tp_lava.graph.names import INPUT
from tp_lava.numbers import DECAY_BITS, Format

FLOAT_ROUNDING = 2.0**-18  # of the membrane: what sums of float32 in another order may differ by, with room


def rounded(a: np.ndarray, b: np.ndarray, formats: tuple[Format | None, Format | None]) -> bool:
    """Whether arrays differ by no more than their formats explain: one is the other rounded, or both are, of the same numbers."""
    steps = sum(format.resolution / 2 for format in formats if format)
    near = np.abs(np.asarray(a, np.float64) - b) <= steps
    for fine, coarse, format in ((b, a, formats[0]), (a, b, formats[1])):
        if format:
            near |= format.real(format.quantise(fine)) == coarse  # clipped ones too
    return bool(np.all(near | (np.asarray(a) == b)))


def rounded_decays(a: np.ndarray | float, b: np.ndarray | float, fixed: tuple[bool, bool]) -> np.ndarray:
    """Whether decay factors differ by no more than holding them in 12 bits explains; any shape."""
    return np.abs(np.asarray(a) - b) <= sum(0.5 / 2**DECAY_BITS for each in fixed if each) + 1e-7


@dataclass(frozen=True)
class FormPair:
    """Both forms; what is asked of it comes in pairs, in their order."""

    a: NetworkForm
    b: NetworkForm

    def each(self, ask: Callable[[NetworkForm], float]) -> tuple[float, float]:
        """A number of each form."""
        return ask(self.a), ask(self.b)

    @property
    def layers(self) -> tuple[GraphLayer, ...]:
        """Of the first, whose shapes are those of both."""
        return self.a.layers

    @property
    def fixed(self) -> tuple[bool, bool]:
        """Whether their numbers are integers."""
        return bool(self.a.formats), bool(self.b.formats)

    def formats(self, name: str) -> tuple[Format | None, Format | None]:
        """Of a buffer, None in float."""
        return self.a.formats.get(name), self.b.formats.get(name)

    def membranes(self, number: int) -> tuple[Format | None, Format | None]:
        """Formats of a layer's membranes."""
        return self.formats(names.of(self.layers[number].name, "membrane"))

    def weights(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Weights or biases as held; zeros where a form has no such biases."""
        zeros = np.zeros(self.a.network.shapes[name])
        return np.asarray(self.a.weights.get(name, zeros), np.float64), np.asarray(self.b.weights.get(name, zeros), np.float64)

    def constants(self, number: int, attr: str) -> tuple[np.ndarray, np.ndarray]:
        """A constant of a layer's neurons as held, (n,)."""
        return self.a.constants[number][attr], self.b.constants[number][attr]

    @property
    def readout_decays(self) -> tuple[float, float]:
        """Of the scores, as asked for."""
        return self.each(lambda form: form.network.readout_decay)

    # What rounding explains -------------------------------------------------------------------
    def rounded(self, name: str) -> bool:
        """Whether rounding explains every difference of these weights."""
        return rounded(*self.weights(name), self.formats(name))

    def rounded_decays(self, decays: tuple[float, float]) -> bool:
        """Whether rounding explains their difference."""
        return bool(rounded_decays(*decays, self.fixed))

    def slip(self, a: np.ndarray, b: np.ndarray) -> float:
        """The most by which rounding parts decays of a layer's neurons, (n,) of each form."""
        return float(np.where(rounded_decays(a, b, self.fixed), np.abs(a - b), 0.0).max())

    def explained(self, name: str) -> float:
        """The largest difference of weights where rounding explains all of them; else none."""
        a, b = self.weights(name)
        return float(np.abs(a - b).max()) if self.rounded(name) else 0.0

    def rounded_values(self, name: str) -> float:
        """By how much rounding parts the values that the input or a population sends: averages, and graded input."""
        network = self.a.network
        graded = network.input_format is not None if name == INPUT else any(p.mode == "average" for p in network.population(name).pooling)
        return sent_format(network, name).resolution / 2 if graded and self.fixed[0] != self.fixed[1] else 0.0

    def largest_weight(self, name: str) -> float:
        """Of both forms."""
        return max(float(np.abs(held).max(initial=0.0)) for held in self.weights(name))

    def float_noise(self, scale: float) -> float:
        """What rounding of float32 sums explains, for numbers of about `scale`; nothing where both forms are integers."""
        return 0.0 if all(self.fixed) else FLOAT_ROUNDING * scale


def resolutions(formats: tuple[Format | None, Format | None]) -> list[float]:
    """Steps of the formats there are."""
    return [format.resolution for format in formats if format]
