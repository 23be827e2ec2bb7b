"""Learning rules as data: what a user chooses. How they compute is in dynamics/, how they are wired in wiring/.

Every rule is a frozen dataclass that inherits Rule; CONTRIBUTING.md, "A rule", says how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, replace
from typing import Any, ClassVar, Literal

from tp_lava.checks import is_number, is_whole
from tp_lava.dynamics.basis import BASES
from tp_lava.dynamics.neuron import LIF, check_decay
from tp_lava.dynamics.surrogate import Triangle, peak
from tp_lava.errors import invalid
from tp_lava.network import Network
from tp_lava.numbers import PRE_TRACE_BITS, TRACE_BITS
from tp_lava.readouts import LEAKY, LINEAR, Match, Readout

Update = Literal["step", "sequence"]
_PEAK_ERROR = 2.0  # a softmax less a label: the largest sum of its absolute values


@dataclass(frozen=True)
class Gain:
    """What scales a third factor: the learning rate, which schedules change, times a constant of the rule.

    largest: bound of the absolute value of what is scaled; None where there is none.
    """

    rate: float
    factor: float = 1.0
    largest: float | None = None


@dataclass(frozen=True)
class TraceRange:
    """A trace of a rule's own: its largest value and the bits that hold it."""

    largest: float
    bits: int = TRACE_BITS


class Rule:
    """What every learning rule has: the fields rate, readout_rate, update and readout, and what follows from them.

    A rule overrides what is different with it. Its name is that of its type, by which files know it too.
    """

    rate: float | tuple[float, ...]
    readout_rate: float
    update: Update
    readout: Readout | Match

    learn_last: int | None = None  # steps at a sample's end in which is learned; None: all
    train_target: bool = False  # whether the label projection learns
    may_match: ClassVar[bool] = False  # whether it has what Match() needs
    types: ClassVar[dict[str, type[Rule]]] = {}  # all rules by name
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        known = Rule.types.setdefault(cls.__name__, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise invalid("Rule", "name", repr(cls.__name__), f"none that {known.__module__} has", "give it another one")
        Rule.types[cls.__name__] = cls

    def __post_init__(self) -> None:
        obj = type(self).__name__
        if isinstance(self.rate, list):
            object.__setattr__(self, "rate", tuple(self.rate))
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,)
        for attr, value in (("readout_rate", self.readout_rate), *(("rate", rate) for rate in rates)):
            if not is_number(value, 0):
                raise invalid(obj, attr, repr(value), "a finite number >= 0", "0 freezes, 1e-3 is usual")
        if self.update not in ("step", "sequence"):
            raise invalid(obj, "update", repr(self.update), '"step" or "sequence"', '"step" changes the weights at every step')
        if not isinstance(self.readout, Readout | Match):
            raise invalid(obj, "readout", repr(self.readout), "a Readout or, with TP, Match()", "use for example tpl.Readout()")
        if isinstance(self.readout, Match) and not self.may_match:
            raise invalid(obj, "readout", repr(self.readout), "a Readout", "only TP has target traces to be matched")
        if self.learn_last is not None and not is_whole(self.learn_last, 1):
            raise invalid(obj, "learn_last", repr(self.learn_last), "an integer of at least 1, or None", "None learns at every step")

    def rates(self, n_layers: int) -> tuple[float, ...]:
        """The rate of each of n_layers hidden layers."""
        if not isinstance(self.rate, tuple):
            return (self.rate,) * n_layers
        if len(self.rate) != n_layers:
            remedy = "give one number for all layers or one for each"
            raise invalid(type(self).__name__, "rate", f"{len(self.rate)} numbers", f"one per hidden layer, {n_layers}", remedy)
        return self.rate

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """Scale of each third factor, by the name of its population: here one a hidden layer."""
        gains = {f"hidden{number}": Gain(rate) for number, rate in enumerate(self.rates(len(network.layers)))}
        return {**gains, **self.readout_gain()}

    def readout_gain(self) -> Mapping[str, Gain]:
        """The same for the readout, where there is one to learn."""
        return {"readout": Gain(self.readout_rate, 1.0, 1.0)} if isinstance(self.readout, Readout) else {}

    def decays(self) -> Mapping[str, float]:
        """Decays of its own, beside the layers'."""
        return {}

    def traces(self, network: Network) -> Mapping[str, TraceRange]:
        """Traces of its own, beside the layers'."""
        return {}

    @property
    def pre_trace_decay(self) -> float:
        """Decay of the presynaptic trace that the hidden weights learn by; 0: they learn by the spike."""
        return 0.0

    def streams(self, n_classes: int) -> int:
        """The number K of target streams for a network of n_classes; 0: the rule has none."""
        return 0

    def to_infer(self) -> Rule | None:
        """The rule of a network that only infers, if it needs one."""
        return None

    def loihi_rule(self, shift: int = 0):
        """The rule of the hidden weights for Lava's own learning engine: see tp_lava.lava.learning.loihi_rule."""
        from tp_lava.lava.learning import loihi_rule

        return loihi_rule(shift)


@dataclass(frozen=True)
class TP(Rule):
    """Traces Propagation: local, forward-only, supervised learning of every layer.

        dW_l = -rate * psi * (sum_k P[k] * g_l[k]) x s_{l-1}          g: target traces, P: contrast of the layer

    rate: of the hidden layers, one number or one per layer, >= 0 (0 freezes a layer); readout_rate: >= 0;
    contrast: number of target streams K >= 2, or "all" for one per class: a sample's own label and K - 1
    others drawn for each sample; train_target: whether the label projection S learns too; update: "step" changes the
    weights at every step, "sequence" sums the changes up and applies them at the sample's end; readout: how the readout is
    taught, by default from a leaky potential, which suits short and long samples alike with one rate; Readout() is the
    published one, Match() none at all.
    Raises InvalidValueError. Source: arXiv 2509.13053, Neuromorph. Comput. Eng. 6 014002 (2026).
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 5e-4
    contrast: int | Literal["all"] = 4
    train_target: bool = False
    update: Update = "step"
    readout: Readout | Match = LEAKY

    may_match: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contrast != "all" and not is_whole(self.contrast, 2):
            remedy = "a contrast needs the sample's own label and at least one other"
            raise invalid("TP", "contrast", repr(self.contrast), 'an integer of at least 2, or "all"', remedy)

    def streams(self, n_classes: int) -> int:
        """The number K of target streams for a network of n_classes."""
        if self.contrast == "all":
            return n_classes
        if self.contrast > n_classes:
            remedy = 'use contrast="all" for one stream per class'
            raise invalid("TP", "contrast", self.contrast, f"at most the number of classes, {n_classes}", remedy)
        return self.contrast

    def to_infer(self) -> TP | None:
        """The rule of a network that only infers: matching needs the target path, a readout nothing."""
        if not isinstance(self.readout, Match):
            return None
        return replace(self, rate=0.0, contrast="all", train_target=False, update="step")


@dataclass(frozen=True)
class TESS(Rule):
    """TESS: temporally and spatially local learning, each layer from an error of its own.

        dW = -rate * sum_t m x (causal * psi[t] x q[t] + acausal * h[t] x x[t])          biases: db = -rate * sum_t m * psi[t]
        m = B^T (softmax(B a / temperature) - label)
        q[t] = pre_decay * q[t-1] + x[t],   h[t+1] = post_decay * h[t] + psi[t]

    x: spikes of the layer below; a: this layer's spikes or, with activity="trace", its spike traces; B: fixed basis
    (classes, n) of +-1 / n.
    rate, readout_rate: as for TP; causal, acausal: weights of the two terms, 0 leaves one out; basis: "square", the published
    square waves, which give some neurons no signal at all (a warning names them), or "walsh", which teaches every one;
    learn_last: steps at a sample's end in which is learned (None: all); update: "sequence" sums the changes up and applies
    them at the sample's end, as published, "step" applies each at once; temperature, activity: at the published 1 and
    "spike" the softmax is nearly uniform whatever the layer does; around 0.1 and with "trace" the error falls as a sample is
    learned, and far more is; readout: how the readout is taught, by default as published. The published neuron is TESS.neuron().
    Raises InvalidValueError. Source: arXiv 2502.01837, IJCNN 2025.
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 1e-4
    pre_decay: float = 0.5
    post_decay: float = 0.2
    causal: float = 1.0
    acausal: float = 1.0
    basis: Literal["square", "walsh"] = "square"
    learn_last: int | None = None
    update: Update = "sequence"
    temperature: float = 1.0
    activity: Literal["spike", "trace"] = "spike"
    readout: Readout = LINEAR

    def __post_init__(self) -> None:
        super().__post_init__()
        for attr in ("pre_decay", "post_decay"):
            check_decay("TESS", attr, getattr(self, attr))
        for attr in ("causal", "acausal"):
            if not is_number(getattr(self, attr)):
                raise invalid("TESS", attr, repr(getattr(self, attr)), "a finite number", "1 takes the term in, 0 leaves it out")
        if self.basis not in tuple(BASES):
            raise invalid("TESS", "basis", repr(self.basis), f"one of {', '.join(BASES)}", '"square" is the published one')
        if not is_number(self.temperature) or self.temperature <= 0:
            raise invalid("TESS", "temperature", repr(self.temperature), "a number > 0", "1 is the published one")
        if self.activity not in ("spike", "trace"):
            raise invalid("TESS", "activity", repr(self.activity), '"spike" or "trace"', '"spike" is the published one')

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """Scale of each third factor, by the name of its population."""
        gains: dict[str, Gain] = {}
        for number, (layer, rate) in enumerate(zip(network.layers, self.rates(len(network.layers)), strict=True)):
            name, largest = f"hidden{number}", _PEAK_ERROR * peak(layer.neuron.surrogate)
            gains[f"{name}_causal"] = Gain(rate, self.causal / layer.size, largest)
            gains[f"{name}_acausal"] = Gain(rate, self.acausal / layer.size, largest / (1.0 - self.post_decay))
            gains[f"{name}_bias"] = Gain(rate, 1.0 / layer.size, largest)
        return {**gains, **self.readout_gain()}

    def decays(self) -> Mapping[str, float]:
        """Decays of its own."""
        return {"pre_decay": self.pre_decay, "post_decay": self.post_decay}

    def traces(self, network: Network) -> Mapping[str, TraceRange]:
        """Presynaptic traces of every connection, postsynaptic ones of every layer."""
        traces: dict[str, TraceRange] = {}
        for number, layer in enumerate(network.layers):
            for weights in (f"hidden{number}", f"recurrent{number}"):
                traces[f"{weights}_pre_trace"] = TraceRange(1.0 / (1.0 - self.pre_decay), PRE_TRACE_BITS)
            traces[f"hidden{number}_post_trace"] = TraceRange(peak(layer.neuron.surrogate) / (1.0 - self.post_decay))
        return traces

    @property
    def pre_trace_decay(self) -> float:
        """The same decay, where there is a causal term."""
        return self.pre_decay if self.causal else 0.0

    def loihi_rule(self, shift: int = 0, trace_frac: int | None = None):
        """The rule of the hidden weights for Lava's own learning engine: see tp_lava.lava.learning.tess_loihi_rule."""
        from tp_lava.lava.learning import tess_loihi_rule

        return tess_loihi_rule(self, shift, trace_frac)

    @staticmethod
    def neuron(decay: float = 0.5, threshold: float = 0.6) -> LIF:
        """The published neuron: strict comparison, subtracting reset, triangular surrogate; a threshold below 0.5 counts as 0.5."""
        return LIF(decay, max(threshold, 0.5), ">", surrogate=Triangle())
