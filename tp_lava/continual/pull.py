"""The anchor at work: a copy of the weights in eight bits, and the pull towards it; equations in settings.Anchor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tp_lava.circuit import Buffer
from tp_lava.circuit.buffers import stored_weight_type
from tp_lava.continual.settings import STRENGTH_BITS, Anchor
from tp_lava.numbers import WEIGHT_BITS, Format, draw, exponent_to_hold, mix, seed_key

_STREAM = 0x616E6368  # keeps these random bits apart from other uses of the seed


class AnchorCopy:
    """Weights as they were, and what pulls them back.

    buffers, memory: of the learner, whose arrays are changed in place; names: of the arrays that learn; seed: of the rounding.
    """

    def __init__(self, settings: Anchor, names: Iterable[str], buffers: Mapping[str, Buffer], memory: Mapping[str, np.ndarray], seed: int):
        self.settings, self.names, self._buffers = settings, tuple(names), {name: buffers[name] for name in names}
        self._key = mix(np.array([seed_key(seed)], np.uint32), np.array([_STREAM], np.uint32))
        self.formats = {name: self._buffers[name].format or _format_for(memory[name]) for name in self.names}
        self.copies = {
            name: memory[name].astype(np.int64) if self._buffers[name].format else self.formats[name].quantise(memory[name])
            for name in self.names
        }

    @property
    def bits(self) -> Mapping[str, int]:
        """Array -> bits of a copied weight."""
        return {name: format.bits for name, format in self.formats.items()}

    @property
    def bytes(self) -> int:
        """Of all copies, packed."""
        return sum(-(-copy.size * self.formats[name].bits // 8) for name, copy in self.copies.items())

    def pull(self, memory: Mapping[str, np.ndarray], number: int) -> None:
        """Change the weights in place. number: of the pull, 0 the first; it decides the random bits in fixed point."""
        for place, name in enumerate(self.names):
            array, buffer = memory[name], self._buffers[name]
            if buffer.format is None:
                anchor = self.formats[name].real(self.copies[name]).astype(np.float32)
                array += np.float32(self.settings.strength) * (anchor - array)
            else:
                array[...] = self._pulled(array.astype(np.int64), self.copies[name], number, place)

    def _pulled(self, mantissas: np.ndarray, anchor: np.ndarray, number: int, place: int) -> np.ndarray:
        words = (np.array([word & 0xFFFFFFFF], np.uint32) for word in (number, place))
        key = self._key
        for word in words:
            key = mix(key, word)
        index = np.arange(mantissas.size, dtype=np.uint32)
        random = draw(key, index, np.uint32(32 - STRENGTH_BITS)).astype(np.int64).reshape(mantissas.shape)
        share = round(self.settings.strength * 2**STRENGTH_BITS)
        return mantissas + ((share * (anchor - mantissas) + random) >> STRENGTH_BITS)

    # Files ------------------------------------------------------------------------------------
    def arrays(self) -> dict[str, np.ndarray]:
        """The copies, and the binary point of each."""
        points = np.array([self.formats[name].frac for name in self.names], np.int64)
        held: dict[str, np.ndarray] = {name: copy.astype(stored_weight_type(self.formats[name])) for name, copy in self.copies.items()}
        return {"fracs": points, **{f"copy/{name}": copy for name, copy in held.items()}}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become what arrays() told."""
        for name, frac in zip(self.names, arrays["fracs"].tolist(), strict=True):
            self.copies[name][...] = arrays[f"copy/{name}"]
            self.formats[name] = Format(self.formats[name].bits, frac)


def _format_for(array: np.ndarray) -> Format:
    """Eight bits that hold the largest of an array of real numbers."""
    largest = float(np.abs(array).max(initial=0.0))
    return Format(WEIGHT_BITS, -exponent_to_hold(largest, WEIGHT_BITS) if largest > 0 else 0)
