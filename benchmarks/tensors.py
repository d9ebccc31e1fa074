# SPDX-License-Identifier: MIT
"""The float rows of the case table through torch tensors: forward, backward, double backward, a model, and latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as T

from halfpixel.nn import functional as F
from halfpixel.testing.cases import FLOAT_CASES, METHODS, Case

from . import tensor_ops, tensor_samples, tensor_windows
from .pairs import ACCELERATED, Job, Work, moved
from .peers import torch_arguments

# Inputs and gradients lie in [0, 1]; torch takes its coordinates in float32.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def _shrunk(method: str, layout: str, *shape: int) -> Case:
    size = tuple(n // 2 for n in shape[2:])
    name = f"{method}-by2-{layout}-float32-{'x'.join(map(str, shape))}"
    return Case(name, shape, layout, "float32", tuple(range(2, len(shape))), size, *METHODS[method])


# Beside the table: shrinking without antialiasing, which models ask for and pictures do not, and more channels-last.
CASES = (
    *(case for case in FLOAT_CASES if "torch" in case.peers),
    *(_shrunk(method, layout, 4, 64, 256, 256) for method in ("nearest", "linear", "cubic")
      for layout in ("planar", "channels_last")),
    *(_shrunk(method, "channels_last", 4, 64, 256, 256) for method in ("cubic_aa", "area")),
    *(_shrunk("linear", layout, 1, 16, 64, 64, 64) for layout in ("planar", "channels_last")),
)  # fmt: skip

# A row of each kind of kernel, for the second derivative.
_TWICE = (
    "linear-x2-planar-float32-4x64x128x128", "cubic-x2-planar-float32-4x64x128x128",
    "linear-x2-channels_last-float32-4x64x128x128", "nearest-x2-planar-float32-4x64x128x128",
    "cubic_aa-by4-planar-float32-1x3x2048x2048", "area-by2-planar-float32-4x64x256x256",
    "linear-x2-planar-float32-1x16x64x64x64",
)  # fmt: skip


def jobs(quick: bool = False) -> Iterator[Job]:
    """All rows of the section; `quick` ones at sizes for tests."""
    for group, make, cases in (
        ("forward", _forward, CASES),
        ("backward", _backward, [case for case in CASES if case.dtype == "float32"]),
        ("double_backward", _double_backward, [case for case in CASES if case.id in _TWICE]),
    ):
        for case in cases:
            yield Job(f"{group}-{case.id}", group, partial(make, case.small() if quick else case))
    for layout, memory_format in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        for backward in (False, True):
            name = f"model-{layout}-{'backward' if backward else 'forward'}"
            yield Job(name, "model", partial(_model, 8 if quick else 64, memory_format, backward))
    yield from tensor_ops.jobs(quick)
    yield from tensor_windows.jobs(quick)
    yield from tensor_samples.jobs(quick)
    for what in ("no_grad", "grad", "forward_and_backward"):
        yield Job(f"latency-{what}", "latency", partial(_latency, what), share=0.5)


def _forward(case: Case) -> Work:
    x, options = torch_arguments(case, case.array())

    def theirs() -> Tensor:
        return T.interpolate(x, **options)

    return Work(
        {"functional": lambda: F.interpolate(x, **options), ACCELERATED: theirs}, {"torch": theirs},
        moved(x), prod(case.out_shape) * x.element_size(), _TOLERANCE[x.dtype],
    )  # fmt: skip


def _backward(case: Case) -> Work:
    """The graphs are made beforehand; what accelerates torch's is what runs when they are gone through."""
    x, options = torch_arguments(case, case.array())
    x.requires_grad_()
    ours, theirs = F.interpolate(x, **options), T.interpolate(x, **options)
    grad = torch.rand_like(theirs)

    def torch_s() -> Tensor:
        return _grad(theirs, x, grad)

    return Work(
        {"functional": lambda: _grad(ours, x, grad), ACCELERATED: torch_s}, {"torch": torch_s},
        moved(grad), moved(x), _TOLERANCE[x.dtype],
    )  # fmt: skip


def _double_backward(case: Case) -> Work:
    """The gradient is linear in the output's gradient; its derivative is the forward of a direction."""
    x, options = torch_arguments(case, case.array())
    x.requires_grad_()
    direction = torch.rand_like(x).detach()
    calls = []
    for function in (F.interpolate, T.interpolate):
        y = function(x, **options)
        grad = torch.rand_like(y).requires_grad_()
        (first,) = torch.autograd.grad(y, x, grad, create_graph=True)
        calls.append(partial(_grad, first, grad, direction))
    return Work(
        {"functional": calls[0], ACCELERATED: calls[1]}, {"torch": calls[1]},
        moved(x), prod(case.out_shape) * x.element_size(), _TOLERANCE[x.dtype],
        {"forward": lambda: F.interpolate(direction, **options)},
    )  # fmt: skip


def _grad(y: Tensor, x: Tensor, grad: Tensor) -> Tensor:
    return torch.autograd.grad(y, x, grad, retain_graph=True)[0]


class Decoder(torch.nn.Module):  # type: ignore[misc]
    """A decoder as people write it, which knows nothing of this package: (N, 64, H, W) to (N, 3, 8 H, 8 W)."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = torch.nn.Conv2d(64, 32, 1)
        self.up = torch.nn.Upsample(scale_factor=2, mode="bilinear")
        self.context = torch.nn.AdaptiveAvgPool2d(4)
        self.mix = torch.nn.Conv2d(32, 12, 3, padding=1)
        self.shuffle = torch.nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """The picture."""
        deep = self.up(self.reduce(x))
        deep = torch.relu(deep + T.interpolate(self.context(deep), size=deep.shape[2:], mode="nearest"))
        return T.interpolate(self.shuffle(self.mix(deep)), scale_factor=2, mode="bicubic")


def _model(side: int, layout: torch.memory_format, backward: bool) -> Work:
    model = Decoder().to(memory_format=layout)
    x = torch.rand(2, 64, side, side).contiguous(memory_format=layout)
    if backward:
        wanted = (x.requires_grad_(), *model.parameters())
        y = model(x)
        grad = torch.rand_like(y)

        def call() -> Any:
            return torch.autograd.grad(y, wanted, grad, retain_graph=True)
    else:
        model.requires_grad_(False)
        y = model(x)

        def call() -> Any:
            return model(x)

    # The gradients of the weights are sums over all pixels, in another order.
    return Work({ACCELERATED: call}, {"torch": call}, moved(x), moved(y), 1e-3)


def _latency(what: str) -> Work:
    x = torch.rand(1, 3, 8, 8, requires_grad=what != "no_grad")
    grad = torch.rand(1, 3, 16, 16)

    def made(function: Callable[..., Tensor]) -> Callable[[], Tensor]:
        if what == "forward_and_backward":
            return lambda: torch.autograd.grad(function(x, scale_factor=2, mode="bilinear"), x, grad)[0]
        return lambda: function(x, scale_factor=2, mode="bilinear")

    theirs = made(T.interpolate)
    return Work(
        {"functional": made(F.interpolate), ACCELERATED: theirs}, {"torch": theirs}, moved(x), moved(grad), 1e-5
    )
