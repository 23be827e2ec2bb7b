"""Spiking Heidelberg Digits with TP, recurrent."""

from dataclasses import replace

import tp_lava as tpl
from experiments.declaration import Dense
from experiments.declared import shd
from experiments.declared.papers import tp_figures

OWN_FEEDBACK = "the target path of the first layer shares the recurrent weights here; in the reference it has fixed random ones of its own"
EXPERIMENT = replace(
    shd.EXPERIMENT,
    name="shd_recurrent",
    title="SHD, 700-450-20, recurrent",
    network=Dense((700, 450, 20), tpl.LIF(0.85, 0.5), trace_decay=0.85, recurrent=True),
    published=tp_figures("shd.sh", best=(80.75, 1.22), last=(76.43, 1.71), bptt=(82.46, 1.05)),
    differences=(*shd.EXPERIMENT.differences, OWN_FEEDBACK),
)
