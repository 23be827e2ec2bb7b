"""Streams without end in Lava: the engine's bits, back-pressure, and nothing left behind."""

import numpy as np
import pytest

pytest.importorskip("lava")

from conftest import lively, random_events
from test_lava import nothing_is_left as nothing_is_left

import tp_lava as tpl
from tp_lava.processes.protocol import packet_size, packets
from tp_lava.processes.stream_source import CHANNEL

SIZES = (10, 8, 6, 4)
RULE = tpl.TP(0.02, 0.02, 3)
NETWORK = lively(tpl.Network.dense(SIZES, recurrent=(True, False), seed=2), 2.5)
PRECISION = {"floating_pt": "float", "fixed_pt": "fixed"}


@pytest.fixture
def chunks(rng):
    """Some without a label, one longer than a packet."""
    lengths, labels = rng.integers(1, 40, 30), rng.integers(-1, 4, 30).tolist()
    lengths[7] = 3000
    return [(random_events(rng, SIZES[0], int(n), 0.3), None if c < 0 else c) for n, c in zip(lengths, labels, strict=True)]


def in_engine(chunks, precision="fixed", **options):
    stream = tpl.Stream(tpl.Learner(NETWORK, RULE, precision, seed=3), **options)
    *_, report = stream.run(chunks)
    return stream.learner, report


@pytest.mark.parametrize("stepwise", [False, True], ids=["asynchronous", "stepwise"])
@pytest.mark.parametrize("tag", PRECISION)
def test_a_stream_equals_the_engines(tag, stepwise, chunks):
    if stepwise:
        chunks = [chunk for chunk in chunks if chunk[0].n_steps < 100][:12]
    reset = {"floating_pt": "all", "fixed_pt": "none"}[tag] if stepwise else "traces"
    learner, told = in_engine(chunks, PRECISION[tag], reset=reset, longest=50)
    with tpl.lava.stream(NETWORK, RULE, tag, 3, stepwise=stepwise, reset=reset, longest=50, capacity=2) as stream:
        for (events, _), now in zip(chunks, stream.run(chunks), strict=True):
            assert now.steps <= stream._pushed
            assert now.rates["input"] == pytest.approx(len(events) / (SIZES[0] * events.n_steps))
        stream.flush()
        report = stream.report()
    compare = np.testing.assert_array_equal if tag == "fixed_pt" else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for name, array in learner.weights.items():
        compare(stream.learner.weights[name], array)
    compare(report.scores, told.scores)
    assert (report.steps, report.stretches, report.accuracy, report.label) == (told.steps, told.stretches, told.accuracy, told.label)
    assert stream.learner.samples_seen == learner.samples_seen
    assert {name: size.clipped for name, size in stream.weights().items()} == {
        name: None if tag == "floating_pt" else pytest.approx((abs(learner.mantissas[name].astype(int)) == 127).mean())
        for name in learner.weights
    }


def test_who_pushes_waits_for_the_chip_and_all_is_learned_at_the_end():
    """While the chip is kept from a step, two packets wait in the queue, 64 in Lava's channel, and few in hand; nothing is lost."""
    events, learner = random_events(np.random.default_rng(5), SIZES[0], 20, 0.3), tpl.Learner(NETWORK, RULE, "fixed", seed=3)
    with tpl.lava.stream(NETWORK, RULE, seed=3, capacity=2) as stream:
        stream.label(2)
        stream.push(events)
        stream.flush()
        (packet,) = packets(events, 2, packet_size(SIZES[0], None), None, 0, ends=False)
        with stream._chip.proc_params["shared_state"].between_steps(10):
            count = sum(1 for _ in iter(lambda: stream._source.queue.put(packet, 0.2), False))
        assert 2 + CHANNEL <= count <= 2 + CHANNEL + 3
        stream._pushed += count * events.n_steps
        stream.label(None)
    in_one = tpl.Stream(learner)
    in_one.label(2)
    for _ in range(1 + count):
        in_one.push(events)
    np.testing.assert_array_equal(stream.learner.weights["hidden0"], learner.weights["hidden0"])
    assert stream.report().stretches == 1
    with pytest.raises(tpl.InvalidValueError, match="outside of its block"):
        stream.push(events)


def failing(stream, act):
    with stream:
        act(stream)


def killed(stream):
    child = next(child for child in stream._session._runtime.children if "OnChipLearner" in getattr(child, "role", ""))
    child.kill()
    stream._pushed = 1
    stream.flush()


def kept_still(stream):
    with stream._chip.proc_params["shared_state"].between_steps(10):
        stream._pushed = 1
        stream.flush()


def divided(stream):
    raise ZeroDivisionError("one by nought")


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (divided, ZeroDivisionError, "one by nought"),
        (killed, tpl.LavaRunError, "OnChipLearner"),
        (kept_still, tpl.LavaRunError, r"no step for 0\.2 s"),
    ],
)
def test_failures_end_the_run(act, error, message):
    with pytest.raises(error, match=message):
        failing(tpl.lava.stream(NETWORK, RULE, timeout=0.2 if act is kept_still else 10), act)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tag": "fixed"}, "lava.stream: tag is 'fixed'"),
        ({"capacity": 0}, "capacity is 0"),
        ({"longest": 0}, "lava.stream: longest is 0"),
        ({"rule": tpl.TESS(basis="walsh")}, "lava.stream: rule.update is 'sequence' of TESS"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.lava.stream(NETWORK, **{"rule": RULE, **arguments})
    with pytest.raises(tpl.InvalidValueError, match="learner is asked for before it runs"):
        _ = tpl.lava.stream(NETWORK, RULE).learner
