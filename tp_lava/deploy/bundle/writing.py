"""The folder: which files there are, and what is in each."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tp_lava.backends.loihi2 import CircuitListings, circuit_listings
from tp_lava.checks import is_whole
from tp_lava.circuit import names
from tp_lava.circuit.formats import FixedPoint
from tp_lava.data.events import Sample
from tp_lava.deploy.bundle.description import NO_DECAY, arrays, circuit_of, described
from tp_lava.deploy.bundle.graph import EMBEDDED, Bundled, graph_of, in_engine, why_not_in_engine
from tp_lava.deploy.c import check_name, export_c, fixed_learner, out_folder
from tp_lava.deploy.samples import CHANGE, SPIKES, checked_samples, first_steps, learned_names, random_samples, vectors
from tp_lava.errors import NumberRangeError, invalid
from tp_lava.graph.network import Network
from tp_lava.lava.learning import engine_terms, learning_rule_string
from tp_lava.learner import Learner
from tp_lava.ranges.checking import check_ranges as prove
from tp_lava.rules import BaseRule
from tp_lava.templates import template

VECTOR_BYTES = 300_000  # of vectors.npz, so that a bundle stays small
STEPS = 20  # of each sample
_SCRIPT, _FOLDERS = "build_network.py", ("listings", "embedded")


def export_loihi2(
    model: Learner | Network,
    out: str | os.PathLike,
    name: str = "network",
    *,
    rule: BaseRule | None = None,
    fixed: FixedPoint | None = None,
    seed: int = 0,
    samples: Sequence[Sample] | None = None,
    steps: int = STEPS,
    check_ranges: bool = True,
) -> list[Path]:
    """Write a folder that builds the network in Lava, checks it against test vectors, and holds what Loihi 2 needs. -> the files.

    model: a fixed-point Learner, whose weights it starts with (its count of samples begins anew), or a Network, with the rule
    (None: it only infers), options of fixed point and seed a Learner would take; without options its hidden weights are held as Lava's
    own learning engine holds them wherever that can learn them; samples: for the test vectors, cut to their first `steps` steps, random
    events if not given; half of them are learned; check_ranges: prove first that every number fits (docs/ranges.md). The same
    arguments give the same files. Raises InvalidValueError and NumberRangeError, naming what does not fit.
    """
    check_name(name)
    folder = out_folder(out)
    for part in _FOLDERS:
        out_folder(folder / part)
    learner = _started(model, rule, fixed, seed)
    graph = graph_of(learner)
    if not is_whole(steps, 1):
        raise invalid("export", "steps", repr(steps), "an integer of at least 1", f"{STEPS} are enough to see every layer learn")
    if check_ranges:
        prove(learner)
    given = first_steps(checked_samples(samples, learner) if samples is not None else random_samples(learner), steps)
    tests = _packed(vectors(learner, given))
    _check_size(tests)
    written = []
    for file, data in _files(learner, name, graph, tests, proved=check_ranges).items():
        written.append(folder / file)
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        written[-1].write_bytes(data)
    written.append(folder / "learner.safetensors")
    learner.save(written[-1])
    written += export_c(learner, folder / "embedded", name, samples=given, check_ranges=False)
    return written


def size_of(files: Sequence[Path]) -> int:
    """Bytes of files together."""
    return sum(file.stat().st_size for file in files)


# Inside -------------------------------------------------------------------------------------------


def _started(model: object, rule: BaseRule | None, fixed: FixedPoint | None, seed: int) -> Learner:
    """The learner at its start: the given one's weights, and no sample seen."""
    if isinstance(model, Network) and fixed is None:
        fixed = FixedPoint(stock=not why_not_in_engine(model, rule))
    learner = fixed_learner(model, rule, fixed, seed)
    return Learner(learner.network, learner.rule, learner.fixed or "fixed", learner.seed)


def _files(learner: Learner, name: str, graph: Bundled, tests: bytes, *, proved: bool) -> dict[str, bytes]:
    """All files but the learner and its C, by name. A further page for the folder belongs here."""
    made = circuit_listings(circuit_of(learner))
    told = described(learner, name, graph)
    facts = {**_facts(learner, name, graph, made), "learning": told["learning"], "proved": proved}
    texts = {
        "README.md": _render("README.md.jinja", facts),
        _SCRIPT: _render("build_network.py.jinja", facts),
        "network.json": json.dumps(told, indent=1) + "\n",
        "placements.txt": placements(made),
        **{f"listings/{program}.txt": listing.text().rstrip("\n") + "\n" for program, listing in made.listings.items()},
    }
    return {**{file: text.encode() for file, text in texts.items()}, "weights.npz": _packed(arrays(learner)), "vectors.npz": tests}


def _facts(learner: Learner, name: str, graph: Bundled, made: CircuitListings) -> dict[str, object]:
    """What the templates say."""
    classes = list(dict.fromkeys(node.what for node in graph.nodes))
    stock = [node for node in graph.nodes if node.stock]
    return {
        "name": name,
        "graph": graph,
        "classes": classes,
        "stock": ", ".join(f"{node.name} ({node.what})" for node in stock),
        "stock_names": tuple(node.name for node in stock),
        "own": ", ".join(sorted(set(classes) - {node.what for node in stock})),
        "compared": _compared(learner, graph),
        "dw": learning_rule_string(engine_terms(learner.rule)) if in_engine(learner) and learner.rule else "",
        "no_decay": NO_DECAY,
        "rule": type(learner.rule).__name__ if learner.rule else None,
        "shape": "-".join(map(str, learner.network.sizes)),
        "listings": sorted(made.listings),
        "embedded": [placement for placement in made.placements if placement.place == EMBEDDED],
    }


def _compared(learner: Learner, graph: Bundled) -> list[dict[str, object]]:
    """What the script compares: in words, its name in the vectors, weights it starts from, Process, Var and lag."""
    circuit = circuit_of(learner)

    def found(what: str, key: str, buffer: str, weights: str = "") -> dict[str, object]:
        owner = next(o.owner for o in reversed(circuit.step) if buffer in o.writes)
        part = next(part for part in graph.parts.parts.values() if owner in part.owners)
        lag = max(stage.lag for stage in part.stages if any(buffer in o.writes for o in (*stage.learning, *stage.inferring)))
        return {"what": what, "key": key, "weights": weights, "process": part.name, "var": part.names[buffer], "lag": lag}

    spikes = [found(f"spikes of {p.name}", SPIKES + p.name, names.of(p.name, "spike")) for p in learner.network.populations]
    weights = [found(f"weights {w}", CHANGE + w, w, w) for w in learned_names(learner)]
    return [*spikes, *weights, found("scores", "scores", names.SCORE)]


def placements(made: CircuitListings) -> str:
    """Where every operation of a step goes, in order, then the counts of the listings."""
    lines = [f"{p.what} ({p.layer}, {p.runs} a step): {p.place}; {p.note}" for p in made.placements]
    return "Operations of a time step, in order\n\n" + "\n".join(lines) + "\n\nCounts\n\n" + made.table()


def _render(source: str, facts: dict[str, object]) -> str:
    return template("tp_lava.deploy.bundle", source).render(facts)


def _packed(held: dict[str, np.ndarray]) -> bytes:
    """As a compressed .npz; the same arrays give the same bytes, for NumPy writes no times into it."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **held)
    return buffer.getvalue()


def _check_size(tests: bytes) -> None:
    if len(tests) > VECTOR_BYTES:
        raise NumberRangeError(
            f"export: the test vectors take {len(tests)} bytes, at most {VECTOR_BYTES} are allowed; give fewer samples or fewer steps.",
            obj="export",
            attr="samples",
        )
