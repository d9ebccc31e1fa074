# SPDX-License-Identifier: MIT
"""The operator `halfpixel::resize`: a plan, or its transpose, on a tensor.

The gradient of a resize is its transpose, which is the same operator the other way: derivatives of any order are
gathers, without atomics, and deterministic. Forward-mode tangents go through an autograd.Function, since an operator's
registered gradient knows none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import _how, _tensors

Sizes = tuple[int, ...]

_library = torch.library.Library("halfpixel", "DEF")
_library.define("resize(Tensor x, str how, SymInt[] size_in, SymInt[] size_out, bool transposed) -> Tensor")
_operator = torch.ops.halfpixel.resize.default


def _kernel(x: Tensor, how: str, size_in: list[int], size_out: list[int], transposed: bool) -> Tensor:
    return _tensors.apply(_how.plan(how, tuple(size_in), tuple(size_out), transposed), x)


def _fake(x: Tensor, how: str, size_in: list[int], size_out: list[int], transposed: bool) -> Tensor:
    shape = list(x.shape)
    for axis, n in zip(_how.axes_of(how), size_in if transposed else size_out, strict=True):
        shape[axis] = n
    return _tensors.result(x, tuple(shape))


@dataclass(frozen=True)
class _Way:
    """The operator's arguments after the tensor."""

    how: str
    size_in: Sizes
    size_out: Sizes
    transposed: bool

    def along(self, x: Tensor) -> Tensor:
        return call(x, self.how, self.size_in, self.size_out, self.transposed)

    def back(self, grad: Tensor) -> Tensor:
        return call(grad, _how.linear(self.how), self.size_in, self.size_out, not self.transposed)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.way = _Way(*inputs[1:])


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return ctx.way.back(grad), None, None, None, None


def _batched(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *how: Any) -> tuple[Tensor, int]:
    return _operator(x.movedim(in_dims[0] or 0, 0), *how), 0


_library.impl("resize", _kernel, "CPU")
torch.library.register_fake("halfpixel::resize", _fake, lib=_library)
torch.library.register_autograd("halfpixel::resize", _gradient, setup_context=_setup, lib=_library)
torch.library.register_vmap("halfpixel::resize", _batched, lib=_library)


class _WithTangent(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, way: _Way) -> Tensor:
        y: Tensor = _operator(x, way.how, way.size_in, way.size_out, way.transposed)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.way = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.way.back(grad), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        way: _Way = ctx.way
        return replace(way, how=_how.linear(way.how)).along(tangent)


def call(x: Tensor, how: str, size_in: Sizes, size_out: Sizes, transposed: bool) -> Tensor:
    """The operator, by the way that keeps every derivative."""
    transforms = forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None
    if transforms and not torch.compiler.is_compiling():
        y: Tensor = _WithTangent.apply(x, _Way(how, size_in, size_out, transposed))
    else:
        y = _operator(x, how, size_in, size_out, transposed)
    return y


def _plain(x: Tensor) -> bool:
    """Nothing would come of the dispatcher: a tensor of the CPU, and nobody who asks for a gradient or watches."""
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch.compiler.is_compiling()
        and torch._C._len_torch_dispatch_stack() == 0
        and forward_ad._current_level < 0
        and not torch._C._functorch.peek_interpreter_stack()
    )


def resize(x: Tensor, how: str, size_in: Sizes, size_out: Sizes) -> Tensor:
    """`call`, forward; without the dispatcher where it is not needed."""
    if _plain(x):
        return _tensors.apply(_how.plan(how, size_in, size_out, False), x)
    return call(x, how, size_in, size_out, False)
