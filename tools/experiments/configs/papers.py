"""What the experiments of a paper share: its name, settings, convolutional network, published figures and known differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import tp_lava as tpl
from experiments.config import BPTT, Comparison, Convolution, Data, Experiment, Learning, Method, Published
from experiments.vgg import VGG_9
from tp_lava.rules import BaseRule

TP_PAPER = "TP: Pes, Yin, Stuijk, Corradi, arXiv 2509.13053, Neuromorph. Comput. Eng. 6 014002 (2026)"
TESS_PAPER = "TESS: Apolinario, Roy, Frenkel, arXiv 2502.01837, IJCNN 2025"
TP_CODE = "github.com/lollopes/traces_propagation"
BEST = "mean of the best test accuracy of each of 10 seeds"
LAST = "mean of the test accuracy after the last epoch, 10 seeds"
TRIALS = "mean of 5 trials"

ONE_SPIKE = "a unit with several events in a step spikes once here; the reference adds them up"
PADDING = "every recording has the same number of steps here; the reference pads to the longest of a batch"
OWN_FEEDBACK = "the target path of the first layer shares the recurrent weights here; in the reference it has fixed random ones of its own"
_Image = tuple[int, int, int]  # channels, height, width
_Percent = tuple[float, float]  # mean, standard deviation
TP_WEIGHTS = tpl.Standardisation()
TESS_WEIGHTS = tpl.Standardisation(gain=1.0, epsilon=1e-4)
TP_DIFFERENCES = (
    "the last, incomplete batch counts here; the reference leaves it out, in training and in tests",
    "the readout is learned through its standardisation here; the reference puts its gradient straight on the weights before that",
    "the label matrix is drawn by another generator; its first neurons' threshold is 1 in the reference whatever the network's, which "
    "a matrix scaled by the threshold equals here",
)
TESS_DIFFERENCES = (
    "the local signal comes at every step here, as in the paper; the released loop gives none in the steps of delay_ls, which are all, "
    "so that its figures are those of backpropagation through the layers of one step",
    "a spike subtracts the threshold, 0.6, as in the paper; in the released arithmetic 1",
    "the standardised weights' gain is 1 here, and the variance biased; in the release trained, and unbiased",
    "every layer's maps are averaged to 2 x 2 before the basis (the last has one place); in the release the first layer's to 4 x 4",
    "rates fall by the accuracy on the test samples here; in the release by the loss on them",
)


def tp_batches(batch: int, epochs: int, rate: float = 1e-4) -> Learning:
    """TP as published: Adam and an update at every step, rates falling to a quarter; K is the batch."""
    return Learning(tpl.TP(rate, rate, "all"), tpl.Adam(), tpl.Cosine(epochs, floor=0.25), batch, epochs)


def tp_maps(image: _Image, classes: int, neuron: tpl.LIF, trace_decay: float) -> Convolution:
    """TP's VGG-9."""
    return Convolution(image, VGG_9, 2, classes, neuron, trace_decay, TP_WEIGHTS, "standardised")


def tp_on_maps(batch: int, epochs: int, rate: float = 1e-4) -> Learning:
    """TP as published for convolutional networks."""
    learning = tp_batches(batch, epochs)
    return replace(learning, rule=tpl.TP(rate, rate, "all", readout=tpl.Readout()))


def tess_batches(acausal: float, batch: int) -> Learning:
    """TESS as published: Adam, one update a sequence, rates halved after more than 5 epochs without a gain."""
    readout = tpl.Readout(decay=0.0, features="spike")
    rule = tpl.TESS(1e-3, 1e-3, pre_decay=0.5, post_decay=0.2, causal=1.0, acausal=acausal, readout=readout, grid=2)
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
    name: str,
    data: Data,
    image: _Image,
    classes: int,
    published: tuple[Published, ...],
    acausal: float,
    batch: int,
    small: Comparison,
    differences: tuple[str, ...] = (),
) -> Experiment:
    """VGG-9, trained by TESS."""
    network = Convolution(image, VGG_9, 1, classes, tpl.TESS.neuron(), 0.0, TESS_WEIGHTS, "biased")
    title, learning = f"{data.name}, VGG-9, TESS", tess_batches(acausal, batch)
    notes = (*TESS_DIFFERENCES, *differences)
    return Experiment(name, title, TESS_PAPER, network, learning, None, data, published, notes, seeds=5, small=small)


def four_ways(kind: Literal["pictures", "camera", "recordings"], file: str, maps: str, train: int, test: int, epochs: int) -> Comparison:
    """Frozen convolutions, of which the readout alone learns, TP, TESS and BPTT on the same small network.

    TESS has the settings that teach most, not the published ones: its basis fixed, as published, and one that learns; all rules teach the
    readout alike, TESS once a sample.
    """
    network = Convolution((3, 32, 32), maps, 2, 10, tpl.LIF(0.5, 1.0), 0.5, TP_WEIGHTS, "standardised")
    readout = tpl.Readout()
    rules: dict[str, BaseRule | BPTT] = {
        "frozen convolutions": tpl.TP(0.0, 1e-3, "all", readout=readout),
        "TP": tpl.TP(1e-3, 1e-3, "all", readout=readout),
        "TESS": tpl.TESS(3e-3, 3e-3, basis="walsh", temperature=0.05, activity="trace", grid=2, readout=readout),
        "TESS, basis learned": tpl.TESS(
            3e-3, 3e-3, basis="walsh", temperature=0.015, activity="trace", grid=2, basis_rate=0.1, readout=readout
        ),
        "BPTT": BPTT(3e-3),
    }
    schedule = tpl.Cosine(epochs, floor=0.25)
    methods = tuple(Method(name, Learning(rule, tpl.Adam(), schedule, 50, epochs)) for name, rule in rules.items())
    return Comparison(kind, file, train, test, network, methods)
