"""Damaged .tplava files: cut, flipped, and with another header."""

import json
import struct

import numpy as np

import tp_lava as tpl
from tp_lava.archive import load_network
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer, Network
from tp_lava.graph.pooling import Pool2d

WRONG = (None, True, -1, 0, 1e400, 2**62, "a", [], {}, [[]], {"type": "Network"}, {"type": "LIF"}, {"type": "__import__"}, float("nan"))


def good_file(path):
    """A network with all that a file can hold."""
    spatial = Convolution((1, 6, 6), 2, (3, 3), pooling=(Pool2d((2, 2), (2, 2)),))
    neuron = tpl.LIF((0.9, 0.8, 0.7), reset_by=1.1, adaptation=(0.1, 0.0, 0.2), refractory=(0, 1, 2))
    layers = (Layer(spatial.size, tpl.LIF(0.9), 0.9, connection=spatial), Layer(3, neuron, (0.9, 0.8, 0.7), recurrent=True))
    rng = np.random.default_rng(0)
    shapes = {
        "hidden0": spatial.weight_shape,
        "hidden1": (3, spatial.size),
        "recurrent1": (3, 3),
        "readout": (2, 3),
    }
    tpl.save_network(Network.of_layers(36, layers, 2, {name: rng.normal(size=shape) for name, shape in shapes.items()}, 0.9), path)
    return path.read_bytes()


def fuzz(count, folder, seed=0):
    """Read `count` damaged files. -> how many could still be read; anything but our errors comes through."""
    rng, path, readable = np.random.default_rng(seed), folder / "hostile.tplava", 0
    good = good_file(folder / "good.tplava")
    for number in range(count):
        path.write_bytes((cut, flipped, described_otherwise)[number % 3](good, rng))
        try:
            load_network(path)
            readable += 1
        except tpl.TpLavaError:
            continue
    return readable


def cut(good, rng):
    return good[: rng.integers(len(good))]


def flipped(good, rng):
    content = bytearray(good)
    for place in rng.integers(len(good), size=rng.integers(1, 6)):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def described_otherwise(good, rng):
    """Another value somewhere in the description."""
    (size,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + size])
    described = json.loads(header["__metadata__"]["tp_lava"])
    places = list(leaves(described))
    holder, key = places[rng.integers(len(places))]
    holder[key] = WRONG[rng.integers(len(WRONG))]
    header["__metadata__"]["tp_lava"] = "[" * 100_000 if rng.random() < 0.05 else json.dumps(described)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + good[8 + size :]


def leaves(value):
    """(holder, key) of everything in nested dicts and lists."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from leaves(value[key])
