"""C = interpreter = Learner, bit for bit: programs, whole circuits, and the folder that export_c writes."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from both_back_ends import assert_same as assert_same_memory
from both_back_ends import engine_for
from conftest import lively, port_arrays, random_events
from in_c import STRICT, InC, compiled
from output_error_rule import OutputError
from random_programs import random_program
from second_trace_rule import SecondTrace
from synapse_state_rule import SynapseState
from test_backends import product_program, python_product
from test_connections import spatial_network
from test_delays import graded_network, synaptic
from test_delays import network as delayed
from test_graph import graph
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.backends.c import C
from tp_lava.backends.interpreted_programs import interpret
from tp_lava.backends.interpreter import Interpreter
from tp_lava.circuit.labels import draw_labels
from tp_lava.data.events import side_by_side
from tp_lava.deploy import export_c
from tp_lava.deploy.c import library_of
from tp_lava.deploy.samples import present
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer
from tp_lava.graph.pooling import Pool2d
from tp_lava.numbers import Format, seed_key

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")


@pytest.mark.parametrize("options", [("-O0", "-fsanitize=undefined", "-fno-sanitize-recover=all"), ("-O3",)], ids=["O0-ubsan", "O3"])
def test_programs_agree_with_the_interpreter(options, tmp_path, rng):
    """Random programs of every instruction, on arrays half of whose entries lie at the edges of their formats."""
    made = [random_program(np.random.default_rng(seed), length=3 + seed % 22) for seed in range(60)]
    run = compiled([program for program, _ in made], tmp_path, options)
    for number, (program, sizes) in enumerate(made):
        for key in rng.integers(2**32, size=3):
            arrays = port_arrays(program, sizes, rng)
            expected = {name: array.copy() for name, array in arrays.items()}
            interpret(program, expected, int(key))
            for name, array in run(number, arrays, int(key)).items():
                np.testing.assert_array_equal(array, expected[name], f"{name} of\n{program.listing()}")


FORMATS = [
    (Format(24, 14), Format(12, 12, False), Format(24, 14)),
    (Format(16, 10, False), Format(16, 10, False), Format(32, 8)),
    (Format(8, 7), Format(8, 7), Format(8, 7)),
    (Format(8, 0), Format(8, 0), Format(24, 6)),
    (Format(32, 0), Format(31, 31), Format(32, 0)),
]


def test_products_at_every_edge(tmp_path):
    cases = [(*formats, rounding) for formats in FORMATS for rounding in ("zero", "floor", "nearest", "stochastic")]
    made = [product_program(*case) for case in cases]
    run = compiled(made, tmp_path, ("-O2",))
    for number, (a, b, into, rounding) in enumerate(cases):
        edges = [np.array([f.low, f.low + 1, -1, 0, 1, f.high // 2, f.high - 1, f.high]).clip(f.low, f.high) for f in (a, b)]
        x, y = (grid.ravel().astype(np.int32) for grid in np.meshgrid(*edges))
        arrays = {"a": x, "b": y, "y": np.zeros_like(x)}
        expected = {name: array.copy() for name, array in arrays.items()}
        interpret(made[number], expected, 5)
        computed = run(number, arrays, 5)["y"]
        np.testing.assert_array_equal(computed, expected["y"])
        if rounding != "stochastic":
            shift = a.frac + b.frac - into.frac
            np.testing.assert_array_equal(computed, [python_product(p, q, shift, rounding, into) for p, q in zip(x, y, strict=True)])


# Whole networks ----------------------------------------------------------------------------------

CELLS = {"neuron": tpl.LIF(0.9, 1.0), "trace_decay": 0.9}
LAVA_LIKE = {"neuron": tpl.LIF(0.9, 1.3, ">", "zero", 0.4, tpl.Triangle(), bias_to="current")}
TWO_ROWS = tpl.TP(0.02, 0.05, 2)


def dense(rng, *, recurrent=False, biases=True, sizes=(11, 9, 7, 4), **options):
    network = lively(tpl.Network.dense(sizes, recurrent=recurrent, seed=3, **options), 2.5)
    given = {"bias0": rng.normal(0, 0.1, 9), "bias1": rng.normal(0, 0.1, 7), "readout_bias": rng.normal(0, 0.1, 4)}
    return network.with_weights(given) if biases else network


def convolution(rng, **options):
    spatial = Convolution((2, 8, 8), 3, (3, 3), (1, 1), (1, 1), pooling=(Pool2d((2, 2), (2, 2)),))
    shapes = {"hidden0": spatial.weight_shape, "hidden1": (7, spatial.size), "readout": (3, 7)}
    layers = (Layer(spatial.size, tpl.LIF(0.9), 0.9, connection=spatial), Layer(7, tpl.LIF(0.8), 0.9))
    weights = {name: rng.normal(0.3, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return tpl.Network.of_layers(spatial.n_inputs, layers, 3, weights, **options)


MAPS = {
    "max": (tpl.Conv2d(3, 3, padding=1, gain=2), tpl.MaxPool2d(2), tpl.Conv2d(4, 3, padding=1, gain=3), tpl.Dense(7, gain=4)),
    "average": (tpl.Conv2d(3, 3, gain=2), tpl.AvgPool2d(3, 2, padding=1), tpl.Conv2d(4, 2, gain=4), tpl.AvgPool2d(2), tpl.Dense(7, gain=4)),
    "unshared": (tpl.LocalConv2d(4, 3, padding=1, stride=2, groups=2, gain=3), tpl.SumPool2d(2), tpl.LocalConv2d(5, 2, padding=1)),
    "pooled first": (tpl.SumPool2d(2), tpl.Conv2d(4, 3, padding=1, groups=2, gain=2), tpl.MaxPool2d(2), tpl.Dense(7, gain=4)),
}


def maps(layers, **options):
    """A network of convolutions over 2 x 8 x 8 inputs."""
    return tpl.Network.sequential((2, 8, 8), MAPS[layers], 4, tpl.LIF(0.9, 0.3), 0.8, seed=1, **options)


GRADED = {"input_format": Format(4, 1, signed=False)}
CONVOLUTIONS = {
    "conv_tp_max": lambda: (maps("max"), tpl.TP(0.1, 0.01, 3)),
    "conv_tp_average": lambda: (maps("average"), tpl.TP(0.1, 0.01, 3, update="sequence")),
    "conv_tp_unshared_graded": lambda: (maps("unshared", **GRADED), tpl.TP(0.1, 0.01, 3)),
    "conv_tess_sequence": lambda: (maps("average"), tpl.TESS(1.0, 0.01, basis="walsh")),
    "conv_tess_step": lambda: (maps("max"), tpl.TESS(1.0, 0.01, basis="walsh", update="step", activity="trace", grid=2)),
    "conv_tess_pooled_first_graded": lambda: (maps("pooled first", **GRADED), tpl.TESS(1.0, 0.01, basis="walsh")),
    "conv_tess_unshared": lambda: (maps("unshared"), tpl.TESS(1.0, 0.01, basis="walsh", update="step")),
}
LEARNERS = {form: lambda rng, made=made: tpl.Learner(*made(), "fixed", 3) for form, made in CONVOLUTIONS.items()} | {
    "tp_k2_recurrent": lambda rng: tpl.Learner(dense(rng, recurrent=(True, True), **CELLS), TWO_ROWS, "fixed", 5),
    "tp_all_plain": lambda rng: tpl.Learner(dense(rng, biases=False), tpl.TP(0.02, 0.05, "all"), "fixed", 2**40 + 3),
    "tp_sequence_trained_target": lambda rng: tpl.Learner(
        dense(rng, **LAVA_LIKE), tpl.TP(0.03, 0.01, 3, train_target=True, update="sequence"), "fixed", 1
    ),
    "tp_readout_options": lambda rng: tpl.Learner(
        replace(dense(rng), readout_decay=0.9),
        tpl.TP((0.0, 0.02), 0.05, 2, readout=tpl.Readout(0.9, 2.0, normalised=True, features="count", learn_last=5)),
        "fixed",
    ),
    "tp_spike_readout": lambda rng: tpl.Learner(
        dense(rng), tpl.TP(0.0, 0.05, 2, readout=tpl.Readout(0.0, features="spike")), tpl.FixedPoint(weight_bits=5)
    ),
    "tp_match": lambda rng: tpl.Learner(dense(rng), tpl.TP(0.02, contrast=3, readout=tpl.Match()), "fixed", 4),
    "tp_above_a_convolution": lambda rng: tpl.Learner(convolution(rng), tpl.TP((0.0, 0.02), 0.05, 2), "fixed", 6),
    "tess_sequence": lambda rng: tpl.Learner(
        dense(rng, recurrent=(True, True), neuron=tpl.TESS.neuron()), tpl.TESS(0.3, 0.05, basis="walsh"), "fixed", 7
    ),
    "tess_step": lambda rng: tpl.Learner(
        dense(rng, recurrent=(False, True)),
        tpl.TESS(0.3, 0.05, basis="walsh", update="step", learn_last=6, temperature=0.1, activity="trace"),
        "fixed",
        8,
    ),
    "output_error_sequence": lambda rng: tpl.Learner(dense(rng, **CELLS), OutputError(0.05, 0.02, update="sequence"), "fixed"),
    "second_trace": lambda rng: tpl.Learner(dense(rng, recurrent=(True, False)), SecondTrace(0.02, 0.02), "fixed"),
    "synapse_state": lambda rng: tpl.Learner(dense(rng, recurrent=(True, False)), SynapseState(0.005, 0.02), "fixed"),
    "delays": lambda rng: tpl.Learner(delayed(), tpl.TP(0.05, 0.02, 3), "fixed"),
    "delays_synaptic": lambda rng: tpl.Learner(synaptic(), tpl.TP(0.05, 0.02, 3), "fixed"),
    "delays_synaptic_trace": lambda rng: tpl.Learner(synaptic(), tpl.TESS(0.3, 0.05, basis="walsh", update="step"), "fixed"),
    "delays_graded": lambda rng: tpl.Learner(graded_network(), tpl.TESS(0.3, 0.05, basis="walsh"), "fixed"),
    "graph": lambda rng: tpl.Learner(graph(), tpl.TP(0.05, 0.05, 3), "fixed"),
    "infers": lambda rng: tpl.Learner(dense(rng, recurrent=(True, False)), None, "fixed"),
    "infers_convolution": lambda rng: tpl.Learner(convolution(rng, readout_decay=0.8), None, "fixed"),
    "wide": lambda rng: tpl.Learner(lively(tpl.Network.dense((70000, 3, 2)), 90.0), tpl.TP(0.0, 0.05, 2), "fixed"),
}


def assert_same(in_c, learner, circuit):
    for name, found, expected in in_c.beside(learner, circuit):
        np.testing.assert_array_equal(found, expected, name)


def follow(learner, samples, tell, *libraries):
    """Samples in C and by `tell`, which is `present` or the Learner's own: every array equal after each."""
    inference, learning = learner.circuits
    for events, label in samples:
        tell(learner, events, label)
        circuit = inference if label is None else learning
        for in_c in libraries:
            in_c.present(events, label)
            assert_same(in_c, learner, circuit)
            prediction, scores = in_c.read(len(learner.memory["score"][0]))
            np.testing.assert_array_equal(scores, learner.memory["score"][0])
            assert prediction == scores.argmax()


def graded_events(rng, events, format):
    """The same with random values."""
    values = format.real(rng.integers(format.low, format.high, len(events), endpoint=True))
    return tpl.Events(events.times, events.units, events.n_steps, events.n_units, values)


def mixed_samples(learner, rng, count=5, steps=10):
    """Every third one is inferred; all are, where there is no rule."""
    network = learner.network
    for number in range(count):
        events = random_events(rng, network.n_inputs, steps + number, 0.3 if network.n_inputs < 1000 else 0.001)
        if network.input_format:
            events = graded_events(rng, events, network.input_format)
        yield events, None if learner.rule is None or number % 3 == 2 else int(rng.integers(network.n_classes))


@pytest.mark.parametrize("form", LEARNERS)
def test_networks_are_the_interpreter_s(form, tmp_path, rng):
    learner = LEARNERS[form](rng)
    plain, fast = (InC(learner, tmp_path / option, (option,)) for option in ("-O0", "-O3"))
    before = {name: array.copy() for name, array in learner.mantissas.items()}
    follow(learner, mixed_samples(learner, rng), present, plain, fast)
    learned = {name for name, array in learner.mantissas.items() if not np.array_equal(array, before[name])}
    assert learned == {m.name for m in plain.library.members if m.place == "learned" and m.name in before}
    assert all(learner.memory[f"{population.name}_total"].any() for population in learner.network.populations)


@pytest.mark.parametrize("unshared", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_convolutions_are_the_interpreter_s(seed, unshared, tmp_path):
    """Of any groups, strides, dilation, padding and poolings before them, in C that stops at what the language leaves open."""
    rng = np.random.default_rng(seed)
    network = spatial_network(rng)
    rule = (tpl.TP(0.1, 0.01, 2), tpl.TESS(1.0, 0.01, basis="walsh"))[seed % 2]
    learner = tpl.Learner(network.unshare() if unshared else network, rule, "fixed", seed)
    before = learner.mantissas["hidden0"]
    in_c = InC(learner, tmp_path, ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"))
    follow(learner, mixed_samples(learner, rng, 3, 6), present, in_c)
    assert (learner.mantissas["hidden0"] != before).any()


def by_learner(learner, events, label):
    if label is None:
        learner.infer(events)
    else:
        learner.learn(events, label)


def test_a_learner_goes_on_in_c(tmp_path, rng):
    """Exported in the midst of learning: what the compiled Learner does from there, C does."""
    learner = LEARNERS["tp_k2_recurrent"](rng)
    for events, label in mixed_samples(learner, rng, 4):
        by_learner(learner, events, label)
    in_c = InC(learner, tmp_path, ("-O2",))
    follow(learner, mixed_samples(learner, rng), by_learner, in_c)


def test_switches_and_fewer_rows(tmp_path, rng):
    learner = LEARNERS["tp_all_plain"](rng)
    in_c = InC(learner, tmp_path, ("-O1",))
    learner.memory["contrast"][0] = in_c.arrays["contrast"][0] = 3
    learner.memory["hidden0_learning"][0] = in_c.arrays["hidden0_learning"][0] = 0
    start = learner.mantissas["hidden0"]
    follow(learner, mixed_samples(learner, rng), present, in_c)
    np.testing.assert_array_equal(start, learner.mantissas["hidden0"])


@pytest.mark.parametrize(("classes", "rows"), [(2, 2), (5, 2), (9, 4), (9, 8), (9, 9), (30, 7)])
def test_drawn_labels(classes, rows, tmp_path):
    learner = tpl.Learner(tpl.Network.dense((3, 2, classes)), tpl.TP(0.01, 0.01, rows), "fixed", 11)
    in_c = InC(learner, tmp_path, ("-O0",))
    for sample in range(40):
        label = sample % classes
        assert in_c.begin(label, 1) == 0
        drawn = in_c.arrays["label_active"][:, 0]
        np.testing.assert_array_equal(drawn, draw_labels(label, classes, rows, seed_key(11), sample))


def test_what_c_refuses_changes_nothing(tmp_path, rng):
    learner = LEARNERS["tess_sequence"](rng)
    in_c = InC(learner, tmp_path, ("-O1",))
    in_c.present(random_events(rng, 11, 5, 0.3), 1)
    before = bytes(in_c.state)
    for label, steps in ((4, 5), (-2, 5), (0, 0), (0, -1)):
        assert in_c.begin(label, steps) == -1
    for units in ([11], [0, 65535], [*range(11), 0]):
        assert in_c.step(units) == -1
    assert bytes(in_c.state) == before
    graded = InC(LEARNERS["conv_tp_unshared_graded"](rng), tmp_path / "graded", ("-O1",))
    before = bytes(graded.state)
    assert graded.step([3, 5], [15, 16]) == -1
    assert bytes(graded.state) == before
    assert graded.step([3, 5], [15, 1]) == 0
    silent = InC(LEARNERS["infers"](rng), tmp_path / "silent", ("-O1",))
    assert silent.begin(0, 5) == -1


@pytest.mark.parametrize(
    "rule", [tpl.TP(0.02, 0.05, 2, train_target=True), OutputError(0.05, 0.02), tpl.TESS(0.3, 0.05, basis="walsh", update="sequence")]
)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("form", ["dense", *MAPS])
def test_it_is_a_back_end(rule, batch, form, rng):
    """On any circuit's memory, batches included: what the interpreter does."""
    network = dense(rng, recurrent=(True, False), biases=False) if form == "dense" else maps(form)
    engines = [engine_for(network, rule, fixed=True, batch_size=batch) for _ in range(2)]
    start = engines[0].memory["hidden0"].copy()
    compiled = [b.compile(e.circuit) for b, e in zip((Interpreter(), C("gcc", (*STRICT, "-O1"))), engines, strict=True)]
    for labels in ([0, 1, 2], [2, 3, 1]):
        offsets, units, _ = side_by_side([random_events(rng, network.n_inputs, 12, 0.3) for _ in range(batch)])
        for engine, chosen in zip(engines, compiled, strict=True):
            engine.begin(labels[:batch], 12)
            chosen.steps(engine.memory, offsets, units, 0, 12)
    assert (start != engines[0].memory["hidden0"]).any()
    assert_same_memory(engines[0].circuit, engines[0].memory, engines[1].memory, fixed=True)


@pytest.mark.parametrize(
    ("back_end", "fixed", "message"),
    [
        (C(), False, "C: program is hidden0_neuron, on real numbers, but must be on integers; use precision=.fixed.."),
        (C("no-such-compiler"), True, "C: compiler is 'no-such-compiler', but must be a program on this machine; install"),
        (C("gcc", ("-Dint32_t=x",)), True, "C: source is refused by gcc: "),
    ],
)
def test_what_the_back_end_refuses(back_end, fixed, message):
    engine = engine_for(dense(np.random.default_rng(1)), None, fixed)
    with pytest.raises(tpl.InvalidValueError, match=message):
        back_end.compile(engine.circuit).once(engine.memory)


# The folder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tp_k2_recurrent", "tp_match", "tp_above_a_convolution", "tess_step", "graph", "infers", *CONVOLUTIONS])
def test_the_exported_folder_tests_itself(form, tmp_path, rng):
    sanitized = "-O1 -g -Werror -fsanitize=undefined,address -fno-sanitize-recover=all"
    learner = LEARNERS[form](rng)
    before = learner.mantissas
    files = export_c(learner, tmp_path / "out", "my_net")
    assert {file.name for file in files} == {"my_net.h", "my_net_weights.h", "my_net.c", "my_net_test.c", "Makefile", "README.md"}
    assert learner.samples_seen == 0
    for name, array in learner.mantissas.items():
        np.testing.assert_array_equal(before[name], array, name)
    made = ["make", "-C", tmp_path / "out", "CC=gcc", f"CFLAGS={sanitized}", "test"]
    done = subprocess.run(made, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(r"as tp_lava computed \((\d) samples, state (\d+) bytes\)", done.stdout)
    assert f"| whole `my_net_state` | {told[2]} |" in (tmp_path / "out" / "README.md").read_text()


def test_its_test_notices_a_wrong_weight(tmp_path, rng):
    export_c(LEARNERS["tp_k2_recurrent"](rng), tmp_path)
    weights = tmp_path / "network_weights.h"
    weights.write_text(re.sub(r"(const_hidden0\[\d+\] = \{\n)(-?\d+)", r"\g<1>99", weights.read_text()))
    done = subprocess.run(["make", "-C", tmp_path, "CC=gcc", "CFLAGS=-O0", "test"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "network: WRONG" in done.stdout


def test_integers_alone(tmp_path, rng):
    export_c(LEARNERS["tp_k2_recurrent"](rng), tmp_path)
    source = "".join((tmp_path / file).read_text() for file in ("network.c", "network.h", "network_weights.h"))
    assert not re.search(r"\b(float|double|malloc|calloc|free)\b", source)
    subprocess.run(["gcc", "-std=c99", "-O2", "-mgeneral-regs-only", "-c", "network.c"], cwd=tmp_path, check=True)
    undefined = subprocess.run(["nm", "-u", "network.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert set(undefined) - {"U", "_GLOBAL_OFFSET_TABLE_"} <= {"memcpy", "memset"}


def test_given_samples_and_a_network(tmp_path, rng):
    samples = [tpl.Sample(random_events(rng, 11, 6, 0.3), 3)]
    export_c(dense(rng), tmp_path / "a" / "b", rule=TWO_ROWS, seed=9, samples=samples)
    assert "labels[SAMPLES] = {3, -1}" in (tmp_path / "a" / "b" / "network_test.c").read_text()
    learner = tpl.Learner(dense(np.random.default_rng(1)), TWO_ROWS, "fixed", 9)
    with pytest.raises(tpl.InvalidValueError, match=r"label is 4, but must be an integer in \[0, 4\)"):
        export_c(learner, tmp_path, samples=[(samples[0].events, 4)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "2nd"},
            r"export: name is '2nd', but must be a letter, then at most 23 letters, digits or underscores; C makes",
        ),
        ({"name": "a" * 25}, "export: name is 'aaa"),
        ({"name": "a\n"}, "export: name is"),
        ({"name": 3}, "export: name is 3"),
        ({"model": "digits"}, "export: model is 'digits', but must be a Learner or a Network"),
        ({"out": __file__}, r"export: out is .*test_c.py, a file, but must be a folder; give another path"),
        ({"model": "float"}, "export: precision is float, but must be fixed, for the C is integers alone; make it with"),
        ({"seed": 1}, "export: rule, fixed or seed is given with a Learner, but must be those of the learner"),
        ({"rule": TWO_ROWS}, "export: rule, fixed or seed is given with a Learner"),
        ({"samples": []}, "export: samples is empty, but must be at least one sample; leave it out"),
    ],
)
def test_what_export_refuses(arguments, message, tmp_path, rng):
    given = {"model": tpl.Learner(dense(rng), None, "fixed"), "out": tmp_path / "out"} | arguments
    if given["model"] == "float":
        given["model"] = tpl.Learner(dense(rng))
    with pytest.raises(tpl.InvalidValueError, match=message):
        export_c(given.pop("model"), given.pop("out"), **given)
    assert not (tmp_path / "out").exists()


# The command -------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, ["export", *map(str, arguments)])


def test_the_command_exports_a_learner(tmp_path, rng):
    learner = LEARNERS["tp_k2_recurrent"](rng)
    learner.save(tmp_path / "learner.safetensors")
    done = command(tmp_path / "learner.safetensors", "--out", tmp_path / "a", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["rule"] == "TP"
    assert told["bytes"]["state"] == library_of(learner, "network").state_bytes
    export_c(learner, tmp_path / "b")
    for file in map(Path, told["files"]):
        assert file.read_text() == (tmp_path / "b" / file.name).read_text()


@pytest.mark.parametrize("rule", [(), ("--rule", "none"), ("--rule", "tess", "--rate", "0.1"), ("--rule", "tp", "--bits", "5")])
def test_the_command_exports_a_network(rule, tmp_path, rng):
    tpl.save_network(dense(rng, biases=False), tmp_path / "net.tplava")
    done = command(tmp_path / "net.tplava", "--out", tmp_path / "out", "--name", "mine", *rule)
    assert done.exit_code == 0, done.output
    assert "mine_weights.h" in done.output
    assert ("#define MINE_LEARNS 1" if "tp" in rule or "tess" in rule else "#define MINE_LEARNS 0") in (
        tmp_path / "out" / "mine.h"
    ).read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "2"), "export: name is '2'"),
        (("--rate", "0.1"), "export: rate is given without a rule, but must be left out; or give --rule tp or another one"),
        (("--bits", "9"), r"FixedPoint: weight_bits is 9, but must be an integer in 2..8"),
        (("--out", __file__), "a file, but must be a folder"),
    ],
)
def test_what_the_command_refuses(arguments, message, tmp_path, rng):
    tpl.save_network(dense(rng, biases=False), tmp_path / "net.tplava")
    done = command(tmp_path / "net.tplava", "--out", tmp_path / "out", *arguments)
    assert isinstance(done.exception, tpl.InvalidValueError)
    assert re.search(message, str(done.exception))


def test_the_command_refuses_choices_that_a_learner_made(tmp_path, rng):
    for precision, options, message in (("fixed", ("--rule", "tp"), "is given with a saved Learner"), ("float", (), "precision is float")):
        tpl.Learner(dense(rng), TWO_ROWS, precision).save(tmp_path / "learner.safetensors")
        done = command(tmp_path / "learner.safetensors", "--out", tmp_path / "out", *options)
        assert message in str(done.exception)
