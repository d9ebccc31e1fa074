# SPDX-License-Identifier: MIT
"""Unpooling: values back to where the maxima were."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError
from halfpixel.nn import functional

from ._base import Upsampler
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register

_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_UNPOOL = {1: functional.max_unpool1d, 2: functional.max_unpool2d, 3: functional.max_unpool3d}


@register(
    "max_unpool", source="Badrinarayanan et al., SegNet (2017)", parameters=projected, multiply_adds=projected_adds,
    guide=True, integer_only=True, dims=(1, 2, 3), exportable=False,
)  # fmt: skip
class MaxUnpool(Upsampler):
    """Values go to where an encoder's maxima were, zeros elsewhere.

    **Convention:** the guide is the map that was pooled, (N, guide_channels, *size), whose windows of `scale` are
    searched for maxima; or the indices, int64 and of x's shape, that `max_pool` with ceil_mode=True returned. No
    gradient goes to the guide. guide_channels equals out_channels.
    """

    takes_guide = True
    guide_matches = True
    cuts = False

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, project=True)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        indices: Any = guide
        if indices.dtype != torch.int64:
            indices = _POOL[self.dims](indices.detach(), self.scale, ceil_mode=True, return_indices=True)[1]
        return _UNPOOL[self.dims](x, indices, self.scale, output_size=size)

    def _size(self, x: Tensor, size: Any, guide: Tensor | None) -> Sizes:
        indices = guide is not None and guide.dtype == torch.int64
        return super()._size(x, size, None if indices else guide)

    def _check_guide(self, x: Tensor, size: Sizes, guide: Any) -> None:
        if guide is None or guide.dtype != torch.int64:
            super()._check_guide(x, size, guide)
        elif tuple(guide.shape) != (x.shape[0], self.out_channels, *x.shape[2:]):
            why = f"the indices have shape {tuple(guide.shape)}, x {tuple(x.shape)}"
            raise HalfpixelShapeError(why, "the indices that pooling returned with x", self._call(x, size, guide))
