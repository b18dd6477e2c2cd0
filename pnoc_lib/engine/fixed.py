"""An encoder that does not learn, as quick within a training as it is at inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pnoc_lib.engine import batchnorm, pointwise

Encode = Callable[[Tensor], Sequence[Tensor]]  # (N, 3, H, W) normalised images -> maps (N, K, h, w), fine to coarse


class FixedEncoder(nn.Module):
    """Copy of an encoder without gradients: BatchNorm folded, channels last, and on a CPU convolutions made ready.

    encoder: a module that gives a list of maps, in any mode, left untouched. dtype: of its arithmetic, whatever the
    precision around it.
    Calling it takes (N, 3, H, W) normalised images and gives the maps of evaluation mode, up to rounding, in `dtype`.
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype):
        super().__init__()
        device = next(encoder.parameters()).device
        folded = batchnorm.fold_batchnorm(encoder, torch.zeros(1, 3, 64, 64, device=device)).requires_grad_(False)
        self.dtype = dtype
        self.network = folded.to(dtype, memory_format=torch.channels_last)
        self._ready: list[nn.Module] = []  # a list, so as to be no part
        self.eval()

    def train(self, mode: bool = True) -> FixedEncoder:
        """It stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        images = images.to(self.dtype, memory_format=torch.channels_last)
        with torch.autocast(images.device.type, enabled=False):
            return self._quickest(images)(images)

    def _quickest(self, images: Tensor) -> nn.Module:
        if images.device.type != "cpu" or self.dtype != torch.bfloat16:  # float32 has other kernels: not the same bits
            return self.network
        if not self._ready:
            self._ready.append(pointwise.ready(self.network, lambda one: one(images[:1])))
        return self._ready[0]
