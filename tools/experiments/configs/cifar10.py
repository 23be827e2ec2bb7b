"""CIFAR10 and CIFAR100 with TESS, VGG-9: still pictures shown for 6 steps."""

from dataclasses import replace

from experiments.config import Data, Preparation
from experiments.configs.papers import four_ways, tess_experiment, tess_figures

PREPARATION = Preparation(side=32, mean=(0.4914, 0.4822, 0.4465), spread=(0.2023, 0.1994, 0.2010), flip=True, cutout=True)
TRAIN = tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6))
TEST = ("cifar-10-batches-bin/test_batch.bin",)
DATA = Data(
    name="CIFAR10",
    loader="bytes",
    train={"files": TRAIN},
    test={"files": TEST},
    sensor_size=(32, 32, 3),
    n_steps=6,
    step=None,
    binning="no events: every picture, real-valued and normalised per colour, is the input of each of 6 steps; training pictures are "
    "cropped at random with padding 4, mirrored and cut out",
    files=(*TRAIN, *TEST),
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html: the binary version, unpacked",
    preparation=PREPARATION,
)
TRAIN_100, TEST_100 = ("cifar-100-binary/train.bin",), ("cifar-100-binary/test.bin",)
DATA_100 = replace(DATA, name="CIFAR100", train={"files": TRAIN_100}, test={"files": TEST_100}, files=(*TRAIN_100, *TEST_100))
FIGURES, FIGURES_100 = tess_figures(tess=92.55, s_tllr=91.88, bptt=92.55), tess_figures(tess=70.00, s_tllr=68.00, bptt=69.28)
SMALL = four_ways("pictures", "cifar10_jpeg.npz", "16 32p 64p 64", train=10_000, test=2_000, epochs=10)
EXPERIMENTS = (
    tess_experiment("cifar10", DATA, (3, 32, 32), 10, FIGURES, acausal=1.0, batch=128, small=SMALL),
    tess_experiment("cifar100", DATA_100, (3, 32, 32), 100, FIGURES_100, acausal=1.0, batch=128, small=SMALL),
)
