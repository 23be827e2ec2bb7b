"""The report: a network's placement, bits, operations and estimates as one HTML page that loads nothing from elsewhere.

`facts` computes, `figures` and `drawings` (by drawings.svg.jinja) draw, `page` fills the template.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tp_lava.data.events import Sample
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.report.facts import Facts as Facts
from tp_lava.report.facts import gather as gather
from tp_lava.report.page import render as render
from tp_lava.saving import write_whole


def write_report(model: Network | Learner, samples: Sequence[Sample], out: str | os.PathLike, **options: Any) -> Facts:
    """Write the report of a model on samples to a file; the same model and samples give the same bytes. -> its contents.

    options: see gather. Raises InvalidValueError, OSError.
    """
    facts = gather(model, samples, **options)
    write_whole(out, render(facts).encode())
    return facts
