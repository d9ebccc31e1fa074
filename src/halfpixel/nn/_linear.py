# SPDX-License-Identifier: MIT
"""Linear operators of one tensor: each is its own derivative, and the gradient is the operator of other arguments.

An operator here is reached by the cheapest way that keeps every derivative: its kernel alone where nobody records or
watches; an autograd.Function of Python where a gradient is asked for, which costs half of what the dispatcher's record
does; a Function with a tangent in forward mode and under functorch, since an operator's registered gradient knows no
tangent; the dispatcher's operator under compilers, tracers and for other kinds of tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_library = torch.library.Library("halfpixel", "DEF")
_mode_level = torch._C._len_torch_dispatch_stack
_functorch = torch._C._functorch.peek_interpreter_stack

Arguments = tuple[Any, ...]


class Linear:
    """The operator `halfpixel::name(Tensor x, *arguments)`, linear in x (or affine: see `tangent`).

    Arguments:
        name, schema: of the operator; the schema lists what follows `Tensor x`.
        kernel: computes it on CPU tensors; returns a new tensor.
        fake: the result's tensor, uninitialised.
        adjoint: the arguments of the operator that is its transpose.
        tangent: the arguments of its linear part.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        kernel: Callable[..., Tensor],
        fake: Callable[..., Tensor],
        adjoint: Callable[..., Arguments],
        tangent: Callable[..., Arguments] = lambda *arguments: arguments,
    ) -> None:
        self.name, self.kernel, self.adjoint, self.tangent = f"halfpixel::{name}", kernel, adjoint, tangent
        _library.define(f"{name}(Tensor x, {schema}) -> Tensor")
        _library.impl(name, kernel, "CPU")
        torch.library.register_fake(self.name, fake, lib=_library)
        torch.library.register_autograd(self.name, self._gradient, setup_context=_keep_arguments, lib=_library)
        torch.library.register_vmap(self.name, self._batched, lib=_library)
        self.operator = getattr(torch.ops.halfpixel, name).default

    def __call__(self, x: Tensor, *arguments: Any) -> Tensor:
        """The operator on x."""
        if unwatched(x):
            return self.quick(x, arguments, self.kernel, *arguments)
        return self.dispatched(x, *arguments)

    def quick(self, x: Tensor, arguments: Arguments, kernel: Callable[..., Tensor], *more: Any) -> Tensor:
        """The operator on an unwatched x, whose value the caller knows to be `kernel(x, *more)`."""
        if x.requires_grad and torch.is_grad_enabled():
            y: Tensor = _Recorded.apply(x, self, arguments, kernel, more)
            return y
        return kernel(x, *more)

    def dispatched(self, x: Tensor, *arguments: Any) -> Tensor:
        """The operator on anything: under compilers, transforms, batched and other kinds of tensors."""
        y: Tensor
        if not torch.compiler.is_compiling() and (forward_ad._current_level >= 0 or _functorch() is not None):
            y = _WithTangent.apply(x, _Call(self, arguments))
        else:
            y = self.operator(x, *arguments)
        return y

    def _gradient(self, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return self.dispatched(grad, *self.adjoint(*ctx.arguments)), *(None for _ in ctx.arguments)

    def _batched(self, info: Any, in_dims: tuple[int | None, ...], x: Tensor, *arguments: Any) -> tuple[Tensor, int]:
        return self.operator(x.movedim(in_dims[0] or 0, 0), *arguments), 0


def _keep_arguments(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.arguments = inputs[1:]


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, linear: Linear, arguments: Arguments, kernel: Callable[..., Tensor], more: Arguments
    ) -> Tensor:
        ctx.linear, ctx.arguments = linear, arguments
        return kernel(x, *more)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        linear: Linear = ctx.linear
        return linear.dispatched(grad, *linear.adjoint(*ctx.arguments)), None, None, None, None


@dataclass(frozen=True)  # and no tuple: functorch would take that apart
class _Call:
    linear: Linear
    arguments: Arguments


class _WithTangent(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, call: _Call) -> Tensor:
        y: Tensor = call.linear.operator(x, *call.arguments)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.call = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        linear, arguments = ctx.call.linear, ctx.call.arguments
        return linear.dispatched(grad, *linear.adjoint(*arguments)), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        linear, arguments = ctx.call.linear, ctx.call.arguments
        return linear.dispatched(tangent, *linear.tangent(*arguments))


def unwatched(x: Tensor) -> bool:
    """Nobody would see the dispatcher pass by: a plain tensor of the CPU, no compiler, no mode, no transform."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, torch.nn.Parameter)
        and x.is_cpu
        and _mode_level() == 0
        and forward_ad._current_level < 0
        and not _functorch()
    )
