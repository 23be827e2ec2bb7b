"""What a PyTorch module's forward does, layers and functions alike: a run is traced, and one step of it becomes a graph of stages.

spikes = self.lif(F.avg_pool2d(self.conv(x), 2) + x)        additions, concatenations, factors, poolings, selections, maps
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tp_lava.convert.captured.expressions import Expression, NotUnderstoodError, Steps, in_order
from tp_lava.convert.captured.functions import append as append
from tp_lava.convert.captured.functions import label as label
from tp_lava.convert.stages import Reading, ReadLayer
from tp_lava.convert.values import Shape
from tp_lava.convert.verification.recording import CannotRunError, record

STEPS = 7  # of the run that is traced: a prime, which few layers have as a size
_RATE = 0.3


def captured(module: Any, layers: Sequence[ReadLayer], input_shape: Shape, frame_shape: Shape | None = None) -> list[Expression]:
    """The expressions of one step of forward, in order. layers: all that may be called, each once; `key` of an expression is the place
    among them; frame_shape: of a step as the module takes it. Raises NotUnderstoodError, CannotRunError.
    """
    reading = Reading(module, tuple(layers))
    spikes = np.random.default_rng(0).random((STEPS, *(frame_shape or input_shape))) < _RATE
    trace = record(reading, {}, spikes.astype(np.float32), traced=True).trace
    if trace is None:
        raise CannotRunError("its run was not traced")
    ordered = in_order(Steps(trace, input_shape).output())
    numbers = {id(part): number for number, part in enumerate(module.modules())}
    places = {numbers[id(layer.leaf)]: place for place, layer in enumerate(layers)}
    for expression in ordered:
        if expression.name == "layer":
            expression.key = places[expression.key]
    if ordered[0].name != "input":
        raise NotUnderstoodError("forward", "its result does not come from its input")
    return ordered
