"""Range analysis: a proof that every number of a fixed-point network fits where it is held, or the one that does not.

Interval arithmetic over the whole circuit: `intervals` (an instruction), `evaluator` (a program, its states over any number of
steps, its clamps), `analysis` (the circuit with its weights and fan-in), `verdicts` (what is an error and what is information), `report`.
"""

from tp_lava.ranges.checking import analyse as analyse
from tp_lava.ranges.checking import check as check
from tp_lava.ranges.checking import check_ranges as check_ranges
from tp_lava.ranges.report import Entry as Entry
from tp_lava.ranges.report import RangeReport as RangeReport
from tp_lava.ranges.verdicts import LOIHI as LOIHI
from tp_lava.ranges.verdicts import Limits as Limits
