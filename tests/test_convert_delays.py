"""Delays of other libraries' networks: read, run spike by spike as there, learned on, written."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from stage_oracle import run_stages

import tp_lava as tpl
from tp_lava.convert.assemble import assemble, stages_of
from tp_lava.convert.stages import Convolution, Delayed, Dense, Integrating, Pooling, Source, Spiking

T = 40


def neurons(path="n", **options):
    return Spiking(path, 0.9, 1.0, **options)


def chain(*stages, shape=(6,)):
    return Source("test", shape, list(stages))


def spikes_for(rng, shape):
    return (rng.random((T, *shape)) < 0.3).astype(float)


def assert_same(source, rng):
    """The assembled network spikes as the oracle of stages does."""
    spikes = spikes_for(rng, source.input_shape)
    populations, potentials = run_stages(source, spikes)
    found = tpl.Learner(assemble(source)).infer(tpl.Events.from_dense(spikes.reshape(T, -1) > 0), record=True)
    for expected, each in zip(populations, found.spikes, strict=True):
        assert (expected == each).mean() > 0.999
        assert expected.any()
    if potentials is not None:
        np.testing.assert_allclose(found.scores, potentials[-1], atol=0.3)


def dense(rng, n_out, n_in, bias=None):
    return Dense("map", rng.normal(0, 1, (n_out, n_in)).astype(np.float32), bias)


def delayed(path, steps):
    return Delayed(path, np.asarray(steps, float))


CHAINS = {
    "units": lambda r: (delayed("d", np.arange(6)), dense(r, 8, 6), neurons(), delayed("e", 3), dense(r, 4, 8), neurons("m")),
    "twice": lambda r: (delayed("d", 2), delayed("e", np.arange(6)), dense(r, 8, 6), neurons(), dense(r, 4, 8), Integrating("o")),
    "neurons": lambda r: (
        delayed("d", np.arange(6)),
        dense(r, 8, 6),
        delayed("e", np.arange(8)),
        neurons(),
        dense(r, 4, 8),
        Integrating("o"),
    ),
    "of what a map makes": lambda r: (dense(r, 8, 6), delayed("e", 5), neurons(), dense(r, 4, 8), Integrating("o")),
    "before the readout": lambda r: (dense(r, 8, 6), neurons(), delayed("e", np.arange(8)), dense(r, 4, 8), Integrating("o")),
    "of the last spikes": lambda r: (dense(r, 8, 6), neurons(), delayed("e", np.arange(8))),
    "biases before": lambda r: (delayed("d", 4), dense(r, 8, 6, r.normal(0, 0.2, 8)), neurons(), dense(r, 4, 8), Integrating("o")),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_the_oracle_s(name, rng):
    assert_same(chain(*CHAINS[name](rng)), rng)


def test_convolutions(rng):
    kernels = [rng.normal(0, 1, shape).astype(np.float32) for shape in ((3, 2, 3, 3), (4, 3, 2, 2))]
    source = chain(
        delayed("d", rng.integers(0, 5, 72)),
        Convolution("a", kernels[0], None, (1, 1), (1, 1)),
        neurons(),
        Pooling("p", (2, 2), (2, 2), scale=0.25),
        delayed("e", [0, 2, 4]),
        Convolution("b", kernels[1]),
        neurons("m"),
        dense(rng, 4, 16),
        Integrating("o"),
        shape=(2, 6, 6),
    )
    assert_same(source, rng)


def test_what_has_delays_learns_on_and_comes_back(rng):
    network = assemble(chain(*CHAINS["units"](rng)))
    learner = tpl.Learner(network, tpl.TP(0.01, 0.01, 2), "fixed")
    learner.learn(tpl.Events.from_dense(spikes_for(rng, (6,)) > 0), 1)
    assert (learner.weights["hidden0"] != network.weights["hidden0"]).any()
    again = assemble(stages_of(network))
    assert [layer.delays for layer in again.layers] == [layer.delays for layer in network.layers]


REFUSED = {
    "too long": ((delayed("d", 40), delayed("e", 30)), "e: delay is 70, but must be 63 steps at most in all"),
    "not whole": ((delayed("d", 1.5),), "d: delay is 1.5, but must be whole steps, 0 to 63"),
    "negative": ((delayed("d", -1),), "d: delay is -1"),
    "shape": ((delayed("d", np.zeros(4)),), r"d: delay is of shape \(4,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, rng):
    stages, message = REFUSED[name]
    with pytest.raises(tpl.InvalidValueError, match=message):
        assemble(chain(*stages, dense(rng, 8, 6), neurons(), dense(rng, 4, 8), Integrating("o")))


def test_biases_that_come_later_are_refused(rng):
    with pytest.raises(tpl.InvalidValueError, match="d: delay is 2 of biases too, but must be of spikes alone; put it before the map"):
        assemble(chain(dense(rng, 8, 6, np.ones(8)), delayed("d", 2), neurons(), dense(rng, 4, 8), Integrating("o")))


def test_nir(rng):
    nir = pytest.importorskip("nir")
    weights = rng.normal(0, 1, (8, 6)), rng.normal(0, 1, (4, 8))
    lif = {"tau": np.full(8, 0.01), "r": np.full(8, 10.0), "v_leak": np.zeros(8), "v_threshold": np.ones(8), "v_reset": np.zeros(8)}
    nodes = {
        "input": nir.Input(np.array((6,))),
        "delay": nir.Delay(np.arange(6) * 1e-3),
        "a": nir.Linear(weights[0]),
        "lif": nir.LIF(**lif),
        "later": nir.Delay(np.full(8, 4e-3)),
        "b": nir.Linear(weights[1]),
        "li": nir.LI(tau=np.full(4, 0.02), r=np.full(4, 2.0), v_leak=np.zeros(4)),
        "output": nir.Output(np.array((4,))),
    }
    graph = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
    network = tpl.convert(graph, dt=1e-3)
    assert network.layers[0].delays == tpl.Delays.of(np.arange(6), 6)
    assert network.readout.delays == tpl.Delays.of(4, 8)
    spikes = spikes_for(rng, (6,))
    arrived = np.stack([np.concatenate([np.zeros(d), spikes[: T - d, d]]) for d in range(6)], 1)
    plain = replace(network, connections=tuple(replace(c, delays=None) for c in network.connections))
    found, expected = (
        tpl.Learner(each).infer(tpl.Events.from_dense(x > 0), record=True).spikes[0] for each, x in ((network, spikes), (plain, arrived))
    )
    np.testing.assert_array_equal(found, expected)
    again = tpl.convert(tpl.to_nir(network, dt=1e-3), dt=1e-3)
    assert [c.delays for c in again.connections] == [c.delays for c in network.connections]
    with pytest.raises(tpl.InvalidValueError, match="delay is 0 to 1.66667 steps, but must be whole steps; give dt="):
        tpl.convert(graph, dt=3e-3)
    with pytest.raises(tpl.InvalidValueError, match=r"hidden0: delays is 2 copies of each unit, .* keep it in a .tplava file"):
        tpl.to_nir(tpl.Network.dense((6, 5, 3), delays=np.array([[0], [2]])), dt=1e-3)


def test_slayer(rng):
    """Axonal delays of a block's spikes, as SLAYER itself delays them."""
    slayer = pytest.importorskip("lava.lib.dl.slayer")
    torch = pytest.importorskip("torch")
    from test_convert_slayer import CUBA, network_of, outputs

    options = {"delay": True, "delay_shift": False}
    module = network_of(slayer, [("Dense", (CUBA, 12, 9), options), ("Dense", (CUBA, 9, 5), {"delay_shift": False})])
    spikes = (rng.random((T, 12)) < 0.3).astype(float)
    outputs(module, spikes)
    delays = torch.tensor(rng.integers(0, 9, 9), dtype=torch.float32)
    with torch.no_grad():
        module.blocks[0].delay.delay.copy_(delays.reshape(module.blocks[0].delay.delay.shape))
        for block in module.blocks:
            block.neuron.current_state = block.neuron.voltage_state = torch.zeros(1)
    expected = outputs(module, spikes)[1]
    network = tpl.convert(module)
    assert network.layers[1].delays == tpl.Delays.of(delays.numpy().astype(int), 9)
    found = tpl.Learner(network, precision=network.provenance.fixed).infer(tpl.Events.from_dense(spikes > 0), record=True).spikes[1]
    np.testing.assert_array_equal(found, expected > 0)
    assert 0.02 < expected.mean() < 0.9
