"""The papers' convolutional networks as layers: 3 x 3 convolutions, poolings of 2 x 2, an average at the end."""

from __future__ import annotations

import tp_lava as tpl
from tp_lava.graph.sequential import LayerSpec

VGG_6 = "64 128p 256 512p 512"
VGG_9 = "64 128p 256 256p 512 512p 512 512"
VGG_12 = "64 64p 128 128p 256 256 256p 512 512 512 512"
_KAIMING = 6**0.5  # uniform weights of variance 2 / fan-in


def vgg(maps: str, weights: tpl.Standardisation, places: int) -> list[LayerSpec]:
    """maps: channels of each convolution, p: a maximum pooling follows; places: the last maps are averaged to so many by so many."""
    layers: list[LayerSpec] = []
    for word in maps.split():
        layers.append(tpl.Conv2d(int(word.rstrip("p")), 3, padding=1, standardised=weights, gain=_KAIMING))
        layers += [tpl.MaxPool2d(2)] if word.endswith("p") else []
    return [*layers, tpl.AdaptiveAvgPool2d(places)]
