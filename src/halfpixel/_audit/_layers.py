# SPDX-License-Identifier: MIT
"""The phases of layers that upsample: transposed convolutions, and convolutions before a pixel shuffle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from ._subject import Subject

_MOVES = ("view", "_unsafe_view", "reshape", "permute", "transpose", "clone", "contiguous", "pixel_shuffle",
          "unsqueeze", "squeeze", "unflatten", "flatten", "movedim", "alias", "detach", "_to_copy")  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A layer: its name, factors per axis, and the sums of weights of every phase (pairs, phases)."""

    name: str
    factors: tuple[int, ...]
    sums: Tensor

    @property
    def score(self) -> float:
        """Std over mean of the phases, both as root mean squares over pairs of channels: 0 where all are equal."""
        level = float(self.sums.mean(1).square().mean().sqrt())
        spread = float(self.sums.var(1, unbiased=False).mean().sqrt())
        return spread / level if level > 0 else (math.inf if spread > 0 else 0.0)


class _Watch(TorchDispatchMode):
    """Records convolutions, and follows their channels through views until they have become pixels."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.names = names
        self.found: list[Layer] = []
        self.weights: set[int] = set()
        self._tags: Any = WeakIdKeyDictionary()  # of a tensor: the numbers of its channels, and the weight

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self._convolution(out, *args)
        elif (
            name in _MOVES
            and args
            and isinstance(out, Tensor)
            and isinstance(args[0], Tensor)
            and args[0] in self._tags
        ):
            self._moved(func, out, args, kwargs or {})
        return out

    def _convolution(
        self, out: Tensor, x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any,
        transposed: bool, *rest: Any,
    ) -> None:  # fmt: skip
        if transposed:
            self.weights.add(weight.data_ptr())
            factors = tuple(stride)
            if math.prod(factors) > 1:
                sums = phase_sums(weight.detach().double().cpu(), factors, tuple(dilation))
                self.found.append(Layer(self._name(weight), factors, sums))
        else:
            shape = (1, out.shape[1], *(1,) * (out.dim() - 2))
            number = torch.arange(out.shape[1]).reshape(shape).expand(out.shape[0], -1, *out.shape[2:])
            self._tags[out] = (number, weight)

    def _moved(self, func: Any, out: Tensor, args: Any, kwargs: Any) -> None:
        number, weight = self._tags[args[0]]
        try:
            number = func(number.contiguous(), *args[1:], **{k: v for k, v in kwargs.items() if k != "dtype"})
        except RuntimeError:  # strides that a view needs: its channels are no longer followed
            return
        self._tags[out] = (number, weight)
        small = weight.shape[0]
        dims = weight.dim() - 2
        if out.dim() != dims + 2 or not out.shape[1] or small % out.shape[1] or out.shape[1] == small:
            return
        self._shuffled(number, weight, dims, small // out.shape[1])

    def _shuffled(self, number: Tensor, weight: Tensor, dims: int, block: int) -> None:
        """Channels that have become the pixels of blocks: `number` tells which stands where."""
        for factors in _factorings(block, dims):
            corner = number[(0, slice(None), *(slice(f) for f in factors))].flatten(1)
            if corner.shape[1] == block and corner.unique().numel() == weight.shape[0]:
                sums = weight.detach().double().cpu().flatten(2).sum(2)  # (out, in)
                self.found.append(Layer(self._name(weight), factors, sums[corner].permute(0, 2, 1).flatten(0, 1)))
                return

    def _name(self, weight: Tensor) -> str:
        return self.names.get(weight.data_ptr(), "a convolution with computed weights")


def _factorings(block: int, dims: int) -> list[tuple[int, ...]]:
    divisors = [f for f in range(1, block + 1) if block % f == 0]
    found = [each for each in itertools.product(divisors, repeat=dims) if math.prod(each) == block]
    return sorted(found, key=lambda each: max(each) - min(each))


def phase_sums(weight: Tensor, factors: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """What each phase's taps sum to: of (C_in, C_out / groups, *kernel), transposed; (pairs, phases)."""
    phases = torch.zeros(*weight.shape[:2], *factors, dtype=weight.dtype)
    for tap in itertools.product(*map(range, weight.shape[2:])):
        at = tuple(t * d % s for t, d, s in zip(tap, dilation, factors, strict=True))
        phases[(..., *at)] += weight[(..., *tap)]
    return phases.flatten(2).flatten(0, 1)


def layers(subject: Subject) -> list[Layer]:
    """The layers that one call uses, and the transposed convolutions that it does not."""
    module = subject.module
    own = list(module.named_modules()) if isinstance(module, torch.nn.Module) else []
    names = {p.data_ptr(): f"{n}.{k}" if n else k for n, m in own for k, p in m.named_parameters(recurse=False)}
    names = {at: name.removesuffix(".weight") for at, name in names.items()}
    watch = _Watch(names)
    with torch.no_grad(), watch:
        subject.call(subject.constant(0.5))
    found = watch.found
    for name, part in own:
        if isinstance(part, torch.nn.modules.conv._ConvTransposeNd):
            if part.weight.data_ptr() in watch.weights or math.prod(part.stride) == 1:
                continue
            sums = phase_sums(part.weight.detach().double().cpu(), part.stride, part.dilation)
            found.append(Layer(f"{name} (not called)", tuple(part.stride), sums))
    return found
