# SPDX-License-Identifier: MIT
"""Initialisations for layers that upsample, in place, like those of torch.nn.init."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, describe_call


def bilinear_(weight: Tensor, stride: int | Sequence[int], groups: int = 1) -> Tensor:
    """A transposed convolution that interpolates linearly: channel i of the input to channel i of the output.

    **Convention:** weight (C_in, C_out / groups, *kernel), any number of axes; per axis the triangle of width
    2 * stride, sampled symmetrically. With kernel 2 * stride - stride % 2 and padding (kernel - stride) / 2, constants
    stay constant but for borders, and the result is that of align_corners=False inside.
    Arguments: weight: in place. stride: of the convolution. groups: of the convolution.
    Returns: weight.
    Raises: ValueError where a kernel is shorter than its stride.
    Source: Long et al., Fully Convolutional Networks (2015).
    Example:
        >>> import torch
        >>> bilinear_(torch.empty(1, 1, 4), stride=2)
        tensor([[[0.2500, 0.7500, 0.7500, 0.2500]]])
    """
    kernel = tuple(weight.shape[2:])
    strides = _strides(weight, stride, "bilinear_")
    profile = torch.ones((), dtype=torch.float64)
    for k, s in zip(kernel, strides, strict=True):
        at = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
        profile = profile.unsqueeze(-1) * (1 - at.abs() / s).clamp(min=0)
    return _on_the_diagonal(weight, profile, groups)


def identity_(weight: Tensor, stride: int | Sequence[int], groups: int = 1) -> Tensor:
    """A transposed convolution that repeats samples: channel i of the input to channel i of the output, nearest.

    **Convention:** weight (C_in, C_out / groups, *kernel); ones over the `stride` taps in the middle of the kernel (one
    further to the begin where that is not whole), zeros elsewhere. With kernel = stride this is nearest upsampling, and
    training starts from the network without the layer.
    Arguments: weight: in place. stride: of the convolution. groups: of the convolution.
    Returns: weight.
    Raises: ValueError where a kernel is shorter than its stride.
    Example:
        >>> import torch
        >>> identity_(torch.empty(1, 1, 4), stride=2)
        tensor([[[0., 1., 1., 0.]]])
    """
    profile = torch.ones((), dtype=torch.float64)
    for k, s in zip(weight.shape[2:], _strides(weight, stride, "identity_"), strict=True):
        line = torch.zeros(k, dtype=torch.float64)
        line[(k - s) // 2 : (k - s) // 2 + s] = 1
        profile = profile.unsqueeze(-1) * line
    return _on_the_diagonal(weight, profile, groups)


def icnr_(
    weight: Tensor, upscale_factor: int | Sequence[int], order: str = "torch",
    initializer: Callable[[Tensor], Any] | None = None,
) -> Tensor:  # fmt: skip
    """Weights of a convolution before a pixel shuffle, such that all pixels of a block are equal at first: no
    checkerboard.

    **Convention:** weight (C_out, C_in, *kernel), C_out divisible by the pixels of a block, whose place among the
    channels is that of `functional.pixel_shuffle`.
    Arguments: weight: in place. upscale_factor: one for all axes, or one per axis. order: "torch" or "onnx".
        initializer: fills the weights of one pixel in place; kaiming_normal_ by default.
    Returns: weight.
    Raises: ValueError where C_out is not divisible.
    Source: Aitken et al., Checkerboard artifact free sub-pixel convolution (2017).
    Example:
        >>> import torch
        >>> w = icnr_(torch.empty(8, 3, 3, 3), 2)
        >>> bool((w[0] == w[3]).all())
        True
    """
    dims = weight.dim() - 2
    block = upscale_factor**dims if isinstance(upscale_factor, int) else math.prod(upscale_factor)
    if weight.shape[0] % block:
        why = f"{weight.shape[0]} output channels are not divisible by the {block} pixels of a block"
        raise HalfpixelShapeError(why, f"a multiple of {block}").in_call(describe_call("icnr_", weight, upscale_factor))
    with torch.no_grad():
        one = weight.new_empty((weight.shape[0] // block, *weight.shape[1:]))
        (initializer or torch.nn.init.kaiming_normal_)(one)
        weight.copy_(one.repeat_interleave(block, 0) if order == "torch" else one.repeat(block, *(1,) * (dims + 1)))
    return weight


def _strides(weight: Tensor, stride: Any, name: str) -> tuple[int, ...]:
    kernel = tuple(weight.shape[2:])
    strides = tuple(stride) if isinstance(stride, (list, tuple)) else (stride,) * len(kernel)
    if len(strides) != len(kernel) or any(not 1 <= s <= k for s, k in zip(strides, kernel, strict=False)):
        why = f"a kernel {kernel} with stride {strides}"
        works = "a stride per axis, and kernels at least as long"
        raise HalfpixelShapeError(why, works).in_call(describe_call(name, weight, stride=stride))
    return strides


def _on_the_diagonal(weight: Tensor, profile: Tensor, groups: int) -> Tensor:
    """Input channel i of a group feeds output channel i of it, where there is one."""
    with torch.no_grad():
        weight.zero_()
        inputs, outputs = weight.shape[0] // groups, weight.shape[1]
        for i in range(weight.shape[0]):
            if i % inputs < outputs:
                weight[i, i % inputs] = profile.to(weight)
    return weight
