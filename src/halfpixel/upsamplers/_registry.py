# SPDX-License-Identifier: MIT
"""The tables of upsamplers and downsamplers: what each is, needs and costs; and the modules made by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from halfpixel.errors import (
    HalfpixelError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
    unknown_name,
)

Sizes = tuple[int, ...]


class Shape(NamedTuple):
    """What every module is made for: channels in and out, a scale per axis, the guide's channels, the axes."""

    in_channels: int
    out_channels: int
    scale: tuple[Any, ...]  # integers where they are whole
    guide_channels: int | None
    dims: int

    @property
    def block(self) -> int:
        """Output pixels for each input pixel; of whole scales."""
        return int(math.prod(self.scale))

    def grown(self, size: Sequence[int]) -> Sizes:
        """The size that an upsampler makes: floor(n * scale), as torch."""
        return tuple(math.floor(float(n * s)) for n, s in zip(size, self.scale, strict=True))

    def shrunk(self, size: Sequence[int]) -> Sizes:
        """The size that a downsampler makes: ceil(n / scale)."""
        return tuple(math.ceil(n / s) for n, s in zip(size, self.scale, strict=True))


Count = Callable[..., int]


@dataclass(frozen=True)
class Entry:
    """One row of the table: a method by name.

    **Convention:** `guide`: a call needs one. `convex`: with default options every output lies between the least and
    the largest input of its channel. `integer_only`: scales are whole, with default options. `dims`: numbers of spatial
    axes. `exportable`: torch.onnx.export works. `out_channels`: what None means without a guide, if not in_channels.
    """

    name: str
    kind: str
    module: Any
    summary: str
    source: str
    guide: bool
    convex: bool
    integer_only: bool
    dims: Sizes
    exportable: bool
    count_parameters: Count
    count_multiply_adds: Count
    out_channels: Callable[[int, int], int] | None

    def parameters(
        self, in_channels: int, out_channels: int | None = None, scale: Any = 2, guide_channels: int | None = None,
        dims: int = 2, **options: Any,
    ) -> int:  # fmt: skip
        """How many parameters the module has that `create_upsampler` makes of the same arguments."""
        shape = self.shape(in_channels, out_channels, scale, guide_channels, dims)
        return self.count_parameters(shape, **options)

    def multiply_adds(
        self, size: Sequence[int], in_channels: int, out_channels: int | None = None, scale: Any = 2,
        guide_channels: int | None = None, dims: int = 2, **options: Any,
    ) -> int:  # fmt: skip
        """Multiply-adds of one sample of this spatial size.

        **Convention:** those of convolutions, matrix products and weights that depend on the content. Interpolation and
        filters with fixed weights, pooling, normalisation and activations count nothing, as in papers' tables.
        """
        shape = self.shape(in_channels, out_channels, scale, guide_channels, dims)
        return self.count_multiply_adds(shape, tuple(size), **options)

    def shape(
        self, in_channels: int, out_channels: int | None, scale: Any, guide_channels: int | None, dims: int
    ) -> Shape:
        """The arguments, checked.

        Raises: ValueError and TypeError that do not name the call.
        """
        if dims not in self.dims:
            works = f"dims={' or '.join(map(str, self.dims))}"
            raise HalfpixelValueError(f"{self.name!r} has no form for dims={dims!r}", works)
        _check_count("in_channels", in_channels)
        factors = _scales(scale, dims, self.integer_only, self.name)
        if out_channels is None:
            block = int(math.prod(factors))
            own = self.out_channels if guide_channels is None else None
            out_channels = own(in_channels, block) if own else in_channels
        _check_count("out_channels", out_channels)
        if guide_channels is not None:
            _check_count("guide_channels", guide_channels)
        elif self.guide:
            works = "guide_channels=, the channels of the tensor that calls give as guide="
            raise HalfpixelValueError(f"{self.name!r} needs a guide and guide_channels is None", works)
        return Shape(in_channels, out_channels, factors, guide_channels, dims)


TABLES: dict[str, dict[str, Entry]] = {"upsampler": {}, "downsampler": {}}


def register(
    name: str, *, source: str, parameters: Count, multiply_adds: Count, kind: str = "upsampler", guide: bool = False,
    convex: bool = False, integer_only: bool = False, dims: Sizes = (2,), exportable: bool = True,
    out_channels: Callable[[int, int], int] | None = None,
) -> Callable[[type], type]:  # fmt: skip
    """Decorate a subclass of `Upsampler` or `Downsampler`: it then stands in the table under this name.

    Arguments:
        name: what `create_upsampler` calls it. source: the paper or library that it agrees with.
        parameters: a function of a `Shape` and the options: how many parameters.
        multiply_adds: a function of a `Shape`, the input's size and the options; see `Entry.multiply_adds`.
        kind: "upsampler" or "downsampler". guide, convex, integer_only, dims, exportable: see `Entry`.
        out_channels: (in_channels, pixels of a block) to the out_channels that None means.
    Returns: a decorator; the class gets the attribute `entry`, its docstring's first line is the summary.
    Raises: ValueError for a name that is taken.
    """
    table = TABLES[kind]

    def keep(cls: Any) -> type:
        if name in table and table[name].module.__qualname__ != cls.__qualname__:
            raise HalfpixelValueError(f"the name {name!r} is taken by {table[name].module}", "another name")
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
        table[name] = cls.entry = Entry(
            name, kind, cls, summary, source, guide, convex, integer_only, tuple(dims), exportable, parameters,
            multiply_adds, out_channels,
        )  # fmt: skip
        return cls

    return keep


def entry_of(kind: str, name: str) -> Entry:
    """The row of a name.

    Raises: ValueError with the nearest names.
    """
    if name not in TABLES[kind]:
        raise unknown_name(kind, name, TABLES[kind])
    return TABLES[kind][name]


def create(
    kind: str, name: str, in_channels: int, out_channels: int | None, scale: Any, guide_channels: int | None, dims: int,
    options: dict[str, Any],
) -> Any:  # fmt: skip
    """The module of a name; errors name the call."""
    try:
        entry = entry_of(kind, name)
        known = [p.name for p in inspect.signature(entry.module).parameters.values() if p.kind == p.KEYWORD_ONLY]
        for option in options:
            if option not in known:
                raise unknown_name(f"option of {name!r}", option, known)
        return entry.module(entry.shape(in_channels, out_channels, scale, guide_channels, dims), **options)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                f"create_{kind}", name, in_channels, out_channels=out_channels, scale=scale,
                guide_channels=guide_channels, dims=dims, **options,
            )
        ) from None  # fmt: skip


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise HalfpixelTypeError(f"{name} is {value!r}", "an integer")
    if value < 1:
        raise HalfpixelValueError(f"{name} is {value}", "at least 1")


def _scales(scale: Any, dims: int, whole: bool, name: str) -> tuple[Any, ...]:
    each = tuple(scale) if isinstance(scale, (list, tuple)) else (scale,) * dims
    if len(each) != dims:
        raise HalfpixelValueError(f"{len(each)} scales for {dims} spatial axes", "one number, or one per axis")
    for s in each:
        if isinstance(s, bool) or not isinstance(s, (int, float)):
            raise HalfpixelTypeError(f"the scale is {scale!r}", "a number, or one per spatial axis")
        if not (math.isfinite(s) and s >= 1):
            raise HalfpixelValueError(f"the scale is {scale!r}", "numbers of at least 1")
    if whole and any(s != int(s) for s in each):
        works = "a whole scale; or a method that takes any, such as " + ", ".join(_any_scale(dims))
        raise HalfpixelValueError(f"{name!r} takes whole scales only, not {scale!r}", works)
    return tuple(int(s) if s == int(s) else float(s) for s in each)


def _any_scale(dims: int) -> list[str]:
    return [e.name for e in TABLES["upsampler"].values() if not (e.integer_only or e.guide) and dims in e.dims][:4]


def checked_whole(shape: Shape, what: str) -> None:
    """Raises: ValueError where a scale is not whole, for the option `what` that needs it."""
    if any(s != int(s) for s in shape.scale):
        scale = shape.scale if len(set(shape.scale)) > 1 else shape.scale[0]
        raise HalfpixelValueError(f"{what} takes whole scales only, not {scale!r}", "a whole scale, or another option")


def reach(kernel: int, stride: int) -> int:
    """Samples beyond either end that a transposed convolution pads with, unless with zeros."""
    return -(-(kernel - 1) // stride)
