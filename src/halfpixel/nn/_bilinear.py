# SPDX-License-Identifier: MIT
"""Operators that are linear in each of two tensors, reached as `_linear` reaches those of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ._linear import Arguments, Kernel, _functorch, _library, unwatched

Needs = tuple[bool, bool]
Gradients = Callable[..., tuple[Tensor | None, Tensor | None]]


class Bilinear:
    """The operator `halfpixel::name(Tensor first, Tensor second, *arguments)`; both tensors have their batch in front.

    Arguments:
        name, first, second, schema: of the operator; the schema lists what follows the two tensors.
        kernel: computes it on CPU tensors; returns a new tensor.
        elsewhere: computes it on tensors of any other device.
        fake: the result's tensor, uninitialised.
        gradients: (a, b, arguments, grad, needs) to the two gradients, by operators of this kind.
    """

    def __init__(
        self, name: str, first: str, second: str, schema: str, kernel: Kernel, elsewhere: Kernel, fake: Kernel,
        gradients: Gradients,
    ) -> None:  # fmt: skip
        self.name, self.kernel, self.gradients = f"halfpixel::{name}", kernel, gradients
        _library.define(f"{name}(Tensor {first}, Tensor {second}, {schema}) -> Tensor")
        _library.impl(name, kernel, "CPU")
        _library.impl(name, elsewhere, "CompositeExplicitAutograd")
        torch.library.register_fake(self.name, fake, lib=_library)
        torch.library.register_autograd(self.name, self._gradient, setup_context=_keep, lib=_library)
        torch.library.register_vmap(self.name, self._batched, lib=_library)
        self.operator = getattr(torch.ops.halfpixel, name).default

    def __call__(self, a: Tensor, b: Tensor, *arguments: Any) -> Tensor:
        """The function of a and b, by the cheapest way that keeps every derivative."""
        y: Tensor
        if unwatched(a) and unwatched(b):
            if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
                y = _Recorded.apply(a, b, self, arguments)
            else:
                y = self.kernel(a, b, *arguments)
        elif not torch.compiler.is_compiling() and (forward_ad._current_level >= 0 or _functorch() is not None):
            y = _WithTangent.apply(a, b, _Call(self, arguments))
        else:
            y = self.operator(a, b, *arguments)
        return y

    def _gradient(self, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, self, grad) + (None,) * len(ctx.arguments)

    def _batched(self, info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        count = info.batch_size
        a, b = (_folded(t, dim, count) for t, dim in zip(inputs[:2], in_dims[:2], strict=True))
        y: Tensor = self.operator(a, b, *inputs[2:])
        return y.unflatten(0, (count, y.shape[0] // count)), 0


def _folded(t: Tensor, dim: int | None, count: int) -> Tensor:
    """The mapped dimension as part of the batch."""
    t = t.expand(count, *t.shape) if dim is None else t.movedim(dim, 0)
    return t.flatten(0, 1)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.arguments = inputs[2:]


def _gradients(ctx: Any, of: Bilinear, grad: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    return of.gradients(a, b, ctx.arguments, grad, tuple(ctx.needs_input_grad[:2]))


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, of: Bilinear, arguments: Arguments) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.of, ctx.arguments = of, arguments
        return of.kernel(a, b, *arguments)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*_gradients(ctx, ctx.of, grad), None, None)


@dataclass(frozen=True)  # and no tuple: functorch would take that apart
class _Call:
    of: Bilinear
    arguments: Arguments


class _WithTangent(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, call: _Call) -> Tensor:
        y: Tensor = call.of.operator(a, b, *call.arguments)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        a, b, call = inputs
        ctx.save_for_backward(a, b)
        ctx.save_for_forward(a, b)
        ctx.call, ctx.arguments = call, call.arguments

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*_gradients(ctx, ctx.call.of, grad), None)

    @staticmethod
    def jvp(ctx: Any, tangent_a: Tensor | None, tangent_b: Tensor | None, _: None) -> Tensor | None:
        a, b = ctx.saved_tensors
        of, arguments = ctx.call.of, ctx.arguments
        parts = [of(tangent_a, b, *arguments)] if tangent_a is not None else []
        if tangent_b is not None:
            parts.append(of(a, tangent_b, *arguments))
        return sum(parts[1:], parts[0]) if parts else None
