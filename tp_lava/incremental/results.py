"""What a protocol gave: accuracies after each session, old and new, and what learning cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

_NUMBER = 4  # bytes of a number that learning keeps


@dataclass(frozen=True)
class Session:
    """After a session, or after the base: accuracies on all queries so far, on those of earlier sessions and on those of this one.

    old is NaN after the base. learned: samples of the session; presentations: of all samples, with and without label; steps: time steps
    of them; learning_steps: of those with a label; updates: weights changed, one by one, of prototypes the sums; replay_bytes: held at
    the end; trace_bytes: four a number that learning one sample keeps beside weights and neurons; messages: numbers sent between
    neurons and embedded processors, third factors among them, as many as placed on Loihi 2.
    """

    all: float
    old: float
    new: float
    learned: int = 0
    presentations: int = 0
    steps: int = 0
    learning_steps: int = 0
    updates: int = 0
    replay_bytes: int = 0
    trace_bytes: int = 0
    messages: int = 0

    def of(self, accuracies: tuple[float, float, float]) -> Session:
        """With these accuracies."""
        return replace(self, all=accuracies[0], old=accuracies[1], new=accuracies[2])


NOTHING = Session(float("nan"), float("nan"), float("nan"))
Runs = Mapping[str, Sequence[Sequence[Session]]]  # method -> seeds x (base, sessions...)


def trace_bytes(numbers: Sequence[int]) -> int:
    """Of what a rule remembers."""
    return _NUMBER * sum(numbers)


@dataclass(frozen=True)
class Results:
    """protocol: its name; sizes: see Split.sizes; runs: method -> a row of sessions a seed, the base first."""

    protocol: str
    sizes: Mapping[str, Sequence[int]]
    runs: Runs

    def curve(self, method: str, name: str) -> np.ndarray:
        """A column of Session after the base and each session, mean over the seeds. -> (sessions + 1,)."""
        return np.array([[getattr(session, name) for session in run] for run in self.runs[method]], np.float64).mean(axis=0)

    def mean(self, method: str, name: str = "all") -> tuple[float, float]:
        """Of the mean over the sessions, the base left out: mean and standard deviation over the seeds."""
        each = [float(np.mean([getattr(session, name) for session in run[1:]])) for run in self.runs[method]]
        return float(np.mean(each)), float(np.std(each))

    def table(self) -> list[dict[str, str]]:
        """Rows of texts: accuracy after the base and after the last session, means over the sessions; what a session costs."""
        return [self._row(method) for method in self.runs]

    def _row(self, method: str) -> dict[str, str]:
        curve = self.curve(method, "all")
        cost = {name: self.mean(method, name)[0] for name in ("presentations", "updates", "messages")}
        samples = self.mean(method, "learned")[0]
        held = self.curve(method, "replay_bytes")[-1], self.curve(method, "trace_bytes")[-1]
        return {
            "learner": method,
            "base": f"{curve[0]:.3f}",
            **{name: "{:.3f} ± {:.3f}".format(*self.mean(method, name)) for name in ("all", "old", "new")},
            "last": f"{curve[-1]:.3f}",
            "presentations": f"{cost['presentations'] / samples:,.0f}",
            "updates": f"{cost['updates'] / samples / 1e3:,.0f}k",
            "messages": f"{cost['messages'] / samples / 1e3:,.0f}k",
            "replay kB": f"{held[0] / 1e3:,.0f}",
            "traces kB": f"{held[1] / 1e3:,.0f}",
        }

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        means = {method: {name: self.mean(method, name)[0] for name in ("all", "old", "new")} for method in self.runs}
        runs = {method: [[asdict(session) for session in run] for run in seeds] for method, seeds in self.runs.items()}
        return {"protocol": self.protocol, "sizes": {name: list(sizes) for name, sizes in self.sizes.items()}, "means": means, "runs": runs}
