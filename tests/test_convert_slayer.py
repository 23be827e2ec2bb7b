"""SLAYER's networks: spikes as SLAYER's own in PyTorch and as netx's in stock Lava, and files of any kind end in our errors."""

import copy
import itertools
import sys
import types
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stage_oracle import convolved, per_unit, pooled, run_stages

import tp_lava as tpl
from tp_lava.convert.slayer import fixed_point_of, read_slayer
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking
from tp_lava.lava import Session, make_importable

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

CUBA = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.05}
OWN = {"threshold": 1.25, "current_decay": [0.1, 0.4], "voltage_decay": [0.02, 0.3], "shared_param": False}  # one a neuron
FAST = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.1}
IMAGES = tpl.Format(8, 5)
T = 50


@pytest.fixture(scope="module")
def slayer():
    """lava-dl's SLAYER, without its detection networks, which need torchvision."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    make_importable()
    sys.modules.setdefault("lava.lib.dl.slayer.object_detection", types.ModuleType("object_detection"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("lava.lib.dl.slayer")


def network_of(slayer, blocks, seed=0):
    """A module with .blocks, of (name, arguments...) each; its forward gives what every block gives."""
    import torch

    torch.manual_seed(seed)
    module = torch.nn.Module()
    kwargs = [({} if name == "Affine" else {"weight_scale": 2.0}) | options for name, _, options in blocks]
    plain = {"Input", "Flatten", "Average"}
    built = [
        getattr(slayer.block.cuba, name)(*arguments, **(options if name in plain else full))
        for (name, arguments, options), full in zip(blocks, kwargs, strict=True)
    ]
    module.blocks = torch.nn.ModuleList(built)
    return module.eval()


def outputs(module, spikes):
    """spikes: (T, *shape). -> what each block gives, (T, n)."""
    import torch

    x, found = torch.as_tensor(np.moveaxis(spikes, 0, -1)[None].astype(np.float32)), []
    with torch.no_grad():
        for block in module.blocks:
            x = block(x)
            found.append(x[0].reshape(-1, len(spikes)).T.numpy())
    return found


def export(module, path):
    with h5py.File(path, "w") as file:
        for number, block in enumerate(module.blocks):
            block.export_hdf5(file.create_group(f"layer/{number}"))
    return path


def simulate(source, spikes):
    """The stages in Lava's integers. -> (spikes of each population (T, n), the readout's potentials in float (T, n) or None)."""
    states = [{} for _ in source.stages]
    found, potentials = [[] for stage in source.stages if isinstance(stage, Spiking)], []
    for frame in spikes:
        x, layer = frame.reshape(source.input_shape).astype(float), 0
        for stage, state in zip(source.stages, states, strict=True):
            if isinstance(stage, Dense):
                x = stage.weight @ x.ravel()
            elif isinstance(stage, Convolution):
                x = convolved(x, stage)
            elif isinstance(stage, Pooling):
                x = pooled(x, stage)
            elif isinstance(stage, Spiking):
                x = lif(stage, state, x)
                found[layer].append(x.ravel())
                layer += 1
            else:
                state["m"] = x = per_unit(stage.decay, x) * state.get("m", 0) + stage.gain * x + per_unit(stage.offset, x)
        potentials.append(x.ravel())
    return [np.array(each) for each in found], np.array(potentials) if isinstance(source.stages[-1], Integrating) else None


def lif(stage, state, x):
    """Lava's bit-accurate LIF, 24 bits saturating."""

    def left(name, decay):
        product = state.get(name, np.zeros(x.shape, np.int64)) * np.rint(4096 * per_unit(decay, x)).astype(np.int64)
        return np.sign(product) * (np.abs(product) >> 12)

    def whole(value):
        scaled = 64 * np.asarray(value, np.float64)
        np.testing.assert_array_equal(scaled, np.rint(scaled))
        return scaled.astype(np.int64)

    if stage.feedback is not None:
        x = x + stage.feedback @ state.get("s", np.zeros(x.size))
    u = left("u", stage.current_decay) + whole(x)
    pre = np.clip(left("v", stage.decay) + u + whole(per_unit(stage.offset, x)), -(2**23) + 1, 2**23 - 1)
    spiked = pre > whole(stage.threshold)
    state.update(u=u, v=np.where(spiked, 0, pre), s=spiked.astype(float))
    return state["s"]


def same(a, b):
    """Whether two sources have the same stages."""
    assert a.input_shape == b.input_shape
    assert [type(stage) for stage in a.stages] == [type(stage) for stage in b.stages]
    for one, other in zip(a.stages, b.stages, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=f"{one.path}.{name}")


SILENT_INPUT = ("Input", (), {"delay_shift": False})  # lava-dl 0.6 cannot shift an input without neurons
NORMED = "normed"  # with a norm that needs the library
CASES = {  # name -> (input shape, blocks)
    "dense": ((12,), [SILENT_INPUT, ("Dense", (CUBA, 12, 9), {}), ("Dense", (CUBA, 9, 5), {})]),
    "without an input block": ((12,), [("Dense", (CUBA, 12, 9), {}), ("Dense", (FAST, 9, 5), {})]),
    "recurrent": ((12,), [("Recurrent", (CUBA, 12, 9), {}), ("Recurrent", (FAST, 9, 6), {"delay_shift": False})]),
    "convolutions": (
        (2, 9, 7),
        [
            SILENT_INPUT,
            ("Conv", (FAST, 2, 4, 3), {"padding": (1, 2), "weight_scale": 3.0}),
            ("Pool", (CUBA, 2), {"weight_scale": 1.1}),
            ("Conv", (CUBA, 4, 6, (3, 2)), {"groups": 2, "stride": (2, 1), "dilation": (1, 2), "weight_scale": 3.0}),
            ("Flatten", (), {}),
            ("Dense", (CUBA, 36, 8), {}),
            ("Average", (4,), {}),
        ],
    ),
    "decays of each neuron": ((12,), [("Dense", (OWN, 12, 9), {}), ("Recurrent", (OWN, 9, 5), {})]),
    "even pool": ((2, 4, 6), [SILENT_INPUT, ("Pool", (CUBA, 2), {"weight_scale": 0.3}), ("Flatten", (), {}), ("Dense", (CUBA, 12, 4), {})]),
    "pool by three": ((1, 6, 5), [SILENT_INPUT, ("Pool", (CUBA, 3), {"weight_scale": 0.15})]),
    "normed": ((12,), [("Dense", (NORMED, 12, 9), {}), ("Dense", (CUBA, 9, 5), {})]),
    "normed images": ((2, 5, 4), [SILENT_INPUT, ("Conv", (NORMED, 2, 3, 3), {})]),
    "encoded": ((6,), [("Input", (FAST,), {"weight": 1.3, "bias": 0.2}), ("Dense", (CUBA, 6, 5), {})]),
    "encoded, filtered": ((2, 3, 3), [("Input", (CUBA,), {"weight": 0.7, "bias": 0.1}), ("Flatten", (), {}), ("Dense", (CUBA, 18, 5), {})]),
    "affine": ((12,), [("Dense", (CUBA, 12, 9), {}), ("Affine", (FAST, 9, 5), {})]),
    "affine, no dynamics": ((12,), [("Dense", (CUBA, 12, 9), {}), ("Affine", (CUBA, 9, 5), {"dynamics": False})]),
    "weight norm": ((12,), [("Dense", (CUBA, 12, 9), {"weight_norm": True}), ("Recurrent", (CUBA, 9, 5), {"weight_norm": True})]),
}


def built(slayer, name, rng):
    """-> (module that has run once, spikes (T, *shape), outputs of its blocks)."""
    import torch

    shape, blocks = CASES[name]
    normed = CUBA | {"norm": slayer.neuron.norm.MeanOnlyBatchNorm}
    described = [(kind, tuple(normed if each is NORMED else copy.copy(each) for each in arguments), o) for kind, arguments, o in blocks]
    module = network_of(slayer, described)
    spikes = (rng.random((T, *shape)) < 0.3).astype(float)
    outputs(module, spikes)
    for block in module.blocks:
        if getattr(getattr(block, "neuron", None), "norm", None) is not None:
            block.neuron.norm.running_mean = 0.2 * torch.randn(block.neuron.norm.num_features)
    at_rest(module)
    return module, spikes, outputs(module, spikes)


def at_rest(module):
    """Neurons that keep their states from one sample to the next, as those of recurrent blocks, lose them."""
    import torch

    for block in module.blocks:
        if getattr(block, "neuron", None) is not None:
            block.neuron.current_state = block.neuron.voltage_state = torch.zeros(1)


def latencies(module):
    """Steps that each population's spikes are late."""
    shifted = [block.delay_shift for block in module.blocks if getattr(block, "neuron", None) is not None and hasattr(block, "delay_shift")]
    return list(itertools.accumulate(map(int, shifted)))


@pytest.mark.parametrize("name", CASES)
def test_spikes_are_slayers(slayer, name, rng):
    module, spikes, found = built(slayer, name, rng)
    source = read_slayer(module)
    late = latencies(module)
    populations = [
        out for block, out in zip(module.blocks, found, strict=True) if hasattr(block, "delay_shift") and block.neuron is not None
    ]
    exact, potentials = simulate(source, spikes)
    real, real_potentials = run_stages(source, spikes)
    assert len(populations) == len(late) == len(exact) == len(real)
    for k, expected in enumerate(populations):
        np.testing.assert_array_equal(exact[k][: T - late[k]], expected[late[k] :])
        assert (real[k][: T - late[k]] == expected[late[k] :]).mean() >= 0.999
        assert 0.02 < expected.mean() < 0.9
    told = [record.detail for record in source.records if record.parameter == "delay_shift"]
    assert [f"leave {steps} step" in detail for steps, detail in zip(late, told, strict=True)] == [True] * len(late)
    if potentials is not None:
        np.testing.assert_allclose(real_potentials, potentials, atol=0.3)  # spikes agree in these cases
        last, shift = found[-1], late[-1]
        if name == "affine":  # SLAYER rounds the membrane's decay
            np.testing.assert_allclose(potentials[: T - shift], 64 * last[shift:], atol=0.2)
        else:
            factor = 1 if "Average" in type(module.blocks[-1]).__name__ else 64
            np.testing.assert_allclose(potentials[: T - shift], factor * last.cumsum(0)[shift:], atol=1e-3)


@pytest.mark.parametrize("name", [name for name in CASES if name != "convolutions"])
def test_a_file_is_the_network(slayer, name, rng, tmp_path):
    module, _, _ = built(slayer, name, rng)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    source = read_slayer(module)
    assert {key: value.tolist() for key, value in module.state_dict().items()} == {key: value.tolist() for key, value in before.items()}
    read = read_slayer(export(module, tmp_path / "a.net"))
    same(source, read)
    told, expected = ({str(record) for record in each.records if record.parameter != "delay_shift"} for each in (read, source))
    assert told == expected


def test_every_parameter_has_a_record(slayer, rng, tmp_path):
    module, _, _ = built(slayer, "encoded", rng)
    path = export(module, tmp_path / "a.net")
    told = {f"{record.path}/{record.parameter}" for record in read_slayer(path).records}
    stored = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: stored.append(name) if isinstance(item, h5py.Dataset) else None)
    assert {name for name in stored if name not in told} == {"layer/0/type", "layer/1/type"}
    assert len(told) == len(read_slayer(path).records)


def test_a_trained_network(slayer, rng):
    """Trained by SLAYER for some steps: the weights that its optimiser left, not those of the last forward pass."""
    import torch

    module = network_of(slayer, [CASES["weight norm"][1][0], ("Dense", (CUBA, 9, 4), {})])
    spikes, target = (rng.random((T, 12)) < 0.3).astype(float), torch.tensor([0.4, 0.1, 0.3, 0.0])
    optimiser = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(4):
        x = torch.as_tensor(spikes.T[None].astype(np.float32))
        for block in module.train().blocks:
            x = block(x)
        optimiser.zero_grad()
        ((x.mean(-1)[0] - target) ** 2).sum().backward()
        optimiser.step()
    source = read_slayer(module)
    expected = outputs(module.eval(), spikes)[-1]
    np.testing.assert_array_equal(simulate(source, spikes)[0][-1][: T - 2], expected[2:])
    assert module.blocks[0].synapse.weight_norm_enabled


# Stock Lava --------------------------------------------------------------------------------------


EXACT = ["dense", "without an input block", "recurrent", "normed", "weight norm", "convolutions", "even pool", "normed images", "affine"]
EXACT += ["decays of each neuron"]


@pytest.mark.parametrize("name", EXACT)
def test_our_fixed_point_has_its_mantissas(slayer, name, rng):
    module, spikes, _ = built(slayer, name, rng)
    network, source = tpl.convert(module, trace_decay=0.5), read_slayer(module)
    options = network.provenance.fixed
    learner = tpl.Learner(network, precision=options)
    outcome = learner.infer(tpl.Events.from_dense(spikes.reshape(len(spikes), -1)), record=True)
    for ours, expected in zip(outcome.spikes, simulate(source, spikes)[0], strict=True):
        np.testing.assert_array_equal(ours, expected.reshape(ours.shape))
    by_default = tpl.Learner(network, precision="fixed")
    np.testing.assert_array_equal(by_default.mantissas["hidden0"], learner.mantissas["hidden0"])
    assert by_default.fixed == learner.fixed
    changed = network.with_weights({**network.weights, "hidden0": 100 * network.weights["hidden0"]})
    assert tpl.Learner(changed, precision="fixed").fixed == tpl.FixedPoint().resolved(changed)
    assert options.membrane_frac == 6
    assert {options.weight_exponents[key] for key in options.weight_exponents if key != "target"} == {1}
    if name == "dense":
        np.testing.assert_array_equal(2 * learner.mantissas["hidden0"], source.stages[0].weight)


def in_netx(path, spikes):
    """The file in stock Lava, by netx. spikes: (T, *shape). -> (T, n)."""
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer

    chip = Network(net_config=str(path))
    data = np.moveaxis(spikes, 0, -1).astype(int)
    source = RingBuffer(data=data.transpose(2, 1, 0, 3) if data.ndim == 4 else data)  # netx has width, height, channels
    sink = Sink(shape=chip.out.shape, buffer=len(spikes))
    source.s_out.connect(chip.inp)
    chip.out.connect(sink.a_in)
    try:
        with Session(chip, Loihi2SimCfg(select_tag="fixed_pt"), (source, chip, sink)) as session:
            session.run(len(spikes))
            return sink.data.get().T
    finally:
        chip.net_config.f.close()


@pytest.mark.parametrize("name", ["dense", "normed", "images"])
def test_spikes_are_netxs(slayer, name, rng, tmp_path):
    images = [SILENT_INPUT, ("Conv", (CUBA, 2, 3, 3), {"padding": (1, 0), "stride": (2, 1), "weight_scale": 3.0})]
    images += [("Flatten", (), {}), ("Dense", (CUBA, 27, 5), {"weight_scale": 4.0})]
    if name == "images":
        module = network_of(slayer, images, seed=1)
        spikes = (rng.random((T, 2, 6, 5)) < 0.3).astype(float)
        outputs(module, spikes)
    else:
        module, spikes, _ = built(slayer, name, rng)
    path = export(module, tmp_path / "a.net")
    expected = in_netx(path, spikes)
    late = 2  # a step for each block with synapses
    if name == "normed":  # the first neurons have a bias, in the step before the first input too
        spikes, late = np.concatenate((np.zeros((1, 12)), spikes[:-1])), 1
    found = simulate(read_slayer(path), spikes)[0][-1]
    np.testing.assert_array_equal(found[: T - late], expected[late:])
    assert expected.sum() > 20


def test_recurrent_spikes_are_those_of_netxs_processes(slayer, rng, tmp_path):
    """netx has no model of its RecurrentDense for the CPU, so its parts are put together here, with its parameters."""
    from lava.lib.dl.netx.utils import NetDict, optimize_weight_bits
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import Dense as Synapses
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIF

    module = network_of(slayer, [("Recurrent", (CUBA, 12, 9), {})])
    spikes = (rng.random((T, 12)) < 0.3).astype(float)
    outputs(module, spikes)
    path = export(module, tmp_path / "a.net")
    layer = NetDict(str(path))["layer"][0]
    weights, bits, exponent, _ = optimize_weight_bits(np.hstack((layer["weight"], layer["weight_rec"])))
    options = {"num_weight_bits": bits, "weight_exp": exponent}
    source, sink = RingBuffer(data=spikes.T.astype(int)), Sink(shape=(9,), buffer=T)
    forward, back = Synapses(weights=weights[:, :12], **options), Synapses(weights=weights[:, 12:], **options)
    neuron = layer["neuron"]
    lif = LIF(shape=(9,), vth=neuron["vThMant"], du=neuron["iDecay"] - 1, dv=neuron["vDecay"])
    for port, other in ((source.s_out, forward.s_in), (forward.a_out, lif.a_in), (lif.s_out, back.s_in), (back.a_out, lif.a_in)):
        port.connect(other)
    lif.s_out.connect(sink.a_in)
    layer.f.file.close()
    with Session(lif, Loihi2SimCfg(select_tag="fixed_pt"), (source, forward, back, lif, sink)) as session:
        session.run(T)
        expected = sink.data.get().T
    np.testing.assert_array_equal(simulate(read_slayer(path), spikes)[0][0][: T - 1], expected[1:])
    assert expected.sum() > 20


# Files by hand -----------------------------------------------------------------------------------

NEURON = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1, "gradedSpike": False}


def plain():
    """A description with every kind of block that files can have."""
    rng = np.random.default_rng(0)
    pairs = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}
    return [
        {"type": "input", "shape": [2, 5, 4]},
        {"type": "conv", "shape": [3, 5, 4], "weight": even(rng, 3, 2, 3, 3), "groups": 1, "kernelSize": [3, 3], **pairs, "neuron": NEURON},
        {
            "type": "pool",
            "shape": [3, 3, 2],
            "weight": np.full((1, 1, 2, 2), 70.0),
            "kernelSize": [2, 2],
            **(pairs | {"stride": [2, 2], "padding": [0, 0]}),
            "neuron": NEURON,
        },
        {"type": "flatten", "shape": [18, 1, 1]},
        {"type": "dense_rec", "shape": [6], "weight": even(rng, 6, 18), "weight_rec": even(rng, 6, 6), "neuron": NEURON},
        {"type": "dense", "shape": [8, 1, 1], "weight": even(rng, 8, 6), "bias": even(rng, 8) / 2, "neuron": NEURON},
        {"type": "average", "shape": [4, 1, 1]},
    ]


def even(rng, *shape):
    return 2.0 * rng.integers(-60, 60, shape)


def write(path, layers, **rest):
    """layers: dicts of dicts or values; text as lava-dl writes it."""
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(layers):
            fill(file.create_group(f"layer/{number}"), layer)
        fill(file, rest)
    return path


def fill(group, tree):
    for name, value in tree.items():
        if isinstance(value, dict):
            fill(group.create_group(name), value)
        elif name == "type" and isinstance(value, str) and "neuron" not in group.name:
            group.create_dataset(name, (1,), "S10", [value.encode()])
        else:
            group.create_dataset(name, data=value)


def test_a_file_by_hand(tmp_path):
    source = read_slayer(write(tmp_path / "a.net", plain(), simulation={"Ts": 1}))
    kinds = ["Convolution", "Spiking", "Convolution", "Spiking", "Dense", "Spiking", "Dense", "Spiking", "Dense", "Integrating"]
    assert [type(stage).__name__ for stage in source.stages] == kinds
    spiking = source.stages[-3]
    assert (spiking.current_decay, spiking.decay, spiking.threshold, spiking.comparison) == (0.75, 31 / 32, 80.0, ">")
    assert (spiking.reset, spiking.offset.shape) == ("zero", (8,))
    np.testing.assert_array_equal(source.stages[-2].weight @ np.arange(8), [0.5, 2.5, 4.5, 6.5])
    records = {str(record) for record in source.records}
    assert "/.simulation: ignored (of the simulation that it was trained with)" in records
    assert "layer/5/neuron.vThMant: kept (a spike where the membrane is > 80, which is then 0)" in records
    options = fixed_point_of(source)
    assert options.weight_exponents == {"hidden0": 1, "target": 0, "hidden1": 1, "hidden2": 1, "recurrent2": 1, "hidden3": 1}


def dense(**changes):
    """A single dense block."""
    return {"type": "dense", "shape": [3], "weight": [[2.0, -4], [6, 8], [0, 2]], "neuron": NEURON} | changes


@pytest.mark.parametrize(
    ("last", "decay", "offset"),
    [
        ({}, 1.0, 0.0),  # no neuron: summed
        ({"neuron": NEURON | {"vThMant": 2**18 - 1, "iDecay": 4096, "vDecay": 1024}}, 0.75, 0.0),
        ({"neuron": NEURON | {"vThMant": 2**17 - 1, "iDecay": 4096, "vDecay": 0}, "bias": [5.0]}, 1.0, 5.0),
        ({"neuron": NEURON | {"vThMant": 2**17, "iDecay": 0, "vDecay": 4096}}, 1.0, 0.0),
    ],
)
def test_readouts(last, decay, offset, tmp_path):
    layer = {"type": "dense", "shape": [2, 1, 1], "weight": np.arange(6.0)} | last
    source = read_slayer(write(tmp_path / "a.net", [dense(), layer]))
    readout = source.stages[-1]
    assert isinstance(readout, Integrating)
    assert (readout.decay, readout.offset, source.input_shape) == (decay, offset, (2,))
    assert source.stages[-2].weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert fixed_point_of(source).weight_exponents["readout"] == 0


def test_what_eight_bits_with_sign_do_not_hold_is_told(tmp_path):
    source = read_slayer(write(tmp_path / "a.net", [dense(weight=[[-256.0, 254], [0, 0], [-256, 2]])]))
    assert "2 are -256, which fixed point holds as -254" in next(f.detail for f in source.records if f.parameter == "weight")
    network = tpl.convert(source)
    learner = tpl.Learner(network, precision=fixed_point_of(source))
    assert learner.weights["hidden0"].tolist() == [[-254, 254], [0, 0], [-254, 2]]


def test_decays_of_each_unit(tmp_path):
    source = read_slayer(write(tmp_path / "a.net", [dense(neuron=NEURON | {"iDecay": [1024, 2048, 4096]})]))
    np.testing.assert_array_equal(source.stages[-1].current_decay, [0.75, 0.5, 0.0])


# Driven by an image -------------------------------------------------------------------------------


SLIM = {"stride": [2, 1], "padding": [1, 0]}


def pilotnet():
    """As PilotNet: an input block that turns an image into spikes, convolutions with strides, dense blocks, one output."""
    rng = np.random.default_rng(0)
    pairs = {"stride": [2, 2], "padding": [0, 0], "dilation": [1, 1]}
    neuron = {"type": "LOIHI", "iDecay": 4096, "vDecay": 1024, "vThMant": 80, "refDelay": 1, "wgtExp": 0}
    return [
        {"type": "input", "shape": [3, 12, 20], "weight": 40.0, "bias": 36.0, "neuron": neuron | {"vThMant": 40}},
        {"type": "conv", "shape": [6, 5, 9], "weight": even(rng, 6, 3, 3, 3), "bias": even(rng, 6), **pairs, "neuron": neuron},
        {"type": "conv", "shape": [4, 3, 7], "weight": even(rng, 4, 6, 3, 3), **pairs, **SLIM, "neuron": neuron},
        {"type": "flatten", "shape": [1, 1, 84]},
        {"type": "dense", "shape": [9, 1, 1], "weight": even(rng, 9, 84), "bias": even(rng, 9), "neuron": neuron},
        {"type": "dense", "shape": [1, 1, 1], "weight": even(rng, 9), "neuron": neuron | {"vThMant": 2**17 - 1, "vDecay": 0}},
    ]  # fmt: skip


def test_a_network_like_pilotnet(rng, tmp_path):
    """Its spikes are those of its stages, and in fixed point those of Lava's integers."""
    path = write(tmp_path / "a.net", pilotnet())
    network = tpl.convert(path, input_format=IMAGES)
    assert network.input_shape == (3, 12, 20)
    image = np.rint(rng.uniform(-1, 1, (3, 12, 20)) * 32) / 32
    frames = np.repeat(image[None], 30, axis=0)
    expected, potentials = run_stages(read_slayer(path), frames)
    assert all(0.02 < spikes.mean() < 0.95 for spikes in expected)
    events = tpl.Events.constant(image, 30)
    told = tpl.Learner(network).infer(events, record=True)
    for ours, theirs in zip(told.spikes, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(told.scores, [potentials[-1, 0], 0.0], rtol=1e-4)
    fixed = tpl.Learner(network, precision=network.provenance.fixed).infer(events, record=True)
    for ours, theirs in zip(fixed.spikes, simulate(read_slayer(path), frames)[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_images_are_slayers(slayer, rng):
    """SLAYER rounds an image to 1/32, as IMAGES does."""
    blocks = [("Input", (FAST,), {"weight": 0.8, "bias": 0.2}), ("Conv", (FAST, 2, 4, 3), {"weight_scale": 4.0}), ("Flatten", (), {})]
    module = network_of(slayer, [*blocks, ("Dense", (CUBA, 48, 5), {"weight_scale": 3.0})], seed=4)
    image = rng.uniform(-1, 1, (2, 6, 5))
    found = outputs(module, np.repeat(image[None], T, axis=0))
    network = tpl.convert(module, input_format=IMAGES)
    learner = tpl.Learner(network, precision=network.provenance.fixed)
    told = learner.infer(tpl.Events.constant(image, T), record=True)
    for ours, theirs, late in zip(told.spikes, (found[0], found[1], found[3]), latencies(module), strict=True):
        np.testing.assert_array_equal(ours[: T - late], theirs[late:])
        assert 0.02 < theirs.mean() < 0.95


def test_pilotnets_spikes_are_those_of_loihi():
    """lava-dl's PilotNet and what Loihi did with one picture, as their wheel has both. Their image comes with weight and bias applied."""
    folder = Path(pytest.importorskip("lava").__path__[0]).parent / "tests/lava/lib/dl/netx/gts/pilotnet_lif"
    if not (folder / "network.net").is_file():
        pytest.skip("this lava-dl came without its tests")
    network = tpl.convert(folder / "network.net", input_format=tpl.Format(9, 0))
    drive = {"hidden0": np.ones_like(network.weights["hidden0"]), "bias0": np.zeros_like(network.weights["bias0"])}
    exponents = network.provenance.fixed.weight_exponents | {"hidden0": 0}
    learner = tpl.Learner(network.with_weights(drive), precision=replace(network.provenance.fixed, weight_exponents=exponents))
    steps, picture = 16, np.load(folder / "image.npy").T  # theirs are (width, height, channels)
    told = learner.infer(tpl.Events.constant(picture, steps), record=True)
    names = ["input", *(f"conv-{k}" for k in range(5)), *(f"fc-{k}" for k in range(3))]
    for late, (name, ours) in enumerate(zip(names, told.spikes, strict=True)):
        theirs = np.load(folder / f"{name}.npy")[..., :steps]
        np.testing.assert_array_equal(ours[: steps - late], theirs.T.reshape(steps, -1)[late:], name)


LAYER = "^convert: layer/0: "
SICK = r"^convert: layer/0/neuron: "
IMAGE = {"type": "input", "shape": [2, 5, 4]}
POOL = plain()[2]
CONV = plain()[1]
BAD = [  # (blocks, message)
    (
        [dense(neuron=NEURON | {"type": "ALIF"})],
        SICK + "type is 'ALIF', whose spikes do not reset .*, but must be CUBA .*; rebuild it with block.cuba.$",
    ),
    ([dense(neuron=NEURON | {"type": "SDNN"})], SICK + "type is 'SDNN'"),
    ([{"type": "input", "shape": [2, 5, 4], "neuron": {"type": "SDNN", "vThMant": 3}}], SICK + "type is 'SDNN', .* with block.cuba"),
    ([dense(neuron=NEURON | {"gradedSpike": True})], SICK + "gradedSpike is True, but must be whole, 0..0; spikes are 0 or 1; train with"),
    ([dense(neuron=NEURON | {"messageBits": 8})], SICK + "messageBits is 8"),
    ([dense(neuron=NEURON | {"refDelay": 3})], SICK + "refDelay is 3, but must be whole, 1..1; there is no refractory"),
    ([dense(neuron=NEURON | {"wgtExp": 2})], SICK + "wgtExp is 2"),
    ([dense(neuron=NEURON | {"weight_exp": 1.0})], SICK + "weight_exp is 1.0, .*; netx drops it; use MeanOnlyBatchNorm.$"),
    ([dense(neuron=NEURON | {"iDecay": 0})], SICK + "iDecay is 0, but must be whole, 1..4096; train with decays above 0"),
    ([dense(neuron=NEURON | {"vDecay": 5000})], SICK + "vDecay is 5000"),
    (
        [dense(neuron=NEURON | {"vDecay": [1, 2]})],
        SICK + r"vDecay is of shape \(2,\), but must be one number, or one for each .* unit of \(3,\)",
    ),
    ([dense(neuron=NEURON | {"vThMant": 0})], SICK + "vThMant is 0, but must be whole, 1..131070; give it a threshold"),
    ([dense(neuron={"type": "CUBA"})], SICK + "vThMant is missing, but must be numbers; export the network anew"),
    ([dense(neuron=7)], LAYER + "neuron is of type ndarray, but must be a group"),
    ([dense(delay=[0.0, 0, 2.5])], LAYER + "delay is 2.5, but must be whole, 0..63; train with max_delay=62.$"),
    ([dense(weight=[[0.5, 2], [2, 2], [2, 2]])], LAYER + "weight is 0.5, but must be whole, -256..254; requantise it"),
    ([dense(weight=[[np.nan, 2], [2, 2], [2, 2]])], LAYER + "weight is nan"),
    ([dense(weight=[[129.0, 2], [2, 2], [2, 2]])], LAYER + "weight is odd here and there, but must be even, or within -127..127"),
    ([dense(weight={"real": [1.0], "imag": [1.0]})], LAYER + "weight is complex, but must be one real array"),
    ([dense(weight=np.zeros((2, 3)))], LAYER + r"weight is of shape \(2, 3\), but must be of shape \(3, inputs\)"),
    ([dense(bias=[1.0, 2])], LAYER + r"bias is of shape \(2,\), but must be one number, or one for each .* unit of \(3,\)"),
    ([dense(shape=[3, 2])], LAYER + r"shape is \(3, 2\), but must be \(n,\) or \(channels, height, width\)"),
    ([dense(type="convT")], LAYER + "type is 'convT', but must be one of input, flatten, conv, pool, average, dense, dense_rec; rebuild"),
    ([dense(type="dense_rec", weight_rec=np.zeros((3, 3)), bias=[2.0])], LAYER + "bias is not 0, .*: SLAYER filters the bias with them"),
    ([CONV], LAYER + "input is of unknown size, but must be given by an input block; put block.cuba.Input"),
    ([dense(), CONV], r"^convert: layer/1: input is of shape \(3,\), but must be \(channels, height, width\)"),
    ([IMAGE, IMAGE], "^convert: layer/1: type is 'input', but must be that of the first block only"),
    ([IMAGE], "^convert: layer: neurons is absent"),
    ([IMAGE, CONV | {"shape": [3, 4, 4]}], r"layer/1: shape is \(3, 4, 4\), but must be \(3, 5, 4\), which the input of \(2, 5, 4\) gives"),
    ([IMAGE, CONV | {"groups": 2}], "^convert: layer/1: groups is 2, but must be a divisor of the 3 channels"),
    ([IMAGE, CONV | {"groups": 3}], r"layer/1: weight is of shape \(3, 2, 3, 3\) with groups 3, but must be for the 2 channels"),
    ([IMAGE, POOL | {"stride": [1, 1]}], r"layer/1: stride is \(1, 1\), but must be \(2, 2\), for else SLAYER's Pool mixes channels; pool"),
    ([IMAGE, POOL | {"kernelSize": [3, 3]}], r"layer/1: weight is of 4 numbers, but must be of \(3, 3\), the kernelSize"),
    ([{"type": "average", "shape": [2]}], LAYER + "type is 'average', but must be behind a spiking block"),
    ([dense(), {"type": "average", "shape": [2]}], "layer/1: shape is 2, but must be a divisor of the 3 units before it"),
    ([dense(), {"type": "average", "shape": [3]}, dense(weight=np.zeros((3, 3)))], "layer/1: place is before layer/2, but must be last"),
    ([dense(), dense(weight=np.zeros((3, 3)), neuron=NEURON | {"vThMant": 2**18}), dense()], "layer/1/neuron: iDecay is another decay"),
]


@pytest.mark.parametrize(("layers", "message"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_carried_over(layers, message, tmp_path):
    with pytest.raises(tpl.InvalidValueError, match=message):
        read_slayer(write(tmp_path / "a.net", layers))


def test_other_things(tmp_path):
    with pytest.raises(tpl.InvalidValueError, match="^convert: int: source is 7, but must be a path, or a network with .blocks; pass"):
        read_slayer(7)
    with pytest.raises(tpl.InvalidValueError, match="^convert: int: blocks is 7, but must be the blocks of a SLAYER network"):
        read_slayer(types.SimpleNamespace(blocks=7))
    with pytest.raises(FileNotFoundError):
        read_slayer(tmp_path / "absent.net")
    with pytest.raises(tpl.errors.ArchiveError, match="has no group 'layer' with the blocks of a SLAYER network"):
        read_slayer(write(tmp_path / "a.net", []))
    with pytest.raises(tpl.errors.ArchiveError, match="has no group 'layer/0', but 1 blocks"):
        read_slayer(write(tmp_path / "b.net", [], layer={"1": dense()}))
    with pytest.raises(tpl.InvalidValueError, match="format is 'nir', but must be 'slayer'"):
        fixed_point_of(Source("nir", (3,), []))


def test_networks_that_cannot_be_exported(slayer):
    blocks = [("Dense", (CUBA, 3, 2), {})]
    with pytest.raises(tpl.InvalidValueError, match="layer/0: shape is not a number, but must be whole numbers; run the network once"):
        read_slayer(network_of(slayer, blocks))
    module = network_of(slayer, blocks)
    outputs(module, np.zeros((2, 3)))
    module.blocks[0].synapse.pre_hook_fx = None
    with pytest.raises(tpl.InvalidValueError, match="layer/0: export_hdf5 is failing"):
        read_slayer(module)
    module.blocks[0] = slayer.block.cuba.KWTA(dict(CUBA), 3, 2, 1)
    with pytest.raises(tpl.InvalidValueError, match="layer/0: type is KWTA, but must be a block that lava-dl exports"):
        read_slayer(module)
    module.blocks[0] = slayer.block.alif.Dense(CUBA | {"threshold_step": 0.1, "threshold_decay": 0.1, "refractory_decay": 0.1}, 3, 2)
    outputs(module, np.zeros((2, 3)))
    with pytest.raises(tpl.InvalidValueError, match="layer/0/neuron: type is 'ALIF'"):
        read_slayer(module)


# Files by nobody -----------------------------------------------------------------------------------


def hostile(directory, count, seed=0):
    """Reads `count` damaged or malicious files. -> how many were still readable; anything but our errors comes through."""
    rng, readable = np.random.default_rng(seed), 0
    path, good = directory / "hostile.net", write(directory / "good.net", plain()).read_bytes()
    attacks = [truncated, flipped, zeroed, changed, without, cyclic, linked, huge]
    for number in range(count):
        attacks[number % len(attacks)](path, good, rng)
        try:
            source = read_slayer(path)
            fixed_point_of(source)
            readable += 1
        except tpl.TpLavaError:
            pass
    return readable


def truncated(path, good, rng):
    path.write_bytes(good[: rng.integers(len(good))])


def flipped(path, good, rng):
    data = bytearray(good)
    for at in rng.integers(0, len(good), rng.integers(1, 30)):
        data[at] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def zeroed(path, good, rng):
    data, at = bytearray(good), rng.integers(len(good))
    data[at : at + 64] = rng.bytes(64)
    path.write_bytes(data[: len(good)])


def places(file):
    found = []
    file.visititems(lambda name, item: found.append(name))
    return found


def opened(path, good):
    path.write_bytes(good)
    return h5py.File(path, "r+")


def changed(path, good, rng):
    """One entry is something else."""
    others = [
        np.nan,
        -1,
        2**40,
        "text",
        np.zeros((0,)),
        np.zeros((2, 2, 2)),
        1j,
        [b"dense"],
        np.inf,
        np.uint64(2**63),
        h5py.Empty("f"),
        True,
    ]
    with opened(path, good) as file:
        names = places(file)
        name = names[rng.integers(len(names))]
        del file[name]
        file[name] = others[rng.integers(len(others))]


def without(path, good, rng):
    with opened(path, good) as file:
        names = places(file)
        del file[names[rng.integers(len(names))]]


def cyclic(path, good, rng):
    with opened(path, good) as file:
        groups = ["/", *(name for name in places(file) if isinstance(file[name], h5py.Group))]
        file[groups[rng.integers(len(groups))]]["again"] = file[groups[rng.integers(len(groups))]]


def linked(path, good, rng):
    links = [h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/layer"), h5py.ExternalLink(str(path), "/layer")]
    with opened(path, good) as file:
        names = places(file)
        name = names[rng.integers(len(names))]
        del file[name]
        file[name] = links[rng.integers(len(links))]


def huge(path, good, rng):
    """Claims of sizes that nobody could hold, some of them never written."""
    with opened(path, good) as file:
        names = [name for name in places(file) if isinstance(file[name], h5py.Dataset) and file[name].dtype.kind in "if"]
        name = names[rng.integers(len(names))]
        del file[name]
        if name.endswith("shape") and rng.random() < 0.5:
            file[name] = rng.choice([2**20, 2**40, 2**62, 0, -5], rng.integers(1, 5))
        else:
            file.create_dataset(name, (2**40,), "f4", chunks=(2**16,))


def test_hostile_files(tmp_path):
    assert hostile(tmp_path, 48) < 24
