"""`tp-lava export`: a model as a folder of sources for a device, and what it needs there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import fixed_point, is_learner, model_named
from tp_lava.commands.data import load
from tp_lava.commands.printing import print_result, print_rows
from tp_lava.commands.rules import fine_tuning_rule
from tp_lava.data.events import Sample
from tp_lava.deploy.bundle.graph import graph_of, why_not_in_engine
from tp_lava.deploy.bundle.writing import STEPS, export_loihi2, size_of
from tp_lava.deploy.c import check_name, export_c, library_of
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.targets.c.members import STRUCTS

SAMPLES = 4  # of given data, for test vectors


def export(
    context: typer.Context,
    model: options.LearnerOrModel,
    out: Annotated[Path, typer.Option(help="Folder for the sources.")],
    target: Annotated[
        Literal["c", "loihi2"], typer.Option(help="c: portable C99, integers only; loihi2: a folder to take to Loihi 2, docs/bundle.md.")
    ] = "c",
    name: Annotated[str, typer.Option(help="Name of files, types and functions.")] = "network",
    rule: options.RuleOrNone = None,
    rate: options.Rate = None,
    readout_rate: options.ReadoutRate = None,
    bits: options.Bits = None,
    seed: options.Seed = 0,
    data: Annotated[str | None, typer.Option(help="loihi2: recordings for the test vectors, as for eval; default: random events.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help=f"loihi2: number of these recordings, by default {SAMPLES}.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help=f"loihi2: steps of each sample, by default {STEPS}.")] = None,
    check_ranges: Annotated[bool, typer.Option(help="Prove first that every number fits its format; see tp-lava ranges.")] = True,
    config: Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a network, learning included, as sources for a device, with a test that they compute there what the network computes here."""
    if target == "c" and (data, samples, steps) != (None, None, None):
        raise invalid("export", "data, samples or steps", "given for C", "left out", "or give --target loihi2")
    check_name(name)
    learner = learner_named("export", model, seed, rule, rate, readout_rate, bits, learning_engine=target == "loihi2")
    kind = type(learner.rule).__name__ if learner.rule else None
    result: dict[str, Any] = {"target": target, "name": name, "rule": kind}
    if target == "c":
        files = export_c(learner, out, name, check_ranges=check_ranges)
        sizes = _sizes_in_c(learner, name)
    else:
        recordings = _recordings(data, samples)
        files = export_loihi2(learner, out, name, samples=recordings, steps=steps or STEPS, check_ranges=check_ranges)
        sizes = _sizes_in_bundle(files, out)
        result["stock"] = {node.name: node.what for node in graph_of(learner).nodes if node.stock}
    result |= {"bytes": sizes, "files": [str(file) for file in files]}
    written = [*files, configuration.save(context, out / configuration.NAME)]
    title = f"{name}: {kind or 'inference'} {'in C' if target == 'c' else 'for Loihi 2'}"
    print_result(context, as_json, result, lambda: print_rows(title, [{"": part, "bytes": n} for part, n in sizes.items()]), written)


def _sizes_in_c(learner: Learner, name: str) -> dict[str, int]:
    library = library_of(learner, name)
    structs = {place: sum(m.bytes for m in library.members if m.place == place) for place in STRUCTS}
    return {"constants": library.constant_bytes, "state": library.state_bytes, **structs}


def _sizes_in_bundle(files: list[Path], out: Path) -> dict[str, int]:
    """Bytes of each sub-folder, of each file beside them, and of all."""
    folders = {folder: size_of([f for f in files if f.relative_to(out).parts[0] == folder]) for folder in ("listings", "embedded")}
    return {**folders, **{file.name: size_of([file]) for file in files if file.parent == out}, "all": size_of(files)}


def _recordings(data: str | None, samples: int | None) -> list[Sample] | None:
    """The first samples of the data; None: random events."""
    if data is not None:
        return load(data)[0][: samples or SAMPLES]
    if samples is not None:
        raise invalid("export", "samples", "given without data", "left out", "or give --data, for example digits")
    return None


def learner_named(
    command: str,
    model: str,
    seed: int,
    rule: Literal["tp", "tess", "none"] | None = None,
    rate: float | None = None,
    readout_rate: float | None = None,
    bits: int | None = None,
    learning_engine: bool = False,
) -> Learner:
    """A saved Learner, or a fixed-point Learner made of a model and the options. Raises InvalidValueError.

    command: for error messages; learning_engine: use the weight format of Lava's learning engine, where that can learn the model.
    """
    if is_learner(model):
        if seed or any(value is not None for value in (rule, rate, readout_rate, bits)):
            raise invalid(command, "rule, rates, bits or seed", "given with a saved Learner", "those of the learner", "leave them out")
        return Learner.load(model)
    if rule in (None, "none") and (rate is not None or readout_rate is not None):
        raise invalid(command, "rate", "given without a rule", "left out", "or give --rule tp or --rule tess")
    network = model_named(model, seed)
    learned_by = None if rule is None or rule == "none" else fine_tuning_rule(rule, rate, readout_rate)
    fixed = fixed_point(network, bits)
    if learning_engine:
        fixed = replace(fixed, stock=not why_not_in_engine(network, learned_by))
    return Learner(network, learned_by, fixed, seed)
