"""The few-shot table of the keyword spotting experiment, on networks with delay lines: several new speakers, float and fixed point.

What it is meant for is --small with a file of words as spike lists (see tp_lava.data.from_spike_lists): 24 speakers, 40 words, 64 channels.
Six speakers are new, one after the other, each to the network that has learned the other 18.
"""

from dataclasses import replace

import tp_lava as tpl
from experiments.config import Adaptation, Dense, Experiment, StandIn
from experiments.configs import gsc
from experiments.configs.papers import TP_PAPER, one_by_one, tp_batches

DATA = replace(gsc.DATA, n_steps=50, step=20_000.0, binning="50 steps of 20 ms; no binning of the channels")
EPOCHS = 12
STREAMING = one_by_one(tpl.TP(3e-3, 1e-3), EPOCHS, tpl.Cosine(EPOCHS))
EXPERIMENT = Experiment(
    name="speech_commands",
    title="Speech commands, fine-tuning to new speakers, 64-400-40 behind delay lines",
    paper=TP_PAPER,
    network=Dense((64, 400, 40), tpl.LIF(0.9), trace_decay=0.9, temporal=True),
    batch=tp_batches(64, EPOCHS),
    streaming=STREAMING,
    data=DATA,
    published=gsc.EXPERIMENT.published,
    differences=(
        "the network has delay lines and is feed-forward; in the paper it is recurrent, 120-450-36",
        "with --recordings the words are those of the file, not Google's; means over six new speakers, in the paper one",
        "fine-tuning takes 10 epochs here, one sample at a time by plain SGD; in the paper 3, in batches, with Adam",
    ),
    adaptation=Adaptation(shots=(1, 5, None), epochs=10, support=0.8, speakers=6),
    small=StandIn("speech", batch=tp_batches(64, EPOCHS), streaming=STREAMING, recorded=STREAMING),
)
EXPERIMENTS = (EXPERIMENT,)
