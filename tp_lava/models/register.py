"""Where Lava looks for models and for the types of their Vars and ports, and the tags it selects them by."""

from __future__ import annotations

import sys
from abc import ABCMeta

from lava.magma.core.model.py.type import LavaPyType

STEPWISE_TAGS = ("floating_pt", "fixed_pt")
ASYNC_SUFFIX = "_async"


def found_with(process: type):
    """Class decorator: put a model where Lava searches for it, the module of its Process, whatever module defines it."""

    def place(model: type) -> type:
        module = sys.modules[process.__module__]
        model.__module__ = module.__name__
        setattr(module, model.__name__, model)
        return model

    return place


class TypesOnDemand(ABCMeta):
    """Metaclass of models whose Vars and ports depend on the network.

    Lava asks the class for the LavaPyType of each Var and port, and refuses classes that have types for what a Process
    lacks: so they are not attributes, but what `lava_type(name)` says when asked.
    """

    def lava_type(cls, name: str) -> LavaPyType | None:
        """The type of a Var or port of that name, if a Process may have one."""
        return None

    def __getattr__(cls, name: str) -> LavaPyType:
        found = None if name.startswith("_") else cls.lava_type(name)
        if found is None:
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        return found
