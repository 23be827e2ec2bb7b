"""The message that goes with every time step of a sample, from part to part: (start, label, steps left, rows in use or IDLE)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tp_lava.circuit.labels import Reset
from tp_lava.circuit.operations import NO_END

NO_LABEL = -1
START, LABEL, LEFT, ROWS = range(4)  # places in a sample message
BEGINS = 1  # what START is in the first step of a sample
GOES_ON: Mapping[int, Reset] = {2: "traces", 3: "none", 4: "all"}  # and in a step from which on it has another label, or none -> what is
# zero then, see Learner.relabel
SAMPLE_SIZE = 4
LAST_STEP, UNKNOWN = 1, 0  # steps left of a sample, this one among them: the last; unknown, or there is no sample
ALL_ROWS, IDLE = 0, -1  # rows of a rule's own in use: all there are; nothing happens in this step, all states stay


def _message(*values: int) -> np.ndarray:
    message = np.array(values, np.int32)
    message.flags.writeable = False
    return message


NO_SAMPLE = _message(0, NO_LABEL, UNKNOWN, IDLE)  # before, between and after samples
FREE_RUN = _message(0, NO_LABEL, UNKNOWN, ALL_ROWS)  # of a part that receives no sample messages: no sample starts or is learned


def steps_left(left: int) -> int:
    """What the buffer STEPS_LEFT holds before a step whose sample message has this LEFT."""
    return NO_END if left == UNKNOWN else left


def is_labelled(message: np.ndarray) -> bool:
    """Whether a step is learned."""
    return bool(message[LABEL] != NO_LABEL)


def is_active(message: np.ndarray) -> bool:
    """Whether anything happens in a step."""
    return bool(message[ROWS] != IDLE)
