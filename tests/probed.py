"""What tests of probing share: a chip between a source and a sink, and what the Learner holds after each step."""

import threading
import time

import numpy as np
from conftest import lively, random_samples

import tp_lava as tpl
from tp_lava.lava import Session, make_importable

make_importable()
from lava.proc.lif.process import LIF as LIF  # noqa: E402
from lava.proc.monitor.process import Monitor as Monitor  # noqa: E402

from tp_lava.lava.hardware import run_configuration  # noqa: E402
from tp_lava.processes import EventSource, OnChipLearner, ScoreSink  # noqa: E402

SIZES, STEPS, SEED = (10, 8, 4), 12, 5
RULE = tpl.TP(0.02, 0.02, 3)
AT_THE_END = tpl.TESS(0.1, 0.02, basis="walsh", readout=tpl.Readout(0.5, features="count"))  # changes are summed up
PRECISION = {"floating_pt": "float", "fixed_pt": "fixed"}
TAGS = list(PRECISION)
FORMS = {"argnames": "stepwise", "argvalues": [False, True], "ids": ["asynchronous", "stepwise"]}


def lively_network(seed=2):
    return lively(tpl.Network.dense(SIZES, recurrent=(True,), seed=seed), 2.5)


def short_samples(rng):
    return random_samples(rng, 6, SIZES[0], SIZES[-1], STEPS, rate=0.3)


def long_samples(rng, count, steps, rate=0.1):
    return random_samples(rng, count, SIZES[0], SIZES[-1], steps, rate)


class Chip:
    """Source, chip and sink, connected one way or the other."""

    def __init__(self, network, samples, tag="fixed_pt", stepwise=True, rule=RULE, seed=SEED, labelled=True, fixed=None, layers=False):
        self.chip = OnChipLearner(network, rule, seed, fixed)
        source, sink = EventSource(samples, labelled), ScoreSink(SIZES[-1], len(samples))
        if stepwise:
            source.s_out.connect(self.chip.s_in)
            source.sample_out.connect([self.chip.sample_in, sink.sample_in])
        else:
            source.packet_out.connect(self.chip.packet_in)
        self.chip.score_out.connect(sink.score_in)
        self.processes, self.sink = [source, self.chip, sink], sink
        self.configuration = run_configuration("cpu", tag if stepwise else f"{tag}_async", layers)

    def session(self, *others):
        return Session(self.chip, self.configuration, (*self.processes, *others))


def history(network, samples, precision, names, seed=SEED, rule=RULE):
    """What the Learner holds after each step: name -> (steps, ...), as Vars are seen; and how each is decoded."""
    learner = tpl.Learner(network, rule, precision, seed)
    kept = {name: [] for name in names}
    for events, label in samples:
        learner.begin(label, n_steps=events.n_steps)
        for step in range(events.n_steps):
            learner.step(events.units[events.offsets[step] : events.offsets[step + 1]])
            for name in names:
                array = learner.memory[name]
                kept[name].append(array.T.copy() if learner.buffers[name].outputs_last else array.copy())
    return {name: np.stack(arrays) for name, arrays in kept.items()}, learner.buffers


class in_background:  # noqa: N801 (reads as a statement)
    """Run a session's one asynchronous run in a thread."""

    def __init__(self, session, steps=1):
        self.thread = threading.Thread(target=session.run, args=(steps,))

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *error):
        self.thread.join()


def until_done(run, count):
    while run.sink.done < count:
        yield run.sink.done
        time.sleep(1e-4)  # shorter than a chunk of steps: on any machine, several of them are seen
