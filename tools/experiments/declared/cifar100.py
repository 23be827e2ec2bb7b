"""CIFAR100 with TESS, VGG-9: still pictures shown for 6 steps."""

from dataclasses import replace

import tp_lava as tpl
from experiments.declaration import Convolution
from experiments.declared import cifar10
from experiments.declared.papers import TESS_LAYERS, TESS_WEIGHTS, tess_figures

EXPERIMENT = replace(
    cifar10.EXPERIMENT,
    name="cifar100",
    title="CIFAR100, VGG-9, TESS",
    network=Convolution((32, 32, 3), TESS_LAYERS, 100, tpl.TESS.neuron(), None, TESS_WEIGHTS),
    data=replace(cifar10.DATA, name="CIFAR100", loader="torchvision.datasets.CIFAR100", files=("cifar-100-python",)),
    published=tess_figures(tess=70.00, s_tllr=68.00, bptt=69.28),
)
