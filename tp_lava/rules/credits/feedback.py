"""Where the error of a rule of the family comes from, by the names that its papers have for it."""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.checks import is_number
from tp_lava.circuit.terms import Term
from tp_lava.errors import invalid
from tp_lava.rules.credits.backward_error import BackwardError
from tp_lava.rules.credits.base import Credit
from tp_lava.rules.credits.output_feedback import OutputFeedback
from tp_lava.rules.credits.random_matrix import check_matrix

BIAS = Term("surrogate", "one", 1.0, "bias")  # by which biases learn, where there are any


def feedback_of(obj: str, feedback: str, seed: int, carried: str = "backward") -> Credit:
    """The credit of a choice. carried: its name for the error carried back. Raises InvalidValueError."""
    check_matrix(obj, "feedback", "signs", seed)
    credits: Mapping[str, Credit] = {"random": OutputFeedback(seed=seed), carried: BackwardError()}
    if feedback not in credits:
        raise invalid(obj, "feedback", repr(feedback), " or ".join(f'"{name}"' for name in credits), '"random" is local')
    return credits[feedback]


def check_factors(obj: str, factors: Mapping[str, object]) -> None:
    """Refuse factors of terms that are no numbers."""
    for attr, value in factors.items():
        if not is_number(value):
            raise invalid(obj, attr, repr(value), "a finite number", "1 takes the term in, 0 leaves it out")
