"""Spiking Heidelberg Digits with TP, feed-forward and recurrent."""

from dataclasses import replace

import tp_lava as tpl
from experiments.config import Data, Dense, Experiment, StandIn
from experiments.configs.papers import ONE_SPIKE, OWN_FEEDBACK, PADDING, TP_PAPER, spoken, tp_batches, tp_figures

DATA = Data(
    name="SHD",
    loader="tonic.datasets.SHD",
    train={"train": True},
    test={"train": False},
    sensor_size=(700, 1, 1),
    n_steps=140,
    step=10_000.0,
    binning="140 steps of 10 ms, longer than any recording; no binning of the 700 channels",
    files=("SHD/shd_train.h5", "SHD/shd_train.h5.zip", "SHD/shd_test.h5", "SHD/shd_test.h5.zip"),
    obtain="https://zenkelab.org/datasets/: shd_train.h5.zip and shd_test.h5.zip, unpacked beside them (after which they may be empty)",
)
DROPPED = "the last, incomplete batch counts here; the reference leaves it out, in training too, and tests on 2176 of 2264 recordings"
STREAMING = spoken(epochs=20)
SMALL = StandIn("speech", batch=tp_batches(128, epochs=15), streaming=STREAMING, recorded=STREAMING)
FEED_FORWARD = Experiment(
    name="shd",
    title="SHD, 700-450-20",
    paper=TP_PAPER,
    network=Dense((700, 450, 20), tpl.LIF(0.96, 1.0), trace_decay=0.97),
    batch=tp_batches(128, epochs=100),
    streaming=STREAMING,
    data=DATA,
    published=tp_figures("shd.sh", best=(65.43, 1.99), last=(61.62, 2.34), bptt=(75.48, 0.48)),
    differences=(ONE_SPIKE, PADDING, DROPPED),
    small=SMALL,
)
RECURRENT = replace(
    FEED_FORWARD,
    name="shd_recurrent",
    title="SHD, 700-450-20, recurrent",
    network=Dense((700, 450, 20), tpl.LIF(0.85, 0.5), trace_decay=0.85, recurrent=True),
    published=tp_figures("shd.sh", best=(80.75, 1.22), last=(76.43, 1.71), bptt=(82.46, 1.05)),
    differences=(*FEED_FORWARD.differences, OWN_FEEDBACK),
)
EXPERIMENTS = (FEED_FORWARD, RECURRENT)
