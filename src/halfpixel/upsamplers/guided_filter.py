# SPDX-License-Identifier: MIT
"""The fast guided filter: a local linear model of the guide, fitted at the low resolution."""

from __future__ import annotations

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError

from ._base import Upsampler
from ._interpolating import linear, projected, projected_adds
from ._means import window_means
from ._registry import Shape, Sizes, register

_MOST = 16  # channels of a guide: the solve is unrolled


@register(
    "guided_filter", source="He and Sun, Fast guided filter (2015)", parameters=projected,
    multiply_adds=projected_adds, guide=True, dims=(1, 2, 3),
)  # fmt: skip
class GuidedFilter(Upsampler):
    """Near every place the result is a linear function of the guide's channels, fitted to x at its own resolution.

    **Convention:** a = (cov(G, G) + eps)^-1 cov(G, x), b = mean(x) - a mean(G) over windows of 2 * radius + 1, of which
    only samples inside count; a and b are averaged over the same windows, interpolated linearly (half-pixel, as the
    guide is shrunk), and out = a G + b. Computed in float32 or better.
    Options: radius: of the windows, in pixels of x. eps: against noise, in units of the guide squared; for guides in
        [0, 1], 1e-4 keeps most edges and 1e-2 strong ones.
    """

    takes_guide = True

    def __init__(self, shape: Shape, *, radius: int = 2, eps: float = 1e-4) -> None:
        super().__init__(shape, project=True)
        if radius < 1 or not eps > 0:
            raise HalfpixelValueError(f"radius is {radius}, eps {eps}", "a radius of at least 1, and eps above 0")
        if (shape.guide_channels or 0) > _MOST:
            why = f"guide_channels is {shape.guide_channels}: as large a system is solved at every place"
            raise HalfpixelValueError(why, f"at most {_MOST}, such as an image or a 1x1 convolution of the guide")
        self.radius, self.eps = radius, eps

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        wide = torch.promote_types(x.dtype, torch.float32)
        p, full = x.to(wide), guide.to(wide)  # type: ignore[union-attr]
        g = linear(full, tuple(p.shape[2:]))
        mean_g, mean_p = self._mean(g), self._mean(p)
        # Deviations are taken before products: the difference of large means would lose small variances.
        centre = mean_g.mean(tuple(range(2, g.dim())), keepdim=True)
        g0, m0 = g - centre, mean_g - centre
        channels = range(g.shape[1])
        one = [g0[:, i : i + 1] for i in channels]
        mean = [m0[:, i : i + 1] for i in channels]
        matrix = [[self._mean(one[i] * one[j]) - mean[i] * mean[j] for j in range(i + 1)] for i in channels]
        right = [self._mean(one[i] * p) - mean[i] * mean_p for i in channels]
        for i in channels:
            matrix[i][i] = matrix[i][i].clamp(min=0) + self.eps
        slopes = solved(matrix, right)
        offset = mean_p
        for i in channels:
            offset = offset - slopes[i] * mean[i]
        out = linear(self._mean(offset), size)
        for i in channels:
            out = out + linear(self._mean(slopes[i]), size) * (full[:, i : i + 1] - centre[:, i : i + 1])
        return out.to(x.dtype)

    def _mean(self, x: Tensor) -> Tensor:
        """Over windows, of the samples inside."""
        each = (1,) * self.dims
        return window_means(x, (2 * self.radius + 1,) * self.dims, each, (self.radius,) * self.dims)


def solved(matrix: list[list[Tensor]], right: list[Tensor]) -> list[Tensor]:
    """The solution of symmetric positive definite systems, one at every place, by L D L^T; `matrix` is lower."""
    n = len(right)
    low: list[list[Tensor]] = [[] for _ in range(n)]
    diagonal: list[Tensor] = []
    for i in range(n):
        for j in range(i):
            entry = matrix[i][j]
            for k in range(j):
                entry = entry - low[i][k] * low[j][k] * diagonal[k]
            low[i].append(entry / diagonal[j])
        pivot = matrix[i][i]
        for k in range(i):
            pivot = pivot - low[i][k] ** 2 * diagonal[k]
        diagonal.append(pivot)
    y = list(right)
    for i in range(n):
        for k in range(i):
            y[i] = y[i] - low[i][k] * y[k]
    y = [value / pivot for value, pivot in zip(y, diagonal, strict=True)]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            y[i] = y[i] - low[k][i] * y[k]
    return y
