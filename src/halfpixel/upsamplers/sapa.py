# SPDX-License-Identifier: MIT
"""SAPA: similarity of the guide's pixel to the features around it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError
from halfpixel.nn import functional

from ._attending import adds_of, check_window, inside
from ._base import Upsampler, conv
from ._interpolating import projected, projected_adds
from ._registry import Shape, Sizes, register


def _guide(shape: Shape) -> int:
    return shape.guide_channels or 0


def _parameters(shape: Shape, embedding: int | None = 32, **options: Any) -> int:
    both = _guide(shape) + shape.out_channels
    return projected(shape) + (0 if embedding is None else 2 * both + (both + 2) * embedding)


def _multiply_adds(
    shape: Shape, size: Sizes, up_kernel: int = 5, embedding: int | None = 32, padding: Any = "renorm"
) -> int:
    large, c = shape.grown(size), shape.out_channels
    convolved = 0 if embedding is None else embedding * (_guide(shape) * math.prod(large) + c * math.prod(size))
    return projected_adds(shape, size) + convolved + adds_of((embedding or c) + c, up_kernel, large)


@register(
    "sapa", source="Lu et al., SAPA: similarity-aware point affiliation for feature upsampling (2022)",
    parameters=_parameters, multiply_adds=_multiply_adds, guide=True, convex=True,
)  # fmt: skip
class Sapa(Upsampler):
    """The window's weights are a softmax of inner products of the guide's pixel with the features of the window.

    **Convention:** query = q(norm_en(guide)), key = k(norm_de(x)), weights softmax(<query, key>) without a root, values
    x as they are. First weights N(0, 0.02). These are SAPA-B and SAPA-I; SAPA-D, with learned points, is not here.
    Options: up_kernel: the window, odd. embedding: of query and key; None: SAPA-I, no parameters, guides with as many
        channels as the result. padding: "renorm", "replicate", "zeros".
    """

    takes_guide = True

    def __init__(
        self, shape: Shape, *, up_kernel: int = 5, embedding: int | None = 32, padding: Any = "renorm"
    ) -> None:
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, padding)
        self.up_kernel, self.padding, self.embedding = up_kernel, padding, embedding
        guide, c = _guide(shape), shape.out_channels
        if embedding is None:
            if guide != c:
                raise HalfpixelValueError(f"guide_channels is {guide}, out_channels {c}", "as many, or embedding=32")
            return
        self.norm_en = torch.nn.GroupNorm(math.gcd(32, guide), guide)
        self.norm_de = torch.nn.GroupNorm(math.gcd(32, c), c)
        self.q, self.k = conv(2, guide, embedding, 1), conv(2, c, embedding, 1)
        for layer in (self.q, self.k):
            torch.nn.init.normal_(layer.weight, std=0.02)
            torch.nn.init.zeros_(layer.bias)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        plain = self.embedding is None
        query = guide if plain else self.q(self.norm_en(guide))
        key = x if plain else self.k(self.norm_de(x))
        scores = functional.local_attention_weights(
            query, key, self.up_kernel, scale=1.0, padding=self.padding, softmax=False
        )
        return functional.reassemble(x, scores, self.up_kernel, padding=inside(self.padding), softmax=True)
