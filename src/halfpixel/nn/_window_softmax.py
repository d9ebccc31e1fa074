# SPDX-License-Identifier: MIT
"""Sums over windows whose weights are a softmax of logits over the taps, without these weights in memory.

A kernel where nobody watches, torch's softmax and the operator for all else: compilers, transforms, other devices, and
derivatives of the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _tensors, _window
from ._linear import unwatched
from ._window_eager import Window


def softmax(logits: Tensor, w: Window) -> Tensor:
    """Over the taps of each group, in the logits' dtype."""
    return _by_taps(logits, w).softmax(2).reshape(logits.shape)


def _by_taps(weights: Tensor, w: Window) -> Tensor:
    """(N, groups, taps, positions within an input pixel, height, width)."""
    n, channels, *size = weights.shape
    taps = w.kernel[0] * w.kernel[1]
    return weights.reshape(n, w.groups, taps, channels // (w.groups * taps), *size)


def forward(x: Tensor, logits: Tensor, w: Window) -> Tensor:
    """`_window.forward` with the softmax of the logits."""
    fused = unwatched(x) and unwatched(logits) and _window.serves(x.dtype, logits.dtype)
    if not fused:
        return _window.forward(x, softmax(logits, w), w)
    if torch.is_grad_enabled() and (x.requires_grad or logits.requires_grad):
        y: Tensor = _Recorded.apply(x, logits, w)
        return y
    return _to_y(x, logits, w)


def _to_y(x: Tensor, logits: Tensor, w: Window) -> Tensor:
    out = _tensors.advised(_window._fake(x, logits, *w))
    if out.numel():
        _window.run(_window.TO_Y, x, out, logits, w, softmax=True)
    return out


def _to_x(grad: Tensor, logits: Tensor, size: tuple[int, ...], w: Window) -> Tensor:
    out = _tensors.advised(_window._x_fake(grad, logits, size, *w))
    if out.numel():
        _window.run(_window.TO_X, out, grad, logits, w, softmax=True)
    return out


def _to_logits(grad: Tensor, x: Tensor, logits: Tensor, w: Window) -> Tensor:
    out = _tensors.advised(_tensors.result(logits, tuple(logits.shape)))
    if x.shape[1] == 0:
        return out.zero_()
    if out.numel():
        _window.run(_window.TO_WEIGHTS, x, grad, out, w, softmax=True, logits=logits)
    return out


def _to_both(grad: Tensor, x: Tensor, logits: Tensor, w: Window) -> tuple[Tensor, Tensor]:
    """The gradients of x and of logits, which are read once."""
    of_x = _tensors.advised(_window._x_fake(grad, logits, tuple(x.shape[2:]), *w))
    of_logits = _tensors.advised(_tensors.result(logits, tuple(logits.shape)))
    _window.run(_window.TO_WEIGHTS, x, grad, of_logits, w, softmax=True, logits=logits, grad_x=of_x)
    return of_x, of_logits


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor, w: Window) -> Tensor:
        ctx.save_for_backward(x, logits)
        ctx.w = w
        return _to_y(x, logits, w)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, logits = ctx.saved_tensors
        w: Window = ctx.w
        needs = ctx.needs_input_grad
        if not torch.is_grad_enabled() and unwatched(grad):
            if all(needs[:2]) and grad.numel():
                return *_to_both(grad, x, logits, w), None
            return (
                _to_x(grad, logits, tuple(x.shape[2:]), w) if needs[0] else None,
                _to_logits(grad, x, logits, w) if needs[1] else None,
                None,
            )
        weights = softmax(logits, w)
        of_x, of_weights = _window._gradients(x, weights, tuple(w), grad, needs[:2])
        return of_x, None if of_weights is None else _through(weights, of_weights, w), None


def _through(weights: Tensor, grad: Tensor, w: Window) -> Tensor:
    """The gradient of the logits from that of their softmax."""
    by, of = _by_taps(weights, w), _by_taps(grad, w)
    return (by * (of - (by * of).sum(2, keepdim=True))).reshape(weights.shape)
