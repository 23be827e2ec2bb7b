"""Parameters of neurons: one number for a whole population, or one a neuron, of maps also one a channel.

Several numbers are a tuple, so that what holds them can be compared and hashed. A program reads them over the axis of its neurons,
one number without axes: with one number a circuit is what it would be if there were no others.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from tp_lava.checks import is_number
from tp_lava.errors import invalid

Parameter = float | tuple[float, ...]
TIME_CONSTANT = "a time constant tau gives exp(-1 / tau)"


def as_parameter(value):
    """A list, tuple or array of numbers as a tuple of them, in C order; anything else as it is."""
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.ravel().tolist()
    if not isinstance(value, list | tuple):
        return value
    return tuple(float(number) if is_number(number) else number for number in value)


def check_parameter(obj: str, attr: str, value: object, limit: str, holds: Callable[[float], bool], remedy: str) -> None:
    """Refuse a parameter with a number for which `holds` is false, or with something that is no number. Raises InvalidValueError."""
    several = isinstance(value, tuple)
    each = value if isinstance(value, tuple) else (value,)
    if not each:
        raise invalid(obj, attr, "empty", f"a number {limit}, or one a neuron", remedy)
    for place, number in enumerate(each):
        if not is_number(number) or not holds(number):
            found = f"{number!r} of neuron {place}" if several else number
            raise invalid(obj, attr, found, f"a number {limit}", remedy)


def check_decay(obj: str, attr: str, value: object) -> None:
    """Refuse a decay factor, or one a neuron, outside [0, 1)."""
    check_parameter(obj, attr, value, "in [0, 1)", lambda decay: 0 <= decay < 1, TIME_CONSTANT)


def check_count(obj: str, attr: str, value: object, shape: tuple[int, ...]) -> None:
    """Refuse several numbers that are not one for each neuron, or channel, of a population of this shape."""
    if not isinstance(value, tuple):
        return
    channels = len(shape) == 3
    if len(value) not in ((prod(shape), shape[0]) if channels else (prod(shape),)):
        limit = f"one number, or one for each of {prod(shape)} neurons" + (f" or {shape[0]} channels" if channels else "")
        raise invalid(obj, attr, f"{len(value)} numbers", limit, "give as many as there are neurons")


def is_per_neuron(value: object) -> bool:
    """Whether a parameter has several numbers."""
    return isinstance(value, tuple)


def axes_of(value: object) -> tuple[str, ...]:
    """The axes over which a program of neurons reads a parameter."""
    return ("n",) if is_per_neuron(value) else ()


def lowest(value: Parameter) -> float:
    """The smallest number of a parameter."""
    return min(value) if isinstance(value, tuple) else value


def highest(value: Parameter) -> float:
    """The largest number of a parameter."""
    return max(value) if isinstance(value, tuple) else value


def mean(value: Parameter) -> float:
    """The mean of a parameter over its neurons."""
    return sum(value) / len(value) if isinstance(value, tuple) else value


def spread(value: Parameter, shape: tuple[int, ...]) -> float | np.ndarray:
    """A parameter as one number, or as an array of one for each neuron of a population of this shape, (n,), float64."""
    if not isinstance(value, tuple):
        return value
    return np.repeat(np.asarray(value, np.float64), prod(shape) // len(value))


def shown(value: object) -> str:
    """A value in an error: several numbers by their range, anything else as it is written."""
    return in_words(value) if isinstance(value, tuple) and all(map(is_number, value)) and value else repr(value)


def in_words(value: Parameter | list[float]) -> str:
    """One number, or the range of several."""
    return f"{min(value):g} to {max(value):g}" if isinstance(value, tuple | list) else f"{value:g}"
