"""Learning rules as data: what a user chooses. How they compute is in dynamics/, how they are wired in wiring/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

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


@dataclass(frozen=True)
class TP:
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

    def __post_init__(self) -> None:
        _check(self)
        if self.contrast != "all" and not is_whole(self.contrast, 2):
            remedy = "a contrast needs the sample's own label and at least one other"
            raise invalid("TP", "contrast", repr(self.contrast), 'an integer of at least 2, or "all"', remedy)

    def rates(self, n_layers: int) -> tuple[float, ...]:
        """The rate of each of n_layers hidden layers."""
        return _per_layer(self, n_layers)

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """Scale of each third factor, by the name of its population."""
        gains = {f"hidden{number}": Gain(rate) for number, rate in enumerate(self.rates(len(network.layers)))}
        return {**gains, **_readout_gain(self)}

    def decays(self) -> Mapping[str, float]:
        """No decays but the layers' own."""
        return {}

    def traces(self, network: Network) -> Mapping[str, TraceRange]:
        """No traces but the layers' own."""
        return {}

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

    def loihi_rule(self, shift: int = 0):
        """The rule of the hidden weights for Lava's own learning engine: see tp_lava.lava.learning.loihi_rule."""
        from tp_lava.lava.learning import loihi_rule

        return loihi_rule(shift)


@dataclass(frozen=True)
class TESS:
    """TESS: temporally and spatially local learning, each layer from an error of its own.

    dW = -rate * sum_t m x (causal * psi[t] x q[t] + acausal * h[t] x x[t])        m = B^T (softmax(B a / temperature) - label)
    q[t] = pre_decay * q[t-1] + x[t],   h[t+1] = post_decay * h[t] + psi[t],   biases: db = -rate * sum_t m * psi[t]

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
        _check(self)
        for attr in ("pre_decay", "post_decay"):
            check_decay("TESS", attr, getattr(self, attr))
        for attr in ("causal", "acausal"):
            if not is_number(getattr(self, attr)):
                raise invalid("TESS", attr, repr(getattr(self, attr)), "a finite number", "1 takes the term in, 0 leaves it out")
        if self.basis not in tuple(BASES):
            raise invalid("TESS", "basis", repr(self.basis), f"one of {', '.join(BASES)}", '"square" is the published one')
        if self.learn_last is not None and not is_whole(self.learn_last, 1):
            raise invalid("TESS", "learn_last", repr(self.learn_last), "an integer of at least 1, or None", "None learns at every step")
        if not is_number(self.temperature) or self.temperature <= 0:
            raise invalid("TESS", "temperature", repr(self.temperature), "a number > 0", "1 is the published one")
        if self.activity not in ("spike", "trace"):
            raise invalid("TESS", "activity", repr(self.activity), '"spike" or "trace"', '"spike" is the published one')
        if not isinstance(self.readout, Readout):
            raise invalid("TESS", "readout", repr(self.readout), "a Readout", "only TP has target traces to be matched")

    def rates(self, n_layers: int) -> tuple[float, ...]:
        """The rate of each of n_layers hidden layers."""
        return _per_layer(self, n_layers)

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """Scale of each third factor, by the name of its population."""
        gains: dict[str, Gain] = {}
        for number, (layer, rate) in enumerate(zip(network.layers, self.rates(len(network.layers)), strict=True)):
            name, largest = f"hidden{number}", _PEAK_ERROR * peak(layer.neuron.surrogate)
            gains[f"{name}_causal"] = Gain(rate, self.causal / layer.size, largest)
            gains[f"{name}_acausal"] = Gain(rate, self.acausal / layer.size, largest / (1.0 - self.post_decay))
            gains[f"{name}_bias"] = Gain(rate, 1.0 / layer.size, largest)
        return {**gains, **_readout_gain(self)}

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

    def streams(self, n_classes: int) -> int:
        """No target streams."""
        return 0

    def to_infer(self) -> None:
        """A network that only infers needs no rule."""

    def loihi_rule(self, shift: int = 0, trace_frac: int | None = None):
        """The rule of the hidden weights for Lava's own learning engine: see tp_lava.lava.learning.tess_loihi_rule."""
        from tp_lava.lava.learning import tess_loihi_rule

        return tess_loihi_rule(self, shift, trace_frac)

    @staticmethod
    def neuron(decay: float = 0.5, threshold: float = 0.6) -> LIF:
        """The published neuron: strict comparison, subtracting reset, triangular surrogate; a threshold below 0.5 counts as 0.5."""
        return LIF(decay, max(threshold, 0.5), ">", surrogate=Triangle())


Rule = TP | TESS


def _readout_gain(rule: Rule) -> Mapping[str, Gain]:
    return {"readout": Gain(rule.readout_rate, 1.0, 1.0)} if isinstance(rule.readout, Readout) else {}


def _check(rule: Rule) -> None:
    """What all rules have."""
    obj = type(rule).__name__
    if isinstance(rule.rate, list):
        object.__setattr__(rule, "rate", tuple(rule.rate))
    rates = rule.rate if isinstance(rule.rate, tuple) else (rule.rate,)
    for attr, value in (("readout_rate", rule.readout_rate), *(("rate", rate) for rate in rates)):
        if not is_number(value, 0):
            raise invalid(obj, attr, repr(value), "a finite number >= 0", "0 freezes, 1e-3 is usual")
    if rule.update not in ("step", "sequence"):
        raise invalid(obj, "update", repr(rule.update), '"step" or "sequence"', '"step" changes the weights at every step')
    if not isinstance(rule.readout, Readout | Match):
        raise invalid(obj, "readout", repr(rule.readout), "a Readout or, with TP, Match()", "use for example tpl.Readout()")


def _per_layer(rule: Rule, n_layers: int) -> tuple[float, ...]:
    if not isinstance(rule.rate, tuple):
        return (rule.rate,) * n_layers
    if len(rule.rate) != n_layers:
        remedy = "give one number for all layers or one for each"
        raise invalid(type(rule).__name__, "rate", f"{len(rule.rate)} numbers", f"one per hidden layer, {n_layers}", remedy)
    return rule.rate
