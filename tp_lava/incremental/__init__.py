"""Protocols of incremental learning on spoken words: new words, or new speakers, come in sessions of a few samples each.

`splits` says who learns what and what is asked, `learners` which learners are compared, `running` runs them, `results` what came out.
"""

from tp_lava.incremental.learners import METHODS as METHODS
from tp_lava.incremental.learners import Method as Method
from tp_lava.incremental.results import Results as Results
from tp_lava.incremental.results import Session as Session
from tp_lava.incremental.running import Settings as Settings
from tp_lava.incremental.running import compare as compare
from tp_lava.incremental.splits import Split as Split
from tp_lava.incremental.splits import class_incremental as class_incremental
from tp_lava.incremental.splits import domain_incremental as domain_incremental
