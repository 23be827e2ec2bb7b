"""Lava's run time, made importable, supervised while it runs, and removed without a trace.

`run` takes a network, a rule and samples through Lava and returns the result; `session` runs any network of Processes.
All knowledge of lava-nc's defects is in this package: `shim` (imports), `session` and `runtime` (running),
`child_processes`, `shutdown` and `cleanup` (ending), `hardware` (run configurations), `learning` (its learning engine).
"""

from tp_lava.lava.hardware import TAGS as TAGS
from tp_lava.lava.hardware import Target as Target
from tp_lava.lava.hardware import loihi2_available as loihi2_available
from tp_lava.lava.learning import loihi_rule as loihi_rule
from tp_lava.lava.recorder import Recorder as Recorder
from tp_lava.lava.running import LavaResult as LavaResult
from tp_lava.lava.running import run as run
from tp_lava.lava.session import Session as Session
from tp_lava.lava.session import session as session
from tp_lava.lava.shim import make_importable as make_importable
from tp_lava.lava.snapshot import Snapshot as Snapshot
from tp_lava.lava.streaming import LavaStream as LavaStream
from tp_lava.lava.streaming import stream as stream
