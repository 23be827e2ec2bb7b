"""What a chain or graph of stages means, in NumPy and double precision: the oracle of the converters."""

import numpy as np

from tp_lava.convert.joins import Added, Joined, Scaled
from tp_lava.convert.stages import Convolution, Delayed, Dense, Integrating, Pooling, Spiking


def run_stages(source, spikes):
    """spikes: (T, *input_shape). -> (spikes of each population, each (T, n); readout's potential (T, classes), or None)."""
    states = [{} for _ in source.stages]
    populations, potentials = [[] for s in source.stages if isinstance(s, Spiking)], []
    for frame in np.asarray(spikes, np.float64):
        number, potential, made = 0, None, {-1: frame.reshape(source.input_shape)}
        for place, (stage, state) in enumerate(zip(source.stages, states, strict=True)):
            given = [made[each] for each in source.inputs_of(place)]
            x = given[0]
            if isinstance(stage, Added | Joined):
                given = [each.ravel() for each in given] if stage.flat else given
                x = sum(given) if isinstance(stage, Added) else np.concatenate(given)
            elif isinstance(stage, Scaled):
                x = per_unit(stage.factor, x) * x
            elif isinstance(stage, Dense):
                x = stage.weight.astype(np.float64) @ x.ravel()
                x = x + (0 if stage.bias is None else stage.bias)
            elif isinstance(stage, Convolution):
                x = convolved(x, stage)
            elif isinstance(stage, Pooling):
                x = pooled(x, stage)
            elif isinstance(stage, Delayed):
                x = delayed(x, stage, state)
            elif isinstance(stage, Spiking):
                x = fired(x, stage, state)
                populations[number].append(x.ravel())
                number += 1
            elif isinstance(stage, Integrating):
                drive = per_unit(stage.gain, x) * x + per_unit(stage.offset, x)
                state["m"] = x = per_unit(stage.decay, x) * state.get("m", 0.0) + drive
                potential = x.ravel()
            else:
                raise TypeError(stage)
            made[place] = x
        potentials.append(potential)
    return [np.array(p) for p in populations], None if potentials[0] is None else np.array(potentials)


def per_unit(parameter, x):
    """A parameter against x: one per channel of a (c, h, w) population, else one per unit or a single number."""
    array = np.asarray(parameter, np.float64)
    if x.ndim == 3 and array.shape == x.shape[:1]:
        return array[:, None, None]
    return array.reshape(x.shape) if array.size == x.size else array


def fired(x, stage, state):
    last = state.get("s", np.zeros(x.size))
    u = per_unit(stage.current_decay, x) * state.get("u", 0.0) + per_unit(stage.gain, x) * x
    if stage.feedback is not None:
        u = u + (stage.feedback.astype(np.float64) @ last.ravel()).reshape(x.shape)
    silent, v = state.get("silent", np.zeros(x.shape)), state.get("v", np.zeros(x.shape))
    pre = np.where(silent > 0, v, per_unit(stage.decay, x) * v + u + per_unit(stage.offset, x))
    theta = per_unit(stage.threshold, x)
    a = per_unit(stage.adaptation_decay, x) * state.get("a", 0.0) + last.reshape(x.shape)
    raised = theta + per_unit(stage.adaptation, x) * a
    spiked = (pre >= raised if stage.comparison == ">=" else pre > raised) & (silent == 0)
    if stage.reset == "subtract":
        v = pre - spiked * (theta if stage.reset_by is None else per_unit(stage.reset_by, x))
    else:
        v = np.where(spiked, 0.0, pre)
    silent = np.where(spiked, per_unit(stage.refractory, x), np.maximum(silent - 1, 0))
    state.update(u=u, v=v, s=spiked.astype(np.float64), a=a, silent=silent)
    return state["s"]


def delayed(x, stage, state):
    """x[t - steps], zero before the first."""
    past = state.setdefault("past", [])
    past.append(x.ravel())
    steps = np.broadcast_to(per_unit(stage.steps, x), x.shape).ravel().astype(int)
    return np.array([past[-1 - d][j] if d < len(past) else 0.0 for j, d in enumerate(steps)]).reshape(x.shape)


def convolved(x, stage):
    (py, px), (sy, sx), (dy, dx) = stage.padding, stage.stride, stage.dilation
    c_out, c_in, ky, kx = stage.weight.shape
    padded = np.pad(x, ((0, 0), (py, py), (px, px)))
    height = (padded.shape[1] - dy * (ky - 1) - 1) // sy + 1
    width = (padded.shape[2] - dx * (kx - 1) - 1) // sx + 1
    out = np.zeros((c_out, height, width))
    for o in range(c_out):
        first = o // (c_out // stage.groups) * c_in
        for i in range(c_in):
            for a in range(ky):
                for b in range(kx):
                    rows = padded[first + i, a * dy : a * dy + sy * (height - 1) + 1 : sy]
                    out[o] += stage.weight[o, i, a, b].astype(np.float64) * rows[:, b * dx : b * dx + sx * (width - 1) + 1 : sx]
    return out if stage.bias is None else out + stage.bias[:, None, None]


def pooled(x, stage):
    if not stage.is_sum:
        return windowed(x, stage)
    kernel = np.eye(len(x))[:, :, None, None] * np.ones(stage.kernel) * stage.scale
    return convolved(x, Convolution("", kernel, None, stage.stride, stage.padding))


def windowed(x, stage):
    """Maxima, and windows of PyTorch's adaptive poolings: from floor(i n / size) to ceil((i + 1) n / size)."""
    n, reduced = x.shape[1:], np.max if stage.mode == "max" else np.mean
    if stage.size is None:
        (py, px), (ky, kx), (sy, sx) = stage.padding, stage.kernel, stage.stride
        x = np.pad(x, ((0, 0), (py, py), (px, px)))
        rows, columns = ([(a, a + k) for a in range(0, m - k + 1, s)] for m, k, s in zip(x.shape[1:], (ky, kx), (sy, sx), strict=True))
    else:
        rows, columns = ([(i * m // size, -(-(i + 1) * m // size)) for i in range(size)] for m, size in zip(n, stage.size, strict=True))
    return np.array([[[reduced(plane[a:b, c:d]) for c, d in columns] for a, b in rows] for plane in x]) * stage.scale
