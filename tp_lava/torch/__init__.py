"""The same networks and rules in PyTorch, on CPU or CUDA: to train beforehand, and to measure the engine against.

Nothing else in tp_lava imports torch; without it this package raises TorchUnavailableError, an ImportError.
"""

from tp_lava.torch.availability import require_torch

require_torch()

from tp_lava.torch.bptt import BPTTTrainer as BPTTTrainer  # noqa: E402
from tp_lava.torch.fitting import evaluate as evaluate  # noqa: E402
from tp_lava.torch.fitting import fit as fit  # noqa: E402
from tp_lava.torch.inputs import dense as dense  # noqa: E402
from tp_lava.torch.module import SpikingNetwork as SpikingNetwork  # noqa: E402
from tp_lava.torch.product import ProductTrainer as ProductTrainer  # noqa: E402
from tp_lava.torch.product import TESSTrainer as TESSTrainer  # noqa: E402
from tp_lava.torch.product import trainer_of as trainer_of  # noqa: E402
from tp_lava.torch.tp import TPTrainer as TPTrainer  # noqa: E402
from tp_lava.torch.trainer import Trainer as Trainer  # noqa: E402
