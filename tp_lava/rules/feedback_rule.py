"""What the rules share whose error is the readout's: the choice of the way on which it comes, and their names by it."""

from __future__ import annotations

from typing import ClassVar

from tp_lava.rules.base import BaseRule
from tp_lava.rules.credits.base import Credit
from tp_lava.rules.credits.feedback import feedback_of


class FeedbackRule(BaseRule, shared=True):
    """A rule with the fields feedback, "random" or what it calls the error carried back, and seed, of the random matrices.

    _carried: that name; _title: the rule's in tables, where it is not that of its type.
    """

    feedback: str
    seed: int

    _carried: ClassVar[str] = "backward"
    _title: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.credit  # noqa: B018 (checks what it is made of)

    @property
    def credit(self) -> Credit:
        """See BaseRule."""
        return feedback_of(type(self).__name__, self.feedback, self.seed, self._carried)

    @property
    def label(self) -> str:
        """See BaseRule."""
        return f"{self._title or type(self).__name__}, {self.feedback}"
