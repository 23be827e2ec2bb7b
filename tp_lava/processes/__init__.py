"""Lava Processes: ports and Vars only. Their models, in tp_lava.models, come along when this is imported."""

from tp_lava.lava.shim import make_importable

make_importable()

import tp_lava.models  # noqa: E402, F401 (Lava finds models in the module of their Process)
from tp_lava.processes.event_source import EventSource as EventSource  # noqa: E402
from tp_lava.processes.feedback_source import FeedbackSource as FeedbackSource  # noqa: E402
from tp_lava.processes.layers import Credit as Credit  # noqa: E402
from tp_lava.processes.layers import LabelGate as LabelGate  # noqa: E402
from tp_lava.processes.layers import LearningTraceLIF as LearningTraceLIF  # noqa: E402
from tp_lava.processes.layers import PlasticConv as PlasticConv  # noqa: E402
from tp_lava.processes.layers import PlasticDense as PlasticDense  # noqa: E402
from tp_lava.processes.layers import Readout as Readout  # noqa: E402
from tp_lava.processes.layers import TargetProjection as TargetProjection  # noqa: E402
from tp_lava.processes.layers import TraceLIF as TraceLIF  # noqa: E402
from tp_lava.processes.on_chip_learner import OnChipLearner as OnChipLearner  # noqa: E402
from tp_lava.processes.score_sink import ScoreSink as ScoreSink  # noqa: E402
from tp_lava.processes.stream_source import StreamSource as StreamSource  # noqa: E402
