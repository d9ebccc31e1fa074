# SPDX-License-Identifier: MIT
"""What all modules of the family share: the call, its checks, sizes, and how a swap may start them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelTypeError, HalfpixelValueError, describe_call

from ._registry import Entry, Shape, Sizes


class Resampler(torch.nn.Module):
    """The common base: attributes `in_channels`, `out_channels`, `scale`, `guide_channels`, `dims`.

    **Convention:** `module(x, size=None, guide=None)`, x (N, in_channels, *spatial), the result (N, out_channels,
    *size). Where a method keeps channels and out_channels differs, a 1x1 convolution `projection` comes first, at the
    low resolution of upsamplers and the high one of downsamplers; else `projection` is None.
    """

    entry: ClassVar[Entry]
    takes_guide: ClassVar[bool] = False
    guide_matches: ClassVar[bool] = False  # guide_channels has to be out_channels
    guide_at_input: ClassVar[bool] = False  # the guide has the size of x, not of the result

    def __init__(self, shape: Shape, project: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.in_channels, self.out_channels, self.scale, self.guide_channels, self.dims = shape
        self.integer_only = self.entry.integer_only
        if self.guide_matches and shape.guide_channels not in (None, shape.out_channels):
            why = f"guide_channels is {shape.guide_channels}, out_channels {shape.out_channels}"
            raise HalfpixelValueError(why, f"as many: {self.entry.name!r} takes them channel by channel")
        self.projection: Any = None
        if project and shape.in_channels != shape.out_channels:
            self.projection = conv(shape.dims, shape.in_channels, shape.out_channels, 1)

    def extra_repr(self) -> str:
        """Channels and scale."""
        scale = self.scale[0] if len(set(self.scale)) == 1 else self.scale
        guide = f", guide_channels={self.guide_channels}" if self.guide_channels is not None else ""
        return f"{self.in_channels}, {self.out_channels}, scale={scale}{guide}, dims={self.dims}"

    def _call(self, x: Any, size: Any, guide: Any) -> str:
        return describe_call(self.entry.name, x, size=size, guide=guide)

    def _check_input(self, x: Tensor, size: Any, guide: Any) -> None:
        if not isinstance(x, Tensor):
            raise HalfpixelTypeError(f"x is a {type(x).__name__}", "a torch tensor", self._call(x, size, guide))
        if x.dim() != self.dims + 2 or x.shape[1] != self.in_channels:
            works = f"(N, {self.in_channels}, *spatial), {self.dims + 2} dimensions"
            raise HalfpixelShapeError(
                f"x has shape {tuple(x.shape)}, the module is for {self.in_channels} channels", works,
                self._call(x, size, guide),
            )  # fmt: skip

    def _check_guide(self, x: Tensor, size: Sizes, guide: Any) -> None:
        if guide is None:
            works = f"guide=, a tensor {self._guide_shape(x, size)}"
            raise HalfpixelValueError(
                f"{self.entry.name!r} needs a guide and none was given", works, self._call(x, size, guide)
            )
        if tuple(guide.shape) != self._guide_shape(x, size):
            why = f"the guide has shape {tuple(guide.shape)}"
            raise HalfpixelShapeError(why, f"{self._guide_shape(x, size)}", self._call(x, size, guide))

    def _guide_shape(self, x: Tensor, size: Sizes) -> Sizes:
        return (x.shape[0], self.guide_channels or 0, *(x.shape[2:] if self.guide_at_input else size))

    def _lengths(self, x: Tensor, size: Any, guide: Any) -> Sizes:
        each = tuple(size) if isinstance(size, (list, tuple)) else (size,) * self.dims
        if len(each) != self.dims:
            why = f"a size of {len(each)} for {self.dims} spatial axes"
            raise HalfpixelValueError(why, "one length for each", self._call(x, size, guide))
        for n in each:
            if isinstance(n, bool) or not isinstance(n, (int, torch.SymInt)):
                raise HalfpixelTypeError(f"size holds {n!r}", "integers", self._call(x, size, guide))
            if n < 1:
                raise HalfpixelValueError(f"the size is {size}", "lengths of at least 1", self._call(x, size, guide))
        return each


class Upsampler(Resampler):
    """A module that makes feature maps bigger; subclasses write `upsample`.

    **Convention:** without `size` the result has the guide's size where the method uses one, else floor(n * scale).
    Methods for whole scales take a `size` up to scale - 1 smaller than n * scale, and cut the end off, as decoders of
    odd maps need it; the others take any.
    """

    cuts: ClassVar[bool] = True  # of whole scales: `upsample` makes n * scale, and the end is cut off

    def forward(self, x: Tensor, size: Any = None, guide: Tensor | None = None) -> Tensor:
        """x, bigger."""
        self._check_input(x, size, guide)
        uses = self.takes_guide and self.guide_channels is not None
        out = self._size(x, size, guide if uses else None)
        if uses:
            self._check_guide(x, out, guide)
        if self.projection is not None:
            x = self.projection(x)
        if not self.integer_only:
            return self.upsample(x, out, guide if uses else None)
        full = tuple(n * int(s) for n, s in zip(x.shape[2:], self.scale, strict=True))
        if not self.cuts:
            return self.upsample(x, out, guide if uses else None)
        if uses and not self.guide_at_input and out != full:
            guide = self._grown_guide(guide, full)
        y = self.upsample(x, full, guide if uses else None)
        return y if out == full else cut(y, out)

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at `size`, which is n * scale for whole scales; the guide, if the method uses one, has been checked."""
        raise NotImplementedError

    def start_as(self, mode: str) -> str | None:
        """Set the parameters such that the module equals an interpolation until it is trained.

        Arguments: mode: "nearest", "linear" or "cubic" (torch's, a = -0.75), with half-pixel coordinates.
        Returns: None where it does now; else why it cannot.
        """
        if self.in_channels != self.out_channels:
            return f"{self.in_channels} channels become {self.out_channels}"
        return self.start(mode)

    def start(self, mode: str) -> str | None:
        """What `start_as` does where channels are kept."""
        return f"{self.entry.name} has no weights that make it {mode}"

    def _size(self, x: Tensor, size: Any, guide: Tensor | None) -> Sizes:
        if self.integer_only:
            full = tuple(n * int(s) for n, s in zip(x.shape[2:], self.scale, strict=True))
        else:
            full = tuple(scaled(n, s) for n, s in zip(x.shape[2:], self.scale, strict=True))
        if size is not None:
            out = self._lengths(x, size, guide)
        elif guide is not None and not self.guide_at_input and guide.dim() == self.dims + 2:
            out = tuple(guide.shape[2:])
        else:
            return full
        fits = all(f - s < m <= f for m, f, s in zip(out, full, self.scale, strict=True))
        if self.integer_only and not fits:
            whose = "size" if size is not None else "the guide's size"
            raise HalfpixelShapeError(
                f"{whose} is {tuple(out)}, and whole scales make {full} of {tuple(x.shape[2:])}",
                f"{full}, or up to scale - 1 less", self._call(x, size, guide),
            )  # fmt: skip
        return out

    def _grown_guide(self, guide: Tensor | None, full: Sizes) -> Tensor | None:
        """The guide with its last samples repeated up to the whole multiple."""
        return None if guide is None else extended(guide, full)


class Downsampler(Resampler):
    """A module that makes feature maps smaller; subclasses write `downsample`.

    **Convention:** the result has ceil(n / scale) samples per axis, so that an upsampler of the same scale leads back
    with size=; methods for any scale take any `size`.
    """

    def forward(self, x: Tensor, size: Any = None, guide: Tensor | None = None) -> Tensor:
        """x, smaller; a guide is ignored."""
        self._check_input(x, size, guide)
        own = tuple(shrunk(n, s) for n, s in zip(x.shape[2:], self.scale, strict=True))
        out = own if size is None else self._lengths(x, size, guide)
        if self.integer_only and out != own:
            why = f"size is {out}, and this scale makes {own} of {tuple(x.shape[2:])}"
            raise HalfpixelShapeError(why, f"{own}", self._call(x, size, guide))
        if self.projection is not None:
            x = self.projection(x)
        return self.downsample(x, out)

    def downsample(self, x: Tensor, size: Sizes) -> Tensor:
        """x at `size`."""
        raise NotImplementedError


def scaled(n: Any, scale: float) -> Any:
    """floor(n * scale), also of a length that is a symbol."""
    if isinstance(scale, int):
        return n * scale
    return int(n * scale) if isinstance(n, int) else torch.sym_int(n * scale)


def shrunk(n: Any, scale: float) -> Any:
    """ceil(n / scale)."""
    return -(-n // scale) if isinstance(scale, int) else -int(-n // scale)


def cut(y: Tensor, size: Sequence[int]) -> Tensor:
    """The begin of every spatial axis."""
    return y[(..., *(slice(n) for n in size))]


def extended(x: Tensor, size: Sequence[int]) -> Tensor:
    """x with its last samples repeated at the end of every spatial axis."""
    more = [m - n for n, m in zip(x.shape[2:], size, strict=True)]
    return torch.nn.functional.pad(x, [p for m in reversed(more) for p in (0, m)], mode="replicate") if any(more) else x


def conv(dims: int, in_channels: int, out_channels: int, kernel_size: Any, **options: Any) -> Any:
    """torch's convolution of so many axes, padded to the same size where the kernel is odd."""
    options.setdefault("padding", kernel_size // 2 if isinstance(kernel_size, int) else 0)
    return getattr(torch.nn, f"Conv{dims}d")(in_channels, out_channels, kernel_size, **options)


def identity_conv_(weight: Tensor) -> None:
    """A convolution that copies channel i to channel i; odd kernels."""
    with torch.no_grad():
        weight.zero_()
        centre = tuple(k // 2 for k in weight.shape[2:])
        for i in range(min(weight.shape[:2])):
            weight[(i, i, *centre)] = 1
