"""Large learners: measured here, and laid out over chips on paper.

    python tools/scale.py measured    # 100,000 inputs, 4,096 hidden neurons: time of a learning step, memory; each in a process of its own
    python tools/scale.py layout      # 10^4 to 10^6 neurons on Loihi 2: cores, chips, messages a step (docs/scale.md has the formulas)
    python tools/scale.py rates       # the smallest of them run: how often neurons and target rows spike, which layout takes for all

Times are of the processor, not of the wall. The tables are those of docs/scale.md.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np

import tp_lava as tpl
from tp_lava.deploy import map_network
from tp_lava.deploy.loihi2 import Costs, count
from tp_lava.deploy.loihi2.mapping import Mapping
from tp_lava.graph.sequential import LayerSpec

NETWORKS = {"2312-200-10": 14, "100000-200-10": 14, "100000-200-10, 224 events": 224, "2312-4096-10": 14}  # -> input spikes a step
STEPS, SAMPLES = 300, 10
SIDE, MAPS, GROUPS = 40, 8, {"2.6 x 10^4": 1, "10^5": 4, "10^6": 39}  # neurons: 2 layers of 8 maps a group, 40 x 40 positions
RULES = {"TP, K = 4": tpl.TP(1e-3, contrast=4), "TESS": tpl.TESS(1e-3, basis="walsh", update="step", grid=1)}
TRACE_DECAY = 0.95  # at 0.98 the products of 499,200 traces leave a 32-bit register: the builder says so


# Measured -----------------------------------------------------------------------------------------
def measured_alone(name: str, precision: Literal["float", "fixed"]) -> str:
    """A row of the table, of this process."""
    sizes, active = tuple(map(int, name.split(",")[0].split("-"))), NETWORKS[name]
    rng = np.random.default_rng(0)
    units = [rng.choice(sizes[0], (STEPS, active)) for _ in range(SAMPLES)]
    times = np.repeat(np.arange(STEPS), active)
    samples = [(tpl.Events(times, chosen.ravel(), STEPS, sizes[0]), n % sizes[-1]) for n, chosen in enumerate(units)]
    learner = tpl.Learner(tpl.Network.dense(sizes), tpl.TP(7e-4, contrast=4), precision)
    learner.learn(*samples[0])  # compiles
    learned, inferred = (_seconds(learner, samples, learn=learn) for learn in (True, False))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    arrays = sum(array.nbytes for array in learner.memory.values()) / 2**20
    per_step = [seconds / (STEPS * SAMPLES) * 1e6 for seconds in (learned, inferred)]
    return f"| {name} | {precision} | {active} | {per_step[0]:.2f} | {per_step[1]:.2f} | {arrays:.0f} | {megabytes:.0f} |"


def _seconds(learner: tpl.Learner, samples: list, *, learn: bool) -> float:
    """The least of three passes, of the processor."""
    passes = []
    for _ in range(3):
        begin = time.thread_time()
        for events, label in samples:
            _ = learner.learn(events, label) if learn else learner.infer(events)
        passes.append(time.thread_time() - begin)
    return min(passes)


def measured() -> None:
    """Each network in both number systems, each in a process of its own."""
    print(heading("network", "numbers", "input spikes a step", "learning, us a step", "inference", "arrays, MiB", "process at most, MiB"))
    for name in NETWORKS:
        for precision in ("float", "fixed"):
            command = [sys.executable, __file__, "one", name, precision]
            print(subprocess.run(command, check=True, text=True, capture_output=True).stdout, end="", flush=True)


# Laid out -----------------------------------------------------------------------------------------
def layouts(rate: float, target_rate: float) -> Iterator[str]:
    """A row for each rule and size. rate, target_rate: spikes of a neuron, and of each of its target rows, in a step."""
    cost = Costs().processor_time
    for (rule_name, rule), (size, groups) in itertools.product(RULES.items(), GROUPS.items()):
        maps = MAPS * groups
        layers: list[LayerSpec] = [tpl.LocalConv2d(maps, 5, padding=2), tpl.LocalConv2d(maps, 3, padding=1, groups=groups), tpl.Flatten()]
        mapping = map_network(tpl.Network.sequential((2, SIDE, SIDE), layers, 10, trace_decay=TRACE_DECAY), rule)
        synapses = sum(sum(core.synapses.values()) for core in mapping.cores)
        chips, board = len(mapping.chips), mapping.board.name if mapping.board else "none"
        operations = [p.operations for p in mapping.processors]
        work = max(operations), sum(operations) / (chips * mapping.limits.processors_per_chip.value)
        held = f"{synapses / 1e6:.1f}", f"{len(mapping.cores):,}", f"{chips} ({board})"
        sent = f"{spikes(mapping, rate, target_rate):,.0f}", f"{traces(mapping):,}", f"{errors(mapping):,}"
        times = [f"{count:,.0f}: {count * cost.low / 1e3:,.0f} to {count * cost.high / 1e3:,.0f} us" for count in work]
        yield f"| {' | '.join((rule_name, size, *held, *sent, *times))} |"


def rates() -> Iterator[str]:
    """Spikes a step of a neuron, and of each of its target rows, in each layer of the smallest network, with livelier weights."""
    rng = np.random.default_rng(0)
    layers: list[LayerSpec] = [tpl.LocalConv2d(MAPS, 5, padding=2, gain=3.0), tpl.LocalConv2d(MAPS, 3, padding=1, gain=6.0), tpl.Flatten()]
    network = tpl.Network.sequential((2, SIDE, SIDE), layers, 10, trace_decay=TRACE_DECAY)
    samples = [tpl.Sample(tpl.Events.from_dense(rng.random((40, network.n_inputs)) < 0.03), label) for label in range(2)]
    counts = count(tpl.Learner(network, RULES["TP, K = 4"], "fixed"), samples)
    for number, population in enumerate(network.populations):
        sample, rows = (counts.of_layer(number, name) / counts.steps / population.size for name in ("spikes", "rule_spikes"))
        yield f"{population.name}: {sample:.3f}, each target row {rows / 4:.3f}"


def spikes(mapping: Mapping, rate: float, target_rate: float) -> float:
    """Messages that spikes take in a step: each to every core that its compartment has an axon to."""
    total = 0.0
    for layer in mapping.layers:
        axons = sum(core.bytes["output axons"] for core in mapping.cores_of(layer.name)) * 8 / mapping.limits.output_axon.value
        traced = layer.neurons * layer.compartments if layer.credited else 0
        rows = layer.compartments - 1
        total += (axons - traced) / layer.compartments * (rate + rows * target_rate)
    return total


def traces(mapping: Mapping) -> int:
    """Numbers that processors take from neuro-cores in a step."""
    return sum(task.words_in for processor in mapping.processors for task in processor.tasks)


def errors(mapping: Mapping) -> int:
    """Numbers that neuro-cores take from processors in a step: what the credit of a layer says, to each of its cores."""
    said = {task.name: task.words_out for processor in mapping.processors for task in processor.tasks}
    return sum(said.get(f"credit of {layer.name}", 0) * len(mapping.cores_of(layer.name)) for layer in mapping.layers)


def heading(*columns: str) -> str:
    """The first two lines of a table."""
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


def main() -> None:
    """Measure or lay out, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measured", "layout", "rates", "one"))
    parser.add_argument("of", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0.02, help="layout: spikes of a neuron in a step")
    parser.add_argument("--target-rate", type=float, default=0.07, help="layout: of each of its target rows")
    given = parser.parse_args()
    if given.what == "one":
        print(measured_alone(*given.of))
    elif given.what == "measured":
        measured()
    elif given.what == "rates":
        print("\n".join(rates()))
    else:
        warnings.simplefilter("ignore")
        held, sent = ("synapses, 10^6", "cores", "chips"), ("spike messages", "words to processors", "words back")
        print(heading("rule", "neurons", *held, *sent, "busiest processor, operations", "all processors, each"))
        for row in layouts(given.rate, given.target_rate):
            print(row, flush=True)


if __name__ == "__main__":
    main()
