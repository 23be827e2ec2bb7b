"""What `tp-lava train` is asked for, as a network, a rule and samples: everything that stands before the first epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, Literal

from tp_lava.commands import tasks
from tp_lava.commands.converting import is_learner, model_named
from tp_lava.comparison.forms import form_named
from tp_lava.comparison.tasks import TASKS
from tp_lava.data.events import Sample
from tp_lava.errors import invalid
from tp_lava.finetuning import frozen
from tp_lava.circuit.formats import FixedPoint
from tp_lava.learner import Learner
from tp_lava.graph.network import Network
from tp_lava.optimisers import Cosine, Plateau, Schedule
from tp_lava.rules import Rule

ScheduleName = Literal["cosine", "plateau", "none"]
_STREAMS = 4
_FORMS = {"tp": f"TP, K = {_STREAMS}", "tess": "TESS, walsh, sequence"}  # with rates that were chosen for the digits
_OF_BLANK = ("hidden", "decay", "threshold", "trace_decay", "recurrent")
_OF_RULE = {"contrast": "tp", "basis": "tess", "temperature": "tess"}


@dataclass(frozen=True)
class Choices:
    """The options of `tp-lava train` that decide what is learned; None where not given."""

    model: str | None
    data: str
    test: str | None
    hidden: list[int] | None
    decay: float | None
    threshold: float | None
    trace_decay: float | None
    recurrent: bool
    rule: Literal["tp", "tess"]
    rate: float | None
    readout_rate: float | None
    contrast: str | None
    basis: Literal["square", "walsh"] | None
    temperature: float | None
    update: Literal["step", "sequence"] | None
    freeze: list[str] | None
    epochs: int
    batch: int
    schedule: ScheduleName | None
    validation: float
    patience: int | None
    keep_best: bool
    precision: Literal["float", "fixed"]
    bits: int | None
    in_lava: bool
    seed: int

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Choices:
        """Those among a command's parameters. Raises InvalidValueError for what does not go together."""
        choices = cls(**{field.name: _given(params[field.name]) for field in fields(cls)})
        choices._check()
        return choices

    def _check(self) -> None:
        given = [name for name in _OF_BLANK if getattr(self, name) is not None and getattr(self, name) is not False]
        if self.model is not None and given:
            raise _not_with(given[0], f"given with the model {self.model}", "left out", "a model has its own layers")
        foreign = [name for name, rule in _OF_RULE.items() if getattr(self, name) is not None and rule != self.rule]
        if foreign:
            raise _not_with(foreign[0], f"given with --rule {self.rule}", "left out", f"or use --rule {_OF_RULE[foreign[0]]}")
        if self.bits is not None and self.precision == "float":
            raise _not_with("bits", "given in float", "left out", "or use --precision fixed")
        if (self.patience or self.keep_best) and not self.validation:
            raise _not_with("validation", "0, with --patience or --keep-best", "a share that is held back", "0.1 is usual")
        if self.in_lava and (self.patience or self.keep_best or self.batch > 1 or self.schedule not in (None, "none")):
            limit = "used without --batch, --schedule, --patience and --keep-best"
            raise _not_with("in-lava", "given with one of these", limit, "a run in Lava goes to its end at constant rates")

    @property
    def tag(self) -> Literal["floating_pt", "fixed_pt"]:
        """Of the run configuration in Lava."""
        return "fixed_pt" if self.precision == "fixed" else "floating_pt"


@dataclass(frozen=True)
class Course:
    """samples: to be learned; held: looked at after each epoch, empty where none are held back; test: looked at once, at the end."""

    samples: list[Sample]
    held: list[Sample]
    test: list[Sample]

    @property
    def n_classes(self) -> int:
        """One more than the largest label."""
        return 1 + max(sample.label for sample in (*self.samples, *self.held, *self.test))


def course(choices: Choices) -> Course:
    """The samples. Raises InvalidValueError where none are left to learn."""
    if choices.test is None:
        samples, test = tasks.split(choices.data, choices.seed)
    else:
        samples, test = ([*chain(*tasks.parts(name))] for name in (choices.data, choices.test))
    samples, held = tasks.apart(samples, choices.validation, choices.seed) if choices.validation else (samples, [])
    if not samples or (choices.validation and not held):
        found = f"split into {len(samples)} samples to learn and {len(held)} to validate"
        raise _not_with("data", found, "enough for both", "give more recordings, or another --validation")
    return Course(samples, held, test)


def beginner(choices: Choices, course: Course) -> Learner:
    """The learner before its first epoch."""
    network = _network(choices, course)
    kept = network.provenance.fixed if network.provenance else None
    fixed = FixedPoint(weight_bits=choices.bits) if choices.bits is not None else kept or FixedPoint()
    rule = frozen(_rule(choices, network.n_classes), network, choices.freeze or ())
    return Learner(network, rule, fixed if choices.precision == "fixed" else "float", choices.seed, schedule=_schedule(choices))


def _network(choices: Choices, course: Course) -> Network:
    if choices.model is not None:
        network = Learner.load(choices.model).network if is_learner(choices.model) else model_named(choices.model, choices.seed)
        if course.n_classes > network.n_classes:
            limit = f"among the model's {network.n_classes} classes"
            raise _not_with("data", f"labelled up to {course.n_classes - 1}", limit, "train from blank, or on other data")
        return network
    n_inputs = course.samples[0].events.n_units
    usual = TASKS["digits"].network(n_inputs, course.n_classes, choices.seed, tess=choices.rule == "tess").layers[0]
    neuron = replace(usual.neuron, decay=_or(choices.decay, usual.neuron.decay), threshold=_or(choices.threshold, usual.neuron.threshold))
    trace_decay = _or(choices.trace_decay, usual.trace_decay)
    sizes = (n_inputs, *(choices.hidden or [TASKS["digits"].hidden]), course.n_classes)
    return Network.dense(sizes, neuron, trace_decay, choices.recurrent, choices.seed)


def _given(value: Any) -> Any:
    return (list(value) or None) if isinstance(value, list | tuple) else value


def _or(given: float | None, usual: float) -> float:
    return usual if given is None else given


def _rule(choices: Choices, n_classes: int) -> Rule:
    """The form's rule with what was asked for; TP has no more target streams than there are classes."""
    usual = form_named(_FORMS[choices.rule]).rule_for(TASKS["digits"])
    names = ("rate", "readout_rate", "update", *(name for name, rule in _OF_RULE.items() if rule == choices.rule))
    given = {name: getattr(choices, name) for name in names if getattr(choices, name) is not None}
    if choices.rule == "tp":
        given["contrast"] = _streams(choices.contrast, n_classes)
    return replace(usual, **given)


def _streams(contrast: str | None, n_classes: int) -> int | Literal["all"]:
    if contrast is None:
        return min(_STREAMS, max(n_classes, 2))
    if contrast == "all":
        return "all"
    if not contrast.isdecimal():
        raise _not_with("contrast", repr(contrast), 'a number of target streams, or "all"', f"{_STREAMS} is usual")
    return int(contrast)


def _schedule(choices: Choices) -> Schedule | None:
    if choices.schedule == "none" or choices.in_lava:
        return None
    return Plateau() if choices.schedule == "plateau" else Cosine(choices.epochs)


def _not_with(attr: str, found: str, limit: str, remedy: str) -> Exception:
    return invalid("train", attr.replace("_", "-"), found, limit, remedy)
