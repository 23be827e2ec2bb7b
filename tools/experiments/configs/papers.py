"""What the experiments of a paper share: its name, settings, convolutional network and published figures."""

from __future__ import annotations

import tp_lava as tpl
from experiments.config import Convolution, Data, Experiment, Learning, Published

TP_PAPER = "TP: Pes, Yin, Stuijk, Corradi, arXiv 2509.13053, Neuromorph. Comput. Eng. 6 014002 (2026)"
TESS_PAPER = "TESS: Apolinario, Roy, Frenkel, arXiv 2502.01837, IJCNN 2025"
TP_CODE = "github.com/lollopes/traces_propagation"
BEST = "mean of the best test accuracy of each of 10 seeds"
LAST = "mean of the test accuracy after the last epoch, 10 seeds"
TRIALS = "mean of 5 trials"

ONE_SPIKE = "a unit with several events in a step spikes once here; the reference adds them up"
PADDING = "every recording has the same number of steps here; the reference pads to the longest of a batch"
OWN_FEEDBACK = "the target path of the first layer shares the recurrent weights here; in the reference it has fixed random ones of its own"
TP_LAYERS = ("64", "128, max pool 2", "256", "256, max pool 2", "512", "512, max pool 2", "512", "512, adaptive average pool to 2 x 2")
TP_WEIGHTS = "3 x 3; standardised before use: per output channel zero mean, variance 1 / fan-in, times 1.8"
TESS_LAYERS = ("64", "128, max pool 2", "256", "256, max pool 2", "512", "512, max pool 2", "512", "512, global average pool")
_Percent = tuple[float, float]  # mean, standard deviation
TESS_WEIGHTS = "3 x 3; standardised before use, with a trainable gain"


def tp_batches(batch: int, epochs: int, rate: float = 1e-4) -> Learning:
    """TP as published: Adam and an update at every step, rates falling to a quarter; K is the batch."""
    return Learning(tpl.TP(rate, rate, "all"), tpl.Adam(), tpl.Cosine(epochs, floor=0.25), batch, epochs)


def tess_batches(acausal: float, batch: int) -> Learning:
    """TESS as published: Adam, one update a sequence, rates halved after more than 5 epochs without a gain."""
    readout = tpl.Readout(decay=0.0, features="spike")
    rule = tpl.TESS(1e-3, 1e-3, pre_decay=0.5, post_decay=0.2, causal=1.0, acausal=acausal, readout=readout)
    return Learning(rule, tpl.Adam(), tpl.Plateau(0.5, patience=6), batch, epochs=200)


def one_by_one(rule: tpl.TP, epochs: int, schedule: tpl.Cosine | None = None) -> Learning:
    """Streaming TP, tp_lava's own form: one sample at a time, plain SGD, an update at every step."""
    return Learning(rule, tpl.SGD(), schedule, 1, epochs)


def spoken(epochs: int) -> Learning:
    """Streaming TP for speech, whose steps have few spikes: the readout learns once a sample, from spike counts."""
    readout = tpl.Readout(normalised=True, features="count", learn_last=1)
    return one_by_one(tpl.TP(3e-4, 1e-2, contrast=4, readout=readout), epochs, tpl.Cosine(epochs))


def tp_figures(script: str, best: _Percent, last: _Percent, bptt: _Percent | None = None) -> tuple[Published, ...]:
    """Of TP's best and last accuracies and of BPTT's best."""
    source = f"{TP_PAPER}; spread: {TP_CODE}, experiments/{script}"
    figures = [Published("TP, best epoch", *best, BEST, source)]
    figures.append(Published("TP, last epoch", *last, LAST, f"{TP_CODE}, experiments/{script}"))
    if bptt is not None:
        figures.append(Published("BPTT, best epoch", *bptt, BEST, source))
    return tuple(figures)


def tess_figures(tess: float, s_tllr: float, bptt: float) -> tuple[Published, ...]:
    """Percentages of the paper's table."""
    rows = (("TESS", tess), ("S-TLLR", s_tllr), ("BPTT", bptt))
    return tuple(Published(what, percent, None, TRIALS, TESS_PAPER) for what, percent in rows)


def tess_experiment(
    name: str, data: Data, image: tuple[int, int, int], classes: int, published: tuple[Published, ...], acausal: float, batch: int
) -> Experiment:
    """VGG-9, trained by TESS."""
    network = Convolution(image, TESS_LAYERS, classes, tpl.TESS.neuron(), None, TESS_WEIGHTS)
    title, learning = f"{data.name}, VGG-9, TESS", tess_batches(acausal, batch)
    return Experiment(name, title, TESS_PAPER, network, learning, None, data, published, seeds=5)
