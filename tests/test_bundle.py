"""The folder for Loihi 2: what is in it equals the learner, the graph is the one Lava opens, and its own check finds what is wrong."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import lively, random_samples
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.backends.loihi2 import circuit_listings
from tp_lava.deploy import export_loihi2
from tp_lava.deploy.bundle.graph import graph_of, in_engine
from tp_lava.deploy.samples import first_steps, in_turn, learned_names, present
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer

ROOT = pathlib.Path(__file__).parents[1]
WALSH = {"basis": "walsh", "temperature": 0.1, "activity": "trace"}
CASES = {
    "TP in the engine": ((30, 12, 4), tpl.TP(0.01, 0.01, 3), False),
    "TP, deep, recurrent, trained projection": ((11, 9, 9, 4), tpl.TP(0.02, 0.05, 3, train_target=True), (True, False)),
    "TP, frozen first layer": ((11, 9, 9, 4), tpl.TP((0.0, 0.02), 0.05, 3), (True, False)),
    "TP at the end": ((11, 9, 4), tpl.TP(0.02, 0.05, "all", update="sequence"), False),
    "TESS": ((11, 9, 9, 4), tpl.TESS(0.2, 0.01, **WALSH), False),
    "TESS in the engine": ((30, 12, 4), tpl.TESS(0.2, 0.01, pre_decay=0.0, update="step", **WALSH), False),
    "inference": ((11, 9, 9, 4), None, (True, False)),
}
STOCK = {
    "TP in the engine": {"hidden0": "LearningDense"},
    "TP, frozen first layer": {"hidden0": "Dense", "recurrent0": "PlasticDense"},
    "TESS in the engine": {"hidden0": "LearningDense"},
    "inference": dict.fromkeys(("hidden0", "recurrent0", "hidden1", "readout_weights"), "Dense"),
}


def network_of(case):
    sizes, _, recurrent = CASES[case]
    return lively(tpl.Network.dense(sizes, recurrent=recurrent, seed=3), 2.5)


def learner_of(case):
    network, rule = network_of(case), CASES[case][1]
    return tpl.Learner(network, rule, tpl.FixedPoint(stock="engine" in case), 7)


def samples_of(case, rng, count=3, n_steps=10):
    sizes = CASES[case][0]
    return random_samples(rng, count, sizes[0], sizes[-1], n_steps=n_steps, rate=0.3)


def loaded(file):
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def checked(folder, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = [sys.executable, "-W", "ignore", str(folder / "build_network.py"), "--check", *options]
    return subprocess.run(made, capture_output=True, text=True, env=environment, cwd=folder.parent, timeout=300)


# What is in it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_contents_equal_the_learner(case, tmp_path, rng):
    learner = learner_of(case)
    samples = samples_of(case, rng, 1)
    files = export_loihi2(learner, tmp_path / "a", "net", samples=samples)
    names = {str(file.relative_to(tmp_path / "a")) for file in files}
    made = circuit_listings(learner.circuits[1] or learner.circuits[0])
    assert {"README.md", "build_network.py", "network.json", "weights.npz", "learner.safetensors", "vectors.npz", "placements.txt"} < names
    assert {f"listings/{name}.txt" for name in made.listings} == {name for name in names if name.startswith("listings/")}
    assert {"embedded/net.c", "embedded/net_test.c", "embedded/Makefile"} < names
    assert all((tmp_path / "a" / name).is_file() for name in names)
    weights, told = loaded(tmp_path / "a" / "weights.npz"), json.loads((tmp_path / "a" / "network.json").read_text())
    for name, mantissas in learner.mantissas.items():
        np.testing.assert_array_equal(weights[name], mantissas)
        np.testing.assert_array_equal(weights[name] * 2.0 ** told["weights"][name]["exponent"], learner.weights[name])
        assert told["weights"][name]["learns"] == (name in learned_names(learner))
    for name, parameter in told["parameters"].items():
        buffer = learner.buffers[name]
        held = parameter["values"] if "values" in parameter else weights[name].ravel()
        np.testing.assert_array_equal(np.resize(held, learner.memory[name].size), learner.memory[name].ravel())
        if name.endswith("decay"):
            assert buffer.format.bits == parameter["format"]["bits"] == 12
    assert_vectors_lead_there(learner, samples, tmp_path / "a")
    stock = {p["name"]: p["class"] for p in told["processes"] if p["name"] in STOCK.get(case, {})}
    assert stock == STOCK.get(case, {})
    assert all(("engine" in rule) == (rule["process"] == "LearningDense") != ("why_not_stock" in rule) for rule in told["learning"])
    for name, listing in made.listings.items():
        assert (tmp_path / "a" / "listings" / f"{name}.txt").read_text() == listing.text().rstrip("\n") + "\n"


def assert_vectors_lead_there(learner, samples, folder):
    """The changes of all steps, summed up, are what the interpreter learns of the samples."""
    start, vectors, twin = loaded(folder / "weights.npz"), loaded(folder / "vectors.npz"), learner.copy()
    for events, label in in_turn(twin, samples):
        presented = present(twin, events, label)
    np.testing.assert_array_equal(vectors["scores"][-1], presented.scores)
    for name in learner.weights:
        changed = vectors[f"change_{name}"].sum(0) if f"change_{name}" in vectors else 0
        np.testing.assert_array_equal(start[name] + changed, twin.mantissas[name], name)


def test_the_rule_of_the_engine_is_the_one_that_lava_gets(tmp_path, rng):
    export_loihi2(learner_of("TP in the engine"), tmp_path, samples=samples_of("TP in the engine", rng, 1))
    (first, readout) = json.loads((tmp_path / "network.json").read_text())["learning"]
    assert first["rule"] == "dw = 2^0*x0*y1 - 2^0*x0*y2"
    assert first["engine"] == {"class": "Loihi3FLearningRule", "t_epoch": 2, "y_tau": 1e18}
    assert 'Loihi3FLearningRule(dw="2^0*x0*y1 - 2^0*x0*y2", t_epoch=PERIOD)' in (tmp_path / "build_network.py").read_text()
    assert readout["presynaptic"]["tau"] == pytest.approx(-1 / np.log(0.98))
    assert "16 bits, the engine's traces have 7" in readout["why_not_stock"]


@pytest.mark.parametrize("case", ["TP at the end", "inference"])
def test_vectors_equal_the_compiled_engine(case, tmp_path, rng):
    learner, samples = learner_of(case), samples_of(case, rng)
    export_loihi2(learner, tmp_path, samples=samples)
    vectors, twin, step = loaded(tmp_path / "vectors.npz"), learner.copy(), 0
    held = {name: twin.mantissas[name].astype(int) for name in learned_names(learner)}
    turns = (
        [(samples[0], True), (samples[1], False), (samples[2], True), (samples[0], False)]
        if learner.rule
        else [(s, False) for s in samples]
    )
    assert vectors["labels"].tolist() == [sample[1] if learned else -1 for sample, learned in turns]
    for (events, label), learned in turns:
        twin.begin(label if learned else None, n_steps=events.n_steps)
        for units in np.split(events.units, events.offsets[1:-1]):
            twin.step(units)
            for layer in range(len(twin.network.layers)):
                np.testing.assert_array_equal(vectors[f"spikes_hidden{layer}"][step], twin.memory[f"hidden{layer}_spike"][0])
            np.testing.assert_array_equal(vectors["scores"][step], twin.memory["score"][0])
            for name, now in held.items():
                now += vectors[f"change_{name}"][step]
                np.testing.assert_array_equal(now, twin.mantissas[name], name)
            step += 1
    assert step == len(vectors["counts"])
    assert all(vectors[f"spikes_hidden{layer}"].any() for layer in range(len(twin.network.layers)))
    assert all(vectors[f"change_{name}"].any() for name in held)
    assert learner.samples_seen == 0


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    network, rule = network_of("TP in the engine"), CASES["TP in the engine"][1]
    first, second = (export_loihi2(network, tmp_path / name, rule=rule, seed=3) for name in "ab")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name
        assert str(tmp_path).encode() not in a.read_bytes()
    assert in_engine(tpl.Learner.load(tmp_path / "a" / "learner.safetensors"))


def test_a_learner_goes_on_with_its_weights_and_counts_anew(tmp_path, rng):
    learner = learner_of("TP at the end")
    learner.learn(*samples_of("TP at the end", rng, 1)[0])
    export_loihi2(learner, tmp_path)
    kept = tpl.Learner.load(tmp_path / "learner.safetensors")
    np.testing.assert_array_equal(kept.mantissas["hidden0"], learner.mantissas["hidden0"])
    assert (kept.samples_seen, learner.samples_seen) == (0, 1)


def test_the_embedded_library_passes_its_test(tmp_path, rng):
    if not (shutil.which("gcc") and shutil.which("make")):
        pytest.skip("needs gcc and make")
    export_loihi2(learner_of("TP in the engine"), tmp_path, samples=samples_of("TP in the engine", rng))
    done = subprocess.run(["make", "-C", tmp_path / "embedded", "CC=gcc", "test"], capture_output=True, text=True)
    assert "as tp_lava computed (4 samples" in done.stdout, done.stdout + done.stderr


def test_samples_are_cut(rng):
    ((events, label),) = samples_of("inference", rng, 1)
    ((cut, kept),) = first_steps([(events, label)], 4)
    np.testing.assert_array_equal(cut.to_dense(), events.to_dense()[:4])
    assert (cut.n_steps, kept) == (4, label)
    assert first_steps([(events, label)], 99)[0].events.n_steps == events.n_steps


# In Lava ---------------------------------------------------------------------------------------------


def opened_links(learner):
    """The connections between the Processes that Lava opens a network into, as "process.port", and each one's class."""
    tpl.lava.make_importable()
    from tp_lava.models.hierarchy import SubOnChipLearnerFixed
    from tp_lava.processes import EventSource, OnChipLearner, ScoreSink

    source, sink = EventSource([(tpl.Events([0], [0], 2, learner.network.n_inputs), 0)]), ScoreSink(learner.network.n_classes, 1)
    stock = in_engine(learner)
    chip = OnChipLearner(learner.network, learner.rule, learner.seed, learner.fixed, stock=stock)
    source.s_out.connect(chip.s_in)
    source.sample_out.connect(chip.sample_in)
    chip.score_out.connect(sink.score_in)
    chip.sample_out.connect(sink.sample_in)
    SubOnChipLearnerFixed(chip)  # what Lava's compiler does; nothing has to run
    parts = {"source": source, "sink": sink, **chip.layers}
    names, links = {process: name for name, process in parts.items()}, set()
    for name, process in parts.items():
        for port in process.out_ports:
            links |= {(f"{name}.{port.name}", f"{names[to.process]}.{to.name}") for to in port.get_dst_ports() if to.process in names}
    return links, {name: type(process).__name__ for name, process in parts.items()}


@pytest.mark.parametrize("case", CASES)
def test_the_graph_is_the_one_that_lava_opens(case):
    pytest.importorskip("lava")
    learner = learner_of(case)
    graph = graph_of(learner)
    links, classes = opened_links(learner)
    assert set(graph.links) == links
    assert len(set(graph.links)) == len(graph.links)
    told = {node.name: "PlasticDense" if node.what == "Dense" else node.what for node in graph.nodes}
    assert told == classes


def test_the_script_checks_itself(tmp_path, rng):
    pytest.importorskip("lava")
    export_loihi2(learner_of("TP in the engine"), tmp_path / "bundle", samples=samples_of("TP in the engine", rng, 2, 6))
    done = checked(tmp_path / "bundle")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "network: 3 samples, 18 steps: spikes of hidden0, weights hidden0, weights readout, scores as expected\n"


def test_the_script_finds_what_is_wrong(tmp_path, rng):
    pytest.importorskip("lava")
    export_loihi2(learner_of("inference"), tmp_path / "bundle", samples=samples_of("inference", rng, 2, 6))
    vectors = loaded(tmp_path / "bundle" / "vectors.npz")
    vectors["spikes_hidden1"][8, 3] ^= 1
    np.savez_compressed(tmp_path / "bundle" / "vectors.npz", **vectors)
    done = checked(tmp_path / "bundle")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("network: sample 1, step 2: spikes of hidden1 differ at 1 of 9 places ([3]: ")


def test_the_script_without_lava_loihi(tmp_path, rng):
    pytest.importorskip("lava")
    if tpl.lava.loihi2_available():
        pytest.skip("lava-loihi is here")
    export_loihi2(learner_of("inference"), tmp_path / "bundle", samples=samples_of("inference", rng, 1, 2))
    done = checked(tmp_path / "bundle", "--target", "loihi2")
    assert done.returncode == 2
    assert "lava-loihi, Intel's extension of Lava for Loihi 2, is not installed" in done.stderr


# What is refused -------------------------------------------------------------------------------------


def convolution():
    spatial = Convolution((1, 6, 6), 2, (3, 3))
    layer = Layer(spatial.size, tpl.LIF(0.9), 0.9, connection=spatial)
    shapes = {"hidden0": spatial.weight_shape, "readout": (3, spatial.size)}
    return tpl.Network.of_layers(36, (layer,), 3, {name: np.ones(shape, np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "float"}, "export: precision is float, but must be fixed"),
        ({"model": "convolution"}, "export: network is with hidden0, a convolution, but must be of all-to-all connections"),
        ({"model": "match"}, r"export: rule.readout is Match\(\), but must be a Readout where opened into Processes"),
        ({"name": "2nd"}, "export: name is '2nd'"),
        ({"out": __file__}, r"export: out is .*test_bundle.py, a file, but must be a folder"),
        ({"samples": []}, "export: samples is empty"),
        ({"steps": 0}, "export: steps is 0, but must be an integer of at least 1"),
        ({"seed": 1}, "export: rule, fixed or seed is given with a Learner"),
    ],
)
def test_what_export_refuses(arguments, message, tmp_path):
    given = {"model": learner_of("inference"), "out": tmp_path / "out"} | arguments
    if given["model"] == "float":
        given["model"] = tpl.Learner(network_of("inference"))
    if given["model"] == "convolution":
        given["model"] = convolution()
    if given["model"] == "match":
        given["model"] = tpl.Learner(network_of("inference"), tpl.TP(contrast=3, readout=tpl.Match()), "fixed")
    with pytest.raises(tpl.InvalidValueError, match=message):
        export_loihi2(given.pop("model"), given.pop("out"), **given)
    assert not (tmp_path / "out").exists()


def test_a_file_where_a_folder_of_it_goes(tmp_path):
    (tmp_path / "listings").write_text("")
    with pytest.raises(tpl.InvalidValueError, match="export: out is .*listings, a file, but must be a folder"):
        export_loihi2(learner_of("inference"), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["listings"]


def test_vectors_that_are_too_large(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("tp_lava.deploy.bundle.writing.VECTOR_BYTES", 1000)
    with pytest.raises(
        tpl.NumberRangeError, match=r"export: the test vectors take \d+ bytes, at most 1000 are allowed; give fewer samples"
    ):
        export_loihi2(learner_of("TP in the engine"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The command -----------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, ["export", *map(str, arguments)])


def test_the_command(tmp_path, rng):
    samples = [tpl.Sample(*sample) for sample in samples_of("TP in the engine", rng, 6)]
    tpl.data.save_samples(tmp_path / "own.npz", samples)
    tpl.save_network(network_of("TP in the engine"), tmp_path / "net.tplava")
    chosen = ("--rule", "tp", "--rate", 0.01, "--data", tmp_path / "own.npz", "--samples", 2, "--steps", 5)
    done = command(tmp_path / "net.tplava", "--target", "loihi2", "--out", tmp_path / "a", "--json", *chosen)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["target"], told["rule"], told["stock"]) == ("loihi2", "TP", {"hidden0": "LearningDense"})
    assert told["bytes"]["all"] == sum(pathlib.Path(file).stat().st_size for file in told["files"])
    vectors = loaded(tmp_path / "a" / "vectors.npz")
    assert (vectors["steps"].tolist(), vectors["labels"].tolist()) == ([5, 5, 5], [samples[0].label, -1, -1])
    done = command("--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b")
    assert done.exit_code == 0, done.output
    assert "network: TP for Loihi 2" in done.output
    for file in map(pathlib.Path, told["files"]):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", 3), "export: data, samples or steps is given for C, but must be left out; or give --target loihi2"),
        (("--target", "loihi2", "--samples", 3), "export: samples is given without data"),
        (("--target", "loihi2", "--name", "2"), "export: name is '2'"),
    ],
)
def test_what_the_command_refuses(arguments, message, tmp_path):
    tpl.save_network(network_of("inference"), tmp_path / "net.tplava")
    done = command(tmp_path / "net.tplava", "--out", tmp_path / "out", *arguments)
    assert message in str(done.exception)
