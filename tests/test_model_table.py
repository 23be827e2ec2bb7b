"""docs/model-table.md is what the code answers now."""

import pathlib
import sys

import pytest

pytest.importorskip("torch", reason="the table has a column for PyTorch")
pytest.importorskip("lava", reason="the table has columns for Lava")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
import model_table


def test_the_page_is_what_the_code_answers():
    assert model_table.PAGE.read_text() == model_table.page(), "run: python tools/model_table.py"
