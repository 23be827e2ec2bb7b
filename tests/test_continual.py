"""Continual learning: compressed samples, the buffer, the gate, the anchor, and a learner that goes on for ever."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.continual.compression import compress, decompress, label_of
from tp_lava.data.events import Sample

INPUTS, CLASSES = 12, 3


def recording(seed, n_steps=10, share=0.3, n_units=INPUTS):
    rng = np.random.default_rng(seed)
    return tpl.Events.from_dense(rng.random((n_steps, n_units)) < share)


def task(seed, count, shift=0):
    """Classes that differ in which units spike; `shift` moves all of them to other units."""
    rng, found = np.random.default_rng(seed), []
    for number in range(count):
        label = number % CLASSES
        rates = np.full(INPUTS, 0.05)
        rates[np.arange(4 * label + shift, 4 * label + shift + 4) % INPUTS] = 0.6
        found.append(Sample(tpl.Events.from_dense(rng.random((12, INPUTS)) < rates), label))
    return found


def learner(precision="fixed", rate=0.01, seed=0):
    network = tpl.Network.dense((INPUTS, 10, CLASSES), tpl.LIF(0.9), trace_decay=0.9, seed=seed)
    return tpl.Learner(network, tpl.TP(rate, rate, contrast="all"), precision, seed)


# Compression -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_compression_loses_nothing(seed):
    rng = np.random.default_rng(seed)
    n_steps, n_units = (int(rng.integers(1, high)) for high in (300, 5000))
    share = rng.choice([0, 1e-4, 1e-2, 0.3, 1.0]) if n_steps * n_units < 1e5 else 1e-4
    dense = rng.random((n_steps, n_units)) < share
    values = np.where(dense, rng.normal(size=dense.shape), 0).astype(np.float32)
    label = int(rng.choice([0, 1, 127, 128, 40000]))
    for events in (tpl.Events.from_dense(dense), tpl.Events.from_dense(values, graded=True), tpl.Events.constant(values[0], n_steps)):
        record = compress(Sample(events, label))
        again = decompress(record, n_units)
        assert again == Sample(events, label)
        assert again.events.is_constant == events.is_constant
        assert label_of(record) == label
        assert record.dtype == np.uint8


def test_far_units_are_kept_exactly():
    wide = tpl.Events([0, 1, 1], [2**31 - 2, 0, 2**31 - 2], 2, 2**31 - 1)
    assert decompress(compress(Sample(wide, 1)), 2**31 - 1).events == wide


def test_an_event_takes_about_a_byte():
    sample = Sample(recording(0, 60, 0.03, 512), 7)
    assert len(compress(sample)) < 1.1 * len(sample.events) + 10
