"""tools/nmnist_in_c.py on a small stand-in for the recordings."""

import pathlib
import shutil
import sys

import pytest
from conftest import SHARED, lively, random_samples

import tp_lava as tpl

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

import nmnist_in_c

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("size")), reason="no gcc and binutils")


@pytest.fixture
def learner():
    return tpl.Learner(lively(tpl.Network.dense((60, 12, 4), tpl.LIF(0.9), seed=1), 2.5), tpl.TP(0.02, 0.05, 3), "fixed", 2)


def test_the_driver_learns_what_the_engine_does(learner, monkeypatch, tmp_path, rng):
    monkeypatch.setattr(nmnist_in_c, "OPTIONS", ("-O2",))
    before = {name: array.copy() for name, array in learner.mantissas.items()}
    builds = nmnist_in_c.measured(learner, random_samples(rng, 4, 60, 4), random_samples(rng, 2, 60, 4, 7), tmp_path)
    assert {build.build for build in builds} == {f"{c} -O2" for c in ("gcc", "clang") if shutil.which(c)}
    for build in builds:
        assert build.differences == 0
        assert (build.learn[0], build.infer[0]) == (4 * 12, 2 * 7)  # steps
        assert min(build.learn[1], build.infer[1], build.code, build.constants, build.state) > 0
        assert f"| {build.build} | {build.code} |" in nmnist_in_c.table(builds)
    assert any((before[name] != array).any() for name, array in learner.mantissas.items())


def test_a_difference_is_noticed(learner, monkeypatch, tmp_path, rng):
    """C is told one label fewer than the engine."""
    written = nmnist_in_c.written
    monkeypatch.setattr(nmnist_in_c, "OPTIONS", ("-O0",))
    monkeypatch.setattr(nmnist_in_c, "written", lambda samples, learned, *rest: written(samples, learned - 1, *rest))
    builds = nmnist_in_c.measured(learner, random_samples(rng, 3, 60, 4), [], tmp_path)
    assert all(build.differences > 0 for build in builds)
    assert "differ |" in nmnist_in_c.table(builds)


def test_the_recordings(monkeypatch, capsys):
    """The whole command, on three real recordings."""
    if not (SHARED / "nmnist_small.npz").exists():
        pytest.skip("the shared recordings are not here")
    monkeypatch.setattr(nmnist_in_c, "OPTIONS", ("-O2",))
    monkeypatch.setattr(sys, "argv", ["nmnist_in_c.py", "--recordings", str(SHARED / "nmnist_small.npz"), "--count", "3", "--test", "1"])
    with pytest.raises(SystemExit) as ended:
        nmnist_in_c.main()
    assert not ended.value.code
    assert "| equal |" in capsys.readouterr().out
