# SPDX-License-Identifier: MIT
"""FADE: windows from encoder and decoder features together, and a gate that lets the encoder's detail through."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.nn import functional

from ._attending import adds_of, check_window
from ._base import Upsampler, conv
from ._interpolating import nearest, projected, projected_adds
from ._registry import Shape, Sizes, register


def _parameters(shape: Shape, up_kernel: int = 5, embedding: int = 64, gate: bool = True, **options: Any) -> int:
    c = shape.out_channels
    encoder = (embedding * 9 + 1) * up_kernel**2
    return projected(shape) + (2 * c + 1) * embedding + encoder + (c + 1 if gate else 0)


def _multiply_adds(
    shape: Shape, size: Sizes, up_kernel: int = 5, embedding: int = 64, gate: bool = True, **options: Any
) -> int:
    c, small, large = shape.out_channels, math.prod(size), math.prod(shape.grown(size))
    each = c * embedding + embedding * 9 * up_kernel**2
    gates = c * small if gate else 0
    return projected_adds(shape, size) + each * (small + large) + gates + adds_of(c, up_kernel, shape.grown(size))


@register(
    "fade", source="Lu et al., FADE: fusing the assets of decoder and encoder for task-agnostic upsampling (2022)",
    parameters=_parameters, multiply_adds=_multiply_adds, guide=True, integer_only=True,
)  # fmt: skip
class Fade(Upsampler):
    """Windows from the guide and the features by one shared encoder, and a gate between the guide and the result.

    **Convention:** scores = E(en(guide)) + up(E(de(x))), E a 3x3 convolution whose bias counts once, up nearest;
    softmax; r the window sums of x; result g guide + (1 - g) r with g = sigmoid(up(gate(x))). The guide has as many
    channels as the result.
    Options: up_kernel: the window, odd. embedding: channels that are compared. gate: without it the result is r.
        padding: "zeros" as published, "renorm", "replicate".
    """

    takes_guide = True
    guide_matches = True

    def __init__(
        self, shape: Shape, *, up_kernel: int = 5, embedding: int = 64, gate: bool = True, padding: Any = "zeros"
    ) -> None:
        super().__init__(shape, project=True)
        check_window("up_kernel", up_kernel, padding)
        self.up_kernel, self.padding = up_kernel, padding
        self.en = conv(2, shape.out_channels, embedding, 1)
        self.de = conv(2, shape.out_channels, embedding, 1, bias=False)
        self.content_encoder = conv(2, embedding, up_kernel**2, 3)
        self.gate: Any = conv(2, shape.out_channels, 1, 1) if gate else None
        for layer in (self.en, self.de):
            torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(self.en.bias)
        torch.nn.init.normal_(self.content_encoder.weight, std=0.001)
        torch.nn.init.zeros_(self.content_encoder.bias)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        low = torch.nn.functional.conv2d(self.de(x), self.content_encoder.weight, padding=1)
        scores = self.content_encoder(self.en(guide)) + nearest(low, size)
        y = functional.reassemble(x, scores, self.up_kernel, padding=self.padding, softmax=True)
        if self.gate is None:
            return y
        g = nearest(torch.sigmoid(self.gate(x)), size)
        return g * guide + (1 - g) * y
