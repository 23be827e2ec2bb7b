"""Adaptation without forgetting: replay from a bounded buffer, learning where it is needed, and weights that are pulled back."""

from tp_lava.continual.buffer import ReplayBuffer as ReplayBuffer
from tp_lava.continual.continual import Continual as Continual
from tp_lava.continual.cost import Cost as Cost
from tp_lava.continual.prototypes import Prototypes as Prototypes
from tp_lava.continual.settings import Anchor as Anchor
from tp_lava.continual.settings import Gate as Gate
from tp_lava.continual.settings import Replay as Replay
