"""`tp-lava train` and `eval`: what they do is what the library does; a run is repeated, interrupted and gone on with bit for bit."""

import json
import re
import sys

import numpy as np
import pytest
from conftest import random_samples
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.commands.named import load_split
from tp_lava.data import save_samples
from tp_lava.deploy.loihi2 import count
from tp_lava.rules.memory import counted

SMALL = ("--hidden", "6", "--no-plot", "--json")


def run(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, [str(argument) for argument in arguments])


def told(*arguments):
    """The JSON object on standard output; nothing else is there."""
    done = run(*arguments)
    assert done.exit_code == 0, done.stderr or done.exception
    return json.loads(done.stdout)


def refused(*arguments):
    """The message of an error that is ours, or typer's."""
    done = run(*arguments)
    if isinstance(done.exception, SystemExit):
        assert done.exit_code == 2
        return " ".join(done.output.split())
    assert isinstance(done.exception, tpl.TpLavaError | FileNotFoundError), done.exception
    return str(done.exception)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Own recordings: 30 samples of 8 units and 3 classes."""
    file = tmp_path_factory.mktemp("own") / "own.npz"
    save_samples(file, random_samples(np.random.default_rng(5), 30, 8, 3, rate=0.4))
    return file


@pytest.fixture(scope="module")
def trained(own, tmp_path_factory):
    """A run of three epochs with samples held back: its folder and its figures."""
    folder = tmp_path_factory.mktemp("trained")
    options = ("--data", own, "--epochs", 3, "--seed", 3, "--validation", 0.25, "--keep-best", "--rate", 0.01)
    return folder, told("train", *SMALL, *options, "--out", folder)


@pytest.mark.parametrize("command", ["eval", "quantise", "finetune", "inspect", "map"])
def test_a_run_is_named_by_its_folder(command, trained, own):
    """And what it has learned is what a command that takes networks goes on with."""
    folder, options = trained[0], {"inspect": (), "map": ()}.get(command, ("--data", own))
    options += ("--epochs", 1) if command == "finetune" else ()
    by_folder, by_file = (told(command, model, *options, "--json") for model in (folder, folder / "learner.safetensors"))
    assert {**by_folder, "samples_per_second": 0} == {**by_file, "samples_per_second": 0}


def assert_same(learner, file):
    """A learner has the weights of a saved one, bit for bit."""
    saved = tpl.Learner.load(file)
    assert set(learner.weights) <= set(saved.weights)  # a rule has weights of its own
    for name in learner.weights:
        np.testing.assert_array_equal(learner.memory[name], saved.memory[name])


# Training ---------------------------------------------------------------------------------------


def test_training_is_what_the_learner_does(own, trained, tmp_path):
    folder, figures = trained
    samples, test = load_split(str(own), 3)
    order = np.random.default_rng(3).permutation(24)
    train, held = [samples[i] for i in order[6:]], [samples[i] for i in order[:6]]
    assert figures["samples"] == {"learned": 18, "held_back": 6, "test": 6}
    network = tpl.network_for(train, (6,), 3, seed=3)
    learner = tpl.Learner(network, tpl.TP(0.01, 5e-4, contrast=3), seed=3, schedule=tpl.Cosine(3))
    accuracies = [learner.fit(train, validation=held)[0]]
    learners = [learner.copy()]
    for _ in range(2):
        accuracies += learner.fit(train, validation=held)
        learners.append(learner.copy())
    assert [epoch["accuracy"] for epoch in figures["epochs"]] == accuracies
    assert_same(learner, folder / "learner.safetensors")
    best = int(np.argmax(accuracies))
    assert figures["best_epoch"] == best + 1
    assert_same(learners[best], folder / "best.safetensors")
    assert figures["test_accuracy"] == learners[best].evaluate(test)
    assert figures["samples_seen"] == 54


def test_thresholds_surrogates_and_splits_are_as_told(own, tmp_path):
    options = ("--data", own, "--epochs", 1, "--seed", 4, "--validation", 0.25, "--span", 0, "--cost")
    usual = told("train", *SMALL, *options, "--out", tmp_path / "usual")
    made = ("--threshold-scale", 0.5, "--surrogate-width", 2, "--split-seed", 3, "--skip-test")
    figures = told("train", *SMALL, *options, *made, "--out", tmp_path / "made")
    before, after = (tpl.Learner.load(tmp_path / name / "learner.safetensors").network for name in ("usual", "made"))
    assert (after.layers[0].neuron.threshold, after.layers[0].neuron.surrogate) == (0.5, tpl.ArcTan(0.5))
    assert (before.layers[0].neuron.threshold, before.layers[0].neuron.surrogate) == (1.0, tpl.ArcTan(1.0))
    samples, _ = load_split(str(own), 3)
    held = [samples[i] for i in np.random.default_rng(3).permutation(24)[:6]]
    learned = tpl.Learner.load(tmp_path / "made" / "learner.safetensors")
    assert figures["validation_accuracy"] == learned.evaluate(held)
    assert (figures["samples"]["test"], figures["test_accuracy"], usual["samples"]["test"]) == (0, None, 6)
    assert usual["memory"] == sum(counted(before, learned.rule))
    counts = count(tpl.Learner.load(tmp_path / "usual" / "learner.safetensors"), order_of(own, 4)[:5])
    assert usual["updates"] == counts.mean("updates") + counts.mean("readout_updates")


def order_of(own, seed):
    """The samples that are learned, as `train --validation 0.25 --seed` has them."""
    samples, _ = load_split(str(own), seed)
    return [samples[i] for i in np.random.default_rng(seed).permutation(24)[6:]]


def test_delays_weights_and_recordings_that_vary_are_as_told(own, tmp_path):
    options = ("--data", own, "--epochs", 2, "--span", 5, "--copies", 3, "--no-scale", "--augment", "shift=1,drop=0.1")
    told("train", *SMALL, *options, "--out", tmp_path / "run")
    samples, _ = load_split(str(own), 0)
    network = tpl.Network.temporal((8, 6, 3), tpl.LIF(0.9), 0.9, 5, 3)
    learner = tpl.Learner(network, tpl.TP(3e-3, 1e-3, contrast=3), schedule=tpl.Cosine(2))
    learner.fit(samples, 2, augmentation=tpl.Augmentation(shift=1, drop=0.1))
    assert_same(learner, tmp_path / "run" / "learner.safetensors")


def test_what_a_run_leaves_behind(own, trained):
    folder, figures = trained
    assert {file.name for file in folder.iterdir()} == {"learner.safetensors", "best.safetensors", "results.json", "config.toml"}
    kept = json.loads((folder / "results.json").read_text())
    assert kept == {name: value for name, value in figures.items() if name != "files"}
    assert kept["command"].startswith("tp-lava")
    assert kept["versions"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert list(kept["sha256"]) == [str(own)]
    assert (kept["sizes"], kept["rule"]["rate"]) == ([8, 6, 3], [0.01])
    assert all(epoch["samples_per_second"] > 0 for epoch in kept["epochs"])
    assert f'data = "{own}"' in (folder / "config.toml").read_text()


def test_the_saved_configuration_repeats_a_run_bit_for_bit(trained, tmp_path, monkeypatch):
    folder, figures = trained
    monkeypatch.chdir(tmp_path)
    again = told("train", "--config", folder / "config.toml", "--out", "again", "--no-plot", "--json")
    for file in ("learner.safetensors", "best.safetensors", "config.toml"):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()
    for name in ("config", "rule", "best_epoch", "test_accuracy", "samples_seen"):
        assert again[name] == figures[name]


def interrupt_after(patch, count):
    """Ctrl-C once so many samples are learned, beside the one that is learned to compile."""
    learn, seen = tpl.Learner._learn, []

    def interrupted(self, call, *arguments, **given):
        seen.extend(call.labels)
        if len(seen) > count + 1:
            raise KeyboardInterrupt
        return learn(self, call, *arguments, **given)

    patch.setattr(tpl.Learner, "_learn", interrupted)


@pytest.mark.parametrize("stop_after", [0, 7, 18 + 6 + 5, 2 * 18 + 17])
def test_an_interrupted_run_loses_nothing(trained, tmp_path, monkeypatch, stop_after):
    """Ctrl-C at any sample: what is kept goes on to what would have come of it."""
    folder, _ = trained
    with monkeypatch.context() as patch:
        interrupt_after(patch, stop_after)
        done = run("train", "--config", folder / "config.toml", "--out", tmp_path / "run", "--no-plot")
    epochs = stop_after // 18
    assert done.exit_code == 130
    assert f"interrupted; the learner after epoch {epochs} is in {tmp_path / 'run'}" in done.stderr
    assert f"tp-lava train --resume {tmp_path / 'run'}" in done.stderr
    assert tpl.Learner.load(tmp_path / "run" / "learner.safetensors").epochs_done == epochs
    figures = told("train", "--resume", tmp_path / "run", "--no-plot", "--json")
    assert len(figures["epochs"]) == 3
    for file in ("learner.safetensors", "best.safetensors", "config.toml"):
        assert (tmp_path / "run" / file).read_bytes() == (folder / file).read_bytes()


def test_a_run_may_get_more_epochs_where_rates_stay(own, tmp_path):
    options = ("--data", own, "--schedule", "none")
    told("train", *SMALL, *options, "--epochs", 1, "--out", tmp_path / "two")
    told("train", "--resume", tmp_path / "two", "--epochs", 2, "--no-plot", "--json")
    told("train", *SMALL, *options, "--epochs", 2, "--out", tmp_path / "at_once")
    assert (tmp_path / "two" / "learner.safetensors").read_bytes() == (tmp_path / "at_once" / "learner.safetensors").read_bytes()


def test_patience_stops_a_run(own, tmp_path):
    options = ("--data", own, "--rate", 0, "--readout-rate", 0, "--validation", 0.25, "--patience", 2, "--epochs", 9)
    assert len(told("train", *SMALL, *options, "--out", tmp_path)["epochs"]) == 3
    assert len(told("train", "--resume", tmp_path, "--json", "--no-plot")["epochs"]) == 3


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Own recordings, enough for a fifth of those that are learned to be held back."""
    file = tmp_path_factory.mktemp("many") / "many.npz"
    save_samples(file, random_samples(np.random.default_rng(6), 130, 8, 3, rate=0.4))
    return file


UNTIL_NO_BETTER = ("--span", 0, "--patience", 2)


@pytest.fixture(scope="module")
def found(many, tmp_path_factory):
    """A run whose number of epochs is found: its folder and its figures."""
    folder = tmp_path_factory.mktemp("found")
    return folder, told("train", *SMALL, "--data", many, *UNTIL_NO_BETTER, "--out", folder)


def test_samples_held_back_end_a_run(many, found, tmp_path):
    """With a share of one's own they stay held back, and the best epoch is kept; found by a fifth, all are learned as often."""
    folder, figures = found
    trial = told("train", *SMALL, "--data", many, *UNTIL_NO_BETTER, "--validation", 0.2, "--out", tmp_path / "trial")
    accuracies = [epoch["accuracy"] for epoch in trial["epochs"]]
    best = 1 + int(np.argmax(accuracies))
    assert len(accuracies) == best + 2
    assert trial["samples"] == {"learned": 84, "held_back": 20, "test": 26}
    assert trial["best_epoch"] == best
    kept = tpl.Learner.load(tmp_path / "trial" / "best.safetensors")
    assert kept.epochs_done == best
    assert trial["test_accuracy"] == kept.evaluate(load_split(str(many), 0)[1])
    assert figures["epochs_found"] == {"epochs": best, "held_back": 20, "accuracies": accuracies}
    assert figures["validation_accuracy"] == max(accuracies) == trial["validation_accuracy"]
    whole = told("train", *SMALL, "--data", many, "--span", 0, "--epochs", best, "--out", tmp_path / "whole")
    assert figures["samples"] == whole["samples"] == {"learned": 104, "held_back": 0, "test": 26}
    assert figures["test_accuracy"] == whole["test_accuracy"]
    for name, other in (("learner.safetensors", "whole"), ("held_back/learner.safetensors", "trial")):
        assert (folder / name).read_bytes() == (tmp_path / other / "learner.safetensors").read_bytes()


@pytest.mark.parametrize("stop_after", [0, 84 + 9, -3])
def test_a_run_that_finds_its_length_loses_nothing(many, found, tmp_path, monkeypatch, stop_after):
    """Interrupted before the first epoch, in the second on four fifths of the samples, or in the last on all."""
    folder, figures = found
    looked, best = len(figures["epochs_found"]["accuracies"]), figures["epochs_found"]["epochs"]
    last = stop_after if stop_after >= 0 else 84 * looked + 1 + 104 * best + stop_after

    with monkeypatch.context() as patch:
        interrupt_after(patch, last)
        done = run("train", *SMALL[:-1], "--data", many, *UNTIL_NO_BETTER, "--out", tmp_path / "run")
    assert done.exit_code == 130
    assert "20 of 104 samples are held back; learning stops after 2 epochs" in done.stdout
    assert "--epochs 10 learns them 10 times, and holds none back" in done.stdout
    assert f"go on with tp-lava train --resume {tmp_path / 'run'}" in done.stderr
    assert "which holds a run" in refused("train", *SMALL, "--data", many, "--out", tmp_path / "run")
    patience = ("--patience", 1) if stop_after < 0 else ()  # found already
    assert told("train", "--resume", tmp_path / "run", *patience, "--no-plot", "--json")["test_accuracy"] == figures["test_accuracy"]
    for file in ("learner.safetensors", "held_back/learner.safetensors", "held_back/best.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (folder / file).read_bytes()


def test_a_model_and_other_test_samples(own, trained, tmp_path, rng):
    folder, _ = trained
    other = tmp_path / "other.npz"
    save_samples(other, random_samples(rng, 7, 8, 3))
    network = tpl.Learner.load(folder / "best.safetensors").network
    tpl.save_network(network, tmp_path / "net.tplava")
    for model in (folder / "best.safetensors", tmp_path / "net.tplava"):
        options = ("--data", own, "--test", other, "--epochs", 1, "--rate", 0, "--readout-rate", 0, "--no-plot", "--json")
        figures = told("train", model, *options, "--out", tmp_path / model.stem)
        assert figures["samples"] == {"learned": 30, "held_back": 0, "test": 7}
        assert_same(tpl.Learner(network), tmp_path / model.stem / "learner.safetensors")


def test_tess_in_fixed_point_of_few_bits(own, tmp_path):
    options = ("--data", own, "--epochs", 1, "--rule", "tess", "--precision", "fixed", "--bits", 5, "--decay", 0.75, "--hidden", 4)
    figures = told("train", *SMALL, *options, "--temperature", 0.1, "--update", "step", "--freeze", "readout", "--out", tmp_path)
    rule = figures["rule"]
    assert (rule["type"], rule["temperature"], rule["update"], rule["readout_rate"]) == ("TESS", 0.1, "step", 0.0)
    learner = tpl.Learner.load(tmp_path / "learner.safetensors")
    assert learner.network.sizes == (8, 6, 4, 3)
    assert [layer.neuron.decay for layer in learner.network.layers] == [0.75, 0.75]
    assert max(abs(int(m)) for m in learner.mantissas["hidden0"].flat) <= 16


def test_people_see_a_table_and_a_picture(own, tmp_path):
    done = run("train", "--hidden", 6, "--data", own, "--epochs", 1, "--out", tmp_path)
    assert done.exit_code == 0
    texts = ("[train]", "epoch", "24 samples; network 8-6-3; accuracy", "give --span, such as", "6 test samples: accuracy")
    assert "held back" not in done.stdout
    for text in (*texts, f"wrote {tmp_path / 'accuracy.png'}"):
        assert text in done.stdout
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_in_lava_the_same_comes_of_it(own, tmp_path):
    pytest.importorskip("lava")
    options = ("--data", own, "--epochs", 2, "--precision", "fixed", "--validation", 0.25)
    lava = told("train", *SMALL, *options, "--in-lava", "--out", tmp_path / "lava")
    engine = told("train", *SMALL, *options, "--schedule", "none", "--out", tmp_path / "engine")
    assert [epoch["accuracy"] for epoch in lava["epochs"]] == [epoch["accuracy"] for epoch in engine["epochs"]]
    assert lava["test_accuracy"] == engine["test_accuracy"]
    assert_same(tpl.Learner.load(tmp_path / "engine" / "learner.safetensors"), tmp_path / "lava" / "learner.safetensors")
    figures = [
        told("eval", tmp_path / name / "learner.safetensors", "--data", own, "--part", "all", "--json") for name in ("lava", "engine")
    ]
    in_lava = told("eval", tmp_path / "lava" / "learner.safetensors", "--data", own, "--part", "all", "--in-lava", "--json")
    assert figures[0]["confusion"] == figures[1]["confusion"] == in_lava["confusion"]
    assert in_lava["spikes_per_sample"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "words.txt"), "data: name is 'words.txt', but must be digits, an .npz of save_samples"),
        (("--data", "none.npz"), "none.npz: no such file"),
        (("none.tplava",), "none.tplava: no such file"),
        (("digits", "--hidden", 5), "train: hidden is given with the model digits, but must be left out"),
        (("--rule", "tess", "--contrast", 3), "train: contrast is given with --rule tess, but must be left out; or use --rule tp"),
        (("--basis", "walsh"), "train: basis is given with --rule tp"),
        (("--contrast", "some"), "train: contrast is 'some', but must be a number of target streams, or \"all\""),
        (("--contrast", 5), "TP: contrast is 5, but must be at most the number of classes, 3"),
        (
            ("--augment", "shift"),
            "train: augment is 'shift', but must be shift=, units=, drop=, stretch=, pixels=, rotation=, zoom= and a number",
        ),
        (("--augment", "tilt=2"), "train: augment is 'tilt=2', but must be shift=, units=, drop="),
        (("--augment", "shift=-1"), "Augmentation: shift is -1"),
        (("digits", "--span", 5), "train: span is given with the model digits, but must be left out"),
        (("--bits", 4), "train: bits is given in float, but must be left out; or use --precision fixed"),
        (("--bits", 9, "--precision", "fixed"), "FixedPoint: weight_bits is 9"),
        (("--patience", 2), "train: data is of 24 samples to learn, with --patience, but must be at least 100, or with --validation; "),
        (("--patience", 2, "--epochs", 3), "train: validation is 0, with --patience or --keep-best, but must be a share"),
        (("--keep-best",), "train: validation is 0, with --patience or --keep-best, but must be a share"),
        (("--in-lava", "--batch", 2), "train: in-lava is given with one of these, but must be used without --batch"),
        (("--in-lava", "--schedule", "cosine"), "train: in-lava is given with one of these"),
        (("--validation", 0.01), "train: data is split into 24 samples to learn and 0 to validate, but must be enough for both"),
        (("--freeze", "hidden7"), "finetune: freeze is hidden7, but must be among hidden0, readout, convolutions"),
        (("--decay", 1.5), "LIF: decay is 1.5"),
        (("--epochs", 0), "Invalid value for '--epochs'"),
        (("--rule", "hebb"), "Invalid value for '--rule'"),
    ],
)
def test_what_train_refuses(options, message, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = () if "--data" in options else ("--data", own)
    assert message in refused("train", *options, *data, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "learner.safetensors").exists()


def test_what_a_folder_with_a_run_refuses(own, trained, tmp_path):
    folder, _ = trained
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert f"give another with --out, or --resume {folder} to go on with it" in refused("train", *SMALL, "--data", own, "--out", folder)
    resume = ("train", "--resume", folder)
    assert "train: rule is tess in a run that is resumed, but must be tp, as it was begun" in refused(*resume, "--rule", "tess")
    assert "train: epochs is 4 in a run that is resumed, but must be 3, as it was begun" in refused(*resume, "--epochs", 4)
    assert "train: config is given with --resume, but must be left out" in refused(*resume, "--config", folder / "config.toml")
    assert "config.toml: no such file" in refused("train", "--resume", tmp_path)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_damaged_run_is_not_gone_on_with(trained, tmp_path):
    folder, _ = trained
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for damaged in ("{", "{}", '{"epochs": []}', '{"epochs": [{"epoch": 1}, {"epoch": 1}, {"epoch": 3}]}'):
        (tmp_path / "results.json").write_text(damaged)
        assert "results.json: does not belong to learner.safetensors" in refused("train", "--resume", tmp_path)


# Evaluation -------------------------------------------------------------------------------------


def test_evaluation_counts_what_the_learner_says(own, trained):
    folder, figures = trained
    learner = tpl.Learner.load(folder / "best.safetensors")
    told_test = told("eval", folder / "best.safetensors", "--data", own, "--seed", 3, "--json")
    assert told_test["accuracy"] == figures["test_accuracy"]
    told_all = told("eval", folder / "best.safetensors", "--data", own, "--part", "all", "--json")
    outcomes = [(label, learner.infer(events)) for events, label in tpl.data.load_samples(own)]
    pairs = [(label, outcome.prediction) for label, outcome in outcomes]
    assert told_all["confusion"] == [[pairs.count((row, column)) for column in range(3)] for row in range(3)]
    for row in told_all["classes"]:
        own_class, hits = row["class"], pairs.count((row["class"], row["class"]))
        assert row["samples"] == sum(label == own_class for label, _ in pairs)
        assert row["recall"] == hits / row["samples"]
        said = sum(prediction == own_class for _, prediction in pairs)
        assert row["precision"] == (hits / said if said else None)
    assert told_all["spikes_per_sample"] == [pytest.approx(np.mean([outcome.spike_counts[0].sum() for _, outcome in outcomes]))]


def test_a_model_is_evaluated_in_either_number_system(own, trained, tmp_path):
    network = tpl.Learner.load(trained[0] / "best.safetensors").network
    tpl.save_network(network, tmp_path / "net.tplava")
    samples = tpl.data.load_samples(own)
    for options, learner in (
        ((), tpl.Learner(network)),
        (("--precision", "fixed", "--bits", 3), tpl.Learner(network, precision=tpl.FixedPoint(weight_bits=3))),
    ):
        figures = told("eval", tmp_path / "net.tplava", "--data", own, "--part", "all", "--json", *options)
        assert figures["accuracy"] == pytest.approx(learner.evaluate(samples))


def test_people_see_the_confusion(own, trained):
    done = run("eval", trained[0] / "learner.safetensors", "--data", own, "--part", "all")
    assert done.exit_code == 0
    for text in ("recall", "label, prediction", "30 samples: accuracy", "spikes a sample"):
        assert text in done.stdout


def test_what_eval_refuses(own, trained, tmp_path, rng):
    learner, other = trained[0] / "learner.safetensors", tmp_path / "other.npz"
    save_samples(other, random_samples(rng, 3, 8, 3))
    for arguments, message in (
        ((tmp_path / "none.safetensors",), "no such file"),
        ((learner, "--data", own, "--bits", 4), "eval: precision or bits is given with a saved Learner"),
        (("digits", "--bits", 4), "eval: bits is given in float"),
        ((learner, "--data", other), "eval: part is test, but must be one that has samples; use --part all"),
        ((learner,), "eval: data is of 512 inputs, but must be of the model's 8; give what the model is for with --data."),
        (("digits", "--data", own), "eval: data is of 8 inputs, but must be of the model's 512"),
    ):
        assert re.search(re.escape(message), refused("eval", *arguments))
