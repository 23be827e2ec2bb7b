"""Whole data sets: every trainer learns a small task, the same seed gives the same weights, rates follow a schedule."""

import numpy as np
import pytest

import tp_lava as tpl

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from tp_lava import torch as tt  # noqa: E402

CLASSES, UNITS = 3, 12


def task(count, seed=0, steps=(10, 14)):
    """Each class has its own third of the units, half of them spiking, among noise."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        label = number % CLASSES
        rate = np.where(np.arange(UNITS) // (UNITS // CLASSES) == label, 0.5, 0.1)
        samples.append((tpl.Events.from_dense(rng.random((int(rng.integers(*steps)), UNITS)) < rate), label))
    return samples


def module_of(seed=1, **options):
    return tt.SpikingNetwork(tpl.Network.dense((UNITS, 16, CLASSES), tpl.LIF(0.8, 0.6), 0.8, seed=seed), **options)


TRAINERS = {
    "tp": lambda module: tt.TPTrainer(module, tpl.TP(1e-2, 1e-2), tpl.Adam()),
    "tess": lambda module: tt.TESSTrainer(module, tpl.TESS(1e-2, 1e-2, basis="walsh"), tpl.Adam()),
    "bptt": lambda module: tt.BPTTTrainer(module, 1e-2, tpl.Adam()),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_learns(name):
    module = module_of()
    train, test = task(90), task(30, seed=1)
    before = tt.evaluate(module, test)
    accuracies = tt.fit(TRAINERS[name](module), train, 4, 15, test=test)
    assert len(accuracies) == 4
    assert before < 0.8
    assert accuracies[-1] > 0.9
    assert tt.evaluate(module, test) == accuracies[-1]


@pytest.mark.parametrize("name", TRAINERS)
def test_the_same_seed_gives_the_same_weights(name):
    train = task(20)

    def weights(seed, *epochs):
        module = module_of()
        trainer = TRAINERS[name](module)
        accuracies = [accuracy for count in epochs for accuracy in tt.fit(trainer, train, count, 6, tpl.Cosine(3), seed)]
        assert trainer.accuracies == accuracies
        return module.network().weights

    once, again, in_parts, other = weights(5, 2), weights(5, 2), weights(5, 1, 1), weights(6, 2)
    for key, array in once.items():
        np.testing.assert_array_equal(array, again[key])
        np.testing.assert_array_equal(array, in_parts[key])
    assert any(np.any(array != other[key]) for key, array in once.items())


class Recorder(tt.Trainer):
    """Learns nothing; keeps what it is given."""

    def __init__(self, module):
        super().__init__(module, tpl.SGD())
        self.factors, self.labels = [], []

    def learn_batch(self, spikes, labels):
        self.labels.append(list(labels))
        return torch.eye(CLASSES)[labels] if len(self.accuracies) == 0 else -torch.eye(CLASSES)[labels]

    def scale_rates(self, factor):
        self.factors.append(factor)

    def _learned(self, layer):
        return {}


@pytest.mark.parametrize(
    ("count", "batch", "sizes"),
    [(7, 3, [3, 4]), (8, 3, [3, 3, 2]), (9, 3, [3, 3, 3]), (2, 3, [2]), (4, 1, [1] * 4), (1, 3, [1])],
)
def test_batches(count, batch, sizes):
    """A last one of a single sample joins the one before, for TP contrasts samples with each other."""
    recorder = Recorder(module_of())
    tt.fit(recorder, task(count), 1, batch)
    assert [len(labels) for labels in recorder.labels] == sizes
    assert sorted(label for labels in recorder.labels for label in labels) == sorted(label for _, label in task(count))


def test_accuracy_while_learning_and_schedule():
    recorder = Recorder(module_of())
    assert tt.fit(recorder, task(6), 4, 3, tpl.Plateau(0.5, 2)) == [1.0, 0.0, 0.0, 0.0]
    assert recorder.factors == [1.0, 1.0, 1.0, 0.5]
    assert tt.fit(recorder, task(6), 0) == []
    assert tt.fit(recorder, [], 1) == [0.0]
    assert tt.evaluate(recorder.module, []) == 0.0


def test_rates_follow_the_factor():
    module = module_of()
    trainer = TRAINERS["bptt"](module)
    start = module.get_parameter("readout").detach().clone()
    trainer.scale_rates(0.0)
    tt.fit(trainer, task(6), 1, 3)
    assert torch.equal(module.get_parameter("readout"), start)
    trainer.scale_rates(0.5)
    assert {group["lr"] for optimiser in trainer._optimisers for group in optimiser.param_groups} == {0.005}


def test_evaluate_is_the_learners():
    network = tpl.Network.dense((UNITS, 16, CLASSES), tpl.LIF(0.8, 0.6), recurrent=True, seed=4)
    network = network.with_weights({"bias0": np.full(16, 0.05)})
    samples = task(20, steps=(3, 15))
    assert tt.evaluate(tt.SpikingNetwork(network), samples, batch=7) == tpl.Learner(network).evaluate(samples)


def test_progress_bars_leave_results_alone(capsys):
    modules = module_of(), module_of()
    for module, progress in zip(modules, (False, True), strict=True):
        tt.fit(TRAINERS["tp"](module), task(6), 2, 3, progress=progress)
    for name, array in modules[0].network().weights.items():
        np.testing.assert_array_equal(array, modules[1].network().weights[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, task(3)), "fit: trainer is of type NoneType, but must be a trainer"),
        ((Recorder(module_of()), task(3), -1), "fit: epochs is -1, but must be an integer of at least 0"),
        ((Recorder(module_of()), task(3), 1, 2, "cosine"), r"schedule is 'cosine', but must be Cosine\(...\)"),
        ((Recorder(module_of()), task(3), 1, 0), "fit: batch is 0, but must be an integer of at least 1"),
    ],
)
def test_fit_arguments(arguments, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.fit(*arguments)


@pytest.mark.parametrize(
    ("samples", "batch", "message"),
    [
        (task(3), 0.5, "evaluate: batch is 0.5"),
        ([(task(1)[0][0], 3)], 1, r"labels is 3 at sample 0"),
    ],
)
def test_evaluate_arguments(samples, batch, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.evaluate(module_of(), samples, batch)
