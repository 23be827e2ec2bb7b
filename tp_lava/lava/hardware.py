"""Where a network runs: simulated on this computer's CPU, or on Loihi 2 through Intel's lava-loihi.

Not verified on hardware: neither lava-loihi nor a Loihi 2 was available. What is tested is the error message without them.
With them, Lava's own `Loihi2HwCfg` is used, which selects a Process's model for neuro-cores or embedded processors
if it has one, and else its Python model, on the host. The Processes of tp_lava have Python models only.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Literal

from tp_lava.errors import LavaUnavailableError, invalid
from tp_lava.lava.shim import make_importable

Target = Literal["cpu", "loihi2"]
TARGETS = ("cpu", "loihi2")
TAGS = ("floating_pt", "fixed_pt")
ASYNC_SUFFIX = "_async"
_ALL_TAGS = (*TAGS, *(tag + ASYNC_SUFFIX for tag in TAGS))

_NO_LOIHI = """lava-loihi, Intel's extension of Lava for Loihi 2, is not installed, so target="loihi2" cannot be used.
It is not public: Intel gives it, and access to Loihi 2 systems, to members of the Intel Neuromorphic Research Community
(INRC); ask there to join. On this computer use target="cpu" with tag="fixed_pt": a simulation that is bit-exact to
tp_lava's fixed-point semantics (widths, rounding, saturation); it says nothing of the chip's speed or energy."""


def loihi2_available() -> bool:
    """Whether lava-loihi can be imported, by Lava's own test (`lava.utils.loihi.is_installed`).

    Lava searches for a board only when a network starts. Raises LavaUnavailableError without lava-nc.
    """
    make_importable()
    return bool(importlib.import_module("lava.utils.loihi").is_installed())


class _ModelOf(dict):
    """Process -> model, for Processes of tp_lava, as Lava's map of exceptions.

    To find models, Lava executes every file beside a Process several times; for what is in this map it does not.
    """

    def __init__(self, tag: str, layers: bool) -> None:
        super().__init__()
        self._tag, self._layers = tag, layers

    def __bool__(self) -> bool:
        return True

    def __contains__(self, process: object) -> bool:
        return self[process] is not None

    def __getitem__(self, process: object) -> Any:
        """The model that Lava would select; None for Processes of others, and where no model has the tag."""
        from lava.magma.core.model.sub.model import AbstractSubProcessModel

        kind = type(process)
        if not kind.__module__.startswith("tp_lava."):
            return None
        beside = [each for each in vars(sys.modules[kind.__module__]).values() if getattr(each, "implements_process", None) is kind]
        tagged = [model for model in beside if self._tag in model.tags]
        opened = [model for model in tagged if issubclass(model, AbstractSubProcessModel)]
        whole = [model for model in tagged if model not in opened]
        return next(iter(opened if opened and self._layers else whole), None)


def run_configuration(target: str, tag: str, layers: bool = False) -> Any:
    """Lava's run configuration for a target and a tag: Loihi2SimCfg for "cpu", Loihi2HwCfg for "loihi2".

    Loihi 2 takes "fixed_pt" only. layers: open hierarchical Processes into their parts. Raises InvalidValueError for an unknown
    target or tag or another tag on Loihi 2, and LavaUnavailableError for "loihi2" without lava-loihi.
    """
    if target not in TARGETS:
        raise invalid("lava", "target", repr(target), f"one of {', '.join(TARGETS)}", 'use target="cpu" to simulate')
    if tag not in _ALL_TAGS:
        raise invalid("lava", "tag", repr(tag), f"one of {', '.join(_ALL_TAGS)}", "give models of other tags by run_cfg")
    make_importable()
    from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg

    if target == "cpu":
        known: Any = _ModelOf(tag, layers)
        return Loihi2SimCfg(select_tag=tag, select_sub_proc_model=layers, exception_proc_model_map=known)
    if tag != "fixed_pt":
        raise invalid("lava", "tag", repr(tag), "'fixed_pt' on Loihi 2", "Loihi 2 has integers only, and keeps time steps")
    if not loihi2_available():
        raise LavaUnavailableError(_NO_LOIHI, obj="lava-loihi", attr="installed")
    return Loihi2HwCfg(select_tag=tag, select_sub_proc_model=layers)
