# SPDX-License-Identifier: MIT
"""Joint bilateral upsampling: near in space and alike in the guide."""

from __future__ import annotations

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._attending import adds_of, check_window, squared_distances
from ._base import Upsampler
from ._interpolating import linear, projected, projected_adds
from ._registry import Shape, Sizes, register


def _multiply_adds(shape: Shape, size: Sizes, up_kernel: int = 5, **options: float) -> int:
    channels = shape.out_channels + (shape.guide_channels or 0) + 1  # a constant beside the guide
    return projected_adds(shape, size) + adds_of(channels, up_kernel, shape.grown(size))


def _parameters(shape: Shape, **options: float) -> int:
    return projected(shape)


@register(
    "joint_bilateral", source="Kopf et al., Joint bilateral upsampling (2007)", parameters=_parameters,
    multiply_adds=_multiply_adds, guide=True, convex=True,
)  # fmt: skip
class JointBilateral(Upsampler):
    """Window sums whose weights are Gaussian in the distance and in the guide's difference; no parameters.

    **Convention:** the guide at a pixel of x is its linear interpolation there. weight = exp(-d^2 / (2 sigma_space^2) -
    |G[p] - G[q]|^2 / (2 sigma_range^2)), over their sum; pixels outside do not count. Weights are computed in float32
    or better.
    Options: up_kernel: the window in pixels of x, odd. sigma_space: in pixels of x. sigma_range: in the guide's units;
        0.1 suits guides in [0, 1].
    """

    takes_guide = True

    def __init__(
        self, shape: Shape, *, up_kernel: int = 5, sigma_space: float = 0.75, sigma_range: float = 0.1
    ) -> None:
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, "renorm")
        if not (sigma_space > 0 and sigma_range > 0):
            raise HalfpixelValueError(f"sigma_space is {sigma_space}, sigma_range {sigma_range}", "both above 0")
        self.up_kernel, self.sigma_space, self.sigma_range = up_kernel, sigma_space, sigma_range

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        fine = guide.to(torch.promote_types(guide.dtype, torch.float32))  # type: ignore[union-attr]
        # |a - b|^2 = |a|^2 - 2 <a, b> + |b|^2, and |a|^2 falls out of the softmax. Means are taken off before: products
        # of large values would lose small differences.
        fine = fine - fine.mean((2, 3), keepdim=True)
        coarse = linear(fine, tuple(x.shape[2:]))
        ones = torch.ones_like(fine[:, :1])
        query = torch.cat([fine, ones], 1)
        key = torch.cat([coarse, -0.5 * (coarse**2).sum(1, keepdim=True)], 1)
        scores = functional.local_attention_weights(
            query, key, self.up_kernel, scale=self.sigma_range**-2, padding="renorm", softmax=False
        )
        space = squared_distances(tuple(x.shape[2:]), size, self.up_kernel, fine)
        scores = scores - space / (2 * self.sigma_space**2)
        real = torch.promote_types(x.dtype, torch.float32)
        return functional.reassemble(x, scores.to(real), self.up_kernel, softmax=True)
