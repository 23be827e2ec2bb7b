"""tools/kill.py: a few kills of each kind, none of which breaks anything."""

import importlib
import pathlib
import signal
import subprocess
import sys

TOOL = pathlib.Path(__file__).resolve().parents[1] / "tools" / "kill.py"


def test_a_few_kills_break_nothing():
    done = subprocess.run([sys.executable, TOOL, "-n", "9"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("broken: 0")


def test_ctrl_c_while_saving_breaks_nothing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(TOOL.parent)
    kill = importlib.import_module("kill")
    killer = kill.Killer(0, signal.SIGINT)
    save = kill.Save(killer, tmp_path)
    for number in range(8):
        save(number)
    assert killer.killed["moment"] + killer.killed["place"] >= 4
