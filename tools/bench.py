"""Time per learning step and memory at N-MNIST's size: our engine, our Process in Lava, stock Lava, batch TP in PyTorch.

    uv run python tools/bench.py
    uv run python tools/bench.py --model
    uv run python tools/bench.py --threads 1 2
    uv run --extra torch python tools/bench.py --forms PyTorch
    git worktree add /tmp/before COMMIT && uv run python tools/bench.py --against /tmp/before --forms Lava

2312 inputs x 200 neurons, about 14 input spikes a step. Every form runs in a process of its own, one after the other in
one run; times are the shortest of several repetitions, since other work on a machine only adds; compare them by their
ratios. Ours is the whole TP network (target streams, contrast, readout, their learning); stock Lava's is one plastic
connection with a 2-factor rule; PyTorch's is batch TP as published, 100 samples together with Adam, its time divided by 100.
Memory is what learning takes beyond imports, compiled code and recordings.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

N_IN, N_HIDDEN, N_CLASSES, SPIKES_PER_STEP, N_STEPS, N_SAMPLES, PASSES = 2312, 200, 10, 14, 300, 200, 4
BATCH, TORCH_THREADS = 100, 2
HERE = Path(__file__).resolve().parents[1]


def recordings(count: int) -> list:
    """Poisson events at N-MNIST's rate."""
    import tp_lava as tpl

    rng = np.random.default_rng(0)
    dense = (rng.random((N_STEPS, N_IN)) < SPIKES_PER_STEP / N_IN for _ in range(count))
    return [(tpl.Events.from_dense(spikes), int(rng.integers(N_CLASSES))) for spikes in dense]


def network():
    """2312-200-10, blank."""
    import tp_lava as tpl

    return tpl.Network.dense((N_IN, N_HIDDEN, N_CLASSES))


def engine(precision: str, repetitions: int, *, together: bool = False) -> list[float]:
    """Seconds per step of Learner.learn, or of Learner.fit (together), one figure for all recordings."""
    import tp_lava as tpl

    learner, samples = tpl.Learner(network(), tpl.TP(), precision), recordings(N_SAMPLES)  # type: ignore[arg-type]
    learner.learn(*samples[0])
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        if together:
            learner.fit(samples)
        else:
            for sample in samples:
                learner.learn(*sample)
        times.append((time.perf_counter() - start) / (N_STEPS * len(samples)))
    return times


def in_torch(gradient: str, repetitions: int) -> list[float]:
    """Seconds per step and sample of batch TP in PyTorch."""
    import torch

    import tp_lava as tpl
    from tp_lava.torch import SpikingNetwork, TPTrainer, dense

    torch.set_num_threads(TORCH_THREADS)
    trainer = TPTrainer(SpikingNetwork(network()), tpl.TP(1e-4, 1e-4), tpl.Adam(), gradient)  # type: ignore[arg-type]
    samples = recordings(BATCH)
    spikes, labels = dense([events for events, _ in samples]), [label for _, label in samples]
    trainer.learn_batch(spikes[:10], labels)
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        trainer.learn_batch(spikes, labels)
        times.append((time.perf_counter() - start) / (N_STEPS * BATCH))
    return times


def in_lava(tag: str, repetitions: int, **form) -> list[float]:
    """Seconds per step of lava.run, without making the network, one figure a run."""
    import tp_lava as tpl

    samples = recordings(2) if form else recordings(N_SAMPLES) * PASSES  # a data set, so that starting the run counts for little
    runs = [tpl.lava.run(network(), tpl.TP(), samples, tag=tag, **form) for _ in range(repetitions)]  # type: ignore[arg-type]
    return [run.seconds / (N_STEPS * len(samples)) for run in runs]


def synchronisation(repetitions: int) -> list[float]:
    """Seconds per step of three Processes with the messages of EventSource -> OnChipLearner -> ScoreSink and no work."""
    from tp_lava.lava import Session, make_importable

    make_importable()
    from idle import Idle, PyIdle
    from lava.magma.core.run_configs import Loihi2SimCfg

    spikes, scores = {"s": N_IN, "sample": 4}, {"score": N_CLASSES, "sample": 4}
    source = Idle({}, {f"{name}_out": size for name, size in spikes.items()})
    relay = Idle({f"{name}_in": size for name, size in spikes.items()}, {f"{name}_out": size for name, size in scores.items()})
    sink = Idle({f"{name}_in": size for name, size in scores.items()}, {})
    source.s_out.connect(relay.s_in)
    source.sample_out.connect(relay.sample_in)
    relay.score_out.connect(sink.score_in)
    relay.sample_out.connect(sink.sample_in)
    models = dict.fromkeys((source, relay, sink), PyIdle)  # by instance, or Lava executes every file beside PyIdle
    times = []
    with Session(relay, Loihi2SimCfg(exception_proc_model_map=models), (source, relay, sink)) as session:
        session.run(5)
        for _ in range(repetitions):
            start = time.perf_counter()
            session.run(2 * N_STEPS)
            times.append((time.perf_counter() - start) / (2 * N_STEPS))
    return times


def stock(tag: str, repetitions: int) -> list[float]:
    """Seconds per step of source -> LearningDense -> LIF with pairwise STDP, one figure per 20 steps."""
    from tp_lava.lava import Session, make_importable

    make_importable()
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import LearningDense
    from lava.proc.io.source import RingBuffer
    from lava.proc.learning_rules.stdp_learning_rule import STDPLoihi
    from lava.proc.lif.process import LIF

    rng = np.random.default_rng(0)
    spikes = (rng.random((N_IN, N_STEPS)) < SPIKES_PER_STEP / N_IN).astype(int)
    rule = STDPLoihi(learning_rate=1, A_plus=1, A_minus=-1, tau_plus=10, tau_minus=10, t_epoch=1)
    weights = rng.integers(-60, 60, (N_HIDDEN, N_IN)) * 2
    source, dense, lif = RingBuffer(data=spikes), LearningDense(weights=weights, learning_rule=rule), LIF(shape=(N_HIDDEN,), vth=500)
    source.s_out.connect(dense.s_in)
    dense.a_out.connect(lif.a_in)
    lif.s_out.connect(dense.s_in_bap)
    times = []
    with Session(dense, Loihi2SimCfg(select_tag=tag), (source, dense, lif)) as session:
        session.run(5)
        for _ in range(repetitions):
            start = time.perf_counter()
            session.run(20)
            times.append((time.perf_counter() - start) / 20)
    return times


FORMS: dict[str, Callable[[int], list[float]]] = {
    "engine, float": lambda n: engine("float", n, together=True),
    "engine, fixed": lambda n: engine("fixed", n, together=True),
    "engine, float, a recording at a time": lambda n: engine("float", n),
    "engine, fixed, a recording at a time": lambda n: engine("fixed", n),
    "OnChipLearner in Lava, float, asynchronous": lambda n: in_lava("floating_pt", n),
    "OnChipLearner in Lava, fixed, asynchronous": lambda n: in_lava("fixed_pt", n),
    "OnChipLearner in Lava, float, step by step": lambda n: in_lava("floating_pt", n, stepwise=True),
    "OnChipLearner in Lava, fixed, step by step": lambda n: in_lava("fixed_pt", n, stepwise=True),
    "Lava's synchronisation, as many Processes": synchronisation,
    "opened into layers, float": lambda n: in_lava("floating_pt", n, layers=True),
    "opened into layers, fixed": lambda n: in_lava("fixed_pt", n, layers=True),
    "stock LearningDense, float": lambda n: stock("floating_pt", n),
    "stock LearningDense, fixed": lambda n: stock("fixed_pt", n),
    "batch TP in PyTorch, closed form": lambda n: in_torch("closed", n),
    "batch TP in PyTorch, autograd": lambda n: in_torch("autograd", n),
}
# Measured in pairs, one right after the other in one process: what a machine does elsewhere meanwhile cancels.
PAIRS: dict[str, tuple[Callable[[int], list[float]], Callable[[int], list[float]]]] = {
    "engine, float : fixed": (FORMS["engine, float"], FORMS["engine, fixed"]),
    "asynchronous : engine, float": (lambda n: in_lava("floating_pt", n), lambda n: engine("float", n)),
    "asynchronous : engine, fixed": (lambda n: in_lava("fixed_pt", n), lambda n: engine("fixed", n)),
    "step by step, float : Lava's synchronisation": (lambda n: in_lava("floating_pt", n, stepwise=True), synchronisation),
    "step by step, fixed : Lava's synchronisation": (lambda n: in_lava("fixed_pt", n, stepwise=True), synchronisation),
    "stock LearningDense, float : opened into layers": (
        lambda n: stock("floating_pt", n),
        lambda n: in_lava("floating_pt", n, layers=True),
    ),
    "batch TP in PyTorch, closed form : engine, float": (lambda n: in_torch("closed", n), FORMS["engine, float"]),
    "batch TP in PyTorch, autograd : engine, float": (lambda n: in_torch("autograd", n), FORMS["engine, float"]),
}
REFERENCE = "stock LearningDense, float"


def measure(form: str, repetitions: int) -> dict[str, float]:
    """In this process: fewest seconds per step, and the largest process's peak memory in MB."""
    seconds = min(FORMS[form](repetitions))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    return {"seconds": seconds, "megabytes": peak}


def memory(form: str, repetitions: int) -> dict[str, float]:
    """In this process: MB that learning takes, beyond what there is once everything is compiled and forgotten again."""
    learn, blank, samples = MEMORY[form], network(), recordings(BATCH)
    learn(blank, samples[:2])
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is the present size
    before = _resident("VmRSS")
    learn(blank, samples)
    return {"megabytes": _resident("VmHWM") - before}


def _resident(line: str) -> float:
    fields = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return int(fields[line].split()[0]) / 1024


def _learn_in_engine(precision: str, network, samples) -> None:
    import tp_lava as tpl

    learner = tpl.Learner(network, tpl.TP(contrast=2), precision)  # type: ignore[arg-type]
    for sample in samples:
        learner.learn(*sample)


def _learn_in_torch(network, samples) -> None:
    import tp_lava as tpl
    from tp_lava.torch import SpikingNetwork, TPTrainer, dense

    trainer = TPTrainer(SpikingNetwork(network), tpl.TP(1e-4, 1e-4), tpl.Adam())
    trainer.learn_batch(dense([events for events, _ in samples]), [label for _, label in samples])


MEMORY: dict[str, Callable[..., None]] = {
    "memory of engine, float": lambda *what: _learn_in_engine("float", *what),
    "memory of engine, fixed": lambda *what: _learn_in_engine("fixed", *what),
    "memory of batch TP in PyTorch": _learn_in_torch,
}


def ratio(pair: str, repetitions: int) -> dict[str, float]:
    """In this process: median of the ratios of a pair's times."""
    first, second = PAIRS[pair]
    first(1), second(1)  # compile
    return {"ratio": statistics.median(min(first(1)) / min(second(1)) for _ in range(repetitions))}


def measured(what: str, repetitions: int, checkout: Path = HERE) -> dict[str, float]:
    """A form or a pair of the code in ``checkout``, in a process of its own."""
    command = [sys.executable, str(checkout / "tools" / "bench.py"), "--only", what, "--repetitions", str(repetitions)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(before: Path, forms: list[str], repetitions: int, rounds: int) -> None:
    """Every form of both checkouts by turns: median, least and greatest of the rounds' ratios (above 1: faster than before)."""
    print(f"{'before / now':44} {'median':>8} {'least':>8} {'greatest':>8} {'µs now':>10}")
    for form in forms:
        now, ratios = [], []
        for _ in range(rounds):
            earlier = measured(form, repetitions, before)["seconds"]
            now.append(measured(form, repetitions)["seconds"])
            ratios.append(earlier / now[-1])
        print(f"{form:44} {statistics.median(ratios):8.3f} {min(ratios):8.3f} {max(ratios):8.3f} {min(now) * 1e6:10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--forms", default="", help="only forms and pairs whose name holds this text")
    parser.add_argument("--only", choices=[*FORMS, *PAIRS, *MEMORY], help=argparse.SUPPRESS)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout: its times over ours, by turns in one run")
    parser.add_argument("--model", action="store_true", help="bytes, operations, bound and time of every operation (tools/cost_model.py)")
    parser.add_argument("--threads", type=int, nargs="+", help="large networks by so many threads (tools/bench_threads.py)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of --against")
    options = parser.parse_args()
    if options.model:
        import cost_model

        cost_model.report(network, recordings)
        return
    if options.threads:
        import bench_threads

        bench_threads.report(options.threads, options.repetitions)
        return
    if options.only:
        measure_it = measure if options.only in FORMS else ratio if options.only in PAIRS else memory
        print(json.dumps(measure_it(options.only, options.repetitions)))
        return
    has_torch = find_spec("torch") is not None
    wanted = [name for name in (*FORMS, *PAIRS, *MEMORY) if options.forms in name and (has_torch or "PyTorch" not in name)]
    if options.against:
        compare(options.against.resolve(), [name for name in wanted if name in FORMS], options.repetitions, options.rounds)
        return
    figures = {form: measured(form, options.repetitions) for form in FORMS if form in wanted}
    print(f"{N_IN} x {N_HIDDEN}, {SPIKES_PER_STEP} input spikes a step\n")
    print(f"{'form':44} {'µs per step':>12} {'times faster':>13} {'peak MB':>8}")
    for form, figure in figures.items():
        faster = f"{figures[REFERENCE]['seconds'] / figure['seconds']:13.1f}" if REFERENCE in figures else f"{'':13}"
        print(f"{form:44} {figure['seconds'] * 1e6:12.1f} {faster} {figure['megabytes']:8.0f}")
    print("\nratios of times, measured in pairs")
    for pair in (name for name in PAIRS if name in wanted):
        figures[pair] = measured(pair, options.repetitions)
        print(f"{pair:50} {figures[pair]['ratio']:8.2f}", flush=True)
    print("\nMB of learning")
    for form in (name for name in MEMORY if name in wanted):
        figures[form] = measured(form, options.repetitions)
        print(f"{form:50} {figures[form]['megabytes']:8.1f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
