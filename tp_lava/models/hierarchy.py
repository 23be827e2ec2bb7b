"""OnChipLearner opened into its parts, each a Process of its own, linked as tp_lava.parts.graph has derived it."""

from __future__ import annotations

from typing import Any, ClassVar

from lava.magma.core.model.sub.model import AbstractSubProcessModel

import tp_lava.processes.layers as processes
from tp_lava.lava.learning import learning_dense
from tp_lava.models.register import register_model
from tp_lava.parts.graph import LEARNING_DENSE, SINK, SOURCE, PartSpec
from tp_lava.processes.on_chip_learner import OnChipLearner

_OUTSIDE = {
    f"{SOURCE}.s_out": "s_in",
    f"{SOURCE}.sample_out": "sample_in",
    f"{SINK}.score_in": "score_out",
    f"{SINK}.sample_in": "sample_out",
}


class _Opened(AbstractSubProcessModel):
    """One Process per part."""

    fixed: ClassVar[bool]

    def __init__(self, proc: OnChipLearner) -> None:
        graph, made = proc.graph(), dict[str, Any]()
        for name, spec in graph.parts.items():
            made[name] = self._made(proc, spec)
            setattr(self, f"part_{name}", made[name])  # Lava finds sub-processes among the attributes
        for sender, receiver in graph.links:
            _port(proc, made, sender).connect(_port(proc, made, receiver))
        proc.open_into(made)

    def _made(self, proc: OnChipLearner, spec: PartSpec) -> Any:
        """The Process of a part."""
        given = proc.proc_params
        if spec.process == LEARNING_DENSE:
            return learning_dense(given["network"], given["rule"], given["fixed"] if self.fixed else None, given["seed"])
        arguments = [] if spec.subject is None or spec.process == "LearningTraceLIF" else [spec.subject]
        options = {"seed": given["seed"], "fixed": given["fixed"], "name": f"{proc.name}.{spec.name}"}
        return getattr(processes, spec.process)(given["network"], given["rule"], *arguments, **options)


def _port(proc: OnChipLearner, made: dict[str, Any], where: str) -> Any:
    """A port of a part, or of the Process that is opened."""
    if where in _OUTSIDE:
        return getattr(proc, _OUTSIDE[where])
    name, port = where.split(".")
    return getattr(made[name], port)


@register_model(OnChipLearner, "floating_pt")
class SubOnChipLearnerFloat(_Opened):
    """Chosen by select_sub_proc_model=True."""

    fixed = False


@register_model(OnChipLearner, "fixed_pt")
class SubOnChipLearnerFixed(_Opened):
    """Chosen by select_sub_proc_model=True."""

    fixed = True
