"""What tests of networks opened into layers share: the same samples through Lava's parts and through the engine."""

import numpy as np

import tp_lava as tpl
from tp_lava.lava import Session, make_importable

make_importable()
from lava.magma.core.run_configs import Loihi2SimCfg as Loihi2SimCfg  # noqa: E402
from lava.proc.monitor.process import Monitor as Monitor  # noqa: E402

from tp_lava.lava.hardware import run_configuration  # noqa: E402
from tp_lava.processes import EventSource, OnChipLearner, ScoreSink  # noqa: E402

SEED = 7
SKIPPED = 1  # the sample that is not learned
PRECISIONS = {"fixed_pt": "fixed", "floating_pt": "float"}


def in_layers(network, rule, samples, tag, change=None, *, learn=True, stock=False):
    """The learner's twin and the scores after all samples, from Lava. change: what to do with the chip before the first step."""
    chip, sink = OnChipLearner(network, rule, SEED, stock=stock), ScoreSink(network.n_classes, len(samples))
    source = EventSource(samples, learn if rule else False, format=network.input_format, **chip.timing())
    source.s_out.connect(chip.s_in)
    source.sample_out.connect(chip.sample_in)
    chip.score_out.connect(sink.score_in)
    chip.sample_out.connect(sink.sample_in)
    with Session(chip, run_configuration("cpu", tag, layers=True), (source, chip, sink)) as session:
        if change:
            session.run(0, 20)
            change(chip)
        session.run(source.steps + chip.lag, 60)
        return chip.learner, chip.buffer("score").decode(sink.scores)


def in_engine(network, rule, samples, tag, change=None, learn=True):
    learner = tpl.Learner(network, rule, PRECISIONS[tag], SEED)
    if change:
        change(learner)
    flags = np.broadcast_to(learn, len(samples)) if rule else [False] * len(samples)
    outcomes = [learner.learn(*sample) if flag else learner.infer(sample[0]) for sample, flag in zip(samples, flags, strict=True)]
    return learner, np.array([outcome.scores for outcome in outcomes])


def assert_same_memory(found, expected, tag):
    """Every weight, state, parameter and counter; what is left over from one step to the next is not compared."""
    for name, buffer in expected.buffers.items():
        if buffer.owner.kind == "input":
            continue
        if (buffer.role in ("weight", "kernel", "bias", "state", "parameter", "random") and not buffer.index) or buffer.role == "switch":
            a, b = found.memory[name], expected.memory[name]
            if tag == "fixed_pt":
                np.testing.assert_array_equal(a, b, name)
            else:
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
    assert found.samples_seen == expected.samples_seen


def assert_fused_is_the_engine(network, rule, samples):
    """In one Process, in fixed point: the same scores and weights, all of which have changed."""
    result = tpl.lava.run(network, rule, samples, seed=SEED)
    expected, scores = in_engine(network, rule, samples, "fixed_pt")
    np.testing.assert_array_equal(result.scores, scores)
    for name, start in tpl.Learner(network, rule, "fixed").mantissas.items():
        np.testing.assert_array_equal(result.learner.mantissas[name], expected.mantissas[name])
        assert not np.array_equal(start, expected.mantissas[name]), name


def assert_layers_are_the_engine(network, rule, samples, tag, *, learn=True):
    """In one Process per part. -> its learner."""
    found, scores = in_layers(network, rule, samples, tag, learn=learn)
    expected, expected_scores = in_engine(network, rule, samples, tag, learn=learn)
    assert_same_memory(found, expected, tag)
    tolerance = 0 if tag == "fixed_pt" else 1e-5
    np.testing.assert_allclose(scores, expected_scores, rtol=tolerance, atol=tolerance)
    return found
