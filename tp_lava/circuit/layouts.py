"""Layouts of stored weights: what their axes are."""

from __future__ import annotations

from tp_lava.circuit.operations import Buffer


def axes_of(weights: Buffer) -> tuple[str, ...]:
    """Short names of the axes of stored weights: biases, matrices, kernels, kernels of all positions."""
    return {1: ("post",), 2: ("pre", "post"), 4: ("in", "y", "x", "out"), 6: ("oy", "ox", "in", "y", "x", "out")}[len(weights.axes)]


def reaching_axes(weights: Buffer) -> tuple[str, ...]:
    """Of these, the axes along which lie the weights that reach one unit, or one channel where positions share them."""
    return ("pre",) if len(weights.axes) == 2 else ("in", "y", "x")
