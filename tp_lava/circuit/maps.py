"""Maps in a circuit: poolings, their way back, and what reaches a connection that delays or pools first."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.buffers import Owner
from tp_lava.circuit.declarations import Declarations
from tp_lava.circuit.delays import delay
from tp_lava.circuit.names import Path, delayed_axis, pooled_axis
from tp_lava.circuit.operations import ListEvents, Pool, Unpool, events_of
from tp_lava.circuit.payloads import SPIKE, Arrival, Pooled, pooled_format, sent_format, unpooled_shares
from tp_lava.dynamics.neuron import trace_program
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Connection, Population
from tp_lava.graph.pooling import Pool2d, Shape
from tp_lava.numbers import Format


def arriving(b: Declarations, connection: Connection, events: str) -> Arrival:
    """What reaches a connection of a population's events; a connection that delays or pools first has events of its own."""
    if (connection.name, events) not in b.arrivals:
        b.arrivals[connection.name, events] = _arriving(b, connection, events)
    return b.arrivals[connection.name, events]


def _arriving(b: Declarations, connection: Connection, events: str) -> Arrival:
    values, units = b.values_of(events), b.axis(connection.pre)
    own = connection.pre not in {INPUT, *(p.name for p in b.network.populations)}
    format: Format | None = SPIKE if own or not b.formats else sent_format(b.network, connection.pre)
    kind, given = connection.kind, b.network.input_format
    signed = connection.pre == INPUT and given is not None and given.signed
    if connection.delays:
        events = delay(b, connection, events, format)
        values, units = b.values_of(events), delayed_axis(connection.name)
    if not kind.pooling:
        return Arrival(events, values, units, format, signed)
    rows = b.buffers[events_of(events)[1]].axes[0]
    with b.owned(Owner("connection", connection.name), "deliver"):
        if not values:
            values = b.mark_events(events, rows, units, names.of(connection.name, f"{events}_marked"), f"{events}_marked")
        shape: Shape = kind.shape
        for number, pooling in enumerate(kind.pooling):
            into, axis = names.of(connection.name, f"{events}_pooled{number}"), f"{connection.name}_arriving{number}"
            made = pool(b, values, pooling, shape, into, (rows, axis), f"{events}_pooled{number}", format)
            values, shape, format, units = into, made.shape, made.format, axis
        pooled = names.of(connection.name, f"{events}_pooled")
        b.events(pooled, rows, units)
        b.values_of_events[pooled] = values
        b.append(ListEvents(population=pooled, spikes=values))
    return Arrival(pooled, values, units, format, signed)


def pool(
    b: Declarations,
    source: str,
    pooling: Pool2d,
    shape: Shape,
    into: str,
    axes: tuple[str, str],
    local: str,
    format: Format | None,
    **details: Any,
) -> Pooled:
    """Append a pooling of `source`, whose units have this shape and numbers this format. -> what it makes, in the buffer `into`."""
    made = pooled_format(pooling, shape, format if b.formats else None)
    b.sizes[axes[1]] = prod(made.shape)
    b.buffer(into, axes, "work", made.format, local=local, **details)
    windows, share = _windows(b, pooling, shape, made.shares, made.share_format)
    b.append(Pool(source=source, into=into, pooling=pooling, shape=shape, windows=windows, share=share, shift=made.shift))
    return made


def unpool(b: Declarations, signal: str, source: str, pooling: Pool2d, shape: Shape, into: str) -> None:
    """Append the way back of a signal through a pooling, into a buffer that is declared."""
    shares, format = unpooled_shares(pooling, shape, fixed=bool(b.formats))
    windows, share = _windows(b, pooling, shape, shares, format)
    shift = format.frac if format else 0
    back = Unpool(signal=signal, source=source, into=into, pooling=pooling, shape=shape, windows=windows, share=share, shift=shift)
    b.append(back)


def _windows(b: Declarations, pooling: Pool2d, shape: Shape, shares: np.ndarray | None, format: Format | None) -> tuple[str, str]:
    """Declare the tables of a pooling. -> their names, "" for shares where there are none.

    They are named after what they hold, since circuits on one memory share them.
    """
    windows = [*(("adapts", *pooling.size) if pooling.size else (*pooling.kernel, *pooling.stride, *pooling.padding)), "over", *shape]
    name = "_".join(map(str, ("windows", *windows)))
    b.table(name, pool_table(pooling, shape), None, index=True)
    if shares is None:
        return name, ""
    share = f"{name}_{pooling.mode}_share"
    b.table(share, shares.ravel(), format)
    return name, share


def stage_axis(b: Declarations, population: Population, stage: int) -> str:
    """The axis of what the pooling number `stage` of a population is over; beyond its poolings, of what it sends."""
    if stage == 0:
        return population.name
    return b.axis(population.name) if stage >= len(population.pooling) else f"{population.name}_pooled{stage - 1}"


def stage_source(b: Declarations, path: Path, stage: int) -> str:
    """The buffer of that on a path."""
    if stage == 0:
        return path.of("spike")
    return b.sent(path) if stage >= len(path.population.pooling) else path.of(f"pooled{stage - 1}")


def pool_path(b: Declarations, path: Path, total: bool) -> None:
    """Append the pooling of a path's spikes, and the traces of what is pooled."""
    population = path.population
    if total:
        fired = path.of("fired")
        b.events(fired, path.rows, population.name, f"{path.prefix}fired_")
        b.list_path(fired, path, total)
    source, shape = path.of("spike"), population.shape
    format: Format | None = SPIKE
    for number, pooling in enumerate(population.pooling):
        last = number == len(population.pooling) - 1
        local, axis = ("output", pooled_axis(population.name)) if last else (f"pooled{number}", f"{population.name}_pooled{number}")
        details = {"local": path.prefix + local, "prefix": path.prefix}
        made = pool(b, source, pooling, shape, path.of(local), (path.rows, axis), format=format, **details)
        source, shape, format = path.of(local), made.shape, made.format
    if population.is_graded:
        b.values_of_events[path.name] = source
    held = b.format(names.of(population.name, "trace"))
    bindings = {
        "spike": source,
        "trace": b.on_units(path, "trace", b.axis(population.name), "state", held),
        "trace_decay": b.trace_decay(population),
    }
    b.run(trace_program(held, path.of("trace"), event=format or SPIKE, decay=population.trace_decay), bindings)


def pool_table(pooling: Pool2d, shape: Shape) -> np.ndarray:
    """The windows of a pooling as back ends read them, int32: channels, height, width; those of the result; then for each axis the
    first unit and the end of each window, and for each unit the first window over it and their end.
    """
    windows, (_, height, width) = pooling.windows(shape), pooling.shape(shape)
    table = [*shape, height, width]
    for first, end, n in ((windows.first_y, windows.end_y, shape[1]), (windows.first_x, windows.end_x, shape[2])):
        units = np.arange(n)
        over = np.searchsorted(end, units, side="right"), np.searchsorted(first, units, side="right")
        table += [*first.tolist(), *end.tolist(), *over[0].tolist(), *over[1].tolist()]
    return np.array(table, np.int32)
