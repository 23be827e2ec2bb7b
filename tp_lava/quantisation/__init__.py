"""Quantisation: a float network's weights, exponents and binary points for fixed point, chosen from what it does on samples."""

from tp_lava.quantisation.measured import measured_formats as measured_formats
from tp_lava.quantisation.measured import measured_weights as measured_weights
from tp_lava.quantisation.quantise import QuantisationWarning as QuantisationWarning
from tp_lava.quantisation.quantise import Quantised as Quantised
from tp_lava.quantisation.quantise import quantise as quantise
from tp_lava.quantisation.report import ConnectionReport as ConnectionReport
from tp_lava.quantisation.report import HeldDecay as HeldDecay
from tp_lava.quantisation.report import LayerReport as LayerReport
from tp_lava.quantisation.report import QuantisationReport as QuantisationReport
