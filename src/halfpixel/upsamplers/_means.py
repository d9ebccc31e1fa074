# SPDX-License-Identifier: MIT
"""Means over windows, of the samples that lie inside: for every number of axes and every size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_POOLS = {1: torch.nn.functional.avg_pool1d, 2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}


def window_means(x: Tensor, kernel: Sequence[int], stride: Sequence[int], before: Sequence[int]) -> Tensor:
    """Window q of an axis starts at sample q * stride - before; there are ceil((n + 2 * before - kernel) / stride) + 1.

    torch's pooling refuses volumes shorter than the kernel, whatever the padding.
    """
    dims = x.dim() - 2
    pads, counts = [], torch.ones((), dtype=x.dtype, device=x.device)
    for n, k, s, b in zip(x.shape[2:], kernel, stride, before, strict=True):
        windows = -(-(n + 2 * b - k) // s) + 1
        pads.append((b, (windows - 1) * s + k - b - n))
        start = torch.arange(windows, device=x.device) * s - b
        inside = (start + k).clamp(max=n) - start.clamp(min=0)
        counts = counts.unsqueeze(-1) * inside.to(x.dtype)
    if not any(map(any, pads)):
        return _POOLS[dims](x, kernel, stride)
    whole = torch.nn.functional.pad(x, [p for pair in reversed(pads) for p in pair])
    return _POOLS[dims](whole, kernel, stride) * (math.prod(kernel) / counts)
