"""Wiring: from a network and a rule to a circuit. Here is the order of things within a time step.

Per hidden layer: deliver events and step the neurons; let the rule assign credit and change the layer's
weights; gather the new events. Then the readout. `builder` has what every circuit is made of, `rule` what
every rule has, each rule has a module of its own (`tp`, `tess`), and so has the readout.
"""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.circuit import Circuit
from tp_lava.errors import invalid
from tp_lava.fixedpoint import REAL, Formats
from tp_lava.network import Network
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.readouts import Match
from tp_lava.rules import Rule
from tp_lava.wiring.builder import Wiring as Wiring
from tp_lava.wiring.readout import wire_readout
from tp_lava.wiring.rule import RuleWiring as RuleWiring
from tp_lava.wiring.rule import wire_rule
from tp_lava.wiring.rule import wires as wires
from tp_lava.wiring.tess import TESSWiring as TESSWiring
from tp_lava.wiring.tp import TPWiring as TPWiring


def build_circuit(
    network: Network,
    rule: Rule | None = None,
    formats: Formats = REAL,
    students: int = 1,
    optimiser: Optimiser | Mapping[str, Optimiser] = SGD(),  # noqa: B008 (frozen)
) -> Circuit:
    """The circuit of a network that infers (rule None) or learns.

    formats: from fixedpoint.plan, or REAL. students: samples presented together, whose mean change is learned; under TP
    one is contrasted with the rule's target streams (its own label first), several with each other. optimiser: one for
    all layers, or one per layer; in fixed point plain SGD.
    """
    wiring = Wiring(network, rule, formats, students, optimiser)
    credit = wire_rule(wiring, rule) if rule is not None else None
    for number, layer in enumerate(network.layers):
        if credit:
            if layer.connection and credit.learns(number):
                remedy = "learning in convolutions is not offered: freeze it, rate=(0.0, ...) with one number a layer"
                raise invalid(type(rule).__name__, "rate", f"above 0 for hidden{number}", "0 for a convolution", remedy)
            credit.before(number)
        wiring.student_path(number, surrogate=credit is not None and credit.learns(number))
        if credit:
            credit.layer(number)
        wiring.gather(f"hidden{number}", "b", total=True)
    if credit and isinstance(credit.rule.readout, Match):
        credit.match()
    else:
        wire_readout(wiring, rule)
    wiring.finish()
    return wiring.circuit()
