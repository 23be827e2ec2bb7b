"""How a camera is mounted: turned, mirrored, moved by a few pixels, its polarities exchanged. Each is a table of units.

    unit of the camera as it was = table[unit of the camera as it is mounted],  -1 where that one sees what the other did not

Units are numbered (channel * height + y) * width + x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, prod

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.data.camera import POLARITIES
from tp_lava.data.events import Events
from tp_lava.errors import invalid

Shape = tuple[int, int, int]
_OUTSIDE = -1


@dataclass(frozen=True)
class Mounting:
    """A change of mounting: first mirrored (left and right exchanged), then turned, then inverted, then moved.

    turns: by 90 degrees, clockwise, 0 .. 3, even ones where the picture is no square; inverted: the two channels exchanged (ON and OFF);
    down, right: pixels by which the picture moves; what leaves it is lost. Mounting() changes nothing. Raises InvalidValueError.
    """

    turns: int = 0
    mirrored: bool = False
    inverted: bool = False
    down: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.turns, 0, 4):
            raise invalid("Mounting", "turns", repr(self.turns), "0, 1, 2 or 3, times 90 degrees clockwise", "take it modulo 4")
        for attr in ("down", "right"):
            if not is_whole(getattr(self, attr)):
                raise invalid("Mounting", attr, repr(getattr(self, attr)), "a whole number of pixels", "0 moves nothing")

    def __str__(self) -> str:
        moved = f"moved by {self.down} down and {self.right} right" if self.down or self.right else ""
        parts = (self.mirrored * "mirrored", (self.turns > 0) * f"turned by {90 * self.turns} degrees")
        return ", ".join(part for part in (*parts, self.inverted * "ON and OFF exchanged", moved) if part) or "unchanged"

    def seen(self, events: Events, shape: Shape) -> Events:
        """A recording as the camera so mounted would have made it. shape: (channels, height, width). Raises InvalidValueError."""
        back = self._table(shape)
        table = np.full(len(back), _OUTSIDE)
        table[back[back != _OUTSIDE]] = np.flatnonzero(back != _OUTSIDE)
        return _renumbered(events, table)

    def undone(self, events: Events, shape: Shape) -> Events:
        """A recording of the camera so mounted, as the camera before would have made it. Raises InvalidValueError."""
        return _renumbered(events, self._table(shape))

    def _table(self, shape: Shape) -> np.ndarray:
        """-> (units,), see the module."""
        channels, height, width = shape
        if self.turns % 2 and height != width:
            raise invalid("Mounting", "turns", self.turns, f"even for {height} x {width} pixels", "only squares turn by 90 degrees")
        if self.inverted and channels != POLARITIES:
            raise invalid("Mounting", "inverted", True, f"False for {channels} channels", "only ON and OFF can be exchanged")
        picture = np.arange(prod(shape)).reshape(shape)
        picture = picture[:, :, ::-1] if self.mirrored else picture
        picture = np.rot90(picture, -self.turns, (1, 2))
        picture = picture[::-1] if self.inverted else picture
        y, x = np.arange(height) - self.down, np.arange(width) - self.right  # where each row and column came from
        moved = np.full(shape, _OUTSIDE)
        rows, columns = (y >= 0) & (y < height), (x >= 0) & (x < width)
        moved[:, rows[:, None] & columns] = picture[:, y[rows]][:, :, x[columns]].reshape(channels, -1)
        return moved.ravel()


def mountings(shape: Shape, pixels: int) -> list[Mounting]:
    """What a camera of this shape may have become: unchanged; each orientation and polarity; moved by up to `pixels` in both directions."""
    _, height, width = shape
    turns, signs = range(0, 4, 1 if height == width else 2), (False, True) if shape[0] == POLARITIES else (False,)
    oriented = [Mounting(turn, mirrored, inverted) for inverted in signs for mirrored in (False, True) for turn in turns]
    steps = range(-pixels, pixels + 1)
    return oriented + [Mounting(down=down, right=right) for down in steps for right in steps if down or right]


def camera_shape(shape: Sequence[int]) -> Shape:
    """(channels, height, width) of an input shape: itself, or that of a square camera of two polarities with as many units.

    Raises InvalidValueError.
    """
    if len(shape) == 3:
        return tuple(shape)  # type: ignore[return-value]
    side = isqrt(prod(shape) // POLARITIES)
    if POLARITIES * side**2 != prod(shape):
        limit = f"{POLARITIES} * side**2, of a square camera"
        raise invalid("sensor", "n_units", prod(shape), limit, "give shape=(channels, height, width); only a camera's events can be turned")
    return POLARITIES, side, side


def _renumbered(events: Events, table: np.ndarray) -> Events:
    if events.n_units != len(table):
        raise invalid("Mounting", "n_units", events.n_units, f"{len(table)}, as the shape says", "give the shape of the camera")
    units = table[events.units]
    kept = units != _OUTSIDE
    return Events(events.times[kept], units[kept], events.n_steps, events.n_units, None if events.values is None else events.values[kept])
