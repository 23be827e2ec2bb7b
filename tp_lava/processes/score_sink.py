"""ScoreSink: keeps the scores at the end of each sample."""

from __future__ import annotations

import numpy as np
from lava.magma.core.process.ports.ports import InPort

from tp_lava.parts.messages import SAMPLE_SIZE
from tp_lava.processes.base import Process
from tp_lava.sharing import shared_array


class ScoreSink(Process):
    """Keeps the scores of n_samples samples over n_classes; they can be read at any time, also while it runs.

    Ports: score_in (n_classes,), the readout after each step, or asynchronously after each sample;
    sample_in (4,), as EventSource.sample_out. Hardware: embedded processor or host.
    """

    def __init__(self, n_classes: int, n_samples: int, **parameters) -> None:
        super().__init__(kept=shared_array((n_samples, n_classes), np.float64), count=shared_array((1,), np.int64), **parameters)
        self.score_in = InPort(shape=(n_classes,))
        self.sample_in = InPort(shape=(SAMPLE_SIZE,))

    @property
    def done(self) -> int:
        """Samples finished so far."""
        return int(self.proc_params["count"][0])

    @property
    def scores(self) -> np.ndarray:
        """(n_samples, n_classes) float64, in the units that arrive (mantissas in fixed point); zero for samples that have not ended."""
        return self.proc_params["kept"].copy()

    @property
    def predictions(self) -> np.ndarray:
        """(n_samples,) argmax of the scores."""
        return self.scores.argmax(axis=1)
