"""What may happen to an event camera: the same recordings, as another sensor would have made them.

Units are numbered polarity * side**2 + y * side + x, as EventCamera's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tp_lava.checks import is_number
from tp_lava.data.events import Events, Sample
from tp_lava.data.mounting import Mounting, camera_shape
from tp_lava.errors import invalid

_DEAD = 0.5  # share of the columns
_NOISE = 0.02  # spurious events per unit and step

Sensor = Callable[[Events], Events]


def mirrored(events: Events) -> Events:
    """Left and right exchanged, as behind a mirror."""
    return Mounting(mirrored=True).seen(events, camera_shape((events.n_units,)))


def rotated(events: Events) -> Events:
    """Turned by a quarter, clockwise, as a camera mounted on its side."""
    return Mounting(turns=1).seen(events, camera_shape((events.n_units,)))


def inverted(events: Events) -> Events:
    """ON and OFF exchanged, as with a negative."""
    return Mounting(inverted=True).seen(events, camera_shape((events.n_units,)))


def half_dead(events: Events, share: float = _DEAD) -> Events:
    """Without the pixels of the right-hand columns. share: of the columns, [0, 1)."""
    _check_share("share", share)
    polarity, y, x, side = places(events)
    alive = x < side - round(share * side)
    return seen_at(events, polarity, y, x, alive)


def noisy(events: Events, rate: float = _NOISE, seed: int = 0) -> Events:
    """With spurious events. rate: per unit and step, [0, 1); seed: the same recording gets the same noise."""
    _check_share("rate", rate)
    dense = events.to_dense()
    rng = np.random.default_rng([seed, len(events), int(events.units.sum())])
    return Events.from_dense(dense | (rng.random(dense.shape) < rate))


SENSORS: Mapping[str, Sensor] = {f.__name__.replace("_", "-"): f for f in (mirrored, rotated, inverted, half_dead, noisy)}


def through(sensor: str, samples: Sequence[Sample]) -> list[Sample]:
    """Samples as a sensor of SENSORS has them. Raises InvalidValueError."""
    if sensor not in SENSORS:
        raise invalid("sensor", "name", repr(sensor), f"one of {', '.join(SENSORS)}", "or change the Events yourself")
    return [Sample(SENSORS[sensor](events), label) for events, label in samples]


def places(events: Events) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """(polarity, y, x) of each event, and the side of the sensor."""
    side = camera_shape((events.n_units,))[1]
    polarity, place = np.divmod(events.units, side**2)
    return polarity, *np.divmod(place, side), side


def seen_at(events: Events, polarity: np.ndarray, y: np.ndarray, x: np.ndarray, alive: np.ndarray) -> Events:
    """The events at other places, without those that are not alive."""
    side = camera_shape((events.n_units,))[1]
    units = polarity * side**2 + y * side + x
    values = None if events.values is None else events.values[alive]
    return Events(events.times[alive], units[alive], events.n_steps, events.n_units, values)


def _check_share(name: str, value: float) -> None:
    if not is_number(value, 0, 1):
        raise invalid("sensor", name, repr(value), "a number in [0, 1)", "0 leaves everything as it is")
