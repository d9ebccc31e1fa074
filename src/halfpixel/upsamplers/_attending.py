# SPDX-License-Identifier: MIT
"""Weights of windows that depend on the content: scores of queries and keys, distances, and their softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelValueError, unknown_name
from halfpixel.nn import _tensors
from halfpixel.nn._linear import unwatched

from ._registry import Sizes

PADDINGS = ("zeros", "renorm", "replicate")


def check_window(name: str, kernel: int, padding: str) -> None:
    """Raises: ValueError for even windows and unknown padding."""
    if kernel < 1 or kernel % 2 == 0:
        raise HalfpixelValueError(f"{name} is {kernel}", "an odd one, around a pixel")
    if padding not in PADDINGS:
        raise unknown_name("padding", padding, PADDINGS)


def inside(padding: Any) -> Any:
    """The padding for `reassemble` of scores that `local_attention_weights` made with this one: what "renorm" leaves
    out has the score -inf by then.
    """
    return "zeros" if padding == "renorm" else padding


def distances(n_in: Any, n_out: Any, kernel: int, like: Tensor) -> Tensor:
    """How far the samples of a window lie from each output place, in input pixels: (kernel, n_out)."""
    p = torch.arange(n_out, device=like.device)
    base = (2 * p + 1) * n_in // (2 * n_out)
    # In integers as long as it can be: large places would lose their fractions.
    offset = (2 * n_out * base + n_out - (2 * p + 1) * n_in).to(torch.promote_types(like.dtype, torch.float32))
    taps = torch.arange(-(kernel // 2), kernel // 2 + 1, device=like.device)
    return offset / (2 * n_out) + taps.to(offset.dtype).unsqueeze(1)


def squared_distances(size_in: Sequence[int], size_out: Sequence[int], kernel: int, like: Tensor) -> Tensor:
    """The same of a two-dimensional window, squared: (kernel**2, *size_out)."""
    y, x = (distances(n, m, kernel, like) ** 2 for n, m in zip(size_in, size_out, strict=True))
    return (y[:, None, :, None] + x[None, :, None, :]).flatten(0, 1).to(like.dtype)


def hamming(kernel: int, like: Tensor) -> Tensor:
    """The two-dimensional Hamming window, flat."""
    line = [0.54 - 0.46 * math.cos(2 * math.pi * i / (kernel - 1)) if kernel > 1 else 1.0 for i in range(kernel)]
    return like.new_tensor([a * b for a in line for b in line])


def check_groups(channels: int, groups: int) -> None:
    """Raises: ValueError where channels are not divisible."""
    if groups < 1 or channels % groups:
        raise HalfpixelValueError(f"{channels} channels are not divisible by {groups} groups", "a divisor of them")


def adds_of(channels: int, kernel: int, size: Sizes) -> int:
    """Multiply-adds of a window sum."""
    places = 1
    for n in size:
        places *= n
    return channels * kernel * kernel * places


def channels_last(x: Tensor) -> Tensor:
    """The same numbers with channels last, where that makes a convolution that follows faster: images of float32 on
    the CPU, and nobody records or traces.
    """
    recorded = torch.is_grad_enabled() and x.requires_grad
    if recorded or x.dim() != 4 or x.dtype != torch.float32 or not unwatched(x) or not x.is_contiguous():
        return x
    out = torch.empty_like(x, memory_format=torch.channels_last)
    _tensors.rearrange(x, out)
    return out
