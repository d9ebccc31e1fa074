# SPDX-License-Identifier: MIT
"""The operator `halfpixel::resize`: a plan, or its transpose, on a tensor.

The gradient of a resize is its transpose, which is the same operator the other way: derivatives of any order are
gathers, without atomics, and deterministic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _graph, _how, _tensors
from ._linear import Operator

Sizes = tuple[int, ...]


def _kernel(x: Tensor, how: str, size_in: list[int], size_out: list[int], transposed: bool) -> Tensor:
    return _tensors.apply(_how.plan(how, tuple(size_in), tuple(size_out), transposed), x)


def _elsewhere(x: Tensor, how: str, size_in: list[int], size_out: list[int], transposed: bool) -> Tensor:
    return _tensors.elsewhere(_how.plan(how, tuple(size_in), tuple(size_out), transposed), x)


def _fake(x: Tensor, how: str, size_in: list[int], size_out: list[int], transposed: bool) -> Tensor:
    shape = list(x.shape)
    for axis, n in zip(_how.axes_of(how), size_in if transposed else size_out, strict=True):
        shape[axis] = n
    return _tensors.result(x, tuple(shape))


OPERATOR = Operator(
    "resize",
    "str how, SymInt[] size_in, SymInt[] size_out, bool transposed",
    _kernel,
    _elsewhere,
    _fake,
    adjoint=lambda how, size_in, size_out, transposed: (_how.linear(how), size_in, size_out, not transposed),
    tangent=lambda how, size_in, size_out, transposed: (_how.linear(how), size_in, size_out, transposed),
)


def resize(x: Tensor, how: str, size_in: Sizes, size_out: Sizes) -> Tensor:
    """x resized by these options; without the operator in exported graphs."""
    if torch.compiler.is_exporting():
        return _graph.resize(x, how, size_in, size_out)
    if not torch.compiler.is_compiling() and torch.jit.is_tracing():
        # Lengths are tensors there. A trace holds these as constants, and meets other lengths with an error.
        size_in, size_out = tuple(map(int, size_in)), tuple(map(int, size_out))
    return OPERATOR(x, how, size_in, size_out, False)
