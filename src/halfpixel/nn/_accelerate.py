# SPDX-License-Identifier: MIT
"""Our kernels behind torch's own operators of the CPU, so that code written without us gets them.

Autograd, forward mode, vmap and inference mode stay torch's: they call the operators below them, and those are ours.
What a kernel here does not take goes to torch's own, which was looked up before it was replaced. Compilers decompose
these operators and do not come here.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from halfpixel.backends import cpu
from halfpixel.errors import HalfpixelError

from . import _how, _pool, _sample, _shuffle, _tensors, _windows
from ._interpolate import by_layout, mode_written

Function = Callable[..., Any]
Sizes = tuple[int, ...]
_MAX_READY = 1024

# operator -> mode, spatial axes, whether the third argument is align_corners
_UPSAMPLES = {
    "upsample_nearest1d": ("nearest", 1, False),
    "upsample_nearest2d": ("nearest", 2, False),
    "upsample_nearest3d": ("nearest", 3, False),
    "_upsample_nearest_exact1d": ("nearest-exact", 1, False),
    "_upsample_nearest_exact2d": ("nearest-exact", 2, False),
    "_upsample_nearest_exact3d": ("nearest-exact", 3, False),
    "upsample_linear1d": ("linear", 1, True),
    "upsample_bilinear2d": ("bilinear", 2, True),
    "upsample_trilinear3d": ("trilinear", 3, True),
    "upsample_bicubic2d": ("bicubic", 2, True),
    "_upsample_bilinear2d_aa": ("bilinear", 2, True),
    "_upsample_bicubic2d_aa": ("bicubic", 2, True),
    "_upsample_lanczos2d_aa": ("lanczos", 2, True),
}


class Declined(Exception):
    """A kernel here leaves the call to torch's own."""


class _Upsample:
    """An upsampling operator, or its backward."""

    def __init__(self, name: str, backward: bool) -> None:
        self.mode, self.dims, self.aligns = _UPSAMPLES[name]
        self.antialias, self.backward = name.endswith("_aa"), backward
        self.ready: dict[Any, _tensors.Ready] = {}

    def __call__(self, x: Tensor, size_out: list[int], *rest: Any) -> Tensor:
        sizes, rest = (rest[0], rest[1:]) if self.backward else (x.shape, rest)
        align_corners, scales = (rest[0], rest[1:]) if self.aligns else (False, rest)
        key = (x.shape, tuple(size_out), tuple(sizes), align_corners, scales, x.dtype)
        ready = self.ready.get(key)
        if ready is not None and _tensors.Ready.serves(x):
            return ready(x)
        plan = self._plan(x, tuple(size_out), tuple(sizes), align_corners, scales)
        if _tensors.Ready.serves(x):
            if len(self.ready) >= _MAX_READY:
                self.ready.clear()
            ready = self.ready[key] = _tensors.Ready(plan, x)
            return ready(x)
        return _tensors.apply(plan, x)

    def _plan(self, x: Tensor, size_out: Sizes, sizes: Sizes, align_corners: bool, scales: tuple[Any, ...]) -> Any:
        if x.dim() != self.dims + 2 or len(size_out) != self.dims or len(sizes) != x.dim():
            raise Declined
        given = [s for s in scales if s is not None]
        if given and (len(given) != self.dims or not all(math.isfinite(s) and s > 0 for s in given)):
            raise Declined
        how = mode_written(
            self.dims, self.mode, align_corners, self.antialias, tuple(given) or None,
            by_layout(x, self.mode),
        )  # fmt: skip
        if self.backward:
            how = _how.linear(how)
        return _how.plan(how, sizes[2:], size_out, self.backward)


class _Average:
    """Adaptive average pooling, batched or not, or its backward."""

    def __init__(self, dims: int) -> None:
        self.dims = dims
        self.how = mode_written(dims, "area", False, False, None, False)

    def forward(self, x: Tensor, size_out: list[int]) -> Tensor:
        return _tensors.apply(self._plan(x, tuple(size_out), False), x)

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        return _tensors.apply(self._plan(x, tuple(grad.shape[-self.dims :]), True), grad)

    def _plan(self, x: Tensor, size_out: Sizes, backward: bool) -> Any:
        if x.dim() not in (self.dims + 1, self.dims + 2) or len(size_out) != self.dims:
            raise Declined
        return _how.plan(self.how, tuple(x.shape[-self.dims :]), size_out, backward)


def _pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    if x.dim() < 3 or factor < 1 or x.shape[-3] % (factor * factor):
        raise Declined
    return _shuffle.shuffled(x, (factor, factor), "torch", False)


def _pixel_unshuffle(x: Tensor, factor: int) -> Tensor:
    if x.dim() < 3 or factor < 1 or x.shape[-1] % factor or x.shape[-2] % factor:
        raise Declined
    return _shuffle.shuffled(x, (factor, factor), "torch", True)


def _channel_shuffle(x: Tensor, groups: int) -> Tensor:
    if x.dim() < 3 or groups < 1 or x.shape[1] % groups:
        raise Declined
    return _shuffle.channels_shuffled(x, groups, x.shape[1] // groups)


class _MaxPool:
    """Max pooling with indices, and its backward."""

    def __init__(self, dims: int) -> None:
        self.dims = dims

    def forward(self, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Any:
        window = _windows.windows(self.dims, list(kernel), list(stride), list(padding), list(dilation))
        return _pool.pooled(x, self.dims, window, ceil)

    def backward(self, grad: Tensor, x: Tensor, *rest: Any) -> Tensor:
        places = rest[-1]
        if places.shape != grad.shape or x.dim() not in (self.dims + 1, self.dims + 2):
            raise Declined
        return _windows.summed(grad, places, tuple(x.shape[-self.dims :]))


def _max_unpool(x: Tensor, places: Tensor, size: list[int], *_: Any) -> Tensor:
    fits = places.shape == x.shape and places.dtype == torch.int64 and x.dim() in (len(size) + 1, len(size) + 2)
    if not fits or 0 in x.shape[1:] or min(size) < 1 or x.element_size() > 8:
        raise Declined
    return _windows.unpooled(x, places, tuple(size))


class _GridSample:
    """Sampling at a grid, and its backward."""

    def __init__(self, dims: int) -> None:
        self.dims = dims

    def forward(self, x: Tensor, grid: Tensor, mode: int, padding: int, aligned: bool) -> Tensor:
        return _sample.drawn(x, grid, self._how(x, grid, mode, padding, aligned), keeps_layout=False)

    def backward(
        self, grad: Tensor, x: Tensor, grid: Tensor, mode: int, padding: int, aligned: bool, mask: Any
    ) -> tuple[Tensor | None, Tensor | None]:
        how = self._how(x, grid, mode, padding, aligned)
        if tuple(grad.shape) != (*x.shape[:2], *grid.shape[1:-1]) or grad.dtype != x.dtype:
            raise Declined
        return _sample.drawn_back(grad, x, grid, how, mask[0], mask[1])

    def _how(self, x: Tensor, grid: Tensor, mode: int, padding: int, aligned: bool) -> _sample.How:
        fits = x.dim() == grid.dim() == self.dims + 2 and grid.shape[-1] == self.dims and x.shape[0] == grid.shape[0]
        known = mode in range(3 if self.dims == 2 else 2) and padding in range(3) and x.dtype == grid.dtype
        how = _sample.How(mode, padding, int(aligned))
        if not fits or not known or 0 in x.shape[2:] or not _sample.ours(x, grid, how):
            raise Declined
        return how


# ATen operator -> ours, called with the operator's arguments in order.
TABLE: dict[str, Function] = {
    **{name: _Upsample(name, False) for name in _UPSAMPLES},
    **{f"{name}_backward": _Upsample(name, True) for name in _UPSAMPLES},
    "_adaptive_avg_pool2d": _Average(2).forward,
    "_adaptive_avg_pool3d": _Average(3).forward,
    "_adaptive_avg_pool2d_backward": _Average(2).backward,
    "_adaptive_avg_pool3d_backward": _Average(3).backward,
    **{f"max_pool{d}d_with_indices": _MaxPool(d).forward for d in (2, 3)},
    **{f"max_pool{d}d_with_indices_backward": _MaxPool(d).backward for d in (2, 3)},
    "max_unpool2d": _max_unpool,
    "max_unpool3d": _max_unpool,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    **{f"grid_sampler_{d}d": _GridSample(d).forward for d in (2, 3)},
    **{f"grid_sampler_{d}d_backward": _GridSample(d).backward for d in (2, 3)},
    "channel_shuffle": _channel_shuffle,
    "native_channel_shuffle": _channel_shuffle,
}

_lock = threading.Lock()
_libraries: list[torch.library.Library] = []  # the one that holds our kernels, while they are in place


def replaced() -> tuple[str, ...]:
    """The ATen operators that `accelerate` replaces in this torch."""
    return tuple(name for name in TABLE if _native(name))


def _native(name: str) -> bool:
    found: bool = torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "CPU")
    return found


def _behind(name: str, ours: Function) -> Function:
    theirs = torch.library.get_kernel(f"aten::{name}", "CPU")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    schema = getattr(torch.ops.aten, name).default._schema
    defaults = [argument.default_value if argument.has_default_value() else None for argument in schema.arguments]

    def kernel(*given: Any, **named: Any) -> Any:
        if len(given) < len(defaults):
            names = [argument.name for argument in schema.arguments]
            given += tuple(named.get(k, default) for k, default in zip(names, defaults, strict=True))[len(given) :]
        try:
            return ours(*given)
        except (Declined, HalfpixelError):
            return theirs.call_boxed(keys, *given)

    return kernel


def install() -> None:
    """Replace them; once.

    Raises: RuntimeError where there are no kernels to replace them with.
    """
    with _lock:
        if _libraries:
            return
        cpu.native()
        library = torch.library.Library("aten", "IMPL")
        kernels = {name: _behind(name, TABLE[name]) for name in replaced()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that an operator has another kernel now, which is meant
            for name, kernel in kernels.items():
                library.impl(name, kernel, "CPU")
        _libraries.append(library)


def remove() -> None:
    """Put torch's own back."""
    with _lock:
        while _libraries:
            _libraries.pop()._destroy()


def installed() -> bool:
    """They are replaced now."""
    return bool(_libraries)
