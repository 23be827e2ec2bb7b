"""By which rule: each form is a rule, where it runs, and how its weights are held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tp_lava.comparison.tasks import Task
from tp_lava.errors import invalid
from tp_lava.dynamics.readout import Readout
from tp_lava.rules import TESS, TP, Rule

BATCH = 100


@dataclass(frozen=True)
class Form:
    """kind: "tp", "frozen" (TP's readout alone) or "tess" in the engine, one sample at a time; "batch" TP or "bptt" in PyTorch,
    with Adam. rule: with rates still to be set.
    """

    name: str
    kind: Literal["tp", "frozen", "tess", "batch", "bptt"]
    rule: Rule | None = None
    precision: Literal["float", "fixed"] = "float"

    @property
    def in_torch(self) -> bool:
        """Whether it needs PyTorch."""
        return self.kind in ("batch", "bptt")

    def rule_for(self, task: Task) -> Rule:
        """The rule with the task's rates."""
        assert self.rule is not None
        rates = {"tess": task.tess_rates, "batch": task.adam_rates}.get(self.kind, task.tp_rates)
        return replace(self.rule, rate=0.0 if self.kind == "frozen" else rates[0], readout_rate=rates[1])


_TESS = TESS(temperature=0.05, activity="trace")

FORMS: tuple[Form, ...] = (
    Form("frozen hidden layer", "frozen", TP()),
    Form("TP, K = 2", "tp", TP(contrast=2)),
    Form("TP, K = 4", "tp", TP(contrast=4)),
    Form("TP, K = all", "tp", TP(contrast="all")),
    Form("TP, K = 4, fixed point", "tp", TP(contrast=4), "fixed"),
    Form("TP, batch of 100, Adam (PyTorch)", "batch", TP(readout=Readout())),
    Form("TESS, walsh, sequence", "tess", replace(_TESS, basis="walsh", update="sequence")),
    Form("TESS, walsh, step", "tess", replace(_TESS, basis="walsh", update="step")),
    Form("TESS, walsh, sequence, fixed point", "tess", replace(_TESS, basis="walsh", update="sequence"), "fixed"),
    Form("TESS, square, sequence", "tess", replace(_TESS, basis="square", update="sequence")),
    Form("TESS, square, step", "tess", replace(_TESS, basis="square", update="step")),
    Form("TESS as published", "tess", TESS()),
    Form("BPTT, batch of 100, Adam (PyTorch)", "bptt"),
)


def form_named(name: str) -> Form:
    """The form of that name."""
    for form in FORMS:
        if form.name == name:
            return form
    raise invalid("compare-rules", "form", repr(name), f"one of {'; '.join(form.name for form in FORMS)}", "see --list")
