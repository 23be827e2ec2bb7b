"""Delays in a circuit: the events that reach a connection some steps after they were sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from tp_lava.circuit.buffers import Owner
from tp_lava.circuit.declarations import Declarations
from tp_lava.circuit.names import delayed_axis, of
from tp_lava.circuit.operations import Delay, events_of
from tp_lava.graph.delays import SynapticDelays
from tp_lava.graph.network import Connection
from tp_lava.numbers import Format


def reached_by(connection: Connection) -> dict[str, np.ndarray]:
    """The tables of what a unit reaches, by their local names: of synaptic delays, or of the kind; none where a connection has none."""
    delays = connection.delays
    tables = delays.reached if isinstance(delays, SynapticDelays) else connection.kind.reached
    return dict(zip(("offsets", "targets"), tables, strict=True)) if tables else {}


def tables_of(connection: Connection) -> dict[str, Any]:
    """The names of these tables, as operations have them."""
    return {local: of(connection.name, local) for local in reached_by(connection)}


def delay(b: Declarations, connection: Connection, events: str, format: Format | None) -> str:
    """Append the delays of a connection. events: of the population below; format: of their values. -> the events that arrive."""
    delays, units, name = connection.delays, delayed_axis(connection.name), connection.name
    assert delays is not None
    rows, into, slots = b.buffers[events_of(events)[1]].axes[0], of(name, f"{events}_delayed"), of(name, "slots")
    b.sizes[slots] = delays.longest + 1
    table, given = of(name, "delays"), b.values_of(events)
    with b.owned(Owner("connection", name), "deliver"):
        if table not in b.buffers:
            b.values[table] = delays.array
            b.buffer(table, (units,), "table", index=True, local="delays")
        b.events(into, rows, units, f"{events}_delayed_")
        held: dict[str, Any] = {
            "pending": b.buffer(f"{into}_pending", (rows, slots, units), "state", index=True),
            "waiting": b.buffer(f"{into}_waiting", (rows, slots), "state", index=True),
            "slot": b.buffer(f"{into}_slot", (rows,), "state", index=True),
        }
        if given:
            held["pending_values"] = b.buffer(f"{into}_pending_value", (rows, slots, units), "state", format)
            held["arrived_values"] = b.values_of_events[into] = b.buffer(f"{into}_value", (rows, units), "state", format)
        b.append(Delay(events=events, into=into, copies=delays.copies, delays=table, values=given, **held))
    return into
