# SPDX-License-Identifier: MIT
"""Transposed convolution and its gradients by the kernels of csrc/convolve, where these take the tensors; torch's own
elsewhere: channels-last, dtypes other than float32 and float64, a window too large for the caches, derivatives of
derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel.backends import cpu

from . import _tensors
from ._linear import unwatched

Sizes = tuple[int, ...]

_CODES = {torch.float32: "f32", torch.float64: "f64"}
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
    call = _Call(x, weight, g, size)
    if not call.fits("forward"):
        return _THEIRS[weight.dim() - 2](x, weight, bias, *g)
    wants = torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    )
    if wants:
        y: Tensor = _Transposed.apply(x, weight, bias, call)
        return y
    return call.forward(x, weight, bias)


def _ours(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """The kernels take the tensors, in a layout in which they are faster."""
    return (
        unwatched(x)
        and unwatched(weight)
        and (bias is None or unwatched(bias))
        and x.dtype in _CODES
        and x.dtype == weight.dtype
        and (bias is None or bias.dtype == x.dtype)
        and x.numel() > 0
        and weight.numel() > 0
        and not _results_last(x, weight)
        and not torch.is_autocast_enabled("cpu")
        and cpu.why_not() is None
    )


def _results_last(x: Tensor, weight: Tensor) -> bool:
    """torch's rule: channels-last if the input or the weight is."""
    return weight.dim() > 3 and (_tensors.suggests_last(x) or _tensors.suggests_last(weight))


def _three(values: Sizes, one: int) -> list[int]:
    return [*(one,) * (3 - len(values)), *values]


class _Call:
    """One geometry on tensors of these shapes, in the words of the kernels."""

    def __init__(self, x: Tensor, weight: Tensor, g: Geometry, size: Sizes) -> None:
        dims = weight.dim() - 2
        batched = x.dim() == weight.dim()
        c_out = weight.shape[1] * g.groups
        self.geometry, self.code = g, _CODES[x.dtype]
        self.shape = (*((x.shape[0], c_out) if batched else (c_out,)), *size)
        self.channels = [x.shape[0] if batched else 1, g.groups, weight.shape[0] // g.groups, weight.shape[1]]
        self.sizes = [
            _three(tuple(x.shape[-dims:]), 1),
            _three(size, 1),
            _three(tuple(weight.shape[2:]), 1),
            _three(g.stride, 1),
            _three(g.padding, 0),
            _three(g.dilation, 1),
        ]

    def fits(self, direction: str) -> bool:
        """The windows are small enough for the kernels."""
        fits: bool = cpu.native().convolve_fits(direction, self.code, self.channels, self.sizes)
        return fits

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The result."""
        return self._run("forward", x, weight, bias, self.shape)

    def of_input(self, grad: Tensor, weight: Tensor, shape: Sizes) -> Tensor:
        """The gradient of the input, from that of the result."""
        return self._run("of_input", grad, weight, None, shape)

    def of_weight(self, x: Tensor, grad: Tensor, shape: Sizes) -> Tensor:
        """The gradient of the weight."""
        return self._run("of_weight", x, grad, None, shape)

    def _run(self, direction: str, a: Tensor, b: Tensor, bias: Tensor | None, shape: Sizes) -> Tensor:
        out = _tensors.advised(torch.empty(shape, dtype=a.dtype))
        cpu.native().convolve(
            direction, _dense(a), _dense(b), None if bias is None else _dense(bias), out.numpy(), self.code,
            self.channels, self.sizes,
        )  # fmt: skip
        return out


def _dense(x: Tensor) -> Any:
    return _tensors.array(x.detach().resolve_neg().contiguous())


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, call: _Call) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.call = call
        return call.forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        call: _Call = ctx.call
        needs = tuple(ctx.needs_input_grad[:3])
        # torch's own where the gradient is to have derivatives itself.
        ours = not torch.is_grad_enabled() and unwatched(grad)
        mine = [ours and need and call.fits(way) for need, way in zip(needs, ("of_input", "of_weight"), strict=False)]
        of_x = call.of_input(grad, weight, tuple(x.shape)) if mine[0] else None
        of_weight = call.of_weight(x, grad, tuple(weight.shape)) if mine[1] else None
        rest = (needs[0] and not mine[0], needs[1] and not mine[1], needs[2] and not ours)
        if any(rest):
            theirs = _back(grad, x, weight, call.geometry, rest)
            of_x, of_weight = of_x if mine[0] else theirs[0], of_weight if mine[1] else theirs[1]
        of_bias = None
        if needs[2]:
            ends = [a for a in range(grad.dim()) if a != grad.dim() - weight.dim() + 1]
            of_bias = grad.sum(ends) if ours else theirs[2]
        return of_x, of_weight, of_bias, None


Grads = tuple[Tensor | None, Tensor | None, Tensor | None]


def _back(grad: Tensor, x: Tensor, weight: Tensor, g: Geometry, needs: tuple[bool, ...]) -> Grads:
    """torch's gradients, which have derivatives. Inputs without a batch are a batch of one."""
    alone = x.dim() < weight.dim()
    if alone:
        grad, x = grad.unsqueeze(0), x.unsqueeze(0)
    of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
        grad, x, weight, [weight.shape[1] * g.groups], g.stride, g.padding, g.dilation, True, g.output_padding,
        g.groups, list(needs),
    )  # fmt: skip
    return of_x.squeeze(0) if alone and of_x is not None else of_x, of_weight, of_bias
