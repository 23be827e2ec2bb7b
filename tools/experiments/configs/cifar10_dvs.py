"""CIFAR10-DVS with TP and with TESS, VGG-9."""

from dataclasses import replace

import tp_lava as tpl
from experiments.config import Convolution, Data, Experiment
from experiments.configs.papers import TP_LAYERS, TP_PAPER, TP_WEIGHTS, tess_experiment, tess_figures, tp_batches, tp_figures

DATA = Data(
    name="CIFAR10-DVS",
    loader="tonic.datasets.CIFAR10DVS",
    train={},
    test={},
    sensor_size=(128, 128, 2),
    n_steps=10,
    step=None,
    binning="10 frames a recording, resized to 48 x 48; cropped at random with padding 4 and mirrored; the first 900 recordings of each "
    "class are for training, the last 100 for testing",
    files=("CIFAR10DVS/CIFAR10DVS.zip", "CIFAR10DVS/airplane"),
    obtain="the version converted by tonic's authors: figshare.com/ndownloader/files/38023437, unpacked beside it, its ten .zip files too",
)
TP = Experiment(
    name="cifar10_dvs_tp",
    title="CIFAR10-DVS, VGG-9, TP",
    paper=TP_PAPER,
    network=Convolution((48, 48, 2), TP_LAYERS, 10, tpl.LIF(0.18, 0.5), 0.19, TP_WEIGHTS),
    batch=tp_batches(64, epochs=300),
    streaming=None,
    data=DATA,
    published=tp_figures("cifar10dvs.sh", best=(71.3, 0.45), last=(69.35, 1.07)),
)
DATA_TESS = replace(
    DATA,
    binning="10 frames of as many events each, resized to 48 x 48, normalised per polarity; cropped at random with padding 4; the "
    "first 900 recordings of each class are for training, the last 100 for testing",
)
FIGURES = tess_figures(tess=75.00, s_tllr=75.14, bptt=76.40)
EXPERIMENTS = (TP, tess_experiment("cifar10_dvs_tess", DATA_TESS, (48, 48, 2), 10, FIGURES, acausal=0.0, batch=64))
