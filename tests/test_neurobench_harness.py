"""tools/neurobench_harness.py, where NeuroBench is installed: its accuracies are ours."""

import pathlib
import sys
from functools import partial

import pytest

pytest.importorskip("neurobench")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

from neurobench_harness import harnessed
from test_incremental import QUICK, RECORDINGS, SMALL

from tp_lava.incremental import METHODS, compare
from tp_lava.incremental.splits import class_incremental


def test_the_harness_measures_what_we_do():
    rows = harnessed(class_incremental(RECORDINGS, 0, **SMALL), QUICK)
    ours = compare(RECORDINGS, partial(class_incremental, **SMALL), QUICK, METHODS[:1], seeds=1).runs["Continual"][0]
    assert [row["ClassificationAccuracy"] for row in rows] == pytest.approx([session.all for session in ours])
    assert rows[0]["WeightUpdates"] == 0
    assert rows[-1]["WeightUpdates"] == sum(session.updates for session in ours)
    assert rows[-1]["Presentations"] == sum(session.presentations for session in ours)
    assert rows[-1]["ParameterCount"] == 6 * 12 * 12 + 12 * 8
