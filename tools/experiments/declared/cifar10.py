"""CIFAR10 with TESS, VGG-9: still pictures shown for 6 steps."""

import tp_lava as tpl
from experiments.declaration import Convolution, Data, Experiment
from experiments.declared.papers import TESS_LAYERS, TESS_PAPER, TESS_WEIGHTS, tess_batches, tess_figures

DATA = Data(
    name="CIFAR10",
    loader="torchvision.datasets.CIFAR10",
    train={"train": True},
    test={"train": False},
    sensor_size=(32, 32, 3),
    n_steps=6,
    step=None,
    binning="no events: every picture, real-valued and normalised per colour, is the input of each of 6 steps; training pictures are "
    "cropped at random with padding 4, cut out and mirrored",
    files=("cifar-10-batches-py",),
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html: the Python version, unpacked",
)
EXPERIMENT = Experiment(
    name="cifar10",
    title="CIFAR10, VGG-9, TESS",
    paper=TESS_PAPER,
    network=Convolution((32, 32, 3), TESS_LAYERS, 10, tpl.TESS.neuron(), None, TESS_WEIGHTS),
    batch=tess_batches(acausal=1.0, batch=128),
    streaming=None,
    data=DATA,
    published=tess_figures(tess=92.55, s_tllr=91.88, bptt=92.55),
    seeds=5,
)
