"""DVS-Gesture with TESS, VGG-9."""

import tp_lava as tpl
from experiments.declaration import Convolution, Experiment
from experiments.declared.dvs_gesture_tp import DATA
from experiments.declared.papers import TESS_LAYERS, TESS_PAPER, TESS_WEIGHTS, tess_batches, tess_figures

EXPERIMENT = Experiment(
    name="dvs_gesture_tess",
    title="DVS-Gesture, VGG-9, TESS",
    paper=TESS_PAPER,
    network=Convolution((32, 32, 2), TESS_LAYERS, 11, tpl.TESS.neuron(), None, TESS_WEIGHTS),
    batch=tess_batches(acausal=0.0, batch=16),
    streaming=None,
    data=DATA,
    published=tess_figures(tess=98.56, s_tllr=98.48, bptt=97.95),
    seeds=5,
)
