"""A fixed-point learner as a folder of C99: library, Makefile, a test with what this machine computed, and a README."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tp_lava.circuit import Circuit, rows_in_use
from tp_lava.data.events import Events, Sample, check_events
from tp_lava.deploy import c_text
from tp_lava.engine import check_label, streams_key
from tp_lava.errors import invalid
from tp_lava.circuit.formats import FixedPoint
from tp_lava.learner import Learner
from tp_lava.graph.network import Network
from tp_lava.ranges.checking import check_ranges as prove
from tp_lava.rules import Rule
from tp_lava.backends.c.circuit import CLibrary, Start, c_library
from tp_lava.backends.interpreter import interpret_step

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,23}")
_TEST_STEPS, _TEST_SAMPLES = 12, 4
_TEST_RATES = (0.05, 0.1, 0.2, 0.4, 0.8)  # of random events: the first one at which every layer spikes


@dataclass(frozen=True)
class Presented:
    """One sample of a test and what came of it. label: None if inferred; scores: mantissas; spikes: of each hidden layer."""

    events: Events
    label: int | None
    scores: tuple[int, ...]
    prediction: int
    spikes: tuple[int, ...]


def export_c(
    model: Learner | Network,
    out: str | os.PathLike,
    name: str = "network",
    *,
    rule: Rule | None = None,
    fixed: FixedPoint | None = None,
    seed: int = 0,
    samples: Sequence[Sample] | None = None,
    check_ranges: bool = True,
) -> list[Path]:
    """Write a folder of C99 that infers and learns as the learner does, bit for bit. -> the files.

    model: a fixed-point Learner, which goes on in C from where it is, or a Network, with the rule (None: it only infers), options
    of fixed point and seed a Learner would take; name: of files, types and functions; samples: for the test, random events if not
    given; half of them are learned; check_ranges: prove first that every number fits (docs/ranges.md). Raises InvalidValueError
    and NumberRangeError, naming what does not fit.
    """
    check_name(name)
    folder = out_folder(out)
    learner = fixed_learner(model, rule, fixed, seed)
    if check_ranges:
        prove(learner)
    library = library_of(learner, name)
    given = checked_samples(samples, learner) if samples is not None else random_samples(learner)
    presented, checksum = _expected(learner, given, [member.name for member in c_text.learned_weights(library)])
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        f"{name}.h": library.header,
        f"{name}_weights.h": library.constants,
        f"{name}.c": library.source,
        f"{name}_test.c": c_text.test_program(name, library, presented, checksum),
        "Makefile": c_text.makefile(name),
        "README.md": c_text.readme(name, learner, library),
    }
    for file, text in files.items():
        (folder / file).write_text(text)
    return [folder / file for file in files]


def library_of(learner: Learner, name: str) -> CLibrary:
    """The C of a fixed-point learner, as it is now."""
    inference, learning = learner.circuits
    streams = learner.rule.streams(learner.network.n_classes) if learner.rule else 0
    return c_library(name, inference, learning, Start(learner.memory, int(streams_key(learner.seed)[0]), streams))


def check_name(name: object) -> None:
    """Refuse a name that C could not take."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        limit = "a letter, then at most 23 letters, digits or underscores"
        raise invalid("export", "name", repr(name), limit, "C makes functions of it, such as network_init")


# Inside -------------------------------------------------------------------------------------------


def out_folder(out: str | os.PathLike) -> Path:
    """Where to write. Raises InvalidValueError for a file."""
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise invalid("export", "out", f"{folder}, a file", "a folder", "give another path")
    return folder


def fixed_learner(model: object, rule: Rule | None, fixed: FixedPoint | None, seed: int) -> Learner:
    """The learner to write out: the given one, or that of a network. Raises InvalidValueError."""
    if isinstance(model, Network):
        return Learner(model, rule, fixed or "fixed", seed)
    if not isinstance(model, Learner):
        raise invalid("export", "model", repr(model)[:60], "a Learner or a Network", "load one with tpl.Learner.load or tpl.load_network")
    if rule is not None or fixed is not None or seed:
        remedy = "leave them out, or export learner.network with them"
        raise invalid("export", "rule, fixed or seed", "given with a Learner", "those of the learner", remedy)
    if model.precision != "fixed":
        remedy = (
            'make it with precision="fixed" (tp-lava train --precision fixed), '
            "or export its network: export_c(learner.network, out, rule=learner.rule)"
        )
        raise invalid("export", "precision", "float", "fixed, for the C is integers alone", remedy)
    return model


def checked_samples(samples: Sequence[Sample], learner: Learner) -> list[Sample]:
    """The samples, if the learner can take them. Raises InvalidValueError."""
    for events, label in samples:
        check_events(events, learner.network.n_inputs)
        check_label(label, learner.network.n_classes)
    if not samples:
        raise invalid("export", "samples", "empty", "at least one sample", "leave it out for random events")
    return [Sample(*sample) for sample in samples]


def random_samples(learner: Learner) -> list[Sample]:
    """A few samples of random events, drawn from the learner's seed, at which every layer spikes if any rate makes it."""
    network, rng = learner.network, np.random.default_rng(learner.seed)
    noise = rng.random((_TEST_SAMPLES, _TEST_STEPS, network.n_inputs))
    probe = Learner(network, None, learner.fixed or "fixed", learner.seed)
    for rate in _TEST_RATES:
        events = [Events.from_dense(sample < rate) for sample in noise]
        if all(present(probe, events[0], None).spikes):
            break
    return [Sample(sample, number % network.n_classes) for number, sample in enumerate(events)]


def _expected(learner: Learner, samples: Sequence[Sample], weights: Sequence[str]) -> tuple[list[Presented], int]:
    """What becomes of samples, learned and inferred in turn, and the checksum of the weights after them; the learner stays as it is."""
    twin = learner.copy()
    presented = [present(twin, events, label) for events, label in in_turn(twin, samples)]
    return presented, checksum_of(twin, weights)


def in_turn(learner: Learner, samples: Sequence[Sample]) -> list[tuple[Events, int | None]]:
    """How a test presents samples: learned and inferred (label None) in turn, and what was learned first inferred at the end."""
    if learner.rule is None:
        return [(events, None) for events, _ in samples]
    taught = [(events, None if number % 2 else label) for number, (events, label) in enumerate(samples)]
    return [*taught, (samples[0][0], None)]


def present(
    learner: Learner,
    events: Events,
    label: int | None,
    step: Callable[[Circuit, MutableMapping[str, np.ndarray]], None] = interpret_step,
) -> Presented:
    """A sample through the interpreter, which defines fixed point, so that nothing has to be compiled. step: another way to take a step."""
    learner.begin(label, n_steps=events.n_steps)
    inference, learning = learner.circuits
    circuit = learning if label is not None and learning else inference
    streams = learner.position[1] if circuit is learning else circuit.sizes.get("k", 0)
    memory = {name: rows_in_use(learner.memory[name], buffer.axes, streams) for name, buffer in circuit.buffers.items()}
    for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
        units = events.units[begin:end]
        memory["input_active"][0, : units.size], memory["input_count"][0] = units, units.size
        step(circuit, memory)
    scores = memory["score"][0]
    spikes = tuple(int(memory[f"hidden{number}_total"].sum()) for number in range(len(learner.network.layers)))
    return Presented(events, label, tuple(scores.tolist()), int(scores.argmax()), spikes)


def checksum_of(learner: Learner, weights: Sequence[str]) -> int:
    """FNV-1a of the mantissas of weights, each as 32 bits: as the test program does."""
    total = 0x811C9DC5
    for name in weights:
        for value in learner.memory[name].ravel().tolist():
            total = ((total ^ (value & 0xFFFFFFFF)) * 0x01000193) & 0xFFFFFFFF
    return total
