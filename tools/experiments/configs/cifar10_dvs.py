"""CIFAR10-DVS with TP and with TESS, VGG-9."""

from dataclasses import replace

import tp_lava as tpl
from experiments.config import Data, Experiment, Preparation
from experiments.configs import papers

DATA = Data(
    name="CIFAR10-DVS",
    loader="tonic.datasets.CIFAR10DVS",
    train={},
    test={},
    sensor_size=(128, 128, 2),
    n_steps=10,
    step=None,
    binning="10 frames of as much time each, resized to 48 x 48; cropped at random with padding 4 and mirrored; the first 900 recordings "
    "of each class are for training, the last 100 for testing",
    files=("CIFAR10DVS/CIFAR10DVS.zip", "CIFAR10DVS/airplane"),
    obtain="the version converted by tonic's authors: figshare.com/ndownloader/files/38023437, unpacked beside it, its ten .zip files too",
    preparation=Preparation(side=48, corners=True, flip=True),
    first=900,
    needs="aedat",
)
SMALL = papers.four_ways("camera", "mnist.npz", "16p 32p 64", train=4_000, test=1_000, epochs=10)
ORDER = "the recordings of a class are ordered by the numbers in their files' names here; in the reference as the file system lists them"
TP = Experiment(
    name="cifar10_dvs_tp",
    title="CIFAR10-DVS, VGG-9, TP",
    paper=papers.TP_PAPER,
    network=papers.tp_maps((2, 48, 48), 10, tpl.LIF(0.18, 0.5), 0.19),
    batch=papers.tp_on_maps(64, epochs=300),
    streaming=None,
    data=DATA,
    published=papers.tp_figures("cifar10dvs.sh", best=(71.3, 0.45), last=(69.35, 1.07)),
    differences=(*papers.TP_DIFFERENCES, ORDER),
    small=SMALL,
)
DATA_TESS = replace(
    DATA,
    binning="10 frames of as many events each, as bytes, almost binary, resized to 48 x 48, normalised per polarity; cropped at random "
    "with padding 4; the first 900 recordings of each class are for training, the last 100 for testing",
    preparation=Preparation(side=48, bins="events", as_bytes=True, mean=(0.2728, 0.1295), spread=(0.2225, 0.1290)),
)
BYTES = "counts become bytes as in the release, where 0 stays 0, 1 is 255, 2 is 254; the paper does not say that frames are almost binary"
FIGURES = papers.tess_figures(tess=75.00, s_tllr=75.14, bptt=76.40)
EXPERIMENTS = (
    TP,
    papers.tess_experiment(
        "cifar10_dvs_tess", DATA_TESS, (2, 48, 48), 10, FIGURES, acausal=0.0, batch=64, small=SMALL, differences=(BYTES, ORDER)
    ),
)
