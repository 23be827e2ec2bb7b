"""Credits, one file each: what tells a population how wrong it is."""

from tp_lava.rules.credits.backward_error import BackwardError as BackwardError
from tp_lava.rules.credits.base import Credit as Credit
from tp_lava.rules.credits.classifier import BasisError as BasisError
from tp_lava.rules.credits.classifier import LocalClassifier as LocalClassifier
from tp_lava.rules.credits.contrast import Contrast as Contrast
from tp_lava.rules.credits.output_feedback import OutputFeedback as OutputFeedback
from tp_lava.rules.credits.target_projection import TargetProjection as TargetProjection
