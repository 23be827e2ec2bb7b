"""Checks of a network: its graph, its sizes and its weights. Each raises InvalidValueError, naming what does not fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from tp_lava.errors import invalid
from tp_lava.graph import names
from tp_lava.graph.connections import ConnectionKind
from tp_lava.graph.delays import AnyDelays, SynapticDelays
from tp_lava.graph.elements import Connection, Population


def check_graph(n_inputs: int, populations: Sequence[Population], connections: Sequence[Connection], n_classes: int) -> None:
    """Names, sizes and the order of populations."""
    known = {names.INPUT: n_inputs}
    labels = [*(p.name for p in populations), *(c.name for c in connections)]
    for label in labels:
        if not (isinstance(label, str) and label.isprintable()):
            raise invalid("Network", "name", repr(label)[:60], "text without control characters", "rename it")
    for kind, given in (("populations", populations), ("connections", connections)):
        twice = sorted({thing.name for thing in given if [t.name for t in given].count(thing.name) > 1})
        if twice:
            raise invalid("Network", kind, f"two of the name {', '.join(twice)}", "with names of their own", "rename one")
    if not populations or sum(c.post == names.READOUT for c in connections) != 1:
        found = f"{len(populations)} populations, connections {', '.join(labels)}"
        limit = f"at least one population, and one connection to {names.READOUT!r}"
        raise invalid("Network", "connections", found, limit, "make one with Network.dense(...)")
    every = {p.name: p.output_size for p in populations}
    for population in populations:
        if not any(c.post == population.name and not c.recurrent for c in connections):
            raise invalid(f"Network: {population.name}", "connections", "none forward", "at least one", "connect it, or leave it out")
        for connection in sorted((c for c in connections if c.post == population.name), key=lambda c: c.recurrent):
            later = {name: size for name, size in every.items() if name not in known}
            _check_connection(connection, later if connection.recurrent else known, population.size)
        known[population.name] = population.output_size
    _check_connection(next(c for c in connections if c.post == names.READOUT), known, n_classes)
    unknown = {c.post for c in connections} - set(known) - {names.READOUT}
    if unknown:
        raise invalid("Network", "connections", f"to {', '.join(sorted(unknown))}", f"to one of {', '.join(every)}", "rename it")


def _check_connection(connection: Connection, known: Mapping[str, int], size: int) -> None:
    obj = connection.name
    if connection.pre not in known:
        order = "not computed before" if connection.recurrent else "computed before"
        remedy = f"{'leave out' if connection.recurrent else 'give it'} recurrent=True, or order the populations as a step computes them"
        raise invalid(obj, "pre", repr(connection.pre), f"one of {', '.join(known)}, which are {order} {connection.post}", remedy)
    kind, below = connection.kind, known[connection.pre]
    if connection.delays:
        below = _check_delays(obj, connection.delays, kind, below)
    if kind.n_inputs != below:
        found = f"from {kind.shape}, {kind.n_inputs} units" if kind.by_place else f"from {kind.n_inputs} units"
        raise invalid(obj, "connection", found, f"from the {below} units below", "check its shape")
    if kind.size != size:
        raise invalid(obj, "connection", f"to {kind.size} units", f"to the {size} units of {connection.post}", "check its shape")


def _check_delays(obj: str, delays: AnyDelays, kind: ConnectionKind, below: int) -> int:
    """-> the units that weights are from."""
    if delays.n_units != below:
        raise invalid(obj, "delays", f"of {delays.n_units} units", f"of the {below} units below", "make them with Delays.of")
    if isinstance(delays, SynapticDelays) and (kind.by_place or len(delays.steps) != kind.synapse_count):
        found, limit = f"of {len(delays.steps)} synapses", f"of an all-to-all connection's {kind.synapse_count}"
        raise invalid(obj, "delays", found, limit, "give one for each weight, or Delays, which convolutions take too")
    return delays.n_seen


def check_memory(connections: Sequence[Connection]) -> None:
    """Refuse blank weights that would not fit into this machine's memory, before any is allocated; drawing takes 8 bytes for each."""
    needed, there = 8 * sum(prod(connection.kind.weight_shape) for connection in connections), physical_memory()
    if needed > there:
        largest = max(connections, key=lambda connection: prod(connection.kind.weight_shape))
        found = f"{needed / 2**30:.0f} GiB, most of it {largest.name} of shape {largest.kind.weight_shape}"
        raise invalid("Network", "memory of weights", found, f"at most {there / 2**30:.0f} GiB, all of this machine", "use smaller layers")


def physical_memory() -> int:
    """Bytes of memory of this machine, or of its container where that has fewer; 2**63 where the system does not say."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return whole
    return min(whole, int(allowed)) if allowed.isdecimal() else whole


def checked_weights(name: str, array: object, shapes: Mapping[str, tuple[int, ...]]) -> np.ndarray:
    """A read-only float32 copy."""
    if name not in shapes:
        raise invalid("Network", f"weights[{name!r}]", "unknown", f"one of {', '.join(shapes)}", "rename it")
    try:
        weights = np.array(array, np.float32)
    except (TypeError, ValueError):
        raise invalid("Network", f"weights[{name!r}]", repr(array)[:60], "an array of numbers", "pass a NumPy array") from None
    if weights.shape != shapes[name]:
        remedy = "transpose it" if weights.shape == shapes[name][::-1] else "check the layer sizes"
        raise invalid("Network", f"weights[{name!r}]", f"of shape {weights.shape}", f"{shapes[name]}, (n_out, n_in)", remedy)
    if not np.isfinite(weights).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(weights))[0])
        raise invalid("Network", f"weights[{name!r}]", f"{weights[where]} at {where}", "finite", "look for a diverged training run")
    weights.flags.writeable = False
    return weights
