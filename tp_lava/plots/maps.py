"""Pictures of convolutions: kernels, and maps of neurons."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from tp_lava.errors import invalid
from tp_lava.plots.style import ABOUT_ZERO, FROM_ZERO, array_of, drawing, finished

_GAP = 1  # between the tiles of a mosaic


@drawing
def kernels(axes: Axes, kernel: np.ndarray, *, largest: float | None = None) -> Axes:
    """A kernel, (channels, channels below, y, x): a column for each channel, a row for each channel below.

    largest: the absolute value with the strongest colour, by default the largest there is.
    """
    values = array_of("plots.kernels", "kernel", kernel, 4)
    bound = float(np.abs(values).max()) or 1.0 if largest is None else largest
    axes.imshow(_mosaic(np.swapaxes(values, 0, 1)), cmap=ABOUT_ZERO, interpolation="nearest", vmin=-bound, vmax=bound)
    return _bare(axes, f"{values.shape[0]} channels", f"{values.shape[1]} below")


@drawing
def maps(axes: Axes, values: np.ndarray, shape: tuple[int, int, int], *, columns: int = 8) -> Axes:
    """Numbers of the units of maps, (n,), for example spikes summed over steps: a picture for each channel.

    shape: (channels, height, width); columns: pictures side by side.
    """
    flat = array_of("plots.maps", "values", values, 1)
    if flat.size != int(np.prod(shape)):
        raise invalid("plots.maps", "values", f"{flat.size} long", f"one for each unit of {shape}", "pass a population's output_shape")
    channels = flat.reshape(shape)
    rows = -(-shape[0] // columns)
    padded = np.full((rows * columns, *shape[1:]), np.nan)
    padded[: shape[0]] = channels
    axes.imshow(_mosaic(padded.reshape(rows, columns, *shape[1:])), cmap=FROM_ZERO, interpolation="nearest")
    return _bare(axes, f"{shape[0]} channels", "")


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """(rows, columns, y, x) as one picture, with gaps."""
    spaced = np.pad(tiles.astype(float), ((0, 0), (0, 0), (0, _GAP), (0, _GAP)), constant_values=np.nan)
    rows, columns, height, width = spaced.shape
    return spaced.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-_GAP, :-_GAP]


def _bare(axes: Axes, xlabel: str, ylabel: str) -> Axes:
    finished(axes, xlabel=xlabel, ylabel=ylabel)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes
