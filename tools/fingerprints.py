"""A record to be held to: what many networks and rules learn from twenty digits, as hashes of weights, scores and spikes.

    uv run python tools/fingerprints.py                      # compare with tests/fingerprints.json; exit 1 where something differs
    uv run python tools/fingerprints.py --only recurrent     # those with that in their name
    uv run python tools/fingerprints.py --write              # record what the code does now; the commit says why it changed

Fixed point must be the same bit for bit. Float differs a little from one processor to another, so beside its hashes stand some of
its numbers, which must agree to 1e-5 of the largest. The record also holds how learners and networks go on that earlier code saved
half way through learning, in tests/saved; --save writes those files that are not there yet, and never replaces one.
What is carried out: tools/fingerprint_cases.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fingerprint_cases import INFERRED, Result, configurations, save

RECORD = Path(__file__).resolve().parents[1] / "tests" / "fingerprints.json"
TOLERANCE = 1e-5  # of the largest of the numbers that belong together; without AVX they differ by up to 2e-6
ENTRIES = 8  # of an array of weights, beside its mean and the mean of its absolute values
DIGITS = 9  # tell every float32 from the next

Record = dict[str, Any]


def recorded(result: Result) -> Record:
    """What the record has of a result: hashes and, in float, numbers."""
    scores = [outcome.scores for outcome in result.outcomes]
    spikes = [counts for outcome in result.outcomes for counts in outcome.spike_counts]
    record: Record = {
        "weights": hash_of(result.weights.values(), np.float32, ",".join(result.weights)),
        "scores": hash_of(scores, np.float32),
        "spikes": hash_of(spikes, np.int64),
    }
    return record if result.fixed else {**record, "numbers": numbers(result)}


def hash_of(arrays: Iterable[np.ndarray], dtype: type, names: str = "") -> str:
    """Of names, shapes and values; minus zero counts as zero."""
    told = hashlib.sha256(names.encode())
    for array in arrays:
        told.update(str(array.shape).encode())
        told.update(np.ascontiguousarray(array + 0, dtype).tobytes())
    return told.hexdigest()[:16]


def numbers(result: Result) -> dict[str, list[float]]:
    """By name, numbers of one magnitude: of each array of weights, and of the samples inferred at the end."""
    inferred = result.outcomes[-INFERRED:]
    found = {f"weights {name}": sampled(array) for name, array in result.weights.items()}
    found["scores"] = np.ravel([outcome.scores for outcome in inferred]).astype(np.float64)
    found["spikes"] = np.array([float(counts.sum()) for outcome in inferred for counts in outcome.spike_counts])
    return {name: [float(f"{value:.{DIGITS}g}") for value in values] for name, values in found.items()}


def sampled(array: np.ndarray) -> np.ndarray:
    """Mean, mean of the absolute values, and entries here and there."""
    values = array.astype(np.float64).ravel()
    places = np.linspace(0, len(values) - 1, min(ENTRIES, len(values))).astype(int)
    return np.array([values.mean(), np.abs(values).mean(), *values[places]])


def differences(found: Record, record: Record) -> list[str]:
    """What differs: hashes or, in float where a hash differs, numbers."""
    hashes = [name for name in ("weights", "scores", "spikes") if found[name] != record[name]]
    if not hashes or "numbers" not in record:
        return hashes
    ours, theirs = found.get("numbers", {}), record["numbers"]
    return [name for name in sorted({*ours, *theirs}) if not near(ours.get(name, []), theirs.get(name, []))]


def near(ours: list[float], theirs: list[float]) -> bool:
    """Whether these numbers agree."""
    if len(ours) != len(theirs):
        return False
    return bool(np.abs(np.subtract(ours, theirs)).max(initial=0.0) <= TOLERANCE * np.abs(theirs).max(initial=0.0))


def read() -> dict[str, Record]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def write(record: Mapping[str, Record]) -> None:
    """A line for each configuration."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in record.items()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def verdict(found: Record, record: Record | None) -> tuple[str, bool]:
    """What the table says, and whether all is well."""
    if record is None:
        return "not recorded", False
    if differing := differences(found, record):
        return f"differs: {', '.join(differing)}", False
    hashed = all(found[name] == record[name] for name in ("weights", "scores", "spikes"))
    return ("same" if hashed else f"same to {TOLERANCE:g}"), True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="configurations with this in their name")
    parser.add_argument("--write", action="store_true", help="record what is found")
    parser.add_argument("--save", action="store_true", help="write the files of tests/saved that are not there")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*basis gives")  # TESS's square waves leave some neurons untaught
    if options.save:
        save()
    record, known, found, well = read(), configurations(), {}, True
    for name in (name for name in known if options.only in name):
        start = time.perf_counter()
        found[name] = recorded(known[name]())
        told, same = verdict(found[name], record.get(name))
        well &= same
        print(f"{name:56} {time.perf_counter() - start:5.1f} s  {told}", flush=True)
    for name in (name for name in record if name not in known):
        print(f"{name:56}          recorded, but no longer there")
        well = False
    if options.write:
        write({name: entry for name in known if (entry := found.get(name, record.get(name)))})
    elif not well:
        sys.exit(1)


if __name__ == "__main__":
    main()
