"""What is learned when, and what is asked after it: a base, then sessions of a few samples.

Class-incremental: each session brings new words, spoken by the known speakers; the queries are words of speakers whom nothing was
learned of. Domain-incremental: each session brings one new speaker with all words; the queries are the speaker's other recordings.

Source of the first: the few-shot class-incremental task of NeuroBench (Yik et al. 2025), there on MSWC's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.data.events import Sample
from tp_lava.data.recordings import Recordings
from tp_lava.errors import invalid

_STREAM = 0x696E6372  # keeps these choices apart from other uses of the seed
_HELD_BACK = 0.2  # of the known speakers' recordings of each word, asked and not learned, where speakers come one by one


class Stage(NamedTuple):
    """One session, or the base. learned: samples to learn; queries: asked from then on, none of them ever learned; whole: all
    recordings that could have been learned, for an upper bound.
    """

    learned: list[Sample]
    queries: list[Sample]
    whole: list[Sample]


@dataclass(frozen=True)
class Split:
    """name: of the protocol; n_classes: outputs that the network has from the start; stages: the base, then the sessions.

    Labels count words in the order in which they come: those of session k follow those of session k - 1.
    """

    name: str
    n_classes: int
    stages: tuple[Stage, ...]

    @property
    def base(self) -> Stage:
        """What is learned before the sessions."""
        return self.stages[0]

    @property
    def sessions(self) -> tuple[Stage, ...]:
        """What comes after it."""
        return self.stages[1:]

    def sizes(self) -> dict[str, list[int]]:
        """Numbers of samples of each stage, learned and asked."""
        return {"learned": [len(stage.learned) for stage in self.stages], "queries": [len(stage.queries) for stage in self.stages]}


def class_incremental(
    recordings: Recordings, seed: int = 0, *, base: int = 20, sessions: int = 5, words: int = 4, shots: int = 5, unseen: int = 6
) -> Split:
    """A base of words, then sessions of new words of a few shots each.

    The seed draws which words are the base and which come when, and the shots, of any of the known speakers; queries are all
    recordings of the `unseen` speakers of highest number. base, words: numbers of classes; shots: of each new word.
    Raises InvalidValueError for fewer words, speakers or recordings than that takes.
    """
    known, labels, samples = _checked("class_incremental", recordings, unseen, base=base, sessions=sessions, words=words, shots=shots)
    rng = np.random.default_rng([seed, _STREAM])
    classes, total = np.unique(labels), base + sessions * words
    if total > len(classes):
        limit = f"at most the {len(classes)} that there are"
        raise invalid("class_incremental", "words", f"{base} + {sessions} x {words}", limit, "take fewer")
    place = {int(word): number for number, word in enumerate(rng.permutation(classes))}
    renamed = [Sample(sample.events, place[sample.label]) for sample in samples]
    numbers = np.array([sample.label for sample in renamed])
    stages = []
    for session in range(sessions + 1):
        own = range(base) if session == 0 else range(base + words * (session - 1), base + words * session)
        whole = np.flatnonzero(known & np.isin(numbers, own))
        learned = whole if session == 0 else _drawn(rng, whole, numbers, shots)
        stages.append(Stage(*(_some(renamed, part) for part in (learned, np.flatnonzero(~known & np.isin(numbers, own)), whole))))
    return Split("class-incremental", total, _all_asked(tuple(stages)))


def domain_incremental(recordings: Recordings, seed: int = 0, *, shots: int = 5, unseen: int = 6) -> Split:
    """All words of the known speakers as the base, then the `unseen` ones, one a session, with a few shots of each word.

    The seed draws the order of the speakers, the shots, and the fifth of the base speakers' recordings that is asked instead of learned.
    Raises InvalidValueError for fewer speakers or recordings than that takes.
    """
    known, labels, samples = _checked("domain_incremental", recordings, unseen, shots=shots)
    rng = np.random.default_rng([seed, _STREAM])
    speakers = np.asarray(recordings.speakers)
    groups = labels + len(samples) * speakers
    held = _drawn_share(rng, np.flatnonzero(known), groups, _HELD_BACK)
    base = np.setdiff1d(np.flatnonzero(known), held)
    stages = [Stage(*(_some(samples, part) for part in (base, held, base)))]
    for speaker in rng.permutation(np.unique(speakers[~known])):
        own = np.flatnonzero(speakers == speaker)
        learned = _drawn(rng, own, labels, shots)
        stages.append(Stage(*(_some(samples, part) for part in (learned, np.setdiff1d(own, learned), learned))))
    return Split("domain-incremental", int(labels.max()) + 1, _all_asked(tuple(stages)))


# Inside -------------------------------------------------------------------------------------------


def _checked(what: str, recordings: Recordings, unseen: int, **counts: int) -> tuple[np.ndarray, np.ndarray, Sequence[Sample]]:
    """-> whether each recording's speaker is known (N,), labels (N,), samples."""
    for attr, count in {"unseen": unseen, **counts}.items():
        if not is_whole(count, 1):
            raise invalid(what, attr, repr(count), "an integer of at least 1", "leave it out for the usual number")
    speakers = np.unique(recordings.speakers)
    if len(speakers) <= unseen:
        limit = f"more than the {unseen} that are held out"
        raise invalid(what, "recordings", f"of {len(speakers)} speakers", limit, "give recordings of more, or a smaller unseen=")
    known = ~np.isin(recordings.speakers, speakers[-unseen:])
    return known, np.array([sample.label for sample in recordings.samples]), recordings.samples


def _drawn(rng: np.random.Generator, chosen: np.ndarray, labels: np.ndarray, shots: int) -> np.ndarray:
    """`shots` of the chosen indices of each label. Raises InvalidValueError where there are fewer."""
    found = []
    for label in np.unique(labels[chosen]):
        own = chosen[labels[chosen] == label]
        if len(own) < shots:
            limit = f"at most the {len(own)} recordings of word {label}"
            raise invalid("split", "shots", shots, limit, "take fewer shots, or give more recordings")
        found.append(rng.permutation(own)[:shots])
    return np.concatenate(found)


def _drawn_share(rng: np.random.Generator, chosen: np.ndarray, groups: np.ndarray, share: float) -> np.ndarray:
    """That share of the chosen indices of each group, at least one of a group of several."""
    found = [np.zeros(0, np.int64)]
    for group in np.unique(groups[chosen]):
        own = rng.permutation(chosen[groups[chosen] == group])
        found.append(own[: max(round(share * len(own)), int(len(own) > 1))])
    return np.sort(np.concatenate(found))


def _some(samples: Sequence[Sample], indices: Iterable[int] | np.ndarray) -> list[Sample]:
    return [samples[int(index)] for index in indices]


def _all_asked(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages. Raises InvalidValueError where one has nothing to ask."""
    for number, stage in enumerate(stages):
        if not stage.queries:
            remedy = "take fewer shots, or give recordings of all words by all speakers"
            raise invalid("split", f"stage {number}", "without queries", "at least one recording that is not learned", remedy)
    return stages
