"""Whether PyTorch is there: the one place that says what to install."""

from __future__ import annotations

from tp_lava.errors import TORCH_CPU_BUILD, TorchUnavailableError

_INSTALL = """PyTorch cannot be imported ({error}). Install it with
    pip install "tp-lava[torch]"
On Linux that is the CUDA build, about 6 GB. Without an NVIDIA GPU install the CPU build, below 1 GB, before it:
    {cpu}
The rest of tp_lava (Network, Learner, data, lava) works without it."""


def require_torch() -> None:
    """Raises TorchUnavailableError, saying what to install."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TorchUnavailableError(_INSTALL.format(error=error, cpu=TORCH_CPU_BUILD), obj="torch", attr="installed") from error
