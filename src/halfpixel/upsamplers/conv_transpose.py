# SPDX-License-Identifier: MIT
"""Transposed convolution that starts without a checkerboard."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel import nn
from halfpixel.errors import HalfpixelValueError, unknown_name

from ._base import Upsampler
from ._registry import Shape, Sizes, reach, register

_INITS = ("linear", "identity", "torch")


def kernel_of(shape: Shape, kernel_size: int | None) -> Sizes:
    """A kernel per axis; None: twice the scale, or one less where that centres it."""
    return tuple(2 * int(s) - int(s) % 2 if kernel_size is None else kernel_size for s in shape.scale)


def _parameters(shape: Shape, kernel_size: int | None = None, **options: Any) -> int:
    return (shape.in_channels * math.prod(kernel_of(shape, kernel_size)) + 1) * shape.out_channels


def _multiply_adds(
    shape: Shape, size: Sizes, kernel_size: int | None = None, padding_mode: str = "zeros", **options: Any
) -> int:
    kernel = kernel_of(shape, kernel_size)
    more = [0 if padding_mode == "zeros" else 2 * reach(k, int(s)) for k, s in zip(kernel, shape.scale, strict=True)]
    places = math.prod(n + m for n, m in zip(size, more, strict=True))
    return shape.in_channels * shape.out_channels * math.prod(kernel) * places


@register(
    "conv_transpose", source="Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016)",
    parameters=_parameters, multiply_adds=_multiply_adds, integer_only=True, dims=(1, 2, 3),
)  # fmt: skip
class ConvTranspose(Upsampler):
    """A transposed convolution of stride `scale` whose first weights interpolate, so that no checkerboard shows.

    **Convention:** parameter `conv`, torch's transposed convolution with padding (kernel - scale) / 2; where that is
    not whole, the odd sample is cut at the end and the result lies half a pixel off.
    Options:
        kernel_size: None: 2 * scale - scale % 2, which linear interpolation needs; at least the scale.
        init: "linear": random 1x1 weights, each spread by the kernel of linear interpolation; "identity": the features,
            linearly interpolated; "torch": torch's own, whose phases differ.
        padding_mode: "zeros", as torch's; with "replicate" borders keep their level.
    """

    def __init__(
        self, shape: Shape, *, kernel_size: int | None = None, init: str = "linear", padding_mode: str = "zeros"
    ) -> None:
        super().__init__(shape)
        if init not in _INITS:
            raise unknown_name("init", init, _INITS)
        kernel = kernel_of(shape, kernel_size)
        if any(k < s for k, s in zip(kernel, shape.scale, strict=True)):
            raise HalfpixelValueError(f"kernel_size {kernel} leaves holes at scale {shape.scale}", "at least the scale")
        made = getattr(nn, f"ConvTranspose{shape.dims}d")
        self.conv: Any = made(
            shape.in_channels, shape.out_channels, kernel, shape.scale, padding="same", padding_mode=padding_mode
        )
        if init == "linear":
            mixed_linear_(self.conv.weight, shape.scale)
        elif init == "identity":
            self._copy()

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        return self.conv(x)

    def start(self, mode: str) -> str | None:
        """The kernel of linear interpolation, or of repetition."""
        kernel, centred = self.conv.kernel_size, True
        if mode == "linear":
            need = kernel_of(self.shape, None)
            centred = all(k >= n and (k - n) % 2 == 0 for k, n in zip(kernel, need, strict=True))
            if centred and self.conv.padding_mode != "replicate":
                return "zeros outside darken the border; padding_mode='replicate' keeps it"
        if mode not in ("nearest", "linear") or not centred:
            return f"a kernel {kernel} at scale {self.scale} cannot be {mode}"
        if mode == "linear":
            self._copy()
        else:
            nn.init.identity_(self.conv.weight, self.scale)
            torch.nn.init.zeros_(self.conv.bias)
        return None

    def _copy(self) -> None:
        profile = linear_profile(self.conv.weight.shape[2:], self.scale)
        with torch.no_grad():
            self.conv.weight.zero_()
            for i in range(min(self.conv.weight.shape[:2])):
                self.conv.weight[i, i] = profile.to(self.conv.weight)
        torch.nn.init.zeros_(self.conv.bias)


def linear_profile(kernel: Any, scale: Any) -> Tensor:
    """The kernel of linear interpolation, each of whose phases sums to 1, for constants to stay constant."""
    profile = torch.ones((), dtype=torch.float64)
    for k, s in zip(kernel, scale, strict=True):
        at = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
        line = (1 - at.abs() / s).clamp(min=0)
        for phase in range(s):
            line[phase::s] /= line[phase::s].sum()
        profile = profile.unsqueeze(-1) * line
    return profile


def mixed_linear_(weight: Tensor, scale: Any) -> Tensor:
    """Fill a transposed convolution's weight: torch's random 1x1 weights times the kernel of linear interpolation."""
    with torch.no_grad():
        mixed = weight.new_empty(weight.shape[1], weight.shape[0], 1)
        torch.nn.init.kaiming_uniform_(mixed, a=math.sqrt(5))
        mixed = mixed.transpose(0, 1).reshape(*weight.shape[:2], *(1,) * (weight.dim() - 2))
        weight.copy_(mixed * linear_profile(weight.shape[2:], scale).to(weight))
    return weight
