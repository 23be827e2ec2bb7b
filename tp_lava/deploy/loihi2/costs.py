"""What an operation costs in energy and time, as far as anything is published; every figure with its source.

There is no official table for Loihi 2. Loihi 1's, of another process and another design, stands in for it: a proxy, not shown to
bound Loihi 2 from either side. What nobody has published is assumed, widely, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tp_lava.checks import is_number
from tp_lava.deploy.loihi2.limits import ARS, Certainty, Figures
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
