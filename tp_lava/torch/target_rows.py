"""Target rows of a batch: one per sample, as TP's paper has it, or one per label, which computes the same with less.

Target traces depend on the label alone, so samples of one label have equal columns; n equal columns of a softmax are one
column with log n added to its logit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot


@dataclass(frozen=True)
class TargetRows:
    """K target rows of B samples.

    labels: (K, C) one-hot; own: (B,) index of each sample's own row; log_counts: (K,) logarithm of the samples a row stands for.
    """

    labels: Tensor
    own: Tensor
    log_counts: Tensor

    @property
    def count(self) -> int:
        """K."""
        return len(self.labels)

    @property
    def samples(self) -> int:
        """B."""
        return len(self.own)

    @classmethod
    def of_samples(cls, labels: Tensor, n_classes: int, dtype: torch.dtype) -> TargetRows:
        """One row per sample. labels: (B,)."""
        own = torch.arange(len(labels), device=labels.device)
        return cls(one_hot(labels, n_classes).to(dtype), own, torch.zeros(len(labels), device=labels.device, dtype=dtype))

    @classmethod
    def of_labels(cls, labels: Tensor, n_classes: int, dtype: torch.dtype) -> TargetRows:
        """One row per label that occurs."""
        present, own, counts = labels.unique(return_inverse=True, return_counts=True)
        return cls(one_hot(present, n_classes).to(dtype), own, counts.to(dtype).log())

    @classmethod
    def none(cls, labels: Tensor, n_classes: int, dtype: torch.dtype) -> TargetRows:
        """No row at all, for layers above all that learn."""
        empty = torch.zeros(0, n_classes, device=labels.device, dtype=dtype)
        return cls(empty, labels, empty[:, 0])
