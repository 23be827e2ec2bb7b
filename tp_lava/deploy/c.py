"""A fixed-point learner as a folder of C99: library, Makefile, a test with what this machine computed, and a README."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tp_lava.backends.c import CLibrary, c_library
from tp_lava.backends.c.members import STRUCTS
from tp_lava.circuit import Owner
from tp_lava.circuit.formats import FixedPoint
from tp_lava.circuit.operations import INPUT_VALUES
from tp_lava.data.events import Sample
from tp_lava.deploy.samples import checked_samples, checksum_of, in_turn, present, random_samples, value_mantissas
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.ranges.checking import check_ranges as prove
from tp_lava.rules import BaseRule
from tp_lava.rules.base import check_local
from tp_lava.templates import template

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,23}")


def export_c(
    model: Learner | Network,
    out: str | os.PathLike,
    name: str = "network",
    *,
    rule: BaseRule | None = None,
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
    facts = _facts(learner, library, checked_samples(samples, learner) if samples is not None else random_samples(learner))
    files = dict(library.files)
    for file, source in ((f"{name}_test.c", "test.c.jinja"), ("Makefile", "Makefile.jinja"), ("README.md", "c.md.jinja")):
        files[file] = template("tp_lava.deploy", source).render(facts)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text)
    return [folder / file for file in files]


def library_of(learner: Learner, name: str) -> CLibrary:
    """The C of a fixed-point learner, as it is now."""
    check_local(learner.rule, "export")
    return c_library(name, *learner.circuits, learner.memory)


def check_name(name: object) -> None:
    """Refuse a name that C could not take."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        limit = "a letter, then at most 23 letters, digits or underscores"
        raise invalid("export", "name", repr(name), limit, "C makes functions of it, such as network_init")


def out_folder(out: str | os.PathLike) -> Path:
    """Where to write. Raises InvalidValueError for a file."""
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise invalid("export", "out", f"{folder}, a file", "a folder", "give another path")
    return folder


def fixed_learner(model: object, rule: BaseRule | None, fixed: FixedPoint | None, seed: int) -> Learner:
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


# Inside -------------------------------------------------------------------------------------------


def _facts(learner: Learner, library: CLibrary, samples: Sequence[Sample]) -> dict[str, object]:
    """What the templates of the files around the library say."""
    twin = learner.copy()  # the learner stays as it is
    presented = [present(twin, events, label) for events, label in in_turn(twin, samples)]
    members, (inference, learning) = {m.name: m for m in library.members}, learner.circuits
    graded = [sample.events for sample in presented] if learner.network.input_format else []
    limits = {o.limit: learning.shape(o.into)[0] for o in learning.start if o.limit} if learning else {}
    totals = [inference.buffer(Owner("population", p.name), "total").name for p in learner.network.populations]
    return {
        "name": library.name,
        "upper": library.name.upper(),
        "network": learner.network,
        "rule": learner.rule,
        "exponents": learner.exponents,
        "library": library,
        "switches": [m.name for m in library.members if m.place == "switches"],
        "totals": [members[name] for name in totals],
        "told": STRUCTS,
        "limits": limits,
        "presented": presented,
        "labels": [-1 if sample.label is None else sample.label for sample in presented],
        "units": [unit for sample in presented for unit in sample.events.units.tolist()],
        "graded": members.get(INPUT_VALUES),
        "values": [value for events in graded for value in value_mantissas(learner, events).tolist()],
        "counts": [count for sample in presented for count in np.diff(sample.events.offsets).tolist()],
        "checksum": checksum_of(twin, [m.name for m in library.learned]),
    }
