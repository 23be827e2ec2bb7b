"""Delays between two populations, made one: those before any map, of units, and those of what maps make, of neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tp_lava.convert.maps import Connection
from tp_lava.convert.stages import Convolution, Delayed, Dense, Map, Pooling
from tp_lava.convert.values import extent, refuse
from tp_lava.graph.delays import MOST_STEPS, AnyDelays, Delays, SynapticDelays, delays_of


class Delaying:
    """The delays since the last population. A delay that is the same for all units may stand anywhere before the next neurons."""

    def __init__(self) -> None:
        self._path = ""
        self._all = 0
        self._units: np.ndarray | None = None  # of each unit below
        self._poolings = 0  # before those of units
        self._neurons: np.ndarray | None = None  # of each neuron that a dense map reaches

    def add(self, stage: Delayed, maps: Sequence[Map]) -> None:
        """A checked stage, after these maps. Raises InvalidValueError where no connection has such delays."""
        self._path, steps = stage.path, np.asarray(stage.steps)
        biases = [each.bias for each in maps if isinstance(each, Dense | Convolution) and each.bias is not None]
        if steps.any() and any(map(np.any, biases)):
            remedy = "put it before the map, or leave biases out"
            raise refuse(stage.path, "delay", f"{extent(steps)} of biases too", "of spikes alone", remedy)
        if not np.ptp(steps):
            self._all += int(steps[0])
        elif all(isinstance(each, Pooling) for each in maps):
            self._check_units(len(maps))
            self._units = steps + (0 if self._units is None else self._units)
        elif isinstance(maps[-1], Dense):
            self._neurons = steps + (0 if self._neurons is None else self._neurons)
        else:
            limit = "one number after a convolution"
            raise refuse(stage.path, "delay", f"{extent(steps)}, differing", limit, "put it right after the neurons")

    def of(self, connection: Connection, n_units: int, poolings: int) -> AnyDelays | None:
        """The delays of a connection from so many units, as that many poolings since the last neurons left them; None if there are none."""
        if self._units is None and self._neurons is None:
            return self._bounded(delays_of, np.array(self._all), n_units) if self._all else None
        self._check_units(poolings)
        if self._units is not None and connection.spatial is not None and connection.spatial.pooling:
            found, remedy = f"{extent(self._units)}, differing", "convolve before you pool, or give one number"
            raise refuse(self._path, "delay", found, "one number behind a pooling of the input or of recurrent neurons", remedy)
        units = self._all + (np.zeros(n_units, np.int64) if self._units is None else self._units)
        if self._neurons is None:
            return self._bounded(delays_of, units, n_units)
        if connection.spatial is not None:
            raise refuse(self._path, "delay", extent(self._neurons), "one number beside convolutions", "put it right after the neurons")
        return self._bounded(lambda steps, _: SynapticDelays.of(steps), self._neurons[:, np.newaxis] + units, n_units)

    def _check_units(self, poolings: int) -> None:
        """Refuse delays of units, some before and some after a pooling."""
        if self._units is not None and poolings != self._poolings:
            found, limit = f"{extent(self._units)}, differing", "one number before a pooling"
            raise refuse(self._path, "delay", found, limit, "put it after the pooling")
        self._poolings = poolings

    def _bounded(self, made: Callable[[np.ndarray, int], Delays | SynapticDelays], steps: np.ndarray, n_units: int) -> AnyDelays:
        if steps.max() > MOST_STEPS:
            raise refuse(self._path, "delay", extent(steps), f"{MOST_STEPS} steps at most in all", "use longer steps")
        return made(steps, n_units)


def stage_of_delays(path: str, delays: AnyDelays | None) -> list[Delayed]:
    """The delays of a connection as a stage before its maps. Raises InvalidValueError for copies and for delays of single synapses."""
    if delays is None:
        return []
    if isinstance(delays, SynapticDelays) or delays.copies > 1:
        found = "one a synapse" if isinstance(delays, SynapticDelays) else f"{delays.copies} copies of each unit"
        raise refuse(path, "delays", found, "one delay a unit, which is all that others have", "keep it in a .tplava file")
    return [Delayed(f"{path}_delay", delays.array)]
