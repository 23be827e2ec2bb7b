"""Learning rules, one file each: what a user chooses, made of a credit, terms and parameters of its own."""

from tp_lava.circuit.terms import Term as Term
from tp_lava.dynamics.readout import Match as Match
from tp_lava.dynamics.readout import Readout as Readout
from tp_lava.rules.base import Credit as Credit
from tp_lava.rules.base import Rule as Rule
from tp_lava.rules.tess import TESS as TESS
from tp_lava.rules.tp import TP as TP
