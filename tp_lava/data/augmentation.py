"""Augmentation: each time a recording is learned it is another one, as other speakers or other places would have made it.

    step' = step + d,  d in -shift .. shift;   unit' = floor((unit + 1/2) * f) + c,  f in 1 -+ stretch,  c in -units .. units

and each event is left out with probability drop. d, f and c are drawn once a recording, so that it changes as a whole. Moving and
stretching units fits where neighbours are alike, as the channels of a cochlea (another length of the vocal tract) or the columns of one
row of pixels; what leaves the recording is left out. Source: vocal tract length perturbation, Jaitly and Hinton, ICML workshop 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.data.events import Events, Sample
from tp_lava.errors import invalid

_STREAM = 0x61756765  # keeps what is drawn here apart from other uses of the seed


@dataclass(frozen=True)
class Augmentation:
    """How recordings vary while they are learned; what is tested stays as it is.

    shift: most steps that a recording moves in time, >= 0; units: most units that it moves along the inputs, >= 0; drop: share of the
    events that are left out, [0, 1); stretch: by what share the numbers of the units grow or shrink at most, [0, 1).
    Raises InvalidValueError.
    """

    shift: int = 0
    units: int = 0
    drop: float = 0.0
    stretch: float = 0.0

    def __post_init__(self) -> None:
        for attr in ("shift", "units"):
            if not is_whole(getattr(self, attr), 0):
                raise invalid("Augmentation", attr, repr(getattr(self, attr)), "an integer >= 0", "0 leaves recordings where they are")
        for attr, remedy in (("drop", "0 keeps every event, 0.2 is usual"), ("stretch", "0 leaves units where they are, 0.1 is usual")):
            if not is_number(getattr(self, attr), 0, 1):
                raise invalid("Augmentation", attr, repr(getattr(self, attr)), "a number in [0, 1)", remedy)

    def applied(self, events: Events, seed: int, epoch: int, number: int) -> Events:
        """Sample `number` as it is learned in an epoch. The same seed, epoch and number give the same events."""
        rng = np.random.default_rng([seed, _STREAM, epoch, number])
        times = events.times + rng.integers(-self.shift, self.shift + 1)
        moved = rng.integers(-self.units, self.units + 1)
        present = rng.random(len(events)) >= self.drop
        units = np.floor((events.units + 0.5) * rng.uniform(1 - self.stretch, 1 + self.stretch)).astype(np.int64) + moved
        kept = present & (times >= 0) & (times < events.n_steps) & (units >= 0) & (units < events.n_units)
        values = None if events.values is None else events.values[kept]
        return Events(times[kept], units[kept], events.n_steps, events.n_units, values)


@dataclass(frozen=True)
class _Augmented(Sequence[Sample]):
    """The samples of one epoch, each made when it is asked for."""

    samples: Sequence[tuple[Events, int]]
    by: Augmentation
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index):
        events, label = self.samples[index]
        return Sample(self.by.applied(events, self.seed, self.epoch, index), label)


def augmented(samples: Sequence[tuple[Events, int]], by: Augmentation | None, seed: int, epoch: int) -> Sequence[tuple[Events, int]]:
    """The samples as they are learned in an epoch. by: None leaves them as they are. Raises InvalidValueError."""
    if by is None:
        return samples
    if not isinstance(by, Augmentation):
        remedy = "use for example tpl.Augmentation(shift=3, units=2, drop=0.2)"
        raise invalid("fit", "augmentation", repr(by)[:60], "an Augmentation or None", remedy)
    return _Augmented(samples, by, seed, epoch)
