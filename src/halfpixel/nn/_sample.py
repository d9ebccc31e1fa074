# SPDX-License-Identifier: MIT
"""Sampling at positions that are data: the operators `halfpixel::sample` and `halfpixel::sample_backward`.

Both serve grids of coordinates and offsets from the half-pixel grid. Second derivatives and forward mode go through
the definition in torch's own functions (`_sample_definition`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from halfpixel.backends import cpu

from . import _tensors
from ._linear import _functorch, unwatched
from ._sample_definition import back_by_torch, by_torch, definition
from ._windows import Dense

MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}
_NEAREST = MODES["nearest"]

_CODES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}
_MAX_PIXELS = 2**30
_MAX_CELLS = 2**25  # of a plane: kernels keep up to 16 channels of it


class How(NamedTuple):
    """A way of sampling. `scale` is that of offsets, 0 for a grid; `fine` offsets have the output's size."""

    mode: int
    padding: int = 0
    aligned: int = 0
    scale: int = 0
    groups: int = 1
    fine: int = 0

    def size_out(self, x: Tensor, at: Tensor) -> tuple[int, ...]:
        """The spatial size of the result."""
        return tuple(n * self.scale for n in x.shape[2:]) if self.scale else tuple(at.shape[1:-1])


def sampled(x: Tensor, at: Tensor, how: How) -> Tensor:
    """x sampled, with every derivative; shapes and dtypes fit."""
    y: Tensor
    if unwatched(x) and unwatched(at):
        if torch.is_grad_enabled() and (x.requires_grad or at.requires_grad):
            y = _Sampled.apply(x, at, how)
            return y
        return _kernel(x, at, how)
    if not torch.compiler.is_compiling() and forward_ad._current_level >= 0:
        return definition(x, at, how)  # operators with a registered gradient know no tangents
    if not torch.compiler.is_compiling() and _functorch() is not None:
        y = _Transformed.apply(x, at, _Given(how))
    else:
        y = torch.ops.halfpixel.sample.default(x, at, list(how))
    return y


def ours(x: Tensor, at: Tensor, how: How) -> bool:
    """The kernels take these."""
    cells, pixels = math.prod(x.shape[2:]), math.prod(how.size_out(x, at))
    both_double = (x.dtype == torch.float64) == (at.dtype == torch.float64)
    floats = x.dtype in _CODES and at.dtype in _CODES and both_double
    return floats and cells < _MAX_CELLS and pixels < _MAX_PIXELS and cpu.why_not() is None


def _arguments(x: Tensor, at: Tensor, how: How, x_last: bool, out_last: bool, at_last: bool) -> tuple[Any, ...]:
    return (
        _CODES[x.dtype], _CODES[at.dtype], x.shape[0], how.groups, x.shape[1] // how.groups, list(x.shape[2:]),
        list(how.size_out(x, at)), (how.mode, how.padding, bool(how.aligned)), (x_last, out_last),
        (how.scale, bool(how.fine), at_last),
    )  # fmt: skip


class _Plain:
    """A grid as the kernels want it."""

    last = False

    def array(self, at: Tensor) -> Any:
        return _tensors.bits(at.detach().contiguous()).reshape(-1)

    def empty_like(self, at: Tensor) -> Tensor:
        return torch.empty(at.shape, dtype=at.dtype)


class _Offsets(Dense):
    """Offsets, which are images."""

    def empty_like(self, at: Tensor) -> Tensor:
        return self.empty(tuple(at.shape[2:]), at.dtype)


def _positions(at: Tensor, how: How) -> _Plain | _Offsets:
    return _Offsets(at, 2) if how.scale else _Plain()


def drawn(x: Tensor, at: Tensor, how: How, keeps_layout: bool = True) -> Tensor:
    """x sampled by the kernel; the result is channels-last where x is, or always contiguous."""
    where = Dense(x, x.dim() - 2)
    shape = (*x.shape[:2], *how.size_out(x, at))
    to = where if keeps_layout else Dense(torch.empty(shape, device="meta"), where.dims)
    out = to.empty(shape[2:], x.dtype)
    if out.numel():
        there = _positions(at, how)
        arrays = where.array(x), there.array(at), to.array(out)
        cpu.native().sample(*arrays, *_arguments(x, at, how, where.last, to.last, there.last))
    return out


class Ready:
    """Calls for tensors of the CPU of certain shapes, strides and dtypes, with everything looked up."""

    __slots__ = ("_dtype", "_large", "_layout", "_run", "_shape", "how")

    def __init__(self, x: Tensor, at: Tensor, how: How) -> None:
        self.how, self._dtype, self._shape = how, x.dtype, (*x.shape[:2], *how.size_out(x, at))
        where, there = Dense(x, x.dim() - 2), _positions(at, how)
        self._layout = where.layout
        arguments = _arguments(x, at, how, where.last, where.last, there.last)
        self._run = cpu.native().Sampler(*arguments).run
        self._large = math.prod(self._shape) * x.element_size() >= _tensors._LARGE

    @staticmethod
    def serves(x: Tensor, at: Tensor, how: How) -> bool:
        """The kernels take such tensors where they lie."""
        if not (x.numel() and at.numel() and ours(x, at, how)):
            return False
        there = Dense(at, 2).layout if how.scale else torch.contiguous_format
        dense = x.is_contiguous(memory_format=Dense(x, x.dim() - 2).layout) and at.is_contiguous(memory_format=there)
        return dense and not (x.is_neg() or at.is_neg())

    def __call__(self, x: Tensor, at: Tensor) -> Tensor:
        """x sampled."""
        if torch.is_grad_enabled() and (x.requires_grad or at.requires_grad):
            y: Tensor = _Sampled.apply(x, at, self.how)
            return y
        out = torch.empty(self._shape, dtype=self._dtype, memory_format=self._layout)
        if self._large:
            _tensors.advised(out)
        self._run(x.data_ptr(), at.data_ptr(), out.data_ptr())
        return out


def drawn_back(
    grad: Tensor, x: Tensor, at: Tensor, how: How, wants_x: bool, wants_at: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients that are wanted, by the kernel: of x in its layout, of positions contiguous."""
    where, came, there = Dense(x, x.dim() - 2), Dense(grad, x.dim() - 2), _positions(at, how)
    grad_x = where.empty(tuple(x.shape[2:]), x.dtype) if wants_x else None
    grad_at = there.empty_like(at) if wants_at else None
    moves = how.mode != _NEAREST and grad_at is not None
    if not grad.numel() or not (wants_x or moves):
        return (None if grad_x is None else grad_x.zero_()), (None if grad_at is None else grad_at.zero_())
    cpu.native().sample_back(
        came.array(grad), where.array(x), there.array(at), None if grad_x is None else where.array(grad_x),
        there.array(grad_at) if grad_at is not None and moves else None,
        *_arguments(x, at, how, where.last, came.last, there.last),
    )  # fmt: skip
    return grad_x, grad_at if grad_at is None or moves else grad_at.zero_()


def _kernel(x: Tensor, at: Tensor, how: Any) -> Tensor:
    how = How(*how)
    if ours(x, at, how):
        return drawn(x, at, how)
    return _tensors.result(x, (*x.shape[:2], *how.size_out(x, at)), x.dim() - 2).copy_(by_torch(x, at, how))


def _back(grad: Tensor, x: Tensor, at: Tensor, how: Any, wants_x: bool, wants_at: bool) -> tuple[Tensor, Tensor]:
    how = How(*how)
    if grad.dtype == x.dtype and ours(x, at, how):
        grad_x, grad_at = drawn_back(grad, x, at, how, wants_x, wants_at)
    else:
        grad_x, grad_at = back_by_torch(grad, x, at, how, wants_x, wants_at)
        grad_x = None if grad_x is None else _tensors.result(x, tuple(x.shape), x.dim() - 2).copy_(grad_x)
        grad_at = None if grad_at is None else _positioned(at, grad_at, how)
    return x.new_empty(0) if grad_x is None else grad_x, at.new_empty(0) if grad_at is None else grad_at


def _positioned(at: Tensor, grad: Tensor, how: How) -> Tensor:
    """In the layout that the kernels' have."""
    return _tensors.result(at, tuple(at.shape), 2).copy_(grad) if how.scale else grad.contiguous()


def _elsewhere(x: Tensor, at: Tensor, how: Any) -> Tensor:
    how = How(*how)
    return _tensors.result(x, (*x.shape[:2], *how.size_out(x, at)), x.dim() - 2).copy_(by_torch(x, at, how))


def _back_elsewhere(
    grad: Tensor, x: Tensor, at: Tensor, how: Any, wants_x: bool, wants_at: bool
) -> tuple[Tensor, Tensor]:
    grad_x, grad_at = back_by_torch(grad, x, at, How(*how), wants_x, wants_at)
    return (
        x.new_empty(0) if grad_x is None else _tensors.result(x, tuple(x.shape), x.dim() - 2).copy_(grad_x),
        at.new_empty(0) if grad_at is None else _positioned(at, grad_at, How(*how)),
    )


def _fake(x: Tensor, at: Tensor, how: Any) -> Tensor:
    return _tensors.result(x, (*x.shape[:2], *How(*how).size_out(x, at)), x.dim() - 2)


def _back_fake(grad: Tensor, x: Tensor, at: Tensor, how: Any, wants_x: bool, wants_at: bool) -> tuple[Tensor, Tensor]:
    grad_x = _tensors.result(x, tuple(x.shape), x.dim() - 2) if wants_x else x.new_empty(0)
    if not wants_at:
        return grad_x, at.new_empty(0)
    return grad_x, _tensors.result(at, tuple(at.shape), 2) if how[3] else at.new_empty(at.shape)


def _gradients(
    grad: Tensor, x: Tensor, at: Tensor, how: How, needs: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    recorded = torch.is_grad_enabled() and (grad.requires_grad or x.requires_grad or at.requires_grad)
    if not recorded and unwatched(grad) and unwatched(x) and unwatched(at):
        grad_x, grad_at = _back(grad, x, at, how, needs[0], needs[1])
    else:
        grad_x, grad_at = torch.ops.halfpixel.sample_backward.default(grad, x, at, list(how), needs[0], needs[1])
    return grad_x if needs[0] else None, grad_at if needs[1] else None


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, at: Tensor, how: How) -> Tensor:
        ctx.save_for_backward(x, at)
        ctx.how = how
        return _kernel(x, at, how)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, at = ctx.saved_tensors
        return *_gradients(grad, x, at, ctx.how, ctx.needs_input_grad), None


@dataclass(frozen=True)  # and no tuple: functorch would take that apart
class _Given:
    how: How
    wants: tuple[bool, bool] = (True, True)


class _Transformed(torch.autograd.Function):
    """The operator for transforms of functions, which take no gradient that was registered."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, at: Tensor, given: _Given) -> Tensor:
        y: Tensor = torch.ops.halfpixel.sample.default(x, at, list(given.how))
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.how = inputs[2].how

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        needs = ctx.needs_input_grad[:2]
        grad_x, grad_at = _TransformedBack.apply(grad, *ctx.saved_tensors, _Given(ctx.how, needs))
        return grad_x if needs[0] else None, grad_at if needs[1] else None, None


class _TransformedBack(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, x: Tensor, at: Tensor, given: _Given) -> tuple[Tensor, Tensor]:
        made: tuple[Tensor, Tensor] = torch.ops.halfpixel.sample_backward.default(
            grad, x, at, list(given.how), *given.wants
        )
        return made

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.how, ctx.wants = inputs[3].how, inputs[3].wants

    @staticmethod
    def backward(ctx: Any, to_x: Tensor, to_at: Tensor) -> tuple[Tensor | None, ...]:
        return _second_gradient(ctx, to_x, to_at)[:4]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.how = How(*inputs[2])


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, at = ctx.saved_tensors
    return *_gradients(grad, x, at, ctx.how, ctx.needs_input_grad), None


def _keep_back(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.how, ctx.wants = How(*inputs[3]), inputs[4:]


def _second_gradient(ctx: Any, to_x: Tensor, to_at: Tensor) -> tuple[Tensor | None, ...]:
    """Through the definition, whose own gradient torch knows; so that derivatives of any order exist."""
    how, (wants_x, wants_at) = ctx.how, ctx.wants

    def back(grad: Tensor, x: Tensor, at: Tensor) -> tuple[Tensor, ...]:
        both = torch.func.vjp(lambda x, at: definition(x, at, how), x, at)[1](grad)
        return tuple(g for g, wanted in zip(both, (wants_x, wants_at), strict=True) if wanted)

    wanted = tuple(g for g, w in zip((to_x, to_at), (wants_x, wants_at), strict=True) if w)
    return *torch.func.vjp(back, *ctx.saved_tensors)[1](wanted), None, None, None


def _batched(info: Any, in_dims: tuple[int | None, ...], x: Tensor, at: Tensor, how: Any) -> tuple[Tensor, int]:
    folded = [_folded(t, axis, info.batch_size) for t, axis in zip((x, at), in_dims, strict=False)]
    y = torch.ops.halfpixel.sample.default(*folded, how)
    return y.unflatten(0, (info.batch_size, -1) if y.shape[0] else (info.batch_size, 0)), 0


def _back_batched(
    info: Any, in_dims: tuple[int | None, ...], grad: Tensor, x: Tensor, at: Tensor, how: Any, *wants: bool
) -> tuple[tuple[Tensor, Tensor], tuple[int | None, int | None]]:
    n = info.batch_size
    folded = [_folded(t, axis, n) for t, axis in zip((grad, x, at), in_dims, strict=False)]
    made = torch.ops.halfpixel.sample_backward.default(*folded, how, *wants)
    apart = tuple(t.unflatten(0, (n, t.shape[0] // n)) if w else t for t, w in zip(made, wants, strict=True))
    return apart, tuple(0 if w else None for w in wants)  # type: ignore[return-value]


def _folded(t: Tensor, axis: int | None, n: int) -> Tensor:
    """The axis that vmap hides, in front of the batch and one with it."""
    t = t.expand(n, *t.shape) if axis is None else t.movedim(axis, 0)
    return t.flatten(0, 1)


_library = torch.library.Library("halfpixel", "FRAGMENT")
_library.define("sample(Tensor x, Tensor at, SymInt[] how) -> Tensor")
_library.define(
    "sample_backward(Tensor grad, Tensor x, Tensor at, SymInt[] how, bool wants_x, bool wants_at) -> (Tensor, Tensor)"
)
_library.impl("sample", _kernel, "CPU")
_library.impl("sample_backward", _back, "CPU")
_library.impl("sample", _elsewhere, "CompositeExplicitAutograd")
_library.impl("sample_backward", _back_elsewhere, "CompositeExplicitAutograd")
torch.library.register_fake("halfpixel::sample", _fake, lib=_library)
torch.library.register_fake("halfpixel::sample_backward", _back_fake, lib=_library)
torch.library.register_autograd("halfpixel::sample", _gradient, setup_context=_keep, lib=_library)
torch.library.register_autograd("halfpixel::sample_backward", _second_gradient, setup_context=_keep_back, lib=_library)
torch.library.register_vmap("halfpixel::sample", _batched, lib=_library)
torch.library.register_vmap("halfpixel::sample_backward", _back_batched, lib=_library)
