# SPDX-License-Identifier: MIT
"""Depthwise transposed convolution (as many groups as input channels) by kernels of its own, forwards and backwards.

Channels are independent of each other, so that nothing is left to multiply as matrices: what counts is how often memory
is passed over, and here that is once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfpixel.backends import cpu

from . import _tensors
from ._conv_transpose import Call, Grads, Needs, results_last
from ._linear import unwatched

Sizes = tuple[int, ...]

_CODES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}
_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
MOST_EACH = 8  # outputs of a channel; of more, products of matrices are worth their while
_LEAST_CHANNELS = 8  # that are computed as channels last
_NARROW = 16  # columns below which many channels are turned to be computed so
_FEW = 9  # taps up to which torch's gradient of the weight keeps up with its other results


class Depthwise(Call):
    """A call with as many groups as input channels."""

    __slots__ = ()

    def takes(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether the kernels serve this call: plain tensors of the CPU, one floating dtype."""
        return (
            x.dtype in _CODES
            and x.dtype == weight.dtype
            and (bias is None or (x.dtype == bias.dtype and bias.shape == self.shape[-self.dims - 1 : -self.dims]))
            and unwatched(x, weight, bias)
            and 0 not in (*x.shape, *weight.shape, *self.size)
            and not torch.is_autocast_enabled("cpu")
            and cpu.why_not() is None
            and not (_theirs_is_fast(x, weight, bias) and not (weight.requires_grad and weight[0].numel() > _FEW))
        )

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The result of tensors that the kernels take."""
        if _theirs_is_fast(x, weight, bias):
            return self.theirs(x.detach(), weight.detach(), None)
        order = _Order(x, weight)
        out = order.empty(weight.shape[0] * weight.shape[1], self.size, x.dtype)
        cpu.native().depthwise(
            order.array(x), _computed(weight), None if bias is None else _computed(bias), order.array(out),
            _CODES[x.dtype], *order.rest, self.sizes,
        )  # fmt: skip
        return order.given(out)

    def backward(self, grad: Tensor, x: Tensor, weight: Tensor, needs: Needs) -> Grads:
        """The gradients of the input, the weight and the bias, where they are needed."""
        if _theirs_is_fast(x, weight, None) and not needs[1]:
            return self.theirs_back(grad, x, weight, needs)
        order = _Order(x, weight)
        of_x = order.empty(weight.shape[0], tuple(x.shape[-self.dims :]), x.dtype) if needs[0] else None
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        of_weight = torch.empty(weight.shape, dtype=wide) if needs[1] else None
        if needs[0] or needs[1]:
            cpu.native().depthwise_back(
                order.array(grad), order.array(x), _computed(weight), None if of_x is None else order.array(of_x),
                None if of_weight is None else of_weight.numpy(), _CODES[x.dtype], *order.rest, self.sizes,
            )  # fmt: skip
        return (
            None if of_x is None else order.given(of_x),
            None if of_weight is None else of_weight.to(weight.dtype),
            self.of_bias(grad) if needs[2] else None,
        )


def _theirs_is_fast(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Of channels-last images in float32, torch's own library makes results without a bias and gradients of the input
    as fast as memory is; others it does not.
    """
    return (
        bias is None
        and x.dtype == torch.float32
        and x.dim() == weight.dim() == 4
        and weight.shape[1] == 1
        and torch.backends.mkldnn.is_available()
        and results_last(x, weight)
    )


class _Order:
    """How the elements of one call's tensors lie where it is computed."""

    def __init__(self, x: Tensor, weight: Tensor) -> None:
        self.dims = dims = weight.dim() - 2
        self.batched = x.dim() == weight.dim()
        self.batch = x.shape[0] if self.batched else 1
        self.channels, self.each = weight.shape[:2]
        self.wants_last = self.batched and results_last(x, weight)
        narrow = self.batched and dims > 1 and x.shape[-1] < _NARROW <= self.channels
        self.last = (self.wants_last or narrow) and self.each == 1 and self.channels >= _LEAST_CHANNELS

    def array(self, x: Tensor) -> Any:
        """The elements in the order in which they are computed, copied if they lie otherwise."""
        x = x.detach().resolve_neg()
        layout = _LAST[self.dims] if self.last else torch.contiguous_format
        if not x.is_contiguous(memory_format=layout):
            x = _copied(x, layout)
        return _tensors.array(x.permute(0, *range(2, self.dims + 2), 1) if self.last else x)

    def empty(self, channels: int, size: Sizes, dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor in that order."""
        shape = (self.batch, channels, *size) if self.batched else (channels, *size)
        layout = _LAST[self.dims] if self.last else torch.contiguous_format
        return _tensors.advised(torch.empty(shape, dtype=dtype, memory_format=layout))

    def given(self, y: Tensor) -> Tensor:
        """A result in the layout that torch gives it."""
        if self.wants_last == self.last:
            return y
        return _copied(y, _LAST[self.dims] if self.wants_last else torch.contiguous_format)

    @property
    def rest(self) -> tuple[Any, ...]:
        """What the kernels are told."""
        return self.batch, self.channels, self.each, self.last


def _copied(x: Tensor, layout: torch.memory_format) -> Tensor:
    out = _tensors.advised(torch.empty(x.shape, dtype=x.dtype, memory_format=layout))
    _tensors.rearrange(x, out)
    return out


def _computed(weight: Tensor) -> Any:
    """Weights in the kernels' arithmetic."""
    wide = weight.detach() if weight.dtype == torch.float64 else weight.detach().float()
    return wide.resolve_neg().contiguous().numpy()
