# SPDX-License-Identifier: MIT
"""Interpolation and a convolution; of nearest, both at once at the low resolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError, unknown_name
from halfpixel.nn import functional

from ._base import Upsampler, conv, identity_conv_
from ._interpolating import interpolated
from ._registry import Shape, Sizes, reach, register

_MODES = ("nearest", "linear")
_PADDINGS = ("zeros", "replicate", "circular", "reflect")
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def _parameters(shape: Shape, kernel_size: int = 3, **options: Any) -> int:
    return (shape.in_channels * kernel_size**shape.dims + 1) * shape.out_channels


def _multiply_adds(
    shape: Shape, size: Sizes, kernel_size: int = 3, mode: str = "nearest", fused: bool | None = None,
    padding_mode: str = "zeros",
) -> int:  # fmt: skip
    # The sums of weights are not counted: all samples share them.
    pairs = shape.in_channels * shape.out_channels
    if _fuses(shape, mode, padding_mode, fused):
        more = 0 if padding_mode == "zeros" else 2
        taps = math.prod(kernel_size + int(s) - 1 for s in shape.scale)
        outside = [more * reach(kernel_size + int(s) - 1, int(s)) for s in shape.scale]
        return pairs * taps * math.prod(n + r for n, r in zip(size, outside, strict=True))
    return pairs * kernel_size**shape.dims * math.prod(shape.grown(size))


def _fuses(shape: Shape, mode: str, padding_mode: str, fused: bool | None) -> bool:
    whole = all(isinstance(s, int) for s in shape.scale)
    return fused is not False and mode == "nearest" and padding_mode != "reflect" and whole


@register(
    "resize_conv", source="Odena et al., Deconvolution and checkerboard artifacts (2016)", parameters=_parameters,
    multiply_adds=_multiply_adds, dims=(1, 2, 3),
)  # fmt: skip
class ResizeConv(Upsampler):
    """Interpolation and a convolution; after nearest it runs at the low resolution, with fewer multiplications.

    **Convention:** parameters `conv.weight`, `conv.bias`, those of torch's convolution, in either form. Nearest by s
    and a convolution of k taps equal, borders included, one transposed convolution of k + s - 1 taps and stride s whose
    weights are sums of the convolution's: (k + s - 1) / s taps per output and axis in place of k.
    Options: kernel_size: odd. mode: "nearest" or "linear". fused: None or True: the low-resolution form where it is the
        same (nearest, a whole scale, no other size, padding without "reflect"); False: never.
        padding_mode: of the convolution.
    """

    def __init__(
        self, shape: Shape, *, kernel_size: int = 3, mode: str = "nearest", fused: bool | None = None,
        padding_mode: str = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(shape)
        if mode not in _MODES:
            raise unknown_name("mode", mode, _MODES)
        if padding_mode not in _PADDINGS:
            raise unknown_name("padding_mode", padding_mode, _PADDINGS)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise HalfpixelValueError(f"kernel_size is {kernel_size}", "an odd one, which does not shift")
        if fused and not _fuses(shape, mode, padding_mode, fused):
            why = f"no low-resolution form of mode {mode!r}, padding_mode {padding_mode!r} and scale {shape.scale}"
            raise HalfpixelValueError(why, "mode='nearest', a whole scale, and another padding than 'reflect'")
        self.mode, self.fused, self.padding_mode = mode, _fuses(shape, mode, padding_mode, fused), padding_mode
        self.conv = conv(
            shape.dims, shape.in_channels, shape.out_channels, kernel_size, padding_mode=padding_mode
        )  # fmt: skip

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size."""
        whole = all(m == n * s for n, m, s in zip(x.shape[2:], size, self.scale, strict=True))
        if not (self.fused and whole):
            return self.conv(interpolated(x, size, self.mode))
        stride = tuple(int(s) for s in self.scale)
        kernel = low_resolution_kernel(self.conv.weight, stride)
        return _TRANSPOSED[self.dims](
            x, kernel, self.conv.bias, stride, self.conv.kernel_size[0] // 2, padding_mode=self.padding_mode
        )

    def start(self, mode: str) -> str | None:
        """A convolution that copies, after the interpolation."""
        if mode != self.mode:
            return f"resize_conv interpolates by {self.mode}; mode={mode!r} is another option"
        identity_conv_(self.conv.weight)
        torch.nn.init.zeros_(self.conv.bias)
        return None


def low_resolution_kernel(weight: Tensor, scale: Sizes) -> Tensor:
    """The transposed convolution's weight that equals nearest upsampling by `scale` and then this convolution.

    **Convention:** weight (C_out, C_in, *k), the result (C_in, C_out, *(k + scale - 1)), for stride `scale` and padding
    (k - 1) / 2. An input sample fills s places, and reaches an output from each of them: a sum over s windows.
    Example:
        >>> import torch
        >>> low_resolution_kernel(torch.tensor([[[1.0, 2.0, 3.0]]]), (2,))
        tensor([[[3., 5., 3., 1.]]])
    """
    places, size = torch.ones(1, 1), []
    for k, s in zip(weight.shape[2:], scale, strict=True):
        # Tap i of the convolution reaches the s outputs from k - 1 - i on.
        behind = torch.arange(k + s - 1) - torch.arange(k - 1, -1, -1).unsqueeze(1)
        each = ((behind >= 0) & (behind < s)).to(places.dtype)
        places = (places[:, None, :, None] * each[None, :, None, :]).flatten(2, 3).flatten(0, 1)
        size.append(k + s - 1)
    # One small product: less than a hundredth of the convolution's time, so that nothing is kept that could be stale.
    places = places.to(weight)
    if weight.movedim(1, -1).is_contiguous():  # of a channels-last model: no channels change places
        return (places.T @ weight.movedim(1, -1).flatten(1, -2)).unflatten(1, size).movedim((-1, 0), (0, 1))
    return (weight.transpose(0, 1).flatten(2) @ places).unflatten(2, size)
