# SPDX-License-Identifier: MIT
"""Sums over windows in torch's own functions: a loop over the taps, each a shifted view of the padded input.

For devices without a kernel, and for exported graphs. Nothing is unfolded: beside the result there is one padded input
and, where the sizes have no whole ratio, one input that is spread over the output's pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """What an operator is told beside its tensors. `scale`: of weights before a pixel shuffle; empty for others."""

    kernel: Sizes
    groups: int
    replicate: bool
    scale: Sizes


def base(n_in: Any, n_out: Any, device: torch.device) -> Tensor:
    """The input position of each output position: floor((p + 1/2) n_in / n_out), in integers."""
    return (2 * torch.arange(n_out, device=device) + 1) * n_in // (2 * n_out)


def forward(x: Tensor, weights: Tensor, w: Window) -> Tensor:
    """The weighted sums, in x's dtype."""
    real = _real(x.dtype)
    size, out = x.shape[2:], _output(x.shape[2:], weights, w)
    padded, taps = _padded(x.to(real), w), _taps(weights.to(real), size, out, w)
    lead = (x.shape[0], w.groups, x.shape[1] // w.groups)
    total = torch.zeros((*lead, *_cells(size, out)), dtype=real, device=x.device)
    for t, shifted in enumerate(_shifted(padded, size, out, w)):
        total = torch.addcmul(total, shifted.unflatten(1, lead[1:]), taps[:, :, t, None])
    return total.reshape(*x.shape[:2], *out).to(x.dtype)


def back_weights(y: Tensor, x: Tensor, w: Window, dtype: torch.dtype) -> Tensor:
    """Sums over the channels of a group of y times the pixel that each tap reads."""
    real = _real(y.dtype)
    size, out = x.shape[2:], y.shape[2:]
    lead = (x.shape[0], w.groups, x.shape[1] // w.groups)
    cells = y.to(real).reshape(*lead, *_cells(size, out))
    shifts = _shifted(_padded(x.to(real), w), size, out, w)
    made = torch.stack([(cells * shifted.unflatten(1, lead[1:])).sum(2) for shifted in shifts], 2)
    if w.scale:  # (N, G, taps, H, s, W, s) to channels before a pixel shuffle
        made = made.permute(0, 1, 2, 4, 6, 3, 5).reshape(x.shape[0], -1, *size)
    return made.reshape(x.shape[0], -1, *(size if w.scale else out)).to(dtype)


def back_x(y: Tensor, weights: Tensor, size: Sizes, w: Window) -> Tensor:
    """Sums over all taps that read a pixel of their weight times y."""
    real = _real(y.dtype)
    n, channels, *out = y.shape
    lead = (n, w.groups, channels // w.groups)
    cells = y.to(real).reshape(*lead, *_cells(size, out))
    taps = _taps(weights.to(real), size, out, w)
    kh, kw = w.kernel
    total = torch.zeros((n, channels, size[0] + kh - 1, size[1] + kw - 1), dtype=real, device=y.device)
    for t in range(kh * kw):
        product = cells * taps[:, :, t, None]
        if _whole(size, out):
            each = product.sum((4, 6)).flatten(1, 2)
        else:
            each = _run_sums(_run_sums(product.flatten(1, 2), 2, size[0]), 3, size[1])
        total[:, :, t // kw : t // kw + size[0], t % kw : t % kw + size[1]] += each
    return _unpadded(total, w).to(y.dtype)


def _real(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _output(size: Any, weights: Tensor, w: Window) -> tuple[Any, ...]:
    if w.scale:
        return tuple(n * s for n, s in zip(size, w.scale, strict=True))
    return tuple(weights.shape[2:])


def _whole(size: Any, out: Any) -> bool:
    return all(m % n == 0 for n, m in zip(size, out, strict=True))


def _cells(size: Any, out: Any) -> tuple[Any, ...]:
    """The output's spatial shape: by input pixels, H, s, W, s, where the ratios are whole."""
    if _whole(size, out):
        return (size[0], out[0] // size[0], size[1], out[1] // size[1])
    return tuple(out)


def _taps(weights: Tensor, size: Any, out: Any, w: Window) -> Tensor:
    """(N, groups, taps, *cells)."""
    lead = (weights.shape[0], w.groups, w.kernel[0] * w.kernel[1])
    if w.scale:
        return weights.reshape(*lead, *w.scale, *size).permute(0, 1, 2, 5, 3, 6, 4)
    return weights.reshape(*lead, *_cells(size, out))


def _padded(x: Tensor, w: Window) -> Tensor:
    r_h, r_w = w.kernel[0] // 2, w.kernel[1] // 2
    if r_h == r_w == 0:
        return x
    return torch.nn.functional.pad(x, (r_w, r_w, r_h, r_h), mode="replicate" if w.replicate else "constant")


def _shifted(padded: Tensor, size: Any, out: Any, w: Window) -> Iterator[Tensor]:
    """For each tap the pixels that it reads, as cells."""
    whole = _whole(size, out)
    columns = None if whole else base(size[1], out[1], padded.device)
    for dy in range(w.kernel[0]):
        if whole:
            rows = padded[:, :, dy : dy + size[0]]
        else:
            rows = padded.index_select(2, base(size[0], out[0], padded.device) + dy)
        for dx in range(w.kernel[1]):
            if columns is None:
                yield rows[..., dx : dx + size[1]][:, :, :, None, :, None]
            else:
                yield rows.index_select(3, columns + dx)


def _run_sums(v: Tensor, axis: int, n_in: int) -> Tensor:
    """Sums over the outputs of each input position along an axis; they follow each other. Gathers, without scatters."""
    n_out = v.shape[axis]
    if n_out == 0:
        return v.new_zeros([*v.shape[:axis], n_in, *v.shape[axis + 1 :]])
    b = torch.arange(n_in + 1, device=v.device)
    # The first p with (2 p + 1) n_in >= 2 n_out b.
    first = ((2 * n_out * b + n_in - 1) // n_in // 2).clamp(0, n_out)
    column = [-1] + [1] * (v.dim() - axis - 1)
    total = None
    for i in range(-(-n_out // n_in) + 1):
        at = first[:-1] + i
        term = torch.where((at < first[1:]).view(column), v.index_select(axis, at.clamp(max=n_out - 1)), 0)
        total = term if total is None else total + term
    return total


def _unpadded(total: Tensor, w: Window) -> Tensor:
    """The inner part; with `replicate` what lies around it is added to the nearest pixels."""
    for axis, k in ((2, w.kernel[0]), (3, w.kernel[1])):
        r, n = k // 2, total.shape[axis] - k + 1
        inner = total.narrow(axis, r, n)
        if w.replicate and r:
            inner = inner.clone()
            inner.narrow(axis, 0, 1).add_(total.narrow(axis, 0, r).sum(axis, keepdim=True))
            inner.narrow(axis, n - 1, 1).add_(total.narrow(axis, r + n, r).sum(axis, keepdim=True))
        total = inner
    return total
