"""Augmentation: each time a recording is learned it is another one, as other speakers or other places would have made it.

    step' = step + d,  d in -shift .. shift;   unit' = unit + c,  c in -units .. units;   each event is left out with probability drop

d and c are drawn once a recording, so that it moves as a whole. Moving units fits where neighbours are alike, as the channels of a
cochlea or the columns of one row of pixels; what leaves the recording is left out.
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
    events that are left out, [0, 1). Raises InvalidValueError.
    """

    shift: int = 0
    units: int = 0
    drop: float = 0.0

    def __post_init__(self) -> None:
        for attr in ("shift", "units"):
            if not is_whole(getattr(self, attr), 0):
                raise invalid("Augmentation", attr, repr(getattr(self, attr)), "an integer >= 0", "0 leaves recordings where they are")
        if not is_number(self.drop, 0, 1):
            raise invalid("Augmentation", "drop", repr(self.drop), "a number in [0, 1)", "0 keeps every event, 0.2 is usual")

    def applied(self, events: Events, seed: int, epoch: int, number: int) -> Events:
        """Sample `number` as it is learned in an epoch. The same seed, epoch and number give the same events."""
        rng = np.random.default_rng([seed, _STREAM, epoch, number])
        times = events.times + rng.integers(-self.shift, self.shift + 1)
        units = events.units + rng.integers(-self.units, self.units + 1)
        kept = (times >= 0) & (times < events.n_steps) & (units >= 0) & (units < events.n_units)
        kept &= rng.random(len(events)) >= self.drop
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
