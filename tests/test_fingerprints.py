"""What is learned is what the record says: bit for bit in fixed point, to 1e-5 in float; and old files go on as they did."""

import copy
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

import fingerprint_cases
import fingerprints

RECORD, CONFIGURATIONS = fingerprints.read(), fingerprint_cases.configurations()


def test_everything_is_recorded():
    assert list(RECORD) == list(CONFIGURATIONS)
    saved = {path.stem for path in fingerprint_cases.SAVED.iterdir()}
    assert saved == {*fingerprint_cases.LEARNERS, *fingerprint_cases.NETWORKS}


@pytest.mark.filterwarnings("ignore:.*basis gives:UserWarning")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_as_recorded(name):
    found = fingerprints.recorded(CONFIGURATIONS[name]())
    assert fingerprints.differences(found, RECORD[name]) == [], "if that is meant, run: python tools/fingerprints.py --write"


@pytest.mark.parametrize("name", ["TP, 1 layer, float", "TP, 1 layer, fixed"])
def test_a_difference_is_noticed(name):
    """Of one weight, by its resolution in fixed point and by a hundredth in float."""
    result = CONFIGURATIONS[name]()
    weights = {name: array.copy() for name, array in result.weights.items()}
    weights["readout"][0, 0] += 2.0**-7 if result.fixed else np.abs(weights["readout"]).max() / 100
    found = fingerprints.recorded(result._replace(weights=weights))
    assert fingerprints.differences(found, RECORD[name]) == ["weights" if result.fixed else "weights readout"]


def test_float_may_differ_a_little():
    record = RECORD["TP, 1 layer, float"]
    found = copy.deepcopy(record)
    found["weights"] = found["scores"] = "of another processor"
    found["numbers"]["scores"][0] += 1e-7 * max(map(abs, record["numbers"]["scores"]))
    assert fingerprints.differences(found, record) == []
    assert fingerprints.verdict(found, record) == ("same to 1e-05", True)
    found["numbers"]["scores"][0] += 1e-4 * max(map(abs, record["numbers"]["scores"]))
    del found["numbers"]["spikes"]
    assert fingerprints.differences(found, record) == ["scores", "spikes"]


def test_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(fingerprints, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(sys, "argv", ["fingerprints.py", "--only", "no rule, shipped, fixed", "--write"])
    fingerprints.main()
    monkeypatch.setattr(sys, "argv", sys.argv[:3])
    fingerprints.main()
    assert capsys.readouterr().out.split("\n")[1].endswith("  same")
    changed = {**fingerprints.read(), "gone": {}}
    changed["no rule, shipped, fixed"]["spikes"] = "others"
    fingerprints.write(changed)
    with pytest.raises(SystemExit):
        fingerprints.main()
    told = capsys.readouterr().out
    assert "differs: spikes" in told
    assert "no longer there" in told
