"""Labels: what the operations at a sample's start do with them. Every back end on this machine uses these functions."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit.circuit import Circuit
from tp_lava.circuit.operations import PresentLabels, events_of
from tp_lava.errors import invalid
from tp_lava.numbers import mix

Memory = MutableMapping[str, np.ndarray]
Reset = Literal["none", "traces", "all"]  # what is zero where a sample goes on with another label
_DRAWN_TOGETHER = 256  # samples whose labels are drawn at once, since drawing for one costs as much
_BLOCKS = (1 << 32) // _DRAWN_TOGETHER  # after which they come again
LABELS_STREAM = 0x6C616273  # keeps the drawing of labels apart from rounding bits
LEAST_ROWS = 2  # that drawn labels take: a sample's own, and another


def present_labels(
    circuit: Circuit, memory: Memory, labels: Sequence[int], given: Mapping[str, Sequence[int] | None] | None = None
) -> None:
    """Carry out a circuit's operations at the start of a sample. labels: of the samples; none where they have none.

    given: keyword of an operation -> the labels of its rows, instead of drawn ones. Raises InvalidValueError.
    """
    given = {key: value for key, value in given.items() if value is not None} if given else {}
    known = {operation.given for operation in circuit.start if operation.given} if given else set()
    for key in given:
        if key not in known:
            raise invalid("sample", key, repr(given[key]), "left out", "this rule has no use for it")
    for operation in circuit.start:
        present(operation, circuit, memory, labels, given.get(operation.given))


def labels_in_turn(circuit: Circuit, memory: Memory, labels: np.ndarray) -> np.ndarray:
    """What the operations at the start of samples that follow one another need to know, and how many rows are in use into memory.

    labels: int (samples, labels of each). -> int32 (samples, ...), for each operation in turn the label of each row or, where they are
    drawn, the sample's own and then classes, of which the first that are not its own become the other rows.
    """
    parts = []
    for operation in circuit.start:
        parts.append(_in_turn(operation, circuit, memory, labels))
        if operation.count:
            memory[operation.count][0] = parts[-1].shape[1] - (operation.rows == "drawn")
    found = np.empty((len(labels), sum(part.shape[1] for part in parts)), np.int32)
    place = 0
    for part in parts:
        found[:, place : place + part.shape[1]] = part
        place += part.shape[1]
    return found


def _in_turn(operation: PresentLabels, circuit: Circuit, memory: Memory, labels: np.ndarray) -> np.ndarray:
    """The same of one operation."""
    n_classes = circuit.network.n_classes
    if operation.rows == "all":
        return np.arange(n_classes)[np.newaxis]
    if operation.rows == "own":
        return labels
    count = _n_drawn(operation, circuit, memory)
    if count == n_classes:
        orders = np.arange(n_classes)[np.newaxis].repeat(len(labels), axis=0)
    else:
        orders = _orders_in_turn(n_classes, int(memory["random_seed"][0]), int(memory["samples_seen"][0]), len(labels))[:, :count]
    return np.concatenate((labels, orders), axis=1)


def present(operation: PresentLabels, circuit: Circuit, memory: Memory, labels: Sequence[int], given: Sequence[int] | None = None) -> None:
    """Carry out one such operation."""
    rows = rows_of(operation, circuit, memory, labels, given)
    into = memory[operation.into]
    into.fill(0)
    for row, label in enumerate(rows):  # few: faster than by index arrays
        into[row, label] = 1
    if operation.population:
        active, count = events_of(operation.population)
        memory[active][: len(rows), 0] = rows
        memory[count].fill(1)
    if operation.count:
        memory[operation.count][0] = len(rows)


def rows_of(
    operation: PresentLabels, circuit: Circuit, memory: Memory, labels: Sequence[int], given: Sequence[int] | None = None
) -> Sequence[int]:
    """The label of each row."""
    if operation.rows == "all":
        return range(circuit.network.n_classes)
    if operation.rows == "own":
        return labels
    n_classes, count = circuit.network.n_classes, _n_drawn(operation, circuit, memory)
    if given is not None:
        return _given(given, labels[0], count, n_classes, operation.given)
    return draw_labels(labels[0], n_classes, count, int(memory["random_seed"][0]), int(memory["samples_seen"][0]))


def _n_drawn(operation: PresentLabels, circuit: Circuit, memory: Memory) -> int:
    return min(max(int(memory[operation.limit][0]), LEAST_ROWS), circuit.shape(operation.into)[0])


def draw_labels(label: int, n_classes: int, count: int, key: int, sample: int) -> list[int]:
    """The sample's own label, then count - 1 others drawn for sample number `sample`. key: of the seed, see numbers.seed_key."""
    if count == n_classes:
        order: Sequence[int] = range(n_classes)
    else:
        order = _orders_in_turn(n_classes, key, sample, 1)[0, :count].tolist()
    others = [other for other in order if other != label]
    return [label, *others[: count - 1]]


def _orders_in_turn(n_classes: int, key: int, sample: int, count: int) -> np.ndarray:
    """The classes in an order of their own, for samples that follow one another, the first of them number `sample`."""
    (first, place), last = divmod(sample, _DRAWN_TOGETHER), (sample + count - 1) // _DRAWN_TOGETHER
    blocks = [_class_orders(n_classes, key, block % _BLOCKS) for block in range(first, last + 1)]
    return (blocks[0] if first == last else np.concatenate(blocks))[place : place + count]


@lru_cache(maxsize=16)
def _class_orders(n_classes: int, key: int, block: int) -> np.ndarray:
    """The classes in the order of random words of their own, for each sample of a block."""
    samples = np.arange(block * _DRAWN_TOGETHER, (block + 1) * _DRAWN_TOGETHER, dtype=np.uint32)
    words = mix(mix(labels_key(key), samples)[:, np.newaxis], np.arange(n_classes, dtype=np.uint32))
    return np.argsort(words, axis=1, kind="stable")


@lru_cache(maxsize=64)
def labels_key(key: int) -> np.ndarray:
    """The key that the labels of all samples are drawn from, one uint32. key: of the seed."""
    return mix(np.array([key], np.uint32), np.array([LABELS_STREAM], np.uint32))


def _given(labels: Sequence[int], own: int, count: int, n_classes: int, keyword: str) -> list[int]:
    """The given labels, the sample's own first."""
    rows = [check_label(label, n_classes, keyword) for label in labels]
    if len(rows) != count:
        remedy = "change the rule, or the labels"
        raise invalid("sample", keyword, f"{len(rows)} labels", f"one per row, {count}", remedy)
    if own not in rows:
        raise invalid("sample", keyword, rows, f"with the sample's own label {own}", "add it")
    rows.remove(own)
    return [own, *rows]


def check_label(label: Any, n_classes: int, attr: str = "label") -> int:
    """label as an int in [0, n_classes)."""
    if not is_whole(label, 0, n_classes):
        raise invalid("sample", attr, repr(label), f"an integer in [0, {n_classes})", "number the classes from 0")
    return int(label)
