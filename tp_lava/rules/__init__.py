"""Learning rules, one file each: what a user chooses, made of a credit, terms and parameters of its own."""

from tp_lava.circuit.terms import Term as Term
from tp_lava.dynamics.readout import Match as Match
from tp_lava.dynamics.readout import Readout as Readout
from tp_lava.rules.base import BaseRule as BaseRule
from tp_lava.rules.credits import BackwardError as BackwardError
from tp_lava.rules.credits import BasisError as BasisError
from tp_lava.rules.credits import Contrast as Contrast
from tp_lava.rules.credits import Credit as Credit
from tp_lava.rules.credits import LocalClassifier as LocalClassifier
from tp_lava.rules.credits import OutputFeedback as OutputFeedback
from tp_lava.rules.credits import TargetProjection as TargetProjection
from tp_lava.rules.decolle import DECOLLE as DECOLLE
from tp_lava.rules.eprop import EProp as EProp
from tp_lava.rules.etlp import ETLP as ETLP
from tp_lava.rules.ostl import OSTL as OSTL
from tp_lava.rules.osttp import OSTTP as OSTTP
from tp_lava.rules.ottt import OTTT as OTTT
from tp_lava.rules.rule import Rule as Rule
from tp_lava.rules.sltt import SLTT as SLTT
from tp_lava.rules.stllr import STLLR as STLLR
from tp_lava.rules.tess import TESS as TESS
from tp_lava.rules.tp import TP as TP
