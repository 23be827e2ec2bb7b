"""What Loihi 2 holds, as far as it is public: every limit is named here once, with its unit, its source and how certain it is.

Nothing here was measured by us. A researcher with better knowledge overrides a limit by name: `Limits().replace(cores_per_chip=128)`, or
a TOML or JSON file for `Limits.load`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from tp_lava.checks import is_whole
from tp_lava.errors import invalid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Certainty = Literal["read", "derived", "from memory", "assumed", "given"]
"""read: in the source named; derived: computed from such; from memory: verify it there; assumed: nothing public; given: by the user."""

WIKICHIP = "https://en.wikichip.org/wiki/intel/loihi_2"
SYSTEMS = "https://arxiv.org/abs/2503.18002"
OPEN_NEUROMORPHIC = "https://open-neuromorphic.org/neuromorphic-computing/hardware/loihi-2-intel/"
PRESS = "https://geeks.fyi/showthread.php?action=newpost&tid=16221"
ARS = "https://arstechnica.com/science/2021/09/understanding-neuromorphic-computing-and-why-intels-excited-about-it/2/"
LIF_MODELS = "https://github.com/lava-nc/lava/blob/main/src/lava/proc/lif/models.py"
WEIGHTS = "https://github.com/lava-nc/lava/blob/main/src/lava/utils/weightutils.py"
LEARNING_ENGINE = "https://github.com/lava-nc/lava/blob/main/src/lava/magma/core/learning/constants.py"
RESOURCES = "https://github.com/lava-nc/lava/blob/main/src/lava/magma/core/resources.py"
NENGO_LOIHI = "https://github.com/nengo/nengo-loihi/blob/main/nengo_loihi/hardware/validate.py"
LSNN = "https://github.com/R-Gaurav/lsnn-on-loihi2"
HALA_POINT = "https://www.eenewseurope.com/en/intel-breaks-a-billion-neurons-for-worlds-largest-neuromorphic-computing-system/"


Kind = TypeVar("Kind", bound="Figures")


class Figures:
    """Published figures by name, each a field of a frozen dataclass. kind: their type."""

    kind: ClassVar[type]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def named(self) -> dict[str, Any]:
        """Every figure by name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, self.kind)}

    def replace(self: Kind, **values: Any) -> Kind:
        """With other figures. Raises InvalidValueError."""
        obj, known = type(self).__name__, [f.name for f in dataclasses.fields(self)]
        for name in values:
            if name not in known:
                raise invalid(obj, name, "unknown", f"one of {', '.join(known)}", "rename it")
        given = {name: value if isinstance(value, self.kind) else self._given(name, value) for name, value in values.items()}
        return dataclasses.replace(self, **given)

    def _given(self, name: str, value: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Limit:
    """One limit. certainty: see Certainty; note: what to know before trusting it."""

    value: int
    unit: str
    certainty: Certainty
    source: str
    note: str = ""


@dataclass(frozen=True)
class Violation:
    """A limit that is broken. rule: its name; object: what breaks it."""

    rule: str
    object: str
    used: int
    maximum: int
    unit: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.object}: {self.rule} is {self.used:,} {self.unit}, but must be at most {self.maximum:,}; {self.remedy}."

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Board:
    """A system one can have: its number of chips."""

    name: str
    chips: int
    certainty: Certainty
    source: str
    note: str = ""


BOARDS = (
    Board("Oheo Gulch", 1, "read", RESOURCES),
    Board(
        "Kapoho Point",
        8,
        "read",
        "https://github.com/lava-nc/lava-dl/blob/main/tutorials/lava/lib/dl/netx/yolo_kp/run.ipynb",
        "Lava's resources.py says four chips",
    ),
    Board("VPX", 16, "read", "https://arxiv.org/abs/2505.06417"),
    Board("Alia Point", 32, "from memory", SYSTEMS, "no source that states it could be read; verify"),
    Board("Hala Point", 1152, "read", HALA_POINT, "its 140,544 cores are 122 a chip"),
)


@dataclass(frozen=True)
class Limits(Figures):
    """Every limit of the mapping, by name. Others come from replace(name=integer), boards={name: chips} instead of all, or load(file)."""

    kind: ClassVar[type] = Limit

    # Chips and cores
    cores_per_chip: Limit = Limit(120, "cores", "read", SYSTEMS, "usable on later systems; the chip has 128")
    cores_on_die: Limit = Limit(128, "cores", "read", OPEN_NEUROMORPHIC, "the most that cores_per_chip can be")
    neurons_per_core: Limit = Limit(8192, "compartments", "derived", WIKICHIP, "1,048,576 neurons / 128 cores")
    core_memory: Limit = Limit(192 * 1024, "bytes", "read", PRESS, "secondary copy; shared freely by weights, state and routing")
    state_per_neuron: Limit = Limit(4096, "bytes", "read", PRESS, "the source says states: bytes is the cautious reading")
    processors_per_chip: Limit = Limit(6, "processors", "read", ARS)
    # Widths
    weight_bits: Limit = Limit(8, "bits", "read", WEIGHTS, "magnitude; the sign comes on top")
    state_bits: Limit = Limit(24, "bits", "read", LIF_MODELS, "signed u and v of Lava's bit-accurate LIF")
    processor_bits: Limit = Limit(32, "bits", "read", LSNN, "the embedded processors have INT32 only")
    payload_bits: Limit = Limit(24, "bits", "from memory", OPEN_NEUROMORPHIC, "of a graded spike, sign included; pages differ, some say 32")
    # Learning engine
    trace_bits: Limit = Limit(7, "bits", "read", LEARNING_ENGINE, "unsigned, what meets a factor; x1, x2, y1, y2, y3")
    tag_bits: Limit = Limit(8, "bits", "read", LEARNING_ENGINE, "magnitude; the sign comes on top")
    synapses_of_weight: Limit = Limit(1, "synapses", "derived", LEARNING_ENGINE, "a weight that learns is a variable of its synapse")
    constant_bits: Limit = Limit(8, "bits", "read", LEARNING_ENGINE, "TP and TESS use powers of two alone, so that nothing breaks it")
    learning_accumulator_bits: Limit = Limit(15, "bits", "read", LEARNING_ENGINE, "magnitude of one product")
    learning_shift: Limit = Limit(7, "bits", "derived", LEARNING_ENGINE, "to the right: scales of 4 bits, sign included, so 2^-7")
    epoch_steps: Limit = Limit(63, "steps", "read", LEARNING_ENGINE, "a 6-bit counter")
    # Layout of a core's memory: not public
    synapse_word: Limit = Limit(64, "bits", "assumed", NENGO_LOIHI, "a row of synapses starts on a word, as on Loihi 1")
    connection_header: Limit = Limit(8, "bytes", "assumed", "", "exponent and format, once a connection and core")
    state_word: Limit = Limit(32, "bits", "assumed", "", "one for each number that a neuron keeps from phase to phase")
    instruction_word: Limit = Limit(32, "bits", "assumed", "", "of a neuron program")
    input_axon: Limit = Limit(64, "bits", "assumed", "", "an entry for each source whose spikes a core takes")
    output_axon: Limit = Limit(64, "bits", "assumed", "", "an entry for each core that a compartment sends to")
    trace_memory: Limit = Limit(16, "bits", "derived", LEARNING_ENGINE, "7 whole and 8 fractional bits, in 16")
    boards: tuple[Board, ...] = BOARDS

    def __post_init__(self) -> None:
        if self.cores_per_chip.value > self.cores_on_die.value:
            limit = f"at most cores_on_die, {self.cores_on_die.value}"
            raise invalid("Limits", "cores_per_chip", self.cores_per_chip.value, limit, "raise that limit too, or use fewer")
        if not self.boards:
            raise invalid("Limits", "boards", "empty", "at least one board", "name one with its chips")

    def _given(self, name: str, value: Any) -> Any:
        if name == "boards":
            return _boards(value)
        if not is_whole(value, 1):
            raise invalid("Limits", name, repr(value), f"a positive number of {self.named[name].unit}", "give an integer")
        return Limit(int(value), self.named[name].unit, "given", "", "")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Limits:
        """The limits of a .toml or .json file: name = value, and a table boards of name = chips. Raises InvalidValueError."""
        file = Path(path)
        if file.suffix not in (".toml", ".json"):
            raise invalid("Limits", "file", str(file), "a .toml or .json file", "rename it")
        try:
            values = (tomllib.loads if file.suffix == ".toml" else json.loads)(file.read_text("utf-8"))
        except ValueError as error:  # of either parser, or of UTF-8
            raise invalid("Limits", "file", f"{file} ({error})", f"valid {file.suffix[1:].upper()}", "correct it there") from None
        if not isinstance(values, dict):
            raise invalid("Limits", "file", f"{file}, a {type(values).__name__}", "a table of name = value", "see docs/deploying.md")
        return cls().replace(**values)

    def board(self, name: str) -> Board:
        """The board of that name, whatever its case. Raises InvalidValueError."""
        for board in self.boards:
            if board.name.lower() == name.lower():
                return board
        raise invalid("Limits", "board", repr(name), f"one of {', '.join(b.name for b in self.boards)}", "or add it to the limits")


def _boards(value: Any) -> tuple[Board, ...]:
    if isinstance(value, tuple) and all(isinstance(board, Board) for board in value):
        return value
    if not isinstance(value, Mapping) or not all(is_whole(chips, 1) for chips in value.values()):
        raise invalid("Limits", "boards", repr(value)[:60], "a table of name = number of chips", 'for example {"Kapoho Point": 8}')
    return tuple(Board(str(name), int(chips), "given", "") for name, chips in sorted(value.items(), key=lambda item: item[1]))
