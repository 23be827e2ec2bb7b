"""The range analysis of a model as it would be held in fixed point."""

from __future__ import annotations

from tp_lava.commands.exporting import Choices, learner_of
from tp_lava.ranges import RangeReport, check_ranges


def ranges_of(model: str, choices: Choices, steps: int | None, learning: bool, seed: int) -> RangeReport:
    """Of a model and the choices an export would take; what does not fit is in the report."""
    return check_ranges(learner_of(model, choices, seed, "ranges"), steps=steps, learning=learning, strict=False)
