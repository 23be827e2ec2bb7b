"""Whether PyTorch is there: the one place that says what to install."""

from __future__ import annotations

from tp_lava.errors import TorchUnavailableError

_INSTALL = """PyTorch cannot be imported ({error}). Install it with
    pip install "tp-lava[torch]"
The rest of tp_lava (Network, Learner, data, lava) works without it."""


def require_torch() -> None:
    """Raises TorchUnavailableError, saying what to install."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TorchUnavailableError(_INSTALL.format(error=error), obj="torch", attr="installed") from error
