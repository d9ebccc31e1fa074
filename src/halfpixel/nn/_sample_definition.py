# SPDX-License-Identifier: MIT
"""Sampling in torch's functions alone: by torch's own operator, for other devices, exports and dtypes; and tap by tap
from the formula, where every order of derivative is asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_BILINEAR, _NEAREST = 0, 1
_ZEROS, _BORDER = 0, 1
_NAMES = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def _real(x: Tensor) -> torch.dtype:
    """What coordinates and sums are computed in."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


# ---------------------------------------------------------------------------------------------- by torch's operator


def by_torch(x: Tensor, at: Tensor, how: Any) -> Tensor:
    """x sampled by torch's grid_sample; coordinates in float32 at least."""
    images, grid = _as_grid(x, at, how)
    y = torch.nn.functional.grid_sample(
        images, grid, _NAMES[0][how.mode], _NAMES[1][how.padding], bool(how.aligned)
    )  # fmt: skip
    return y.reshape(*x.shape[:2], *y.shape[2:]).to(x.dtype)


def _as_grid(x: Tensor, at: Tensor, how: Any) -> tuple[Tensor, Tensor]:
    """Images that share their positions, and the grid of those."""
    real = _real(x)
    if not how.scale:
        return x.to(real), at.to(real)
    n, channels, *size = x.shape
    images = x.reshape(n * how.groups, channels // how.groups, *size)
    return images.to(real), grid_of(at.to(real), size, how)


def grid_of(offsets: Tensor, size: Any, how: Any) -> Tensor:
    """The grid (N * groups, *out, 2) that offsets from the half-pixel grid mean."""
    (height, width), scale = size, how.scale
    o = _spread(offsets, how)
    columns, rows = (_centres(n, scale, offsets) for n in (width, height))
    x = (o[:, 0] + columns) * (2 / width) - 1
    y = (o[:, 1] + rows[:, None]) * (2 / height) - 1
    return torch.stack((x, y), -1)


def _spread(offsets: Tensor, how: Any) -> Tensor:
    """(N * groups, 2, *out)."""
    n, (height, width), scale, groups = offsets.shape[0], offsets.shape[2:], how.scale, how.groups
    if how.fine:
        return offsets.reshape(n, 2, groups, height, width).transpose(1, 2).flatten(0, 1)
    o = offsets.reshape(n, 2, groups, scale, scale, height, width).permute(0, 2, 1, 5, 3, 6, 4)
    return o.reshape(n * groups, 2, height * scale, width * scale)


def _gathered_up(spread: Tensor, shape: Any, how: Any) -> Tensor:
    """The reverse: to the offsets' shape."""
    n, scale, groups = shape[0], how.scale, how.groups
    if how.fine:
        return spread.reshape(n, groups, 2, *shape[2:]).transpose(1, 2).reshape(shape)
    o = spread.reshape(n, groups, 2, shape[2], scale, shape[3], scale).permute(0, 2, 1, 4, 6, 3, 5)
    return o.reshape(shape)


def _centres(n: Any, scale: int, like: Tensor) -> Tensor:
    """Centres of the large pixels, in small pixels from the edge of the image."""
    return (torch.arange(n * scale, device=like.device, dtype=like.dtype) + 0.5) / scale


def back_by_torch(
    grad: Tensor, x: Tensor, at: Tensor, how: Any, wants_x: bool, wants_at: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients that are wanted, by torch's operators."""
    images, grid = _as_grid(x, at, how)
    back = torch.ops.aten.grid_sampler_2d_backward if x.dim() == 4 else torch.ops.aten.grid_sampler_3d_backward
    mask = [wants_x, wants_at]
    grad = grad.to(images.dtype).reshape(*images.shape[:2], *grid.shape[1:-1]).contiguous()
    to_x, to_at = back(grad, images, grid, how.mode, how.padding, bool(how.aligned), mask)
    if how.scale and wants_at:
        step = torch.tensor([2 / x.shape[3], 2 / x.shape[2]], dtype=to_at.dtype, device=to_at.device)
        to_at = _gathered_up((to_at * step).movedim(-1, 1), at.shape, how)
    return to_x.reshape(x.shape).to(x.dtype) if wants_x else None, to_at.to(at.dtype) if wants_at else None


# ---------------------------------------------------------------------------------------------- tap by tap


def definition(x: Tensor, at: Tensor, how: Any) -> Tensor:
    """x sampled, tap by tap."""
    images, grid = _as_grid(x, at, how)
    dims, size = images.dim() - 2, images.shape[2:]
    flat, out = images.flatten(2), grid.shape[1:-1]
    along = [_axis(grid[..., dims - 1 - d].flatten(1), size[d], dims == 2, how) for d in range(dims)]
    y = flat.new_zeros(())
    for taps in _products(along):
        cell, weight, inside = taps[0]
        for n, (c, w, i) in zip(size[1:], taps[1:], strict=True):
            cell, weight, inside = cell * n + c, weight * w, inside & i
        index = torch.where(inside, cell, 0)[:, None].expand(-1, flat.shape[1], -1)
        value = torch.where(inside[:, None], flat.gather(2, index), 0) * weight[:, None]
        y = y + value
    return y.reshape(*x.shape[:2], *out).to(x.dtype)


def _products(along: list[list[Any]]) -> list[list[Any]]:
    made: list[list[Any]] = [[]]
    for taps in along:
        made = [[*some, tap] for some in made for tap in taps]
    return made


def _axis(coordinate: Tensor, n: int, image: bool, how: Any) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The taps along an axis of n samples: cell, weight, whether that lies inside."""
    v = (coordinate + 1) * ((n - 1) / 2) if how.aligned else (coordinate + 1) * (n / 2) - 0.5
    if how.mode not in (_BILINEAR, _NEAREST):
        whole = v.detach().floor()
        t = v - whole
        places = [_moved(whole + k, n, image, how) for k in (-1, 0, 1, 2)]
        return [_tap(place, weight, n) for place, weight in zip(places, _cubic(t), strict=True)]
    v = _moved(v, n, image, how)
    if how.mode == _NEAREST:
        return [_tap(v.detach().round(), torch.ones_like(v), n)]
    whole = v.detach().floor()
    t = v - whole
    if not image:
        t = torch.where(whole.isfinite(), t, 0)
    return [_tap(whole, 1 - t, n), _tap(whole + 1, t, n)]


def _tap(place: Tensor, weight: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    inside = (place >= 0) & (place < n)
    return torch.where(inside, place, 0).to(torch.int64), weight, inside


def _cubic(t: Tensor) -> list[Tensor]:
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def _moved(v: Tensor, n: int, image: bool, how: Any) -> Tensor:
    """Where the padding takes a position; moved to a border, or on it, it does not depend on the coordinate."""
    if how.padding == _ZEROS:
        return v
    if how.padding != _BORDER:
        v = _reflected(v, n, bool(how.aligned))
    still = v.detach()
    still = torch.where(still.isnan(), 0 if image else n - 1, still.clamp(0, n - 1))
    return torch.where((v > 0) & (v < n - 1), v, still)


def _reflected(v: Tensor, n: int, aligned: bool) -> Tensor:
    low, span = (0.0, 2 * (n - 1)) if aligned else (-0.5, 2 * n)
    if span == 0:
        return v.detach() * 0
    far = (v - low).abs()
    rest = far - (far.detach() / span).trunc() * span
    return torch.where(rest > span - rest, span - rest, rest) + low
