"""Twenty random networks of SLAYER: in fixed point every spike is SLAYER's and, of files, that of netx in stock Lava."""

import numpy as np
import pytest
import test_convert_slayer as home

import tp_lava as tpl

pytestmark = home.pytestmark
slayer = home.slayer
STEPS = home.T


def random_neuron(rng, size=None):
    """CUBA's parameters; size: units that may have decays of their own."""
    threshold, current, voltage = (float(rng.uniform(*limits)) for limits in ((0.8, 1.6), (0.1, 1), (0.02, 0.5)))
    neuron = {"threshold": threshold, "current_decay": current, "voltage_decay": voltage}
    if size and rng.random() < 0.3:
        neuron |= {"current_decay": [0.1, 0.6], "voltage_decay": [0.02, 0.4], "shared_param": False}
    return neuron


def random_options(rng, delays=True):
    """Of a block with synapses: how large its weights are, its norm, and whether it delays its spikes."""
    found = {"weight_scale": float(rng.uniform(2, 4)), "weight_norm": bool(rng.random() < 0.2), "delay_shift": bool(rng.random() < 0.7)}
    return found | ({"delay": True} if delays and rng.random() < 0.3 else {})


def random_maps(rng, stock):
    """-> (input shape, blocks with their Flatten, units behind them): one or two convolutions, a pool among them in every second."""
    channels, side = int(rng.integers(1, 3)), int(rng.integers(7, 9))
    shape, blocks = (channels, side, side), [home.SILENT_INPUT]
    for _ in range(int(rng.integers(1, 3))):
        out, pads, stride = int(rng.integers(2, 5)), int(rng.integers(2)), int(rng.integers(1, 3))
        options = random_options(rng, delays=not stock) | {"padding": pads, "stride": stride}
        blocks.append(("Conv", (random_neuron(rng), channels, out, 3), options))
        channels, side = out, (side + 2 * pads - 3) // stride + 1
        if not stock and side == 4 and rng.random() < 0.7:
            blocks[-1] = (*blocks[-1][:2], {key: value for key, value in options.items() if key != "delay"})  # one a unit, refused
            blocks.append(("Pool", (random_neuron(rng), 2), {"weight_scale": 1.1}))
            side = 2
        if side < 3:
            break
    return shape, [*blocks, ("Flatten", (), {})], channels * side**2


def random_blocks(seed, stock=False):
    """-> (input shape, blocks): dense and recurrent layers, behind maps in every third. stock: only what netx has for the CPU."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 16))
    shape, blocks = (n,), []
    if seed % 3 == 0:
        shape, blocks, n = random_maps(rng, stock)
    for _ in range(int(rng.integers(1, 4))):
        size = int(rng.integers(5, 12))
        kind = "Recurrent" if not stock and rng.random() < 0.3 else "Dense"
        blocks.append((kind, (random_neuron(rng, size), n, size), random_options(rng, delays=kind == "Dense")))
        n = size
    return shape, blocks


def built(slayer, seed, **options):
    """-> (module, spikes (T, *shape), outputs of its blocks), with delays drawn."""
    import torch

    shape, blocks = random_blocks(seed, **options)
    module, rng = home.network_of(slayer, blocks, seed), np.random.default_rng(seed)
    spikes = (rng.random((STEPS, *shape)) < 0.4).astype(float)
    home.outputs(module, spikes)
    for delay in (delay_of(block) for block in module.blocks if delay_of(block) is not None):
        delay.data.copy_(torch.as_tensor(rng.integers(0, 6, tuple(delay.shape))))
    home.at_rest(module)
    return module, spikes, home.outputs(module, spikes)


def delay_of(block):
    """A block's delays, one a unit or a map, or None."""
    return getattr(getattr(block, "delay", None), "delay", None)


def undelayed(block, out, late):
    """-> a block's spikes (T', n) at the steps that brought them about. late: steps that all of them take."""
    delays = np.zeros(1, int) if delay_of(block) is None else delay_of(block).detach().numpy().astype(int).ravel()
    own = late + np.repeat(delays, out.shape[1] // len(delays))
    length = len(out) - own.max()
    return np.stack([out[d : d + length, unit] for unit, d in enumerate(own)], 1)


def test_twenty_random_networks(slayer):
    """SLAYER computes in integers, which fixed point has; float rounds nothing, so where SLAYER does, a spike may differ."""
    spiking, differing, total, parted = 0, 0, 0, set()
    for seed in range(20):
        module, spikes, found = built(slayer, seed)
        network, events = tpl.convert(module), tpl.Events.from_dense(spikes.reshape(STEPS, -1))
        fixed, real = (tpl.Learner(network, precision=each).infer(events, record=True).spikes for each in ("fixed", "float"))
        populations = [(b, out) for b, out in zip(module.blocks, found, strict=True) if getattr(b, "neuron", None) is not None]
        for (block, out), late, ours, floats in zip(populations, home.latencies(module), fixed, real, strict=True):
            expected = undelayed(block, out, late)
            np.testing.assert_array_equal(ours[: len(expected)].reshape(expected.shape), expected, f"{seed}: {block}")
            if count := int((floats[: len(expected)].reshape(expected.shape) != expected).sum()):
                differing += count
                parted.add(seed)
            total += expected.size
            spiking += 0.01 < expected.mean() < 0.99
    assert spiking > 40
    assert differing < 0.001 * total
    assert len(parted) <= 1


@pytest.mark.parametrize("seed", [1, 4, 6, 12, 13, 16])
def test_random_files_in_netx(slayer, seed, tmp_path):
    """Without options; netx has no pool and no recurrent block for the CPU, and drops the delays of maps."""
    module, spikes, _ = built(slayer, seed, stock=True)
    path = home.export(module, tmp_path / "a.net")
    late = sum(block.synapse is not None for block in module.blocks if hasattr(block, "synapse"))  # a step for each
    expected = undelayed(module.blocks[-1], home.in_netx(path, spikes), late)
    learner = tpl.Learner(tpl.convert(path), precision="fixed")
    ours = learner.infer(tpl.Events.from_dense(spikes.reshape(STEPS, -1)), record=True).spikes[-1]
    np.testing.assert_array_equal(ours[: len(expected)], expected)
    assert expected.sum() > 20
