"""Registers ProcessModels where Lava searches for them, and tells it the types of their Vars and ports."""

from __future__ import annotations

import sys
from abc import ABCMeta

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyAsyncProcessModel
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.lava.hardware import ASYNC_SUFFIX


def register_model(process: type, *tags: str):
    """Class decorator: make a class a model of a Process, selected by one of these tags ("..._async" if it is asynchronous).

    Lava searches only the module of the Process, for classes defined there: the class is put there, whatever module defines it.
    """

    def register(model: type) -> type:
        is_async = issubclass(model, PyAsyncProcessModel)
        module = sys.modules[process.__module__]
        model.__module__ = module.__name__
        setattr(module, model.__name__, model)
        if not issubclass(model, AbstractSubProcessModel):
            requires(CPU)(model)
        tag(*(name + ASYNC_SUFFIX if is_async else name for name in tags))(model)
        return implements(proc=process, protocol=AsyncProtocol if is_async else LoihiProtocol)(model)

    return register


class TypesOnDemand(ABCMeta):
    """Metaclass of models whose Vars and ports depend on the network.

    Lava asks the class for the LavaPyType of each Var and port, and refuses classes that have types for what a Process
    lacks: so they are not attributes, but what `lava_type(name)` returns when asked.
    """

    def lava_type(cls, name: str) -> LavaPyType | None:
        """The type of a Var or port of that name, if a Process may have one."""
        return None

    def __getattr__(cls, name: str) -> LavaPyType:
        found = None if name.startswith("_") else cls.lava_type(name)
        if found is None:
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        return found
