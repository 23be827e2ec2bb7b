"""A foreign PyTorch module as a form: its own spikes, and beside them what it becomes when it is converted.

Spikes are those that the module makes when it is run. Weights, constants, membranes and scores are those of the network that `convert`
makes of it, whose spikes are the module's unless `convert` would refuse it; by them a cause is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.convert.assemble import assemble
from tp_lava.convert.stages import Spiking
from tp_lava.convert.torch_modules import read_module
from tp_lava.convert.verification import recorded_on
from tp_lava.convert.verification.recording import CannotRunError
from tp_lava.data.events import Events
from tp_lava.divergence.forms import EngineForm, Trial
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner


class ModuleForm(EngineForm):
    """A module with the input of `network`. options: of tp_lava.convert for modules. Raises InvalidValueError."""

    def __init__(self, module: Any, network: Network, options: Mapping[str, Any]) -> None:
        self.source = read_module(module, network.input_shape, **options)
        own = assemble(self.source, input_format=network.input_format)
        super().__init__(Learner(own), f"PyTorch ({type(module).__name__})")

    def trials(self, recordings: Sequence[Events]) -> Iterator[Trial]:
        """See NetworkForm."""
        paths = [stage.path for stage in self.source.stages if isinstance(stage, Spiking)]
        for events, trial in zip(recordings, super().trials(recordings), strict=True):
            frames = events.to_dense().astype(np.float32).reshape(-1, *(self.source.frame_shape or self.source.input_shape))
            try:
                made = recorded_on(self.source, frames)
            except CannotRunError as error:
                remedy = "compare the network that convert makes of it"
                raise invalid("diverge", "form", "a module that cannot be run", f"run on spikes ({error})", remedy) from None
            spikes = [made.get(path, own) for path, own in zip(paths, trial.spikes, strict=False)]
            yield replace(trial, spikes=(*spikes, *trial.spikes[len(spikes) :]))
