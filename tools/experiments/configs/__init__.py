"""One file per data set, each with its EXPERIMENTS."""

from experiments.config import Experiment
from experiments.configs import cifar10, cifar10_dvs, dvs_gesture, gsc, nmnist, shd, speech_commands

_FILES = (nmnist, shd, gsc, speech_commands, dvs_gesture, cifar10_dvs, cifar10)
EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for file in _FILES for experiment in file.EXPERIMENTS}
