"""A sweep on a Dask cluster of this machine, whose workers are killed, beside the same one in one process: are the tables equal?

uv run --extra sweep python tools/sweep_kill.py                       # 64 trials, 4 workers, one killed every 5 seconds
uv run --extra sweep python tools/sweep_kill.py --trials 16 --every 2
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
UNITS, CLASSES, STEPS = 20, 4, 30


def make_data(file: Path, count: int) -> None:
    """Random recordings in which each class has units that spike more often."""
    rng, samples = np.random.default_rng(0), []
    for label in np.arange(count) % CLASSES:
        chance = np.where(np.arange(UNITS) % CLASSES == label, 0.4, 0.15)
        samples.append((tpl.Events.from_dense(rng.random((STEPS, UNITS)) < chance), int(label)))
    tpl.data.save_samples(file, samples)


def settings(data: Path, trials: int, epochs: int) -> dict[str, Any]:
    """A sweep of so many trials."""
    train = {"data": str(data), "hidden": 30, "epochs": epochs, "validation": 0.2, "precision": "fixed", "span": 0}
    return {"train": train, "grid": {"rate": list(RATES)}, "sweep": {"seeds": trials // len(RATES)}}


@contextlib.contextmanager
def killing(cluster: Any, every: float, seed: int) -> Iterator[list[int]]:
    """While the block runs, kill a random worker, of those that have begun to work, every so many seconds. -> their process numbers.

    One that is killed as it starts is not started again by its nanny.
    """
    killed, over, chance = list[int](), threading.Event(), random.Random(seed)

    def kill() -> None:
        while not over.wait(every):
            alive = [nanny.pid for nanny in cluster.workers.values() if nanny.worker_address in cluster.scheduler.workers]
            with contextlib.suppress(ProcessLookupError, IndexError):
                killed.append(chance.choice(alive))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()

    import dask
    from distributed import LocalCluster
    from distributed.utils import get_mp_context

    # Workers are forked from a process that has imported all, so that they start as fast as they die; one that starts slowly is not lost.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h", "distributed.worker.multiprocessing-method": "forkserver"})
    get_mp_context().set_forkserver_preload(["distributed", "tp_lava.sweeps.running", "tp_lava.backends.cpu"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder / "data.npz", 400)
        plan = settings(folder / "data.npz", chosen.trials, chosen.epochs)
        begin = time.perf_counter()
        alone = tpl.sweep(plan, folder / "alone", workers=1)
        print(f"one process: {len(alone.rows)} trials, {time.perf_counter() - begin:.0f} s", flush=True)
        begin = time.perf_counter()
        options = {"n_workers": chosen.workers, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
        with LocalCluster(**options) as cluster, killing(cluster, chosen.every, chosen.seed) as killed:
            together = tpl.sweep(plan, folder / "together", scheduler=cluster.scheduler_address)
        seconds = time.perf_counter() - begin
        print(
            f"{chosen.workers} workers, {len(killed)} killed: {len(together.rows)} trials, {len(together.failed)} failed, {seconds:.0f} s"
        )
        same = (folder / "alone" / "results.csv").read_bytes() == (folder / "together" / "results.csv").read_bytes()
        print("the same table" if same else "tables differ")
    raise SystemExit(not same)


if __name__ == "__main__":
    main()
