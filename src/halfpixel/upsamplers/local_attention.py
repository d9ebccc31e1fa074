# SPDX-License-Identifier: MIT
"""Attention from each pixel of a guide to the features around it, at any ratio."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.nn import functional

from ._attending import adds_of, check_groups, check_window, inside, squared_distances
from ._base import Upsampler, conv
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register


def _guide(shape: Shape) -> int:
    return shape.guide_channels or 0


def _parameters(shape: Shape, heads: int = 1, embedding: int = 32, **options: Any) -> int:
    return projected(shape) + (_guide(shape) + shape.out_channels + 2) * embedding + heads


def _multiply_adds(shape: Shape, size: Sizes, up_kernel: int = 5, embedding: int = 32, **options: Any) -> int:
    c, large = shape.out_channels, shape.grown(size)
    convolved = embedding * (_guide(shape) * math.prod(large) + c * math.prod(size))
    return projected_adds(shape, size) + convolved + adds_of(embedding + c, up_kernel, large)


@register(
    "local_attention", source="NAF, arXiv 2511.18452 (2025); Vaswani et al., Attention is all you need (2017)",
    parameters=_parameters, multiply_adds=_multiply_adds, guide=True, convex=True,
)  # fmt: skip
class LocalAttention(Upsampler):
    """Windowed attention: queries of the guide, keys of the features, values the features as they are; any ratio.

    **Convention:** per head, softmax(<q(guide)[p], k(x)[n]> / sqrt(e) - d(p, n)^2 / (2 exp(spread)^2)), e the head's
    share of the embedding, d the distance in pixels of x, `spread` learned per head from 0. Each head serves its share
    of the channels. There is no full attention matrix: memory follows the output times the window.
    Options: up_kernel: the window, odd. heads: divide channels and embedding. embedding: of queries and keys. padding:
        "renorm", "replicate", "zeros".
    """

    takes_guide = True

    def __init__(
        self, shape: Shape, *, up_kernel: int = 5, heads: int = 1, embedding: int = 32, padding: Any = "renorm"
    ) -> None:
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, padding)
        check_groups(shape.out_channels, heads)
        check_groups(embedding, heads)
        self.up_kernel, self.heads, self.padding = up_kernel, heads, padding
        self.q, self.k = conv(2, _guide(shape), embedding, 1), conv(2, shape.out_channels, embedding, 1)
        self.spread = torch.nn.Parameter(torch.zeros(heads))

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        scores = functional.local_attention_weights(
            self.q(guide), self.k(x), self.up_kernel, self.heads, padding=self.padding, softmax=False
        )
        space = squared_distances(tuple(x.shape[2:]), size, self.up_kernel, x)
        near = space / (2 * torch.exp(2 * self.spread)).view(-1, 1, 1, 1)
        scores = scores - near.flatten(0, 1)
        return functional.reassemble(
            x, scores, self.up_kernel, groups=self.heads, padding=inside(self.padding), softmax=True
        )  # fmt: skip
