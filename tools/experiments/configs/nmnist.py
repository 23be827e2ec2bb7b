"""N-MNIST with TP, feed-forward."""

import tp_lava as tpl
from experiments.config import Data, Dense, Experiment, StandIn
from experiments.configs.papers import ONE_SPIKE, PADDING, TP_PAPER, one_by_one, tp_batches, tp_figures

DATA = Data(
    name="N-MNIST",
    loader="tonic.datasets.NMNIST",
    train={"train": True, "first_saccade_only": True},
    test={"train": False, "first_saccade_only": True},
    sensor_size=(34, 34, 2),
    n_steps=100,
    step=1000.0,
    binning="the first saccade (events before 100 ms), 100 steps of 1 ms; no spatial binning",
    files=("NMNIST/train.zip", "NMNIST/Train", "NMNIST/test.zip", "NMNIST/Test"),
    obtain="https://www.garrickorchard.com/datasets/n-mnist: Train.zip and Test.zip, saved as train.zip and test.zip and unpacked beside "
    "them into Train/0..9/*.bin (60000) and Test/0..9/*.bin (10000)",
)
EXPERIMENT = Experiment(
    name="nmnist",
    title="N-MNIST, 2312-200-10",
    paper=TP_PAPER,
    network=Dense((2312, 200, 10), tpl.LIF(0.98, 1.0), trace_decay=0.98),
    batch=tp_batches(128, epochs=100),
    streaming=one_by_one(tpl.TP(2e-3, 3e-5, contrast=4), epochs=10),
    data=DATA,
    published=tp_figures("nmnist.sh", best=(97.26, 0.09), last=(96.53, 0.14), bptt=(98.39, 0.06)),
    differences=(ONE_SPIKE, PADDING),
    small=StandIn(
        "pictures",
        batch=tp_batches(128, epochs=12),
        streaming=one_by_one(tpl.TP(7e-4, 2e-5, contrast=4), epochs=12),
        recorded=one_by_one(tpl.TP(2e-3, 3e-5, contrast=4), epochs=10),
    ),
)
EXPERIMENTS = (EXPERIMENT,)
