# SPDX-License-Identifier: MIT
"""The operators `halfpixel::reassemble`, `reassemble_back_x` and `reassemble_back_weights`.

One form that is linear in an input x, weights w and an output y, sum of w x y over all outputs, channels and taps; each
operator is its derivative by one of the three. So the gradients of each are the other two, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.backends import cpu

from . import _tensors, _window_eager
from ._bilinear import Bilinear, Needs
from ._window_eager import Window
from ._windows import Dense

_CODES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}
TO_Y, TO_X, TO_WEIGHTS = 0, 1, 2
Ints = Sequence[int]


def serves(dtype: torch.dtype, weights: torch.dtype) -> bool:
    """There is a kernel for these dtypes."""
    halves = dtype in (torch.float16, torch.bfloat16)
    return dtype in _CODES and (weights == dtype or (halves and weights == torch.float32)) and cpu.why_not() is None


def run(
    way: int, x: Tensor, y: Tensor, weights: Tensor, w: Window, softmax: bool = False, logits: Tensor | None = None,
    grad_x: Tensor | None = None,
) -> None:  # fmt: skip
    """One of the three is written: it is dense, or dense and channels-last; that is how the others are brought. With
    the gradient of logits that of x may be written too, in y's layout.
    """
    where = Dense(x if way == TO_X else y, 2)
    sizes = (*x.shape[:2], w.groups, *x.shape[2:], *y.shape[2:], *w.kernel)
    taps, steps = _stepped(weights, w)
    cpu.native().window(
        where.array(x), where.array(y), taps, _CODES[x.dtype], _CODES[weights.dtype], way, list(sizes), where.last,
        w.replicate, list(w.scale or (1, 1)), steps, softmax,
        None if logits is None else Dense(weights, 2).array(logits), None if grad_x is None else where.array(grad_x),
    )  # fmt: skip


class Ready:
    """Forward calls for tensors of the CPU of certain shapes, strides and dtypes, with everything looked up."""

    __slots__ = ("_dtype", "_large", "_layout", "_run", "_shape", "window")

    def __init__(self, x: Tensor, weights: Tensor, w: Window, softmax: bool) -> None:
        self.window, self._dtype = w, x.dtype
        self._shape = (*x.shape[:2], *_output(x, weights, w.scale))
        where, there = Dense(x, 2), Dense(weights, 2)
        self._layout = where.layout
        sizes = (*x.shape[:2], w.groups, *x.shape[2:], *self._shape[2:], *w.kernel)
        self._run = cpu.native().WindowSums(
            _CODES[x.dtype], _CODES[weights.dtype], list(sizes), where.last, w.replicate, list(w.scale or (1, 1)),
            _steps(weights, w, there.last), softmax,
        ).run  # fmt: skip
        self._large = math.prod(self._shape) * x.element_size() >= _tensors._LARGE

    @staticmethod
    def serves(x: Tensor, weights: Tensor) -> bool:
        """The kernels take such tensors where they lie."""
        if not (x.numel() and weights.numel() and serves(x.dtype, weights.dtype)):
            return False
        return all(t.is_contiguous(memory_format=Dense(t, 2).layout) and not t.is_neg() for t in (x, weights))

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """The sums of tensors that record nothing."""
        out = torch.empty(self._shape, dtype=self._dtype, memory_format=self._layout)
        if self._large:
            _tensors.advised(out)
        self._run(x.data_ptr(), weights.data_ptr(), out.data_ptr())
        return out


def _stepped(weights: Tensor, w: Window) -> tuple[Any, list[int]]:
    """The weights' elements in the order of memory, and the steps between them."""
    where = Dense(weights, 2)
    return where.array(weights), _steps(weights, w, where.last)


def _steps(weights: Tensor, w: Window, last: bool) -> list[int]:
    """To the next sample, tap, row, column, and to the next row and column within an input pixel."""
    _, channels, height, width = weights.shape
    row, column, channel = (width * channels, channels, 1) if last else (width, 1, height * width)
    s_h, s_w = w.scale or (1, 1)
    steps = [channels * height * width, channel * s_h * s_w, row, column]
    return [*steps, *((channel * s_w, channel) if w.scale else (0, 0))]


def _output(x: Tensor, weights: Tensor, scale: Ints) -> tuple[Any, ...]:
    return _window_eager._output(x.shape[2:], weights, Window((), 1, False, tuple(scale)))


# ---------------------------------------------------------------------------------------------------- forward


def _fake(x: Tensor, weights: Tensor, kernel: Ints, groups: int, replicate: bool, scale: Ints) -> Tensor:
    return _tensors.result(x, (*x.shape[:2], *_output(x, weights, scale)))


def _forward(x: Tensor, weights: Tensor, kernel: Ints, groups: int, replicate: bool, scale: Ints) -> Tensor:
    out = _tensors.advised(_fake(x, weights, kernel, groups, replicate, scale))
    if not serves(x.dtype, weights.dtype):
        return out.copy_(_elsewhere(x, weights, kernel, groups, replicate, scale))
    if out.numel():
        run(TO_Y, x, out, weights, Window(tuple(kernel), groups, replicate, tuple(scale)))
    return out


def _elsewhere(x: Tensor, weights: Tensor, kernel: Ints, groups: int, replicate: bool, scale: Ints) -> Tensor:
    out = _fake(x, weights, kernel, groups, replicate, scale)
    return out.copy_(_window_eager.forward(x, weights, Window(tuple(kernel), groups, replicate, tuple(scale))))


def _gradients(
    x: Tensor, weights: Tensor, arguments: tuple[Any, ...], grad: Tensor, needs: Needs
) -> tuple[Tensor | None, Tensor | None]:
    return (
        BACK_X(grad, weights, x.shape[2:], *arguments) if needs[0] else None,
        BACK_WEIGHTS(grad, x, *arguments, weights.dtype) if needs[1] else None,
    )


# ---------------------------------------------------------------------------------------------------- the gradient of x


def _x_fake(y: Tensor, weights: Tensor, size: Ints, kernel: Ints, groups: int, replicate: bool, scale: Ints) -> Tensor:
    return _tensors.result(y, (*y.shape[:2], *size))


def _x_kernel(
    y: Tensor, weights: Tensor, size: Ints, kernel: Ints, groups: int, replicate: bool, scale: Ints
) -> Tensor:
    out = _tensors.advised(_x_fake(y, weights, size, kernel, groups, replicate, scale))
    if not serves(y.dtype, weights.dtype):
        return out.copy_(_x_elsewhere(y, weights, size, kernel, groups, replicate, scale))
    if out.numel():
        run(TO_X, out, y, weights, Window(tuple(kernel), groups, replicate, tuple(scale)))
    return out


def _x_elsewhere(
    y: Tensor, weights: Tensor, size: Ints, kernel: Ints, groups: int, replicate: bool, scale: Ints
) -> Tensor:
    window = Window(tuple(kernel), groups, replicate, tuple(scale))
    out = _x_fake(y, weights, size, kernel, groups, replicate, scale)
    return out.copy_(_window_eager.back_x(y, weights, tuple(size), window))


def _x_gradients(
    y: Tensor, weights: Tensor, arguments: tuple[Any, ...], grad: Tensor, needs: Needs
) -> tuple[Tensor | None, Tensor | None]:
    rest = arguments[1:]
    return (
        FORWARD(grad, weights, *rest) if needs[0] else None,
        BACK_WEIGHTS(y, grad, *rest, weights.dtype) if needs[1] else None,
    )


# ---------------------------------------------------------------------------------------------------- of the weights


def _w_fake(
    y: Tensor, x: Tensor, kernel: Ints, groups: int, replicate: bool, scale: Ints, dtype: torch.dtype
) -> Tensor:
    channels, size = groups * kernel[0] * kernel[1], y.shape[2:]
    if scale:
        channels, size = channels * scale[0] * scale[1], x.shape[2:]
    return _tensors.result(y, (y.shape[0], channels, *size), dtype=dtype)


def _w_kernel(
    y: Tensor, x: Tensor, kernel: Ints, groups: int, replicate: bool, scale: Ints, dtype: torch.dtype
) -> Tensor:
    out = _tensors.advised(_w_fake(y, x, kernel, groups, replicate, scale, dtype))
    if not serves(y.dtype, dtype) or x.dtype != y.dtype:
        return out.copy_(_w_elsewhere(y, x, kernel, groups, replicate, scale, dtype))
    if out.numel():
        if x.shape[1] == 0:
            return out.zero_()
        run(TO_WEIGHTS, x, y, out, Window(tuple(kernel), groups, replicate, tuple(scale)))
    return out


def _w_elsewhere(
    y: Tensor, x: Tensor, kernel: Ints, groups: int, replicate: bool, scale: Ints, dtype: torch.dtype
) -> Tensor:
    window = Window(tuple(kernel), groups, replicate, tuple(scale))
    out = _w_fake(y, x, kernel, groups, replicate, scale, dtype)
    return out.copy_(_window_eager.back_weights(y, x, window, dtype))


def _w_gradients(
    y: Tensor, x: Tensor, arguments: tuple[Any, ...], grad: Tensor, needs: Needs
) -> tuple[Tensor | None, Tensor | None]:
    rest = arguments[:-1]
    return (
        FORWARD(x, grad, *rest) if needs[0] else None,
        BACK_X(y, grad, x.shape[2:], *rest) if needs[1] else None,
    )


_REST = "SymInt[] kernel, int groups, bool replicate, SymInt[] scale"
FORWARD = Bilinear("reassemble", "x", "weights", _REST, _forward, _elsewhere, _fake, _gradients)
BACK_X = Bilinear(
    "reassemble_back_x", "y", "weights", f"SymInt[] size, {_REST}", _x_kernel, _x_elsewhere, _x_fake, _x_gradients
)
BACK_WEIGHTS = Bilinear(
    "reassemble_back_weights", "y", "x", f"{_REST}, ScalarType dtype", _w_kernel, _w_elsewhere, _w_fake, _w_gradients
)


def forward(x: Tensor, weights: Tensor, w: Window) -> Tensor:
    """The weighted sums; without the operator in exported graphs."""
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return _window_eager.forward(x, weights, w)
    return FORWARD(x, weights, *w)


def scores(y: Tensor, x: Tensor, w: Window) -> Tensor:
    """Sums over the channels of a group of y times the pixels of its window, in y's dtype."""
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return _window_eager.back_weights(y, x, w, y.dtype)
    return BACK_WEIGHTS(y, x, *w, y.dtype)
