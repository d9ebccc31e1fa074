# SPDX-License-Identifier: MIT
"""Transposed convolution: torch's values, in the layout in which torch's own convolutions are fast.

On CPUs torch runs a transposed convolution of a contiguous input more slowly than that of a channels-last one. So large
contiguous inputs are turned, convolved and turned back, in strips where that spares memory. Channels-last inputs, small
ones and depthwise ones are torch's own, and so are gradients but for those of large kernels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel.backends import cpu

from . import _tensors
from ._linear import unwatched

Sizes = tuple[int, ...]

_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
_THEIRS: dict[int, Callable[..., Tensor]] = {
    1: torch.conv_transpose1d,
    2: torch.conv_transpose2d,
    3: torch.conv_transpose3d,
}


class Geometry(NamedTuple):
    """What torch's transposed convolution takes, one number per axis."""

    stride: Sizes
    padding: Sizes
    output_padding: Sizes
    groups: int
    dilation: Sizes


def apply(x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry, size: Sizes) -> Tensor:
    """torch's transposed convolution of this geometry, whose result has this spatial size."""
    if not _ours(x, weight, bias) or 0 in size:
        return _THEIRS[weight.dim() - 2](x, weight, bias, *g)
    wants = torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    )
    if wants:
        y: Tensor = _Transposed.apply(x, weight, bias, g)
        return y
    return _forward(x, weight, bias, g)


def _ours(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Where torch has fast kernels of its own, in the other layout."""
    return (
        unwatched(x)
        and unwatched(weight)
        and (bias is None or unwatched(bias))
        and x.dtype == weight.dtype == torch.float32
        and (bias is None or bias.dtype == torch.float32)
        and x.numel() > 0
        and weight.numel() > 0
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and cpu.why_not() is None
    )


def _planes(x: Tensor, weight: Tensor, g: Geometry) -> tuple[Tensor, Tensor, Geometry]:
    """Signals as images of height 1, inputs without a batch as a batch of one."""
    if x.dim() < weight.dim():
        x = x.unsqueeze(0)
    if weight.dim() == 3:
        g = Geometry((1, *g.stride), (0, *g.padding), (0, *g.output_padding), g.groups, (1, *g.dilation))
        x, weight = x.unsqueeze(-2), weight.unsqueeze(-2)
    return x, weight, g


def _results_last(images: Tensor, weight: Tensor) -> bool:
    """torch's rule: channels-last if the input or the weight is."""
    return weight.dim() > 3 and (_tensors.suggests_last(images) or _tensors.suggests_last(weight))


def _turned(x: Tensor, layout: torch.memory_format) -> Tensor:
    if x.is_contiguous(memory_format=layout):
        return x
    out = _tensors.advised(torch.empty(x.shape, dtype=x.dtype, memory_format=layout))
    _tensors.rearrange(x, out)
    return out


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    images, kernel, g = _planes(x.detach(), weight.detach(), g)
    each = images.shape[1] // g.groups
    if _results_last(images, weight) or images.shape[2:].numel() < _LEAST_PLACES or each < min(4, images.shape[1]):
        y = _THEIRS[kernel.dim() - 2](images, kernel, bias, *g)
    else:
        y = _by_strips(images, kernel, bias, g)
    if weight.dim() == 3:
        y = y.squeeze(-2)
    return y.squeeze(0) if x.dim() < weight.dim() else y


# Of a strip's result in the other layout. Short strips stay in the caches, but each prepares the weights again, and
# computes the rows that it shares with its neighbours.
_STRIP_BYTES = 32 << 20
_SHORT_BYTES = 4 << 20
_LEAST_PLACES = 1024  # of the input; below, torch's kernels for contiguous inputs are level


def _reaching(g: Geometry, kernel: Tensor) -> int:
    return g.dilation[0] * (kernel.shape[2] - 1) + 1


def _strips(rows: int, bytes_of_row: int, most: int) -> list[tuple[int, int]]:
    count = max(1, min(rows, -(-rows * bytes_of_row // most)))
    edges = [rows * i // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))


def _inside(g: Geometry) -> Geometry:
    """The geometry of a strip: nothing is cut or added along the first axis."""
    return g._replace(padding=(0, *g.padding[1:]), output_padding=(0, *g.output_padding[1:]))


def _by_strips(x: Tensor, kernel: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    """Strips of the first spatial axis, sample by sample: turned, convolved as channels-last, and turned back."""
    dims, (n, _, *spatial) = kernel.dim() - 2, x.shape
    size = tuple(
        (m - 1) * s - 2 * p + d * (k - 1) + more + 1
        for m, k, s, p, more, d in zip(
            spatial, kernel.shape[2:], g.stride, g.padding, g.output_padding, g.dilation, strict=True
        )
    )
    c_out, stride, pad, reach = kernel.shape[1] * g.groups, g.stride[0], g.padding[0], _reaching(g, kernel)
    out = _tensors.advised(torch.empty((n, c_out, *size), dtype=x.dtype))
    alone = dims == 2 and tuple(kernel.shape[2:]) == g.stride  # no rows are shared
    most = _SHORT_BYTES if alone else _STRIP_BYTES
    inside, strips = _inside(g), _strips(size[0], 4 * c_out * math.prod(size[1:]), most)
    for i, (begin, end) in itertools.product(range(n), strips):
        low = max(0, -(-(begin + pad - reach + 1) // stride))
        high = min(spatial[0] - 1, (end - 1 + pad) // stride)
        part, lead, done = out[i : i + 1, :, begin:end], 0, 0
        if low <= high:
            y = _THEIRS[dims](_turned(x[i : i + 1, :, low : high + 1], _LAST[dims]), kernel, bias, *inside)
            first = begin + pad - low * stride
            made = y[:, :, max(first, 0) : first + end - begin]
            lead = max(-first, 0)
            done = lead + made.shape[2]
            _tensors.rearrange(made, part[:, :, lead:done])
        for rest in (part[:, :, :lead], part[:, :, done:]):  # where no input reaches
            if rest.shape[2]:
                rest[:] = 0 if bias is None else bias.detach().reshape(-1, *(1,) * dims)
    return out


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = g
        return _forward(x, weight, bias, g)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        images, kernel, g = _planes(x, weight, ctx.geometry)
        whole = grad.unsqueeze(0) if grad.dim() < weight.dim() else grad
        whole = whole.unsqueeze(-2) if weight.dim() == 3 else whole
        # torch's own, also where the gradient is to have derivatives itself.
        alone = not torch.is_grad_enabled() and unwatched(grad)
        way = _phases_back if alone and _in_phases(kernel, g) else _back
        of_x, of_weight, of_bias = way(whole, images, kernel, g, ctx.needs_input_grad[:3])
        of_x = None if of_x is None else of_x.reshape(x.shape)
        return of_x, None if of_weight is None else of_weight.reshape(weight.shape), of_bias, None


Needs = tuple[bool, bool, bool]
Grads = tuple[Tensor | None, Tensor | None, Tensor | None]
_LARGE = 128  # taps from which torch's own gradients are several times slower than those of a convolution per phase


def _back(grad: Tensor, x: Tensor, kernel: Tensor, g: Geometry, needs: Needs) -> Grads:
    grads: Grads = torch.ops.aten.convolution_backward(
        grad, x, kernel, [kernel.shape[1] * g.groups], g.stride, g.padding, g.dilation, True, g.output_padding,
        g.groups, needs,
    )  # fmt: skip
    return grads


def _in_phases(kernel: Tensor, g: Geometry) -> bool:
    whole = all(k % s == 0 for k, s in zip(kernel.shape[2:], g.stride, strict=True))
    return whole and g.groups == 1 and set(g.dilation) == {1} and kernel.shape[2:].numel() >= _LARGE


def _phases_back(grad: Tensor, x: Tensor, kernel: Tensor, g: Geometry, needs: Needs) -> Grads:
    """The gradients of a convolution without stride, whose output channels (phase, C_out) are the pixels of a block.

    out[q * stride + phase] = sum over t of x[q - t] * kernel[t * stride + phase], for q from 0 to n + taps - 2.
    """
    dims, (c_in, c_out) = kernel.dim() - 2, kernel.shape[:2]
    taps = tuple(k // s for k, s in zip(kernel.shape[2:], g.stride, strict=True))
    places = tuple(n + t - 1 for n, t in zip(x.shape[2:], taps, strict=True))
    edges = [
        (p, q * s - p - m) for p, q, s, m in zip(g.padding, places, g.stride, grad.shape[2:], strict=True)
    ]  # fmt: skip
    whole = torch.nn.functional.pad(_turned(grad, _LAST[dims]), [n for pair in reversed(edges) for n in pair])
    split = [part for q, s in zip(places, g.stride, strict=True) for part in (q, s)]
    blocks = math.prod(g.stride)
    packed = _tensors.advised(
        torch.empty((x.shape[0], blocks * c_out, *places), dtype=grad.dtype, memory_format=_LAST[dims])
    )
    _tensors.rearrange(
        whole.view(x.shape[0], c_out, *split).permute(
            0, *range(3, 2 * dims + 3, 2), 1, *range(2, 2 * dims + 2, 2)
        ),
        packed.view(x.shape[0], *g.stride, c_out, *places),
    )  # fmt: skip
    parts = [part for t, s in zip(taps, g.stride, strict=True) for part in (t, s)]
    order = [*range(3, 2 * dims + 3, 2), 1, 0, *range(2, 2 * dims + 2, 2)]  # phases, C_out, C_in, taps
    flat = kernel.reshape(c_in, c_out, *parts).permute(order).reshape(blocks * c_out, c_in, *taps)
    ends = list(range(2, dims + 2))
    last = _results_last(x, kernel)
    x = _turned(x, _LAST[dims])
    one, zero = (1,) * dims, (0,) * dims
    of_x, of_flat, _ = torch.ops.aten.convolution_backward(
        packed,
        x,
        flat.flip(ends),
        None,
        one,
        tuple(t - 1 for t in taps),
        one,
        False,
        zero,
        1,
        [needs[0], needs[1], False],
    )
    of_kernel = None
    if of_flat is not None:
        back = sorted(range(len(order)), key=order.__getitem__)
        of_kernel = of_flat.flip(ends).reshape(*g.stride, c_out, c_in, *taps).permute(back).reshape(kernel.shape)
    if of_x is not None and not last:
        of_x = _turned(of_x, torch.contiguous_format)
    return of_x, of_kernel, grad.sum((0, *ends)) if needs[2] else None
