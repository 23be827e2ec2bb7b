"""CIFAR10 and CIFAR100 with TESS, VGG-9: still pictures shown for 6 steps."""

from dataclasses import replace

from experiments.config import Data
from experiments.configs.papers import tess_experiment, tess_figures

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
DATA_100 = replace(DATA, name="CIFAR100", loader="torchvision.datasets.CIFAR100", files=("cifar-100-python",))
FIGURES, FIGURES_100 = tess_figures(tess=92.55, s_tllr=91.88, bptt=92.55), tess_figures(tess=70.00, s_tllr=68.00, bptt=69.28)
EXPERIMENTS = (
    tess_experiment("cifar10", DATA, (32, 32, 3), 10, FIGURES, acausal=1.0, batch=128),
    tess_experiment("cifar100", DATA_100, (32, 32, 3), 100, FIGURES_100, acausal=1.0, batch=128),
)
