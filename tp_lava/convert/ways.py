"""Ways through a graph: what arrives at a place is a sum over ways from populations or the input, each a chain of maps.

    y = sum of maps_k(s_k) over ways k        maps are linear; the biases of a map go along the first way alone

Additions are more ways; a concatenation puts a way's units in their place among others'. Factors and places are taken into the maps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tp_lava.convert.joins import Join, Joined, Scaled
from tp_lava.convert.maps import check_size
from tp_lava.convert.stages import Convolution, Delayed, Dense, Map, Pooling
from tp_lava.convert.values import Shape, refuse, spread

MOST_WAYS = 256


@dataclass(frozen=True, eq=False)
class Way:
    """origin: the stage of the population that it comes from, or INPUT; shape: of what it brings; stages: maps and delays on it.

    factor: of what it brings, broadcasts to shape; first, of: its place along the first axis of a concatenation, and that axis' length.
    """

    origin: int
    shape: Shape
    stages: tuple[Map | Delayed, ...] = ()
    factor: np.ndarray = field(default_factory=lambda: np.ones(()))
    first: int = 0
    of: int | None = None

    @property
    def whole(self) -> Shape:
        """The shape of what arrives by all ways."""
        return (self.shape[0] if self.of is None else self.of, *self.shape[1:])

    @property
    def units(self) -> slice:
        """Its units among all."""
        inner = math.prod(self.shape[1:])
        return slice(self.first * inner, self.first * inner + math.prod(self.shape))

    def flat(self) -> Way:
        """The same without channels and places; units are numbered in C order."""
        inner = math.prod(self.shape[1:])
        factor = self.factor if self.factor.size == 1 else np.broadcast_to(self.factor, self.shape).ravel()
        of = None if self.of is None else self.of * inner
        return replace(self, shape=(math.prod(self.shape),), factor=factor, first=self.first * inner, of=of)

    def within(self, first: int, of: int) -> Way:
        """The same at a place of a concatenation."""
        return replace(self, first=first + self.first, of=of)

    # Through one stage ------------------------------------------------------------------------
    def through(self, stage: Any, biased: bool) -> Way:
        """Behind a checked stage. biased: whether it brings the stage's biases. Raises InvalidValueError."""
        if isinstance(stage, Scaled):
            factor = spread(stage.factor, self.whole)
            if factor.size > 1:
                factor = np.broadcast_to(factor, self.whole)[self.first : self.first + self.shape[0]]
            return replace(self, factor=self.factor * factor)
        if isinstance(stage, Delayed):
            steps = np.broadcast_to(np.asarray(stage.steps), (math.prod(self.whole),))[self.units]
            return replace(self, stages=(*self.stages, replace(stage, steps=steps)))
        if isinstance(stage, Pooling):
            return self._pooled(stage)
        mapped = self._weighted(stage if biased else replace(stage, bias=None))
        _, shape = mapped.checked(self.shape)
        return Way(self.origin, shape, (*self.stages, mapped))

    def _pooled(self, stage: Pooling) -> Way:
        if stage.mode == "max" and (self.factor < 0).any():
            raise refuse(stage.path, "max pooling", "of spikes with a negative factor", "of spikes", "put the factor behind it")
        factor = self.factor if self.factor.size == 1 else np.broadcast_to(self.factor, self.shape)
        if factor.size > 1:
            if (factor != factor[:, :1, :1]).any():
                raise refuse(stage.path, "pooling", "behind a factor for each unit", "one a channel", "scale what leaves the pooling")
            factor = factor[:, :1, :1]
        _, shape = stage.checked(self.shape)
        return replace(self, stages=(*self.stages, stage), shape=shape, factor=factor)

    def _weighted(self, stage: Dense | Convolution) -> Dense | Convolution:
        """The map of this way alone, with its factor."""
        if isinstance(stage, Dense):
            alone = replace(stage, weight=stage.weight[:, self.units])
            return alone if _is_one(self.factor) else alone.with_scaled_inputs(_each(self.factor, self.shape))
        if self.of is not None:
            stage = _ungrouped(stage)
            stage = replace(stage, weight=stage.weight[:, self.first : self.first + self.shape[0]])
        if _is_one(self.factor):
            return stage
        factor = self.factor if self.factor.size == 1 else np.broadcast_to(self.factor, self.shape)
        if factor.size > 1 and (factor != factor[:, :1, :1]).any():
            raise refuse(stage.path, "weight", "behind a factor for each unit", "one a channel", f"scale what leaves {stage.path}")
        return stage.with_scaled_inputs(factor if factor.size == 1 else factor[:, 0, 0])

    # At its end -------------------------------------------------------------------------------
    def finished(self, path: str) -> tuple[Map | Delayed, ...]:
        """Its stages, with its factor and its place in the last map, or in one of their own; of units that no map is on, without their
        factor. path: of what it reaches.
        """
        mapped = any(not isinstance(stage, Delayed) for stage in self.stages)
        if self.of is None and (_is_one(self.factor) or (len(self.shape) == 1 and not mapped)):
            return self.stages
        last, rest = (self.stages[-1], self.stages[:-1]) if self.stages else (None, ())
        if isinstance(last, Dense):
            rows = _each(self.factor, self.shape)
            return *rest, self._placed(last.rescaled(rows))
        if len(self.shape) == 3:
            factor = np.broadcast_to(self.factor, self.shape)
            if not (factor != factor[:, :1, :1]).any():
                if isinstance(last, Convolution):
                    return *rest, self._placed(_ungrouped(last).rescaled(factor[:, 0, 0]))
                groups = 1 if self.of is not None else self.shape[0]
                kernel = np.diag(factor[:, 0, 0]) if groups == 1 else factor[:, :1, 0]
                return *self.stages, self._placed(Convolution(f"{path}.place", kernel[:, :, None, None], groups=groups))
        size = math.prod(self.shape)
        check_size(path, "factor or place", math.prod(self.whole), size, "put a map on that way")
        return *self.stages, self._placed(Dense(f"{path}.place", np.diag(_each(self.factor, self.shape))))

    def _placed(self, stage: Dense | Convolution) -> Dense | Convolution:
        """The map with the other outputs of the concatenation, which it leaves zero."""
        if self.of is None:
            return stage
        count = self.of if isinstance(stage, Convolution) else math.prod(self.whole)
        rows = slice(self.first, self.first + self.shape[0]) if isinstance(stage, Convolution) else self.units
        weight = np.zeros((count, *stage.weight.shape[1:]), stage.weight.dtype)
        weight[rows] = stage.weight
        if stage.bias is None:
            return replace(stage, weight=weight)
        bias = np.zeros(count, stage.bias.dtype)
        bias[rows] = stage.bias
        return replace(stage, weight=weight, bias=bias)


def joined(stage: Join, arriving: Sequence[Sequence[Way]], shapes: Sequence[Shape]) -> tuple[Way, ...]:
    """The ways behind an addition or a concatenation. arriving: the ways to each input; shapes: of each. Raises InvalidValueError."""
    given = [[way.flat() for way in ways] if stage.flat else list(ways) for ways in arriving]
    if isinstance(stage, Joined):
        sizes = [math.prod(shape) if stage.flat else shape[0] for shape in shapes]
        places = np.cumsum([0, *sizes]).tolist()
        given = [[way.within(place, places[-1]) for way in ways] for place, ways in zip(places[:-1], given, strict=True)]
    found = tuple(way for ways in given for way in ways)
    if len(found) > MOST_WAYS:
        found_ways = f"{len(found)} without neurons in between"
        raise refuse(stage.path, "ways", found_ways, f"at most {MOST_WAYS}", "put neurons in between")
    return found


def _is_one(factor: np.ndarray) -> bool:
    return bool((factor == 1).all())


def _each(factor: np.ndarray, shape: Shape) -> np.ndarray:
    return np.broadcast_to(factor, shape).ravel()


def _ungrouped(stage: Convolution) -> Convolution:
    """The same convolution with a kernel for every pair of channels, zeros between groups."""
    if stage.groups == 1:
        return stage
    per, outputs = stage.weight.shape[1], stage.outputs // stage.groups
    weight = np.zeros((stage.outputs, per * stage.groups, *stage.weight.shape[2:]), stage.weight.dtype)
    for group in range(stage.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        weight[rows, group * per : (group + 1) * per] = stage.weight[rows]
    return replace(stage, weight=weight, groups=1)
