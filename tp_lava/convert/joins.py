"""Where a graph of stages is no chain: what several stages give is added or concatenated, and a factor stands on one of the ways.

Added     y = x_1 + x_2 + ...            all of one shape
Joined    y = (x_1, x_2, ...)            along the first axis, the channels of images
Scaled    y = factor x                   one number, one a channel or one a unit
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.convert.values import CHECK_SHAPES, Parameter, Shape, parameter, refuse


@dataclass(frozen=True)
class Added:
    """Sums, unit by unit. flat: of units in C order, whatever their shapes."""

    path: str
    flat: bool = False

    def joined(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of the sum. Raises InvalidValueError where shapes differ."""
        found = {(math.prod(shape),) if self.flat else tuple(shape) for shape in shapes}
        if len(found) > 1:
            raise refuse(self.path, "shapes", " and ".join(map(str, sorted(found))), "the same, for they are added", CHECK_SHAPES)
        return found.pop()


@dataclass(frozen=True)
class Joined:
    """Concatenation along the first axis: channels, or units where flat."""

    path: str
    flat: bool = False

    def joined(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of all together. Raises InvalidValueError where the other axes differ."""
        sizes = [(math.prod(shape),) if self.flat else tuple(shape) for shape in shapes]
        if len({size[1:] for size in sizes}) > 1:
            limit = "images of one height and width, or flat, for they are concatenated"
            raise refuse(self.path, "shapes", " and ".join(map(str, sizes)), limit, CHECK_SHAPES)
        return sum(size[0] for size in sizes), *sizes[0][1:]


@dataclass(frozen=True, eq=False)
class Scaled:
    """A factor: one number, or an array of one per channel or per unit."""

    path: str
    factor: Parameter

    def checked(self, shape: Shape) -> tuple[Scaled, Shape]:
        """-> (itself, shape)."""
        return Scaled(self.path, parameter(self.path, "factor", self.factor, shape)), shape


Join = Added | Joined


@dataclass(frozen=True, eq=False)
class Scale:
    """A factor of what arrives at the next stage, which that stage takes into its weights. factor: broadcasts to the shape."""

    path: str
    parameter: str
    factor: np.ndarray


@dataclass(frozen=True, eq=False)
class Wire:
    """A place of the graph. place: the number of the stage that gives what is there, or INPUT; shape: of that; scale: its factor."""

    place: int
    shape: Shape
    scale: Scale | None = None
