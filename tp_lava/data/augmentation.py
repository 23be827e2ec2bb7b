"""Augmentation: each time a recording is learned it is another one, as other speakers, places or hands would have made it.

    step' = step + d,  d in -shift .. shift;   unit' = floor((unit + 1/2) * f) + c,  f in 1 -+ stretch,  c in -units .. units
    (x', y') = round(R(a) (zx (x - m + u), zy (y - m + v)) + m + e),  a in -+rotation,  zx, zy in 1 -+ zoom,  e in (-+pixels, -+pixels)

and each event is left out with probability drop. d, f, c, a, zx, zy and e are drawn once a recording, so that it changes as a whole; m:
middle of the picture; u, v: in -+1/2, one an event, so that a larger picture has no holes. Moving and
stretching units fits where neighbours are alike, as the channels of a cochlea (another length of the vocal tract) or the columns of one
row of pixels; pixels, rotation and zoom are of a camera's recordings (sensors.py). What leaves the recording is left out. Sources: vocal
tract length perturbation, Jaitly and Hinton, ICML workshop 2013; Simard, Steinkraus and Platt, ICDAR 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.data.events import Events, Sample
from tp_lava.data.sensors import places, seen_at
from tp_lava.errors import invalid

_STREAM = 0x61756765  # keeps what is drawn here apart from other uses of the seed


@dataclass(frozen=True)
class Augmentation:
    """How recordings vary while they are learned; what is tested stays as it is.

    shift: most steps that a recording moves in time, >= 0; units: most units that it moves along the inputs, >= 0; drop: share of the
    events that are left out, [0, 1); stretch: by what share the numbers of the units grow or shrink at most, [0, 1). Of a square camera's
    recordings, whose units are polarity * side**2 + y * side + x: pixels: most pixels that a picture moves in each direction, >= 0;
    rotation: most degrees that it turns, [0, 180); zoom: by what share it grows or shrinks at most, [0, 1). Raises InvalidValueError.
    """

    shift: int = 0
    units: int = 0
    drop: float = 0.0
    stretch: float = 0.0
    pixels: int = 0
    rotation: float = 0.0
    zoom: float = 0.0

    def __post_init__(self) -> None:
        for attr in ("shift", "units", "pixels"):
            if not is_whole(getattr(self, attr), 0):
                raise invalid("Augmentation", attr, repr(getattr(self, attr)), "an integer >= 0", "0 leaves recordings where they are")
        for attr, most, remedy in (
            ("drop", 1, "0 keeps every event, 0.2 is usual"),
            ("stretch", 1, "0 leaves units where they are, 0.1 is usual"),
            ("rotation", 180, "0 turns nothing, 10 is usual"),
            ("zoom", 1, "0 leaves the size as it is, 0.1 is usual"),
        ):
            if not is_number(getattr(self, attr), 0, most):
                raise invalid("Augmentation", attr, repr(getattr(self, attr)), f"a number in [0, {most})", remedy)

    def applied(self, events: Events, seed: int, epoch: int, number: int) -> Events:
        """Sample `number` as it is learned in an epoch. The same seed, epoch and number give the same events. Raises InvalidValueError
        for pixels, rotation or zoom of what is no square camera's recording."""
        rng = np.random.default_rng([seed, _STREAM, epoch, number])
        if self.pixels or self.rotation or self.zoom:
            events = self._pictured(events, rng)
        times = events.times + rng.integers(-self.shift, self.shift + 1)
        moved = rng.integers(-self.units, self.units + 1)
        present = rng.random(len(events)) >= self.drop
        units = np.floor((events.units + 0.5) * rng.uniform(1 - self.stretch, 1 + self.stretch)).astype(np.int64) + moved
        kept = present & (times >= 0) & (times < events.n_steps) & (units >= 0) & (units < events.n_units)
        values = None if events.values is None else events.values[kept]
        return Events(times[kept], units[kept], events.n_steps, events.n_units, values)

    def _pictured(self, events: Events, rng: np.random.Generator) -> Events:
        """A camera's recording moved, turned and grown or shrunk about its middle."""
        polarity, *at, side = places(events)
        middle, angle = (side - 1) / 2, np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        moved = rng.integers(-self.pixels, self.pixels + 1, 2)
        y, x = (place - middle for place in at)
        if self.rotation or self.zoom:
            y, x = (place + rng.uniform(-0.5, 0.5, len(events)) for place in (y, x))
            zoomed = rng.uniform(1 - self.zoom, 1 + self.zoom, 2)
            y, x = y * zoomed[0], x * zoomed[1]
            y, x = np.sin(angle) * x + np.cos(angle) * y, np.cos(angle) * x - np.sin(angle) * y
        y, x = (np.rint(place + middle).astype(np.int64) + by for place, by in zip((y, x), moved, strict=True))
        return seen_at(events, polarity, y, x, (y >= 0) & (y < side) & (x >= 0) & (x < side))


@dataclass(frozen=True)
class _Augmented(Sequence[Sample]):
    """The samples of one epoch, each made when it is asked for; number `variant * len(samples) + i` is one of sample i."""

    samples: Sequence[tuple[Events, int]]
    by: Augmentation
    seed: int
    epoch: int
    variants: int

    def __len__(self) -> int:
        return self.variants * len(self.samples)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        events, label = self.samples[index % len(self.samples)]
        return Sample(self.by.applied(events, self.seed, self.epoch, index), label)


def augmented(
    samples: Sequence[tuple[Events, int]], by: Augmentation | None, seed: int, epoch: int, variants: int = 1
) -> Sequence[tuple[Events, int]]:
    """The samples as they are learned in an epoch, `variants` of each. by: None leaves them as they are. Raises InvalidValueError."""
    check_augmentation("fit", by)
    if not is_whole(variants, 1) or (by is None and variants > 1):
        limit, remedy = "an integer of at least 1, and 1 without augmentation", "give augmentation=, or more epochs"
        raise invalid("fit", "variants", repr(variants), limit, remedy)
    return samples if by is None else _Augmented(samples, by, seed, epoch, variants)


def check_augmentation(name: str, by: object) -> None:
    """Raises InvalidValueError for what is neither an Augmentation nor None."""
    if by is not None and not isinstance(by, Augmentation):
        remedy = "use for example tpl.Augmentation(shift=3, units=2, drop=0.2)"
        raise invalid(name, "augmentation", repr(by)[:60], "an Augmentation or None", remedy)
