"""CIFAR10-DVS with TP, VGG-9."""

import tp_lava as tpl
from experiments.declaration import Convolution, Data, Experiment
from experiments.declared.papers import TP_LAYERS, TP_PAPER, TP_WEIGHTS, tp_batches, tp_figures

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
EXPERIMENT = Experiment(
    name="cifar10_dvs_tp",
    title="CIFAR10-DVS, VGG-9, TP",
    paper=TP_PAPER,
    network=Convolution((48, 48, 2), TP_LAYERS, 10, tpl.LIF(0.18, 0.5), 0.19, TP_WEIGHTS),
    batch=tp_batches(64, epochs=300),
    streaming=None,
    data=DATA,
    published=tp_figures("cifar10dvs.sh", best=(71.3, 0.45), last=(69.35, 1.07)),
)
