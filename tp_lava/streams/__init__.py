"""Streams without end: events in chunks, labels when they come, at constant memory, in the engine; in Lava see tp_lava.lava.stream."""

from tp_lava.streams.live import shown as shown
from tp_lava.streams.report import Report as Report
from tp_lava.streams.stream import Stream as Stream
