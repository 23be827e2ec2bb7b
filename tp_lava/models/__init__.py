"""Lava ProcessModels: thin, they call what backends/ compiled. Importing this package makes Lava find them."""

from tp_lava.models import event_source as event_source
from tp_lava.models import feedback_source as feedback_source
from tp_lava.models import hierarchy as hierarchy
from tp_lava.models import on_chip_learner as on_chip_learner
from tp_lava.models import part as part
from tp_lava.models import score_sink as score_sink
from tp_lava.models import stream_source as stream_source
