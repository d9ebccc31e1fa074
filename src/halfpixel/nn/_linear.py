# SPDX-License-Identifier: MIT
"""Functions that are linear in one tensor: the gradient is another of the same kind.

They are reached by the cheapest way that keeps every derivative: the kernel alone where nobody records or watches; an
autograd.Function of Python where a gradient is asked for, which costs less than the dispatcher's record; and in
general, under compilers, transforms and for other kinds of tensors, by the dispatcher or as torch's own functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_library = torch.library.Library("halfpixel", "DEF")
_modes = torch._C._len_torch_dispatch_stack
_functorch = torch._C._functorch.peek_interpreter_stack
_is_batched = torch._C._functorch.is_legacy_batchedtensor

_tracing = torch._C._get_tracing_state

Arguments = tuple[Any, ...]
Kernel = Callable[..., Tensor]


class Linear(ABC):
    """A function of a tensor and arguments, linear in the tensor (or affine: see `Operator.tangent`)."""

    kernel: Kernel
    adjoint: Callable[..., Arguments]

    @abstractmethod
    def general(self, x: Tensor, *arguments: Any) -> Tensor:
        """The function on anything, with every derivative."""

    def __call__(self, x: Tensor, *arguments: Any) -> Tensor:
        """The function on x."""
        if unwatched(x):
            return self.quick(x, arguments, self.kernel, *arguments)
        return self.general(x, *arguments)

    def quick(self, x: Tensor, arguments: Arguments, kernel: Kernel, *more: Any) -> Tensor:
        """The function on an unwatched x, whose value the caller knows to be `kernel(x, *more)`."""
        if x.requires_grad and torch.is_grad_enabled():
            y: Tensor = _Recorded.apply(x, self, arguments, kernel, more)
            return y
        return kernel(x, *more)

    def back(self, grad: Tensor, arguments: Arguments) -> Tensor:
        """The gradient of a call with these arguments."""
        return self(grad, *self.adjoint(*arguments))


class Composite(Linear):
    """A linear function with a kernel for unwatched tensors and a definition, in torch's functions, for all others.

    Arguments: kernel: returns a new tensor. definition: the same. adjoint: the arguments of the transpose.
    """

    def __init__(self, kernel: Kernel, definition: Kernel, adjoint: Callable[..., Arguments]) -> None:
        self.kernel, self.definition, self.adjoint = kernel, definition, adjoint

    def general(self, x: Tensor, *arguments: Any) -> Tensor:
        """The definition."""
        return self.definition(x, *arguments)


class Operator(Linear):
    """The operator `halfpixel::name(Tensor x, *arguments)` of torch's dispatcher.

    Arguments:
        name, schema: of the operator; the schema lists what follows `Tensor x`.
        kernel: computes it on CPU tensors; returns a new tensor.
        elsewhere: computes it on tensors of any other device.
        fake: the result's tensor, uninitialised.
        adjoint: the arguments of the operator that is its transpose.
        tangent: the arguments of its linear part.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        kernel: Kernel,
        elsewhere: Kernel,
        fake: Kernel,
        adjoint: Callable[..., Arguments],
        tangent: Callable[..., Arguments] = lambda *arguments: arguments,
    ) -> None:
        self.name, self.kernel, self.adjoint, self.tangent = f"halfpixel::{name}", kernel, adjoint, tangent
        _library.define(f"{name}(Tensor x, {schema}) -> Tensor")
        _library.impl(name, kernel, "CPU")
        _library.impl(name, elsewhere, "CompositeExplicitAutograd")
        torch.library.register_fake(self.name, fake, lib=_library)
        torch.library.register_autograd(self.name, self._gradient, setup_context=_keep_arguments, lib=_library)
        torch.library.register_vmap(self.name, self._batched, lib=_library)
        self.operator = getattr(torch.ops.halfpixel, name).default

    def general(self, x: Tensor, *arguments: Any) -> Tensor:
        """The dispatcher's operator; a Function with a tangent where a transform may ask for one, since an operator's
        registered gradient knows none, and compilers take no such Function whole.
        """
        y: Tensor
        if not torch.compiler.is_compiling() and (forward_ad._current_level >= 0 or _functorch() is not None):
            y = _WithTangent.apply(x, _Call(self, arguments))
        else:
            y = self.operator(x, *arguments)
        return y

    def _gradient(self, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return self.back(grad, ctx.arguments), *(None for _ in ctx.arguments)

    def _batched(self, info: Any, in_dims: tuple[int | None, ...], x: Tensor, *arguments: Any) -> tuple[Tensor, int]:
        return self.operator(x.movedim(in_dims[0] or 0, 0), *arguments), 0


def _keep_arguments(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.arguments = inputs[1:]


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: Linear, arguments: Arguments, kernel: Kernel, more: Arguments) -> Tensor:
        ctx.linear, ctx.arguments = linear, arguments
        return kernel(x, *more)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.linear.back(grad, ctx.arguments), None, None, None, None


@dataclass(frozen=True)  # and no tuple: functorch would take that apart
class _Call:
    linear: Operator
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
        return ctx.call.linear.back(grad, ctx.call.arguments), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        linear: Operator = ctx.call.linear
        return linear(tangent, *linear.tangent(*ctx.call.arguments))


_PLAIN = (Tensor, torch.nn.Parameter)


def unwatched(*tensors: Tensor | None) -> bool:
    """Nobody would see the dispatcher pass by: plain tensors of the CPU, no compiler, tracer, mode or transform."""
    if torch.compiler.is_compiling() or _tracing() or _modes() != 0 or forward_ad._current_level >= 0 or _functorch():
        return False
    for x in tensors:
        if x is None:
            continue
        if type(x) not in _PLAIN or not x.is_cpu or x.layout is not torch.strided or _is_batched(x):
            return False
    return True
