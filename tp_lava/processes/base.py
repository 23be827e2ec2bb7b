"""What our Processes have in common."""

from __future__ import annotations

from lava.magma.core.process.process import AbstractProcess


class Process(AbstractProcess):
    """A Lava Process that can be refused: Lava stops every Process that goes, even one that never came to be."""

    _runtime = None
