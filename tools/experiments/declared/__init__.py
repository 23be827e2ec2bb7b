"""One file per experiment, each with its EXPERIMENT."""

from experiments.declaration import Experiment
from experiments.declared import (
    cifar10,
    cifar10_dvs_tess,
    cifar10_dvs_tp,
    cifar100,
    dvs_gesture_tess,
    dvs_gesture_tp,
    gsc,
    nmnist,
    shd,
    shd_recurrent,
)

_FILES = (nmnist, shd, shd_recurrent, gsc, dvs_gesture_tp, dvs_gesture_tess, cifar10_dvs_tp, cifar10_dvs_tess, cifar10, cifar100)
EXPERIMENTS: dict[str, Experiment] = {file.EXPERIMENT.name: file.EXPERIMENT for file in _FILES}
