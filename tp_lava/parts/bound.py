"""What a part needs in every Lava step, looked up once in its arrays: messages, ports, and the buffers behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tp_lava.circuit import Circuit
from tp_lava.graph.names import INPUT
from tp_lava.parts.graph import PartInput, PartOutput
from tp_lava.parts.messages import UNKNOWN, steps_left

Writer = Callable[[np.ndarray], None]


@dataclass
class BoundStage:
    """message: its sample message, live; inputs: each with its message of an earlier Lava step, if it has a delay, and its writer.

    left, ran: the steps left of the sample, as the message has them, and whether the stage has done anything, when it was last its turn.
    """

    message: np.ndarray
    inputs: tuple[tuple[PartInput, np.ndarray | None, Writer], ...]
    left: int = UNKNOWN
    ran: bool = False


class BoundOutput:
    """What is sent at a port."""

    def __init__(self, output: PartOutput, stage: BoundStage, circuit: Circuit, arrays: Mapping[str, np.ndarray]) -> None:
        self._values = arrays[output.signal].reshape(output.shape)
        self._nothing = np.zeros_like(self._values)
        self._nothing.flags.writeable = False
        self._stage, self._last_steps = stage, output.last_steps
        self._held = circuit.buffers[output.signal].role == "state"
        self._switch = arrays[output.switch] if output.switch else None

    def values(self) -> np.ndarray:
        """The buffer's; zeros where its stage has not run, and where nobody would use it."""
        off = self._switch is not None and self._switch[0] == 0
        early = self._last_steps and steps_left(self._stage.left) > self._last_steps
        return self._nothing if off or early or not (self._held or self._stage.ran) else self._values


def writer(each: PartInput, circuit: Circuit, arrays: Mapping[str, np.ndarray]) -> Writer:
    """What puts the messages of a port into the buffers that they are for, no further than their formats reach."""
    lists = [name for name in each.buffers if circuit.buffers[name].index]
    writers = [_values_writer(name, circuit, arrays) for name in each.buffers if name not in lists]
    if lists:
        active, count = (arrays[name] for name in lists)
        writers.append(_lists_writer(active, count))
    format = circuit.network.input_format if each.signal == INPUT and not circuit.fixed else None
    if len(writers) == 1 and format is None:
        return writers[0]

    def write(values: np.ndarray) -> None:
        values = format.real(values) if format else values
        for one in writers:
            one(values)

    return write


def _values_writer(name: str, circuit: Circuit, arrays: Mapping[str, np.ndarray]) -> Writer:
    array, format = arrays[name], circuit.buffers[name].format
    low, high = (format.low, format.high) if format else (0, 0)

    def write(values: np.ndarray) -> None:
        held = np.minimum(np.maximum(values, low), high) if format else values  # np.clip takes twice as long
        array[...] = held.reshape(array.shape)

    return write


def _lists_writer(active: np.ndarray, count: np.ndarray) -> Writer:
    rows = len(count)

    def write(values: np.ndarray) -> None:
        for row, spikes in enumerate(values.reshape(rows, -1)):
            (units,) = spikes.nonzero()
            active[row, : units.size] = units
            count[row] = units.size

    return write
