"""The variants that are compared: each is a rule, where it runs, and its number system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tp_lava.circuit.terms import Term
from tp_lava.comparison.benchmarks import BATCHES, Benchmark
from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.rules import DECOLLE, ETLP, OSTL, OSTTP, OTTT, SLTT, STLLR, TESS, TP, BaseRule, EProp, Rule
from tp_lava.rules.credits import BackwardError, BasisError, Contrast, Credit, LocalClassifier, OutputFeedback, TargetProjection

BATCH = 100
_GRID_PRE_DECAY, _GRID_POST_DECAY = 0.5, 0.2


@dataclass(frozen=True)
class Variant:
    """One way to learn.

    how: "engine", one sample at a time; in PyTorch, in batches and with Adam, "batch" (TP) or "bptt". rule: None for "bptt"; the
    benchmark may have other rates for it; frozen: only the readout learns.
    """

    name: str
    rule: BaseRule | None = None
    precision: Literal["float", "fixed"] = "float"
    how: Literal["engine", "batch", "bptt"] = "engine"
    frozen: bool = False

    @property
    def in_torch(self) -> bool:
        """Whether it needs PyTorch."""
        return self.how != "engine"

    @property
    def has_tess_network(self) -> bool:
        """Whether its network is that of TESS, whose neurons forget faster."""
        return isinstance(self.rule and self.rule.credit, BasisError)

    def rule_for(self, benchmark: Benchmark) -> BaseRule:
        """The rule, with the benchmark's rates or its own."""
        assert self.rule is not None
        rate, readout_rate = benchmark.rates[BATCHES] if self.how == "batch" else benchmark.rates_of(self.rule)
        return replace(self.rule, rate=0.0 if self.frozen else rate, readout_rate=readout_rate)


_TESS = TESS(temperature=0.05, activity="trace")
FAMILY: Mapping[str, BaseRule] = {  # local ones, with rates for the digits
    rule.label: rule
    for rule in (
        STLLR(),
        ETLP(),
        DECOLLE(),
        OTTT(5e-4, feedback="random"),
        SLTT(1e-3, feedback="random"),
        EProp(),
        OSTL(5e-4, feedback="random"),
        OSTTP(),
    )
}
_CARRIED_BACK = (STLLR(6e-3, feedback="backward"), OTTT(), SLTT(), OSTL(), EProp(feedback="symmetric"))

FROZEN = Variant("frozen hidden layer", TP(), frozen=True)
VARIANTS: tuple[Variant, ...] = (
    FROZEN,
    Variant("TP, K = 2", TP(contrast=2)),
    Variant("TP, K = 4", TP(contrast=4)),
    Variant("TP, K = all", TP(contrast="all")),
    Variant("TP, K = 4, fixed point", TP(contrast=4), "fixed"),
    Variant("TP, batch of 100, Adam (PyTorch)", TP(readout=Readout()), how="batch"),
    Variant("TESS, walsh, sequence", replace(_TESS, basis="walsh", update="sequence")),
    Variant("TESS, walsh, step", replace(_TESS, basis="walsh", update="step")),
    Variant("TESS, walsh, sequence, fixed point", replace(_TESS, basis="walsh", update="sequence"), "fixed"),
    Variant("TESS, square, sequence", replace(_TESS, basis="square", update="sequence")),
    Variant("TESS, square, step", replace(_TESS, basis="square", update="step")),
    Variant("TESS as published", TESS()),
    *(Variant(rule.label, rule) for rule in (*FAMILY.values(), *_CARRIED_BACK)),
    *(Variant(f"{rule.label}, fixed point", rule, "fixed") for rule in FAMILY.values()),
    Variant("BPTT, batch of 100, Adam (PyTorch)", how="bptt"),
)

# Every credit with every product ------------------------------------------------------------------

CREDITS: Mapping[str, tuple[Credit, float]] = {  # and the rate of the hidden layer, beside the product psi x spike
    "contrast of traces": (Contrast(), 1e-3),
    "basis": (BasisError("walsh", 0.05, "trace"), 0.2),
    "local classifier": (LocalClassifier(), 0.2),
    "output feedback": (OutputFeedback(), 1e-3),
    "target projection": (TargetProjection(), 1e-3),
    "carried back": (BackwardError(), 1e-3),
}
PRODUCTS: Mapping[str, tuple[tuple[Term, ...], float]] = {  # and what the rate is multiplied with: a trace is so much larger than a spike
    "psi x spike": ((Term(),), 1.0),
    "psi x trace": ((Term(pre="trace"),), 1 - _GRID_PRE_DECAY),
    "psi x trace - psi's trace x spike": (
        (Term(pre="trace", name="causal"), Term("post_trace", factor=-1.0, name="acausal")),
        1 - _GRID_PRE_DECAY,
    ),
    "psi x trace of the trace": ((Term(pre="second_trace"),), (1 - _GRID_PRE_DECAY) ** 2),
    "trace x spike": ((Term("spike_trace"),), 0.1),
}


def grid() -> Iterator[Variant]:
    """Every credit with every product it goes with, after a frozen hidden layer."""
    yield FROZEN
    for what, (credit, rate) in CREDITS.items():
        for product, (terms, factor) in PRODUCTS.items():
            if all(term.pre in credit.pres for term in terms):
                decays = {"pre_decay": _GRID_PRE_DECAY, "second_decay": _GRID_PRE_DECAY, "post_decay": _GRID_POST_DECAY}
                yield Variant(f"{what}, {product}", Rule(credit, terms, rate * factor, **decays))  # type: ignore[arg-type]


def variant_named(name: str) -> Variant:
    """The variant of that name. Raises InvalidValueError."""
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    raise invalid("compare-rules", "form", repr(name), f"one of {'; '.join(v.name for v in VARIANTS)}", "correct the name")
