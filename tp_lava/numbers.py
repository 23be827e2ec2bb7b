"""Numbers: what an integer means (Format), how a real number becomes one, and the random bits of stochastic rounding.

Every width of the project is named here, once. Nothing here knows of networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import NumberRangeError, invalid

REGISTER_BITS = 32  # every intermediate value; only products are wider
PRODUCT_BITS = 64  # inside multiply-and-shift
WEIGHT_BITS = 8  # sign and 7 bits, as Loihi's synapses and Lava's Dense hold
STOCK_WEIGHT_BITS = 9  # in the learning engine of Lava's LearningDense
STOCK_TRACE_BITS = 7  # unsigned traces there
STATE_BITS = 24  # membrane and synaptic current, as Loihi's u and v
DECAY_BITS = 12  # decay factors, as Loihi's du and dv
REFRACTORY_BITS = 6  # steps of a refractory time, as Loihi counts them
TRACE_BITS = 16  # unsigned spike traces
PRE_TRACE_BITS = 12  # unsigned presynaptic traces that meet a third factor (Loihi's learning engine: 7)
ERROR_BITS = 8  # error vector of the credit: sign and 7 bits, Q0.7
THIRD_FACTOR_BITS = 8  # third factor: sign and 7 bits, two unsigned rails on Loihi
RATE_BITS = 16  # mantissa of a learning rate
SCORE_BITS = 31  # readout integrator: the difference of two must fit a register
THRESHOLD_BITS = 14  # the binary point of a membrane is put where the threshold uses about so many bits


@dataclass(frozen=True)
class Format:
    """A fixed-point format: value = mantissa * 2**-frac.

    bits: width, sign included. frac: bits behind the binary point (may be negative).
    Signed formats are symmetric (-high..high), as Loihi's sign-magnitude weights and Lava's membranes are.
    """

    bits: int
    frac: int
    signed: bool = True

    @property
    def high(self) -> int:
        """Largest mantissa."""
        return int(2 ** (self.bits - self.signed) - 1)

    @property
    def low(self) -> int:
        """Smallest mantissa."""
        return -self.high if self.signed else 0

    @property
    def resolution(self) -> float:
        """Value of one mantissa step."""
        return math.ldexp(1.0, -self.frac)

    @property
    def largest(self) -> float:
        """Largest value."""
        return math.ldexp(self.high, -self.frac)

    def quantise(self, values: object) -> np.ndarray:
        """Nearest mantissas (ties to even), saturated. values: any shape, finite. -> int64 of the same shape."""
        scaled = np.rint(np.ldexp(np.asarray(values, np.float64), self.frac))
        return np.clip(scaled, self.low, self.high).astype(np.int64)

    def real(self, mantissas: object) -> np.ndarray:
        """Values of mantissas, float64 (exact)."""
        return np.ldexp(np.asarray(mantissas).astype(np.float64), -self.frac)

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


def exponent_to_hold(largest: float, bits: int) -> int:
    """The smallest e with largest <= high * 2**e for a signed mantissa of `bits` bits; largest must be positive."""
    high = Format(bits, 0).high
    return math.ceil(math.log2(largest / high))


def quantise_decay(decay: float, obj: str) -> int:
    """A decay factor in [0, 1) as a DECAY_BITS-bit mantissa. Raises NumberRangeError if it would round to 1."""
    one = 2**DECAY_BITS
    mantissa = round(decay * one)
    if not 0 <= mantissa < one:
        raise NumberRangeError(
            f"{obj}: decay is {decay}, which rounds to {mantissa}/{one} in {DECAY_BITS} bits; use a decay in [0, {(one - 1) / one:.6f}].",
            obj=obj,
            attr="decay",
        )
    return mantissa


# Random bits -------------------------------------------------------------------------------------
# Counter-based: a bit depends on (seed, step, place, row, column) alone, so order and threads do not
# matter. Keys are mixed by the low-bias 32-bit integer hash found by C. Wellons' hash prospector (public
# domain); along the innermost axis, where speed counts, a Weyl sequence from the key is scrambled by one
# xor-shift and one multiplication, and its upper bits are taken. Written on uint32, so that the very same
# lines run on NumPy arrays (interpreter) and compile under Numba (CPU target).

_GOLDEN = np.uint32(0x9E3779B9)
_M1 = np.uint32(0x7FEB352D)
_M2 = np.uint32(0x846CA68B)
_S15 = np.uint32(15)
_S16 = np.uint32(16)


def mix(key, word):
    """Hash of two 32-bit words. key, word: uint32 scalars or arrays (arrays broadcast). -> uint32."""
    x = np.uint32(key + np.uint32(word * _GOLDEN))
    x = np.uint32(x ^ (x >> _S16))
    x = np.uint32(x * _M1)
    x = np.uint32(x ^ (x >> _S15))
    x = np.uint32(x * _M2)
    return np.uint32(x ^ (x >> _S16))


def draw(key, index, drop):
    """32 - drop random bits for element `index` of a row with key `key`. All uint32. -> uint32."""
    x = np.uint32(key + np.uint32(index * _GOLDEN))
    x = np.uint32(x ^ (x >> _S15))
    return np.uint32(np.uint32(x * _M1) >> drop)


def seed_key(seed: int) -> int:
    """The 32-bit key of a user's seed (0 <= seed < 2**63)."""
    if not is_whole(seed, 0, 2**63):
        raise invalid("seed", "value", repr(seed), "an integer in [0, 2**63)", "pass for example seed=0")
    low, high = int(seed) & 0xFFFFFFFF, int(seed) >> 32
    words = np.array([low], np.uint32), np.array([high], np.uint32)
    return int(mix(mix(np.array([0x6C617661], np.uint32), words[0]), words[1])[0])
