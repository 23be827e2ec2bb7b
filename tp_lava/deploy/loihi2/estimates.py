"""Estimates, not measurements: energy and time of a sample, from operations counted on a real run and published costs of each.

    energy = sum of operations * cost + static power * time          time = steps * (busiest core + busiest processor + barrier)

Each line is low..high, the span of its cost; that span is not a confidence interval, for the costs are Loihi 1's. Left out, for
nobody has published it: dynamic energy of the embedded processors, of their traffic with the cores, and input and output.

There is no official table of costs for Loihi 2. Loihi 1's, of another process and another design, stands in for it: a proxy, not shown to
bound Loihi 2 from either side. What nobody has published is assumed, widely, and says so; every figure has its source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from tp_lava.checks import is_number
from tp_lava.continual import Cost as LearningCost
from tp_lava.deploy.loihi2.counting import Counts
from tp_lava.deploy.loihi2.demand import LayerDemand
from tp_lava.deploy.loihi2.limits import ARS, Certainty, Figures
from tp_lava.deploy.loihi2.mapping import Mapping
from tp_lava.errors import invalid

SANA_FE = "https://github.com/SLAM-Lab/SANA-FE/blob/main/arch/loihi.yaml"
DAVIES = "https://doi.org/10.1109/MM.2018.112130359"
CLP_SNN = "https://github.com/elvinhajizada/CLP-SNN/blob/main/data/loihi2/loihi2_cost_benchmark.csv"
_PROXY = "Loihi 1"


@dataclass(frozen=True)
class Cost:
    """A cost between low and high. of: the hardware it was published for."""

    low: float
    high: float
    unit: str
    certainty: Certainty
    source: str
    of: str = _PROXY
    note: str = ""


@dataclass(frozen=True)
class Costs(Figures):
    """All costs by name. Make others with replace(name=(low, high)), a number or a Cost."""

    kind: ClassVar[type] = Cost

    synaptic_energy: Cost = Cost(24.0, 35.5, "pJ", "read", SANA_FE, note="convolution 24.0, sparse 33.6, dense 35.5")
    neuron_energy: Cost = Cost(72.8, 72.8, "pJ", "read", SANA_FE, note="access 51.2 and update 21.6")
    spike_energy: Cost = Cost(69.3, 69.3, "pJ", "read", SANA_FE)
    message_energy: Cost = Cost(111.0, 111.0, "pJ", "read", SANA_FE, note="an output axon")
    hop_energy: Cost = Cost(3.0, 4.2, "pJ", "read", SANA_FE, note="east or west 3.0, north or south 4.2")
    update_energy: Cost = Cost(120.0, 120.0, "pJ", "from memory", DAVIES, note="pairwise STDP; table of the Loihi paper")
    synaptic_time: Cost = Cost(3.1, 4.7, "ns", "read", SANA_FE)
    neuron_time: Cost = Cost(4.85, 9.7, "ns", "derived", SANA_FE, note=f"6.0 and 3.7; low: Loihi 2 updates twice as fast ({ARS})")
    spike_time: Cost = Cost(3.0, 30.0, "ns", "derived", SANA_FE, note=f"30; low: Loihi 2 makes spikes ten times as fast ({ARS})")
    update_time: Cost = Cost(6.1, 6.1, "ns", "from memory", DAVIES, note="pairwise STDP; table of the Loihi paper")
    barrier_time: Cost = Cost(600.0, 1800.0, "ns", "read", SANA_FE, note="once a step")
    processor_time: Cost = Cost(2.5, 50.0, "ns", "assumed", "", "Loihi 2", "one operation of a program in C: 100 to 400 MHz, 1 to 5 cycles")
    chip_power: Cost = Cost(0.12, 0.12, "W", "read", CLP_SNN, "Loihi 2, measured", "static, of one chip in one experiment")
    learning_synapse: Cost = Cost(
        *(33.5, 33.5, "pJ", "derived", CLP_SNN, "Loihi 2, measured"),
        note="0.0129 mJ a learning step over 1280 x 300 synapses: all dynamic energy of that chip, of another rule",
    )
    hops: Cost = Cost(1.0, 16.0, "hops", "assumed", "", "Loihi 2", "of a message; a chip's mesh is 8 x 16 cores or so")

    def _given(self, name: str, value: Any) -> Cost:
        low, high = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
        if not is_number(low, 0) or not is_number(high, 0) or low > high:
            raise invalid("Costs", name, repr(value), "a number >= 0, or (low, high)", f"in {self.named[name].unit}")
        return Cost(float(low), float(high), self.named[name].unit, "given", "", "")


LABEL = "estimate, not a measurement"
_PER_MICRO = {"pJ": 1e-6, "ns": 1e-3}


@dataclass(frozen=True)
class Line:
    """count operations, each at a cost. low, high: of all of them, in uJ or us."""

    name: str
    count: float
    cost: Cost
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Estimate:
    """Of one sample, the mean of those counted. energy: lines in uJ; time: of the mean step, in us; cross_check: dynamic energy of
    learning as a chip that learns by another rule was measured, None where nothing is learned. label: what this is.
    """

    energy: tuple[Line, ...]
    time: tuple[Line, ...]
    steps: float
    learning: bool
    cross_check: Line | None
    label: str = LABEL

    @property
    def microjoules(self) -> tuple[float, float]:
        """(low, high) of a sample."""
        return sum(line.low for line in self.energy), sum(line.high for line in self.energy)

    @property
    def dynamic(self) -> tuple[float, float]:
        """The same without static power."""
        lines = [line for line in self.energy if line.cost.unit == "pJ"]
        return sum(line.low for line in lines), sum(line.high for line in lines)

    @property
    def microseconds(self) -> tuple[float, float]:
        """(low, high) of a sample."""
        return self.steps * sum(line.low for line in self.time), self.steps * sum(line.high for line in self.time)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "microjoules": self.microjoules, "microseconds": self.microseconds}


def estimate(mapping: Mapping, counts: Counts, costs: Costs | None = None) -> Estimate:
    """Energy and time of a sample on a mapping. costs: by default the published ones."""
    costs = costs or Costs()
    time = tuple(_time(mapping, counts, costs))
    plastic = sum(
        sum(core.synapses[c.name] for core in mapping.cores_of(d.name)) for d in mapping.layers for c in d.connections if c.plastic
    )
    check = None
    if counts.learning and plastic:
        check = _line("plastic synapses, times steps", plastic * counts.steps, costs.learning_synapse)
    low, high = (counts.steps * sum(ends) for ends in zip(*((line.low, line.high) for line in time), strict=True))
    return Estimate((*_energy(mapping, counts, costs), _static(mapping, costs, low, high)), time, counts.steps, counts.learning, check)


def microjoules_a_sample(inference: Estimate, learning: Estimate, cost: LearningCost) -> tuple[float, float]:
    """(low, high) of one new sample: every presentation that goes with it, each at the estimate of one that infers or learns."""
    if not cost.seen:
        return 0.0, 0.0
    learned = (cost.learned + cost.relearned) / cost.seen
    inferred = cost.presentations_per_sample - learned
    low, high = (inferred * a + learned * b for a, b in zip(inference.microjoules, learning.microjoules, strict=True))
    return low, high


def _line(name: str, count: float, cost: Cost) -> Line:
    micro = _PER_MICRO[cost.unit]
    return Line(name, count, cost, count * cost.low * micro, count * cost.high * micro, "µJ" if cost.unit == "pJ" else "µs")


def _static(mapping: Mapping, costs: Costs, low: float, high: float) -> Line:
    """Static power of every chip for as long as a sample takes. low, high: microseconds."""
    chips, power = len(mapping.chips), costs.chip_power
    return Line("chips, at rest for the time below", chips, power, chips * power.low * low, chips * power.high * high, "µJ")


def _energy(mapping: Mapping, counts: Counts, costs: Costs) -> Iterator[Line]:
    messages = sum(_messages(mapping, counts, number) for number in range(len(mapping.layers)))
    yield _line("synaptic operations", counts.mean("synaptic"), costs.synaptic_energy)
    yield _line("neuron updates", counts.mean("neuron_updates"), costs.neuron_energy)
    yield _line("spikes", counts.mean("spikes"), costs.spike_energy)
    yield _line("messages to cores", messages, costs.message_energy)
    hops, each = costs.hops, costs.hop_energy
    way = Cost(
        hops.low * each.low, hops.high * each.high, "pJ", hops.certainty, each.source, each.of, f"{hops.low:g} to {hops.high:g} hops"
    )
    yield _line("ways of messages", messages, way)
    if counts.learning:
        yield _line("plastic updates", counts.mean("updates"), costs.update_energy)


def _messages(mapping: Mapping, counts: Counts, number: int) -> float:
    """Spikes of a layer, each to every core it has an axon to, on the mean."""
    layer, cores = mapping.layers[number], mapping.cores_of(mapping.layers[number].name)
    axons = sum(core.bytes["output axons"] for core in cores) * 8 / mapping.limits.output_axon.value
    traces = layer.neurons * layer.compartments if layer.credited else 0
    senders = layer.neurons * layer.compartments
    spikes = counts.of_layer(number, "spikes") + counts.of_layer(number, "rule_spikes")
    return spikes * max(0.0, axons - traces) / senders


def _time(mapping: Mapping, counts: Counts, costs: Costs) -> Iterator[Line]:
    """Of a mean step: its phases one after the other, cores side by side, so the busiest one counts."""
    busiest = max(range(len(mapping.layers)), key=lambda number: sum(n * c.high for _, n, c in _on_core(mapping, counts, costs, number)))
    for name, count, cost in _on_core(mapping, counts, costs, busiest):
        yield _line(f"{name} of the busiest core ({mapping.layers[busiest].name})", count, cost)
    if counts.learning:
        processor = max(mapping.processors, key=lambda p: p.operations)
        named = ", ".join(task.name for task in processor.tasks)
        yield _line(f"operations of the busiest processor ({named})", processor.operations, costs.processor_time)
    else:
        yield _line("operations of an embedded processor", counts.mean("credit") / counts.steps, costs.processor_time)
    yield _line("barrier", 1, costs.barrier_time)


def _on_core(mapping: Mapping, counts: Counts, costs: Costs, number: int) -> list[tuple[str, float, Cost]]:
    """Work of a layer's largest core in a mean step: its share of the layer's."""
    layer = mapping.layers[number]
    neurons, synapses = _shares(mapping, layer)
    per_step = {name: counts.of_layer(number, name) / counts.steps for name in ("synaptic", "rule_synaptic", "updates", "neuron_updates")}
    spikes = (counts.of_layer(number, "spikes") + counts.of_layer(number, "rule_spikes")) / counts.steps
    work = [
        ("synaptic operations", synapses * (per_step["synaptic"] + per_step["rule_synaptic"]), costs.synaptic_time),
        ("neuron updates", neurons * per_step["neuron_updates"], costs.neuron_time),
        ("spikes", neurons * spikes, costs.spike_time),
    ]
    return [*work, ("plastic updates", synapses * per_step["updates"], costs.update_time)] if counts.learning else work


def _shares(mapping: Mapping, layer: LayerDemand) -> tuple[float, float]:
    """Of a layer's neurons and synapses, those of its largest core."""
    cores = mapping.cores_of(layer.name)
    synapses = [sum(core.synapses.values()) for core in cores]
    return max(core.neurons for core in cores) / layer.neurons, max(synapses) / max(1, sum(synapses))
