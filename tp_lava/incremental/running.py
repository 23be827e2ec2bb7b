"""Running a protocol: the base is learned once a seed, and every method goes on from it. As a user asks for it: by its name, from a
file; and its table, JSON and picture in a folder.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Literal

import numpy as np

from tp_lava.data.augmentation import Augmentation
from tp_lava.data.recordings import Recordings, from_shd, from_spike_lists
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.incremental.learners import METHODS, ContinualLearner, Method, OfflineLearner, PrototypeLearner, SessionLearner
from tp_lava.incremental.results import NOTHING, Results, Session
from tp_lava.incremental.splits import Split, Stage, class_incremental, domain_incremental
from tp_lava.learner import Learner
from tp_lava.optimisers import Cosine
from tp_lava.progress import track
from tp_lava.quantisation import measured_weights
from tp_lava.rules import TP, BaseRule, Readout
from tp_lava.tables import json_values, markdown

COUNTS = Readout(normalised=True, features="count", learn_last=1)  # one update of the readout a sample, by spike counts
RULE = TP(3e-3, 1e-2, readout=COUNTS)
VARIED = Augmentation(shift=3, units=2, drop=0.2)
Splitter = Callable[[Recordings, int], Split]


@dataclass(frozen=True)
class Settings:
    """How the base and the sessions are learned.

    hidden: neurons of the hidden layer; rule: of base and sessions, where Method.hidden scales its hidden rates; epochs, augmentation: of
    the base; session_epochs: how often each sample of a session is learned; offline: samples that the offline learner is presented
    at each session.
    """

    hidden: int = 400
    rule: BaseRule = RULE
    epochs: int = 12
    augmentation: Augmentation | None = VARIED
    precision: Literal["float", "fixed"] = "float"
    session_epochs: int = 20
    offline: int = 12000

    def base(self, split: Split, seed: int) -> Learner:
        """Of the network with all its outputs, learned from the base."""
        stage = split.base
        network = Network.temporal((stage.learned[0].events.n_units, self.hidden, split.n_classes), seed=seed)
        fixed = measured_weights(network, self.rule, stage.learned) if self.precision == "fixed" else None
        learner = Learner(network, self.rule, fixed or "float", seed, schedule=Cosine(self.epochs))
        learner.fit(stage.learned, self.epochs, augmentation=self.augmentation)
        return learner

    def learner_for(self, method: Method, base: Learner, stage: Stage) -> SessionLearner:
        """A method that goes on from the base."""
        if method.kind == "prototypes":
            return PrototypeLearner(base, stage)
        if method.kind == "offline":
            return OfflineLearner(method, base, self.rule, stage, self.offline, self.augmentation)
        return ContinualLearner(method, base, self.rule, stage, self.session_epochs)


Job = tuple[Recordings, Splitter, Settings, Sequence[Method], int]


def one_seed(job: Job) -> dict[str, list[Session]]:
    """method -> what it gave after the base and after each session."""
    recordings, splitter, settings, methods, seed = job
    split = splitter(recordings, seed)
    base = settings.base(split, seed)
    found = {}
    for method in methods:
        learner = settings.learner_for(method, base, split.base)
        rows = [NOTHING.of(_accuracies(learner, split.stages[:1]))]
        for number, stage in enumerate(split.sessions, 1):
            spent = learner.learn(stage)
            rows.append(spent.of(_accuracies(learner, split.stages[: number + 1])))
        found[method.name] = rows
    return found


def _accuracies(learner: SessionLearner, stages: Sequence[Stage]) -> tuple[float, float, float]:
    """On all queries so far, on those of earlier stages, on those of the last."""
    counts = [len(stage.queries) for stage in stages]
    each = [learner.evaluate(stage.queries) for stage in stages]
    old = float(np.average(each[:-1], weights=counts[:-1])) if len(each) > 1 else float("nan")
    return float(np.average(each, weights=counts)), old, each[-1]


def compare(
    recordings: Recordings,
    splitter: Splitter,
    settings: Settings | None = None,
    methods: Sequence[Method] = METHODS,
    seeds: int | Sequence[int] = 3,
    processes: int = 1,
    progress: bool = False,
) -> Results:
    """Run a protocol with seeds 0, 1, ...; up to `processes` of them in parallel.

    splitter: class_incremental, domain_incremental, or functools.partial of them; methods: see METHODS; settings: Settings() unless
    given. A seed draws the split, the weights and the order of samples. Raises InvalidValueError.
    """
    if not methods:
        raise invalid("compare", "methods", "empty", "at least one", "leave it out for all")
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise invalid("compare", "seeds", repr(seeds), "at least one", "3 are usual")
    chosen = settings or Settings()
    split = splitter(recordings, numbers[0])
    jobs: list[Job] = [(recordings, splitter, chosen, tuple(methods), seed) for seed in numbers]
    if processes == 1 or len(jobs) == 1:
        done = [one_seed(job) for job in track(jobs, len(jobs), f"{split.name}: seeds", progress)]
    else:
        with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
            done = list(track(pool.imap(one_seed, jobs), len(jobs), f"{split.name}: seeds", progress))
    return Results(split.name, split.sizes(), {method.name: [run[method.name] for run in done] for method in methods})


PROTOCOLS: Mapping[str, Splitter] = {"classes": class_incremental, "speakers": domain_incremental}
_UNITS, _STEPS, _MERGED = 64, 200, 4  # of spike lists: 200 steps of 5 ms, four of them made one


def protocol_named(name: str, **options: int | None) -> Splitter:
    """A protocol with the options that are given. Raises InvalidValueError."""
    if name not in PROTOCOLS:
        raise invalid("continual", "protocol", repr(name), f"one of {', '.join(PROTOCOLS)}", "correct the name")
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := sorted(set(given) - set(signature(PROTOCOLS[name]).parameters)):
        raise invalid("continual", unknown[0], given[unknown[0]], f"left out for {name}", "its base is all words of the known speakers")
    return partial(PROTOCOLS[name], **given)


def spoken(path: Path) -> Recordings:
    """Recordings of words and speakers: spike lists (.npz, see from_spike_lists) of 64 channels, or SHD's layout (.h5).

    Raises FileNotFoundError, ArchiveError, InvalidValueError.
    """
    if path.suffix in (".h5", ".hdf5"):
        return from_shd(path, step=0.02)
    if path.suffix != ".npz":
        raise invalid("continual", "recordings", path.name, "an .npz of spike lists or an .h5 in SHD's layout", "convert it")
    return from_spike_lists(path, _UNITS, _STEPS, _MERGED)


def save(out: Path, results: Results) -> list[Path]:
    """Write figures as JSON, the table as Markdown, and the picture into a folder. -> the files."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    files = [out / f"{results.protocol}.{kind}" for kind in ("json", "md", "png")]
    files[0].write_text(json.dumps(json_values(results.to_dict()), indent=1) + "\n")
    files[1].write_text(markdown(results.table()))
    with figure_file(files[2], (11, 4.2), columns=2) as axes:
        for place, name in enumerate(("old", "new")):
            curves: dict[str, Sequence[float]] = {method: results.curve(method, name)[1:].tolist() for method in results.runs}
            plots.accuracy_over_sessions(axes[place], curves, title=f"{results.protocol}: what is {name}", legend=place == 1)
    return files
