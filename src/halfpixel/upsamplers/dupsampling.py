# SPDX-License-Identifier: MIT
"""Data-dependent upsampling of label scores."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelTypeError
from halfpixel.nn import functional

from ._base import Upsampler, conv
from ._registry import Shape, Sizes, register


def _parameters(shape: Shape) -> int:
    return shape.in_channels * shape.out_channels * shape.block + 1


def _multiply_adds(shape: Shape, size: Sizes) -> int:
    return shape.in_channels * shape.out_channels * shape.block * math.prod(size)


@register(
    "dupsampling", source="Tian et al., Decoders matter for semantic segmentation (2019)", parameters=_parameters,
    multiply_adds=_multiply_adds, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class DUpsampling(Upsampler):
    """A linear map from features to a block of class scores, which labels can fit before training.

    **Convention:** parameters `conv` (1x1, without bias) and `temperature`, by which scores are divided for the softmax
    that follows. out_channels are the classes. `fit` finds the best linear reconstruction of real label maps.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.conv = conv(shape.dims, shape.in_channels, shape.out_channels * shape.block, 1, bias=False)
        self.temperature = torch.nn.Parameter(torch.ones(()))

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        return functional.pixel_shuffle(self.conv(x), self.scale) / self.temperature

    @torch.no_grad()
    def fit(self, labels: Tensor) -> float:
        """Set the weights that reconstruct blocks of one-hot labels best: least |v - W P v|^2 over W and P.

        Arguments: labels: integers (N, *spatial) from 0 to out_channels - 1; others, such as 255, count as no class.
            Spatial sizes are cut to multiples of the scale.
        Returns: the mean squared error of a block's entries.
        Raises: TypeError, ValueError for other tensors.
        """
        if labels.dtype.is_floating_point or labels.dtype == torch.bool or labels.dtype.is_complex:
            raise HalfpixelTypeError(f"labels are {labels.dtype}", "integers", "dupsampling.fit")
        blocks = [n // int(s) for n, s in zip(labels.shape[1:], self.scale, strict=False)]
        if labels.dim() != self.dims + 1 or not math.prod([labels.shape[0], *blocks]):
            works = f"(N, *spatial) of {self.dims + 1} dimensions, at least one block of {self.scale}"
            raise HalfpixelShapeError(f"labels have shape {tuple(labels.shape)}", works, "dupsampling.fit")
        whole = labels[(slice(None), *(slice(n * int(s)) for n, s in zip(blocks, self.scale, strict=True)))]
        # The second moments of all blocks: few numbers, however many labels.
        size = self.out_channels * self.shape.block
        moments = torch.zeros(size, size, dtype=torch.float64)
        count = 0
        for one in whole:
            classes = torch.arange(self.out_channels, device=one.device).view(-1, *(1,) * self.dims)
            hot = (one.unsqueeze(0) == classes).to(torch.float64).unsqueeze(0)
            v = functional.pixel_unshuffle(hot, self.scale)[0].flatten(1).cpu()
            moments += v @ v.T
            count += v.shape[1]
        values, vectors = torch.linalg.eigh(moments)
        kept = min(self.in_channels, size)
        best = torch.zeros(size, self.in_channels, dtype=torch.float64)
        best[:, :kept] = vectors[:, -kept:].flip(1)
        self.conv.weight.copy_(best.reshape(self.conv.weight.shape))
        return float(values[:-kept].clamp(min=0).sum() / (count * size)) if kept < size else 0.0
