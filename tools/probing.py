"""What it costs to read a running network: Var.get and Var.set against snapshot and restore, Monitor against Recorder.

    uv run python tools/probing.py

2312 inputs x 200 neurons, fixed point, step by step, about 14 input spikes a step; all in one run. Var.get of a whole
matrix takes most of the time; --quick leaves it out.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import tp_lava as tpl
from tp_lava.lava import Session, make_importable
from tp_lava.lava.recorder import Recorder

make_importable()
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.monitor.process import Monitor  # noqa: E402

from tp_lava.processes import EventSource, OnChipLearner  # noqa: E402

N_IN, N_HIDDEN, N_CLASSES, SPIKES_PER_STEP, N_STEPS = 2312, 200, 10, 14, 300
PROBED = ("hidden0_membrane", "hidden0_trace", "hidden0_spike", "target0_membrane", "target0_trace")


def network(stepwise: bool, samples: int) -> tuple[OnChipLearner, Session, list[Any]]:
    """A source and a chip, not yet running; add further Processes to the list before entering the session."""
    rng = np.random.default_rng(0)
    dense = (rng.random((N_STEPS, N_IN)) < SPIKES_PER_STEP / N_IN for _ in range(samples))
    source = EventSource([(tpl.Events.from_dense(spikes), int(rng.integers(N_CLASSES))) for spikes in dense])
    chip = OnChipLearner(tpl.Network.dense((N_IN, N_HIDDEN, N_CLASSES)), tpl.TP())
    if stepwise:
        source.s_out.connect(chip.s_in)
        source.sample_out.connect(chip.sample_in)
    else:
        source.packet_out.connect(chip.packet_in)
    processes = [source, chip]
    tag = "fixed_pt" if stepwise else "fixed_pt_async"
    return chip, Session(chip, Loihi2SimCfg(select_tag=tag), processes), processes


def seconds(act: Callable[[], object], repetitions: int = 1, choose: Callable[[list[float]], float] = statistics.median) -> float:
    """Time of a call: the median, or what `choose` chooses."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return choose(times)


def moving(quick: bool) -> None:
    """All weights and state, once through Lava and once through shared memory."""
    chip, session, _ = network(True, 1)
    with session:
        session.run(10)
        if not quick:
            print(f"{'Var.get of hidden0':58} {seconds(chip.hidden0.get):12.4f} s")
        snapshot = chip.snapshot()
        print(f"{'snapshot of everything':58} {seconds(chip.snapshot, 50):12.4f} s")
        print(f"{'restore of everything':58} {seconds(lambda: chip.restore(snapshot), 50):12.4f} s")


def moving_while_running() -> None:
    """The same in the middle of an asynchronous run."""
    chip, session, _ = network(False, 300)
    with session:
        thread = threading.Thread(target=session.run, args=(1,))
        thread.start()
        taken, put = [], []
        while thread.is_alive():
            taken.append(seconds(chip.snapshot))
            put.append(seconds(partial(chip.restore, chip.snapshot())))
            time.sleep(0.05)
        thread.join()
    print(f"{f'snapshot while it runs, median and longest of {len(taken)}':58} {statistics.median(taken):12.4f} s {max(taken):10.4f} s")
    print(f"{f'restore while it runs, median and longest of {len(put)}':58} {statistics.median(put):12.4f} s {max(put):10.4f} s")


def recording(name: str, attach: Callable[[OnChipLearner], Sequence[Any]], get: Callable[[Any], object] | None = None) -> None:
    """Time per step, and to get what was recorded, with the Monitors or Recorders that `attach` makes."""
    chip, session, processes = network(True, 1)
    attached = attach(chip)
    processes += [each for each in attached if isinstance(each, Monitor)]
    with session:
        session.run(50)
        step = seconds(lambda: session.run(25), 10, min) / 25  # the least: other programs take the rest
        fetched = f"{seconds(lambda: [get(each) for each in attached]):10.4f} s to get" if get else ""
        print(f"{name:58} {step * 1e6:12.0f} µs a step {fetched}")


def monitors(chip: OnChipLearner, names: Sequence[str]) -> list[Monitor]:
    """One for each Var."""
    found = []
    for name in names:
        monitor = Monitor()
        monitor.probe(getattr(chip, name), N_STEPS)
        found.append(monitor)
    return found


def recorders(chip: OnChipLearner, names: Sequence[str], every: int = 1) -> list[Recorder]:
    """One for all Vars."""
    return [Recorder([getattr(chip, name) for name in names], every=every, capacity=N_STEPS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without Var.get")
    options = parser.parse_args()
    print(f"{N_IN} x {N_HIDDEN} x {N_CLASSES}, fixed point\n")
    moving(options.quick)
    moving_while_running()
    recording("step by step, nothing recorded", lambda chip: [])
    recording("Monitor of 1 Var (200)", lambda chip: monitors(chip, PROBED[:1]), Monitor.get_data)
    recording("5 Monitors of 5 Vars (2 x 200, spikes, 2 x 4 x 200)", lambda chip: monitors(chip, PROBED), Monitor.get_data)
    recording("Recorder of 1 Var", lambda chip: recorders(chip, PROBED[:1]), Recorder.read)
    recording("Recorder of 5 Vars", lambda chip: recorders(chip, PROBED), Recorder.read)
    recording("Recorder of 5 Vars and hidden0 (2312 x 200)", lambda chip: recorders(chip, (*PROBED, "hidden0")), Recorder.read)
    recording("the same, every 10th step", lambda chip: recorders(chip, (*PROBED, "hidden0"), 10), Recorder.read)


if __name__ == "__main__":
    main()
