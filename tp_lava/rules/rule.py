"""A rule of any credit and any terms."""

from __future__ import annotations

from dataclasses import dataclass

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.errors import invalid
from tp_lava.rules.base import BaseRule, Update
from tp_lava.rules.credits.base import Credit
from tp_lava.rules.credits.output_feedback import OutputFeedback


@dataclass(frozen=True)
class Rule(BaseRule):
    """A rule made of parts: a credit, which makes delta, and terms, which make products of it.

        dW[i,j] = -rate * sum over terms of factor * (delta[i] * A[i]) * B[j]          i: post, j: pre

    credit: one of tp_lava.rules.credits, or one of your own; terms: at least one, of different names (one may have none); rate: of
    the hidden layers, one number or one per layer, >= 0 (0 freezes a layer); readout_rate: >= 0; pre_decay, second_decay: of the
    presynaptic traces, post_decay: of the traces of psi, [0, 1); learn_last: steps at a sample's end in which it learns (None: all);
    update: "step" changes weights at every step, "sequence" at a sample's end; readout: how the readout is taught.
    Raises InvalidValueError, also for terms that the credit does not go with.
    """

    credit: Credit = OutputFeedback()  # noqa: RUF009 (frozen)
    terms: tuple[Term, ...] = (Term(),)
    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 5e-4
    pre_decay: float = 0.0
    second_decay: float = 0.0
    post_decay: float = 0.0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    def __post_init__(self) -> None:
        if isinstance(self.terms, list):
            object.__setattr__(self, "terms", tuple(self.terms))
        super().__post_init__()
        if not isinstance(self.credit, Credit):
            raise invalid("Rule", "credit", repr(self.credit)[:60], "a Credit", "use for example tp_lava.rules.OutputFeedback()")
        if not isinstance(self.terms, tuple) or not self.terms or not all(isinstance(term, Term) for term in self.terms):
            raise invalid("Rule", "terms", repr(self.terms)[:60], "a tuple of Terms, at least one", 'use for example (Term("surrogate"),)')
        if len({term.name for term in self.terms}) < len(self.terms):
            found = f"of the names {', '.join(repr(term.name) for term in self.terms)}"
            raise invalid("Rule", "terms", found, "of different names", 'name them, as Term("post_trace", "spike", name="acausal")')
        for term in self.terms:
            if term.pre not in self.credit.pres:
                limit = f"with pre {' or '.join(self.credit.pres)} beside {type(self.credit).__name__}"
                raise invalid("Rule", "terms", f"with pre {term.pre}", limit, "take another term, or another credit")

    @property
    def label(self) -> str:
        """See BaseRule."""
        return f"{type(self.credit).__name__} x " + " + ".join(f"({term.post}, {term.pre})" for term in self.terms)
