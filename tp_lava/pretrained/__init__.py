"""Networks trained in PyTorch that ship with tp_lava: state dicts in safetensors, with their layers described in the file."""

from __future__ import annotations

from pathlib import Path

from tp_lava.errors import invalid

_HERE = Path(__file__).parent
NAMES = tuple(sorted(file.stem for file in _HERE.glob("*.safetensors")))


def pretrained(name: str = "digits") -> Path:
    """The file of a network, for tpl.convert: "digits", or "digits_0_to_8", whose training never saw a 9. See README.md there.

    Raises InvalidValueError.
    """
    if name not in NAMES:
        raise invalid("pretrained", "name", repr(name), f"one of {', '.join(NAMES)}", "or give the path of your own")
    return _HERE / f"{name}.safetensors"
