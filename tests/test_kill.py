"""tools/kill.py: a few kills of each kind, none of which breaks anything."""

import pathlib
import subprocess
import sys

TOOL = pathlib.Path(__file__).resolve().parents[1] / "tools" / "kill.py"


def test_a_few_kills_break_nothing():
    done = subprocess.run([sys.executable, TOOL, "-n", "9"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("broken: 0")
