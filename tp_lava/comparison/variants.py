"""The variants that are compared: each is a rule, where it runs, and its number system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tp_lava.comparison.benchmarks import Benchmark
from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.rules import DECOLLE, ETLP, OTTT, SLTT, STLLR, TESS, TP, BaseRule, EProp

BATCH = 100


@dataclass(frozen=True)
class Variant:
    """One way to learn.

    kind: in the engine, one sample at a time, "tp", "frozen" (TP, only the readout learns), "tess", or "own", a rule at rates of its
    own; in PyTorch, in batches and with Adam, "batch" (TP) or "bptt". rule: None for "bptt"; but for "own" the benchmark sets its rates.
    """

    name: str
    kind: Literal["tp", "frozen", "tess", "own", "batch", "bptt"]
    rule: BaseRule | None = None
    precision: Literal["float", "fixed"] = "float"

    @property
    def in_torch(self) -> bool:
        """Whether it needs PyTorch."""
        return self.kind in ("batch", "bptt")

    def rule_for(self, benchmark: Benchmark) -> BaseRule:
        """The rule, with the benchmark's rates or its own."""
        assert self.rule is not None
        if self.kind == "own":
            return self.rule
        rates = {"tess": benchmark.tess_rates, "batch": benchmark.adam_rates}.get(self.kind, benchmark.tp_rates)
        return replace(self.rule, rate=0.0 if self.kind == "frozen" else rates[0], readout_rate=rates[1])


_TESS = TESS(temperature=0.05, activity="trace")

FAMILY: Mapping[str, BaseRule] = {  # name of a variant -> its rule, with rates for the digits
    rule.label: rule
    for rule in (
        STLLR(),
        STLLR(6e-3, feedback="backward"),
        ETLP(),
        DECOLLE(),
        OTTT(),
        OTTT(5e-4, feedback="random"),
        SLTT(),
        SLTT(1e-3, feedback="random"),
        EProp(),
    )
}

VARIANTS: tuple[Variant, ...] = (
    Variant("frozen hidden layer", "frozen", TP()),
    Variant("TP, K = 2", "tp", TP(contrast=2)),
    Variant("TP, K = 4", "tp", TP(contrast=4)),
    Variant("TP, K = all", "tp", TP(contrast="all")),
    Variant("TP, K = 4, fixed point", "tp", TP(contrast=4), "fixed"),
    Variant("TP, batch of 100, Adam (PyTorch)", "batch", TP(readout=Readout())),
    Variant("TESS, walsh, sequence", "tess", replace(_TESS, basis="walsh", update="sequence")),
    Variant("TESS, walsh, step", "tess", replace(_TESS, basis="walsh", update="step")),
    Variant("TESS, walsh, sequence, fixed point", "tess", replace(_TESS, basis="walsh", update="sequence"), "fixed"),
    Variant("TESS, square, sequence", "tess", replace(_TESS, basis="square", update="sequence")),
    Variant("TESS, square, step", "tess", replace(_TESS, basis="square", update="step")),
    Variant("TESS as published", "tess", TESS()),
    *(Variant(name, "own", rule) for name, rule in FAMILY.items()),
    Variant("BPTT, batch of 100, Adam (PyTorch)", "bptt"),
)


def variant_named(name: str) -> Variant:
    """The variant of that name. Raises InvalidValueError."""
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    raise invalid("compare-rules", "form", repr(name), f"one of {'; '.join(v.name for v in VARIANTS)}", "correct the name")
