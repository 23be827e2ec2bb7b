"""DVS-Gesture with TP and with TESS, VGG-9."""

import tp_lava as tpl
from experiments.config import Convolution, Data, Experiment
from experiments.configs.papers import TP_LAYERS, TP_PAPER, TP_WEIGHTS, tess_experiment, tess_figures, tp_batches, tp_figures

DATA = Data(
    name="DVS-Gesture",
    loader="tonic.datasets.DVSGesture",
    train={"train": True},
    test={"train": False},
    sensor_size=(128, 128, 2),
    n_steps=20,
    step=75_000.0,
    binning="frames of 75 ms, resized to 32 x 32; training recordings cut into slices of 1.575 s, cropped at random with padding 4",
    files=tuple(f"DVSGesture/ibmGesture{part}{form}" for part in ("Train", "Test") for form in ("", ".tar.gz")),
    obtain="the version cut by tonic's authors: figshare.com/ndownloader/files/38022171 (train) and /38020584 (test), unpacked beside them",
)
TP = Experiment(
    name="dvs_gesture_tp",
    title="DVS-Gesture, VGG-9, TP",
    paper=TP_PAPER,
    network=Convolution((32, 32, 2), TP_LAYERS, 11, tpl.LIF(0.53, 1.0), 0.98, TP_WEIGHTS),
    batch=tp_batches(64, epochs=200),
    streaming=None,
    data=DATA,
    published=tp_figures("dvsgesture.sh", best=(97.8, 0.75), last=(95.61, 1.02)),
)
FIGURES = tess_figures(tess=98.56, s_tllr=98.48, bptt=97.95)
EXPERIMENTS = (TP, tess_experiment("dvs_gesture_tess", DATA, (32, 32, 2), 11, FIGURES, acausal=0.0, batch=16))
