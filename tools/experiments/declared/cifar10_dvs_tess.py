"""CIFAR10-DVS with TESS, VGG-9."""

from dataclasses import replace

import tp_lava as tpl
from experiments.declaration import Convolution, Experiment
from experiments.declared import cifar10_dvs_tp
from experiments.declared.papers import TESS_LAYERS, TESS_PAPER, TESS_WEIGHTS, tess_batches, tess_figures

EXPERIMENT = Experiment(
    name="cifar10_dvs_tess",
    title="CIFAR10-DVS, VGG-9, TESS",
    paper=TESS_PAPER,
    network=Convolution((48, 48, 2), TESS_LAYERS, 10, tpl.TESS.neuron(), None, TESS_WEIGHTS),
    batch=tess_batches(acausal=0.0, batch=64),
    streaming=None,
    data=replace(
        cifar10_dvs_tp.DATA,
        binning="10 frames of as many events each, resized to 48 x 48, normalised per polarity; cropped at random with padding 4; the "
        "first 900 recordings of each class are for training, the last 100 for testing",
    ),
    published=tess_figures(tess=75.00, s_tllr=75.14, bptt=76.40),
    seeds=5,
)
