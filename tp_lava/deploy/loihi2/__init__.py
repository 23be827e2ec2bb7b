"""Loihi 2 on paper: where a network would live, what it would take, what is broken; from public figures, each with its source."""

from tp_lava.deploy.loihi2.continual import ContinualDemand as ContinualDemand
from tp_lava.deploy.loihi2.counting import Counts as Counts
from tp_lava.deploy.loihi2.counting import count as count
from tp_lava.deploy.loihi2.estimates import Cost as Cost
from tp_lava.deploy.loihi2.estimates import Costs as Costs
from tp_lava.deploy.loihi2.estimates import Estimate as Estimate
from tp_lava.deploy.loihi2.estimates import estimate as estimate
from tp_lava.deploy.loihi2.estimates import microjoules_a_sample as microjoules_a_sample
from tp_lava.deploy.loihi2.learning_memory import Remembered as Remembered
from tp_lava.deploy.loihi2.learning_memory import learning_memory as learning_memory
from tp_lava.deploy.loihi2.limits import Board as Board
from tp_lava.deploy.loihi2.limits import Limit as Limit
from tp_lava.deploy.loihi2.limits import Limits as Limits
from tp_lava.deploy.loihi2.limits import Violation as Violation
from tp_lava.deploy.loihi2.mapper import map_network as map_network
from tp_lava.deploy.loihi2.mapping import Mapping as Mapping
from tp_lava.deploy.loihi2.placement import Core as Core
