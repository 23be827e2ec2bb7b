"""A model as a folder of sources, and what it will take on a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tp_lava.archive import kind_of
from tp_lava.commands.converting import model_named
from tp_lava.commands.tasks import rule_named
from tp_lava.deploy.c import check_name, export_c, library_of
from tp_lava.errors import ArchiveError, invalid
from tp_lava.fixedpoint import FixedPoint
from tp_lava.learner import Learner
from tp_lava.targets.c.members import STRUCTS

RuleName = Literal["tp", "tess", "none"]


@dataclass(frozen=True)
class Choices:
    """How a network is to learn; None where not given. A saved Learner has made these choices."""

    rule: RuleName | None = None
    rate: float | None = None
    readout_rate: float | None = None
    bits: int | None = None


def exported(model: str, out: Path, name: str, choices: Choices, seed: int) -> tuple[list[Path], dict[str, Any]]:
    """Write the folder. -> its files, and name, rule and bytes as JSON-able values. Raises as export_c does."""
    check_name(name)
    learner = learner_named(model, choices, seed)
    files = export_c(learner, out, name)
    library = library_of(learner, name)
    parts = {place: sum(m.bytes for m in library.members if m.place == place) for place in STRUCTS}
    bytes_ = {"constants": library.constant_bytes, "state": library.state_bytes, **parts}
    rule = type(learner.rule).__name__ if learner.rule else None
    return files, {"name": name, "rule": rule, "bytes": bytes_, "files": [str(file) for file in files]}


def learner_named(model: str, choices: Choices, seed: int, command: str = "export") -> Learner:
    """A saved Learner, or a fixed-point one of a network and these choices. command: who asks."""
    if is_learner(model):
        if choices != Choices() or seed:
            raise invalid(command, "rule, rates, bits or seed", "given with a saved Learner", "those of the learner", "leave them out")
        return Learner.load(model)
    name = None if choices.rule == "none" else choices.rule
    if name is None and (choices.rate is not None or choices.readout_rate is not None):
        raise invalid(command, "rate", "given without a rule", "left out", "or give --rule tp or --rule tess")
    network = model_named(model, seed)
    rule = rule_named(name, choices.rate, choices.readout_rate) if name else None
    kept = network.provenance.fixed if network.provenance else None
    fixed = FixedPoint(weight_bits=choices.bits) if choices.bits is not None else kept or FixedPoint()
    return Learner(network, rule, fixed, seed)


def is_learner(model: str) -> bool:
    """Whether it is the file of a saved Learner."""
    try:
        return Path(model).is_file() and kind_of(model) == "learner"
    except ArchiveError:
        return False
