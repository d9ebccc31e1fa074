# SPDX-License-Identifier: MIT
"""Transposed convolution and its gradients by the kernels of csrc/convolve, where these take the tensors; torch's own
elsewhere: other dtypes than float32 and float64, windows too large for the caches, derivatives of derivatives, and
what is channels-last and no faster here by the rule of `gains` (csrc/convolve.hh). Of channels by themselves:
`_depthwise`.
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
_FEW = 8  # output channels below which torch's gradient of a weight between channels-last tensors is faster
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


class Call:
    """The part of torch's transposed convolution of this geometry that begins at `start` and has the spatial size
    `size`, for inputs and weights of these shapes.
    """

    __slots__ = ("_gaining", "_kernels", "_shapes", "dims", "geometry", "shape", "size", "sizes", "start")

    def __init__(self, x: Sizes, weight: Sizes, g: Geometry, start: Sizes, size: Sizes) -> None:
        self.dims = len(size)
        self.geometry, self.start, self.size = g, start, size
        self.shape = (*x[: -self.dims - 1], weight[1] * g.groups, *size)
        begin = tuple(p + a for p, a in zip(g.padding, start, strict=True))
        given = (x[-self.dims :], size, weight[2:], g.stride, begin, g.dilation)
        self.sizes = [[*(int(i != 4),) * (3 - self.dims), *values] for i, values in enumerate(given)]
        self._shapes = x, weight
        self._kernels: dict[Any, Any] = {}
        self._gaining: dict[torch.dtype, tuple[bool, bool]] = {}

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The result."""
        if not self.takes(x, weight, bias):
            return self.theirs(x, weight, bias)
        if torch.is_grad_enabled() and (
            x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
        ):
            y: Tensor = _Transposed.apply(x, weight, bias, self)
            return y
        return self.forward(x, weight, bias)

    def takes(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """The kernels take the tensors, or one of them at least is faster than torch's."""
        dtype = x.dtype
        return (
            dtype in _CODES
            and dtype == weight.dtype
            and (bias is None or (dtype == bias.dtype and bias.shape == self.shape[-self.dims - 1 : -self.dims]))
            and unwatched(x, weight, bias)
            and not torch.is_autocast_enabled("cpu")
            and cpu.why_not() is None
            and self._convolution(dtype, False) is not None
        )

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The result of tensors that the kernels take."""
        last = results_last(x, weight)
        convolution = self._convolution(x.dtype, last)
        if not convolution.fits[0] or (last and not self._gains(x.dtype)[0]):
            return self.theirs(x.detach(), weight.detach(), bias if bias is None else bias.detach())
        out, made = _result(self.shape, x.dtype, last)
        weights, order = _weights(weight, self.geometry.groups, last)
        convolution.forward(_dense(x, last), weights, None if bias is None else _dense(bias), made, *order)
        return out

    def backward(self, grad: Tensor, x: Tensor, weight: Tensor, needs: Needs) -> Grads:
        """The gradients of the input, the weight and the bias, where they are needed."""
        last = results_last(x, weight)
        of_x = of_weight = None
        convolution = self._convolution(x.dtype, last)
        if needs[0] and convolution.fits[1] and (not last or self._gains(x.dtype)[1]):
            of_x, made = _result(tuple(x.shape), x.dtype, last)
            weights, order = _weights(weight, self.geometry.groups, last)
            convolution.of_input(_dense(grad, last), weights, made, *order)
        if needs[1] and convolution.fits[2] and not (last and weight.shape[1] < _FEW):
            of_weight = _tensors.advised(torch.empty(weight.shape, dtype=x.dtype))
            convolution.of_weight(_dense(x, last), _dense(grad, last), of_weight.numpy())
        rest = (needs[0] and of_x is None, needs[1] and of_weight is None, False)
        if any(rest):
            theirs = self.theirs_back(grad, x, weight, rest)
            of_x, of_weight = theirs[0] if of_x is None else of_x, theirs[1] if of_weight is None else of_weight
        return of_x, of_weight, self.of_bias(grad) if needs[2] else None

    def of_bias(self, grad: Tensor) -> Tensor:
        """The gradient of the bias."""
        return grad.sum([a for a in range(grad.dim()) if a != grad.dim() - self.dims - 1])

    def _gains(self, dtype: torch.dtype) -> tuple[bool, bool]:
        """Whether channels-last results and gradients of the input are made no slower than torch's."""
        if dtype not in self._gaining:
            self._gaining[dtype] = self._convolution(dtype, True).gains
        return self._gaining[dtype]

    def _convolution(self, dtype: torch.dtype, last: bool) -> Any:
        """The kernels for these sizes; None for an empty tensor."""
        if (dtype, last) not in self._kernels:
            self._kernels[dtype, last] = self._made(_CODES[dtype], last)
        return self._kernels[dtype, last]

    def _made(self, code: str, last: bool) -> Any:
        x, weight = self._shapes
        g = self.geometry
        if 0 in (*x, *weight, *self.size):
            return None
        channels = [x[0] if len(x) == len(weight) else 1, g.groups, weight[0] // g.groups, weight[1]]
        return cpu.native().Convolution(code, channels, self.sizes, last)

    def theirs(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The result by torch's operators."""
        y = _THEIRS[self.dims](x, weight, bias, *self.geometry)
        if tuple(y.shape[-self.dims :]) == self.size and not any(self.start):
            return y
        return y[(..., *(slice(a, a + m) for a, m in zip(self.start, self.size, strict=True)))]

    def theirs_back(self, grad: Tensor, x: Tensor, weight: Tensor, needs: Needs) -> Grads:
        """The same by torch's operators, which have derivatives. Inputs without a batch are a batch of one."""
        g, n, kernel = self.geometry, self._shapes[0], self._shapes[1]
        pads: list[int] = []
        for d in range(-1, -self.dims - 1, -1):  # to all that torch makes
            made = (n[d] - 1) * g.stride[d] + g.dilation[d] * (kernel[d] - 1) + g.output_padding[d] + 1
            pads += [self.start[d], made - 2 * g.padding[d] - self.start[d] - grad.shape[d]]
        if any(pads):
            grad = torch.nn.functional.pad(grad, pads)
        alone = x.dim() < weight.dim()
        if alone:
            grad, x = grad.unsqueeze(0), x.unsqueeze(0)
        of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
            grad, x, weight, [weight.shape[1] * g.groups], g.stride, g.padding, g.dilation, True, g.output_padding,
            g.groups, list(needs),
        )  # fmt: skip
        return of_x.squeeze(0) if alone and of_x is not None else of_x, of_weight, of_bias


Needs = tuple[bool, bool, bool]
Grads = tuple[Tensor | None, Tensor | None, Tensor | None]


def results_last(x: Tensor, weight: Tensor) -> bool:
    """torch's rule: channels-last if the input or the weight is; here never without a batch."""
    return x.dim() == weight.dim() > 3 and (
        (not x.is_contiguous() and _tensors.suggests_last(x))
        or (not weight.is_contiguous() and _tensors.suggests_last(weight))
    )


def _dense(x: Tensor, last: bool = False) -> Any:
    """The tensor as a dense array, with `last` its channels behind."""
    if x.requires_grad:
        x = x.detach()
    if last:
        x = x.movedim(1, -1)
    return (x if x.is_contiguous() and not x.is_neg() else x.resolve_neg().contiguous()).numpy()


def _result(shape: Sizes, dtype: torch.dtype, last: bool) -> tuple[Tensor, Any]:
    """A result to write, and its dense array, with `last` the channels behind."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    layout = formats[len(shape)] if last else torch.contiguous_format
    out = _tensors.advised(torch.empty(shape, dtype=dtype, memory_format=layout))
    return out, (out.movedim(1, -1) if last else out).numpy()


def _weights(weight: Tensor, groups: int, last: bool) -> tuple[Any, tuple[bool, bool]]:
    """A dense array of the weight, whether its kernel lies before the inner channels, as in channels-last models, and
    whether its output channels lie before those of the input: orders that channels-last kernels take as they are.
    """
    if last and not weight.is_contiguous() and not weight.is_neg():
        for swapped in (False, True)[: 1 + (groups == 1)]:
            outer = weight.transpose(0, 1) if swapped else weight
            for behind in (True, False):
                if (outer.movedim(1, -1) if behind else outer).is_contiguous():
                    return _dense(outer, behind), (behind, swapped)
    return _dense(weight), (False, False)


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, call: Call) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.call = call
        return call.forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        # torch's own where the gradient is to have derivatives itself.
        ours = not torch.is_grad_enabled() and unwatched(grad)
        way = ctx.call.backward if ours else ctx.call.theirs_back
        return (*way(grad, x, weight, ctx.needs_input_grad[:3]), None)
