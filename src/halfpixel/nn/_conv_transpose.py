# SPDX-License-Identifier: MIT
"""Transposed convolution: torch's values, in the layout in which torch's own convolutions are fast.

On CPUs torch runs a transposed convolution of a contiguous input several times slower than that of a channels-last one.
So contiguous inputs are turned, convolved and turned back, a strip at a time, which stays in the caches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel.backends import cpu
from halfpixel.errors import (
    HalfpixelError,
    HalfpixelShapeError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
    unknown_name,
)

from . import _tensors, _windows
from ._linear import unwatched

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
FORMULA = "size = (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) + output_padding + 1"

# How samples outside of the input are made; torch's own transposed convolution knows zeros alone.
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
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


def conv_transpose_size(
    size: Any, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, dilation: Any = 1
) -> Any:
    """The output size of a transposed convolution.

    **Convention:** size = (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) +
    output_padding + 1, per axis; padding "same" makes n * stride, "valid" is 0.
    Arguments: size: one length, or one per axis. The others as in `functional.conv_transpose2d`.
    Returns: an integer for an integer, else a tuple.
    Raises: ValueError, TypeError.
    Example:
        >>> conv_transpose_size((16, 20), 4, stride=2, padding=1)
        (32, 40)
        >>> conv_transpose_size(16, 3, stride=2, padding="same")
        32
    """
    alone = isinstance(size, int)
    sizes = (size,) if alone else tuple(size)
    dims = len(sizes)
    window = _windows.windows(dims, kernel_size, stride, 0, dilation)
    more = _windows.each(dims, output_padding, "output_padding")
    pads, more = _pads(dims, window, padding, more)
    made = _size(sizes, window, pads, more)
    return made[0] if alone else made


def conv_transpose(
    dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any, padding_mode: str, output_size: Any, size_like: Tensor | None,
) -> Tensor:  # fmt: skip
    """The function of `functional`, for this number of spatial axes."""
    try:
        if padding_mode not in PADDING_MODES:
            raise unknown_name("padding_mode", padding_mode, PADDING_MODES)
        _check(dims, input, weight, groups)
        window = _windows.windows(dims, tuple(weight.shape[2:]), stride, 0, dilation)
        more = _windows.each(dims, output_padding, "output_padding")
        pads, more = _pads(dims, window, padding, more)
        n = tuple(input.shape[-dims:])
        if size_like is not None:
            if output_size is not None:
                raise HalfpixelValueError("size_like and output_size were both given", "one of them")
            output_size = tuple(size_like.shape[-dims:])
        if output_size is not None:
            more = _for_size(n, window, pads, output_size)
        elif any(m >= max(s, d) for m, s, d in zip(more, window.stride, window.dilation, strict=True)):
            raise HalfpixelShapeError(f"output_padding is {more}", "less than the stride or the dilation")
        size = _size(n, window, pads, more)
        x = input if padding_mode == "zeros" else _extended(input, window, padding_mode)
        if x is not input:
            pads = tuple(
                (a + reach * s, b + reach * s)
                for (a, b), reach, s in zip(pads, _reach(window), window.stride, strict=True)
            )
        return _cut(x, weight, bias, window, pads, more, groups, size)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                f"conv_transpose{dims}d", input, weight, bias=bias, stride=stride, padding=padding,
                output_padding=output_padding, groups=groups, dilation=dilation, output_size=output_size,
            )
        ) from None  # fmt: skip


def _check(dims: int, x: Tensor, weight: Tensor, groups: int) -> None:
    if x.dim() not in (dims + 1, dims + 2) or weight.dim() != dims + 2:
        works = (
            f"an input (N, C, *spatial) of {dims + 2} dimensions, or {dims + 1} without the batch, and as many as that"
        )
        raise HalfpixelShapeError(
            f"the input has {x.dim()} dimensions and the weight (C_in, C_out / groups, *kernel) {weight.dim()}", works
        )
    if isinstance(groups, bool) or not isinstance(groups, int):
        raise HalfpixelTypeError(f"groups is {groups!r}", "an integer")
    channels = x.shape[-dims - 1]
    if groups < 1 or weight.shape[0] != channels or channels % groups:
        raise HalfpixelShapeError(
            f"the input has {channels} channels, the weight is for {weight.shape[0]}, in {groups} groups",
            "a weight (C_in, C_out / groups, *kernel) for the input's channels, and a divisor of them",
        )


def checked_padding(padding: Any, dims: int) -> Any:
    """ "same" or "valid" as it is; otherwise one number per axis, or one pair where any axis has two numbers.

    Raises: ValueError, TypeError.
    """
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise unknown_name("padding", padding, ("same", "valid"))
        return padding
    given = tuple(padding) if isinstance(padding, (list, tuple)) else (padding,) * dims
    if len(given) == 1:
        given *= dims
    if len(given) != dims:
        raise HalfpixelShapeError(f"padding is {padding!r} for {dims} axes", "one number, or one or a pair per axis")
    pairs = tuple(tuple(p) if isinstance(p, (list, tuple)) else (p, p) for p in given)
    numbers = [p for pair in pairs for p in pair]
    if any(len(pair) != 2 for pair in pairs) or any(isinstance(p, bool) or not isinstance(p, int) for p in numbers):
        raise HalfpixelTypeError(f"padding is {padding!r}", "integers, or pairs (begin, end) of them")
    if min(numbers) < 0:
        raise HalfpixelShapeError(f"padding is {padding!r}", "0 or more")
    return tuple(a for a, _ in pairs) if all(a == b for a, b in pairs) else pairs


def _pads(dims: int, window: _windows.Windows, padding: Any, more: Sizes) -> tuple[Pairs, Sizes]:
    """What is cut at the begin and the end of each axis, and what is added."""
    padding = checked_padding(padding, dims)
    if padding == "valid":
        return ((0, 0),) * dims, more
    if padding == "same":
        if any(more):
            raise HalfpixelValueError(f"output_padding {more} with padding 'same'", "one of them")
        total = [d * (k - 1) + 1 - s for k, s, d in zip(window.kernel, window.stride, window.dilation, strict=True)]
        return tuple((max(t, 0) // 2, (max(t, 0) + 1) // 2) for t in total), tuple(max(-t, 0) for t in total)
    return tuple(p if isinstance(p, tuple) else (p, p) for p in padding), more


def _bare(n: Sizes, window: _windows.Windows, pads: Pairs) -> Sizes:
    return tuple(
        (m - 1) * s - a - b + d * (k - 1) + 1
        for m, k, s, d, (a, b) in zip(n, window.kernel, window.stride, window.dilation, pads, strict=True)
    )


def _size(n: Sizes, window: _windows.Windows, pads: Pairs, more: Sizes) -> Sizes:
    size = tuple(m + extra for m, extra in zip(_bare(n, window, pads), more, strict=True))
    if min(size) < 0 and min(n) > 0:
        raise HalfpixelShapeError(f"an input of {n} makes {size}: {FORMULA}", "less padding or a larger kernel")
    return size


def _for_size(n: Sizes, window: _windows.Windows, pads: Pairs, wanted: Any) -> Sizes:
    """The output padding that makes this size."""
    wanted = tuple(wanted)[-len(n) :] if len(wanted) == len(n) + 2 else tuple(wanted)
    if len(wanted) != len(n):
        raise HalfpixelValueError(f"output_size is {wanted}", f"{len(n)} or {len(n) + 2} numbers")
    least = _bare(n, window, pads)
    most = tuple(m + max(s, d) - 1 for m, s, d in zip(least, window.stride, window.dilation, strict=True))
    if any(not a <= m <= b for a, m, b in zip(least, wanted, most, strict=True)):
        works = f"a size from {least} to {most}: {FORMULA}, with an output_padding less than the stride or the dilation"
        raise HalfpixelValueError(f"output_size is {wanted}", works)
    return tuple(m - a for m, a in zip(wanted, least, strict=True))


def _reach(window: _windows.Windows) -> Sizes:
    """Samples outside of the input that reach into the output."""
    return tuple(-(-d * (k - 1) // s) for k, s, d in zip(window.kernel, window.stride, window.dilation, strict=True))


def _extended(x: Tensor, window: _windows.Windows, mode: str) -> Tensor:
    reach = _reach(window)
    n = tuple(x.shape[-len(reach) :])
    most = {"reflect": [m - 1 for m in n], "circular": n}.get(mode, reach)
    if any(r > m for r, m in zip(reach, most, strict=True)):
        raise HalfpixelShapeError(
            f"padding_mode {mode!r} reaches {reach} samples outside of an input of {n}",
            "a larger input, or 'replicate'",
        )
    both = [r for reach_of_axis in reversed(reach) for r in (reach_of_axis,) * 2]
    return torch.nn.functional.pad(x, both, mode=mode)


def _cut(
    x: Tensor, weight: Tensor, bias: Tensor | None, window: _windows.Windows, pads: Pairs, more: Sizes, groups: int,
    size: Sizes,
) -> Tensor:  # fmt: skip
    """Unequal padding: the lesser on both sides, and the rest cut off."""
    equal = tuple(min(pair) for pair in pads)
    left = tuple(max(0, m - (b - p)) for m, (_, b), p in zip(more, pads, equal, strict=True))
    y = _apply(x, weight, bias, Geometry(window.stride, equal, left, groups, window.dilation), size)
    start = tuple(a - p for (a, _), p in zip(pads, equal, strict=True))
    if tuple(y.shape[-len(size) :]) == size and not any(start):
        return y
    return y[(..., *(slice(a, a + m) for a, m in zip(start, size, strict=True)))]


def _apply(x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry, size: Sizes) -> Tensor:
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
