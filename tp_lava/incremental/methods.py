"""The learners that are compared: what each does with a session of few samples, starting from the same network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tp_lava.continual import Gate, Replay
from tp_lava.errors import invalid

REPLAY = Replay(250, per_sample=5, balanced=True)
GATE = Gate("unsure", margin=0.2)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    kind: "continual": tp_lava.Continual; "prototypes": tp_lava.Prototypes, on the base's hidden layer; "offline": no continual learner
    but a bound of it, learns everything so far together, from the base's network, at each session. hidden: factor of the hidden layers'
    rates, 0: frozen; replay, gate: see Continual; whole: learn all recordings of a session's words instead of the few.
    """

    name: str
    kind: Literal["continual", "prototypes", "offline"] = "continual"
    hidden: float = 1.0
    replay: Replay | None = None
    gate: Gate | None = None
    whole: bool = False


FROZEN = 0.0
METHODS: tuple[Method, ...] = (
    Method("Continual", hidden=FROZEN, replay=REPLAY, gate=GATE),
    Method("Continual, hidden layer too", hidden=0.1, replay=REPLAY, gate=GATE),
    Method("Continual, replay of 1, gate wrong", hidden=0.3, replay=Replay(250), gate=Gate("wrong")),
    Method("Continual, no replay", hidden=FROZEN, gate=GATE),
    Method("Continual, no gate", hidden=FROZEN, replay=REPLAY),
    Method("prototypes", "prototypes"),
    Method("offline, the same samples", "offline"),
    Method("offline, all recordings", "offline", whole=True),
)


def methods_named(texts: list[str] | None = None) -> tuple[Method, ...]:
    """Those whose name holds one of the texts, all if there are none. Raises InvalidValueError."""
    found = tuple(method for method in METHODS if not texts or any(text.lower() in method.name.lower() for text in texts))
    if not found:
        limit = f"part of one of {'; '.join(method.name for method in METHODS)}"
        raise invalid("continual", "method", ", ".join(texts or []), limit, "correct the name")
    return found
