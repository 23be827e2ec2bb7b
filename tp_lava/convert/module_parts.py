"""What layers of PyTorch and snnTorch do behind what their classes say: weights as they are used, the reset that is performed."""

from __future__ import annotations

import copy
from typing import Any

from tp_lava.convert.values import refuse

_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}  # method of snnTorch -> reset


def used_weights(path: str, leaf: Any) -> dict[str, Any]:
    """A layer's weight and bias as forward uses them, behind parametrizations and the older hooks."""
    from torch.nn.utils.parametrize import is_parametrized

    # a copy, which hooks may change; evaluated, for spectral_norm goes on iterating where it trains
    leaf = copy.deepcopy(leaf).eval() if is_parametrized(leaf) else copy.copy(leaf)
    leaf.training = False
    for hook in leaf._forward_pre_hooks.values():
        if not type(hook).__module__.startswith("torch.nn.utils."):
            found = getattr(hook, "__name__", type(hook).__name__)
            raise refuse(path, "forward_pre_hook", found, "none but those of torch.nn.utils", "remove it: its handle has remove()")
        hook(leaf, ())
    return {"weight": leaf.weight, "bias": leaf.bias}


def performed_reset(path: str, leaf: Any) -> str:
    """The reset that forward performs, which was chosen when the layer was made."""
    performed = _RESETS.get(getattr(getattr(leaf, "state_function", None), "__name__", ""), leaf.reset_mechanism)
    stored = getattr(leaf, "reset_mechanism_val", None)
    if leaf.reset_mechanism != performed or (stored is not None and int(stored) != tuple(_RESETS.values()).index(performed)):
        limit = f"{performed!r}, with which it was made"
        raise refuse(path, "reset_mechanism", "set or loaded after the layer was made", limit, "make the layer with that reset")
    return performed


def is_step(spike_grad: Any) -> bool:
    """Whether its forward pass is 1 above 0 and else 0, each time."""
    import torch

    excess = torch.tensor([-2.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 2.0]).repeat(1, 16)
    try:
        with torch.no_grad():
            return bool((spike_grad(excess) == (excess > 0)).all())
    except Exception:  # the caller's own function
        return False


def keeps_input(leaf: Any, shape: tuple[int, ...]) -> bool:
    """Whether a Leaky's delayed reset to zero keeps the step's input; before snnTorch 0.8 it did not."""
    import torch

    probe = copy.copy(leaf)
    probe._buffers = dict(leaf._buffers)  # so that the layer's own state stays
    try:
        with torch.no_grad():
            drive = torch.ones((1, *shape), device=leaf.threshold.device)
            probe.mem, probe.reset = 3 * drive, drive
            return bool((type(leaf)._base_zero(probe, drive) == 1).all())
    except Exception:  # older still, with other arguments
        return False
