# SPDX-License-Identifier: MIT
"""Plan: an immutable, cached, picklable resize of fixed sizes along some axes, for any batch dimensions and any
dtype.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _sizes
from ._band import Band
from ._memory import fresh
from ._recipe import OWN, Builder, Program, Recipe, Request, chain_of, lay_out
from ._request import Options, resolve
from .errors import HalfpixelError, HalfpixelValueError, describe_call

Sizes = tuple[int, ...]
_MAX_SHAPES = 256


class Plan:
    """A ready resize: call it with an array.

    **Convention:** `axes` are the resampled axes, ascending and negative; `size_in` and `size_out` follow them. Plans
    made with the default axes, or with negative ones, take any number of leading dimensions; others take arrays of
    `ndim` dimensions. Plans do not change, may be shared by threads, and compare by what they do.

    Example:
        >>> p = plan((8, 8), (16, 16), filter="cubic")
        >>> p(np.ones((3, 8, 8), np.float32)).shape
        (3, 16, 16)
    """

    def __init__(
        self, request: Request, axes: Sizes, ndim: int | None, builder: Builder = OWN, transposed: bool = False
    ) -> None:
        self.request, self.axes, self.ndim, self.builder, self.transposed = request, axes, ndim, builder, transposed
        self.size_in, self.size_out = request.n_in, request.n_out
        if transposed:
            self.size_in, self.size_out = self.size_out, self.size_in
        self._shapes: dict[Any, Sizes] = {}
        self._runs: dict[Any, tuple[Any, str]] = {}

    @property
    def like(self) -> str | None:
        """The preset's name, or None."""
        return None if self.builder is OWN else self.builder.name

    def recipe(self, dtype: Any = np.float64) -> Recipe:
        """The recipe that serves this dtype (of the forward direction)."""
        return _recipe(self.builder, self.request, self.builder.variant(_name(dtype)))

    def program(self, dtype: Any = np.float64) -> Program:
        """The passes for this dtype ("bfloat16" by name, where NumPy does not know it), in order."""
        variant = self.builder.variant(_name(dtype))
        if self.transposed and _recipe(self.builder, self.request, variant).compute == "fixed":
            # Integer arithmetic has no transpose; what it stands for has.
            variant = self.builder.variant("float64")
        return _program(self.builder, self.request, variant, self.axes, self.transposed)

    @property
    def bands(self) -> tuple[Band, ...]:
        """One band per axis, in the order of `axes`.

        Raises: ValueError where an axis is more than one band (interpolating splines of degree 2 and up: see
        `program`).
        """
        bands = []
        for chain in self.recipe().chains:
            if len(chain) != 1:
                works = "plan.program().stages, which lists the solve and the bands around it"
                raise HalfpixelValueError(
                    "an interpolating spline is not one band: a banded solve belongs to it", works
                )
            bands.append(chain[0].band.T if self.transposed else chain[0].band)
        return tuple(bands)

    @functools.cached_property
    def T(self) -> Plan:
        """The transposed map (the gradient): transposed bands in reverse pass order; `fill` has no part in it."""
        return Plan(self.request, self.axes, self.ndim, self.builder, not self.transposed)

    def shape_out(self, shape: Sizes) -> Sizes:
        """The output's shape for an input's.

        Raises: ValueError when the input does not fit the plan.
        """
        ndim = len(shape)
        if ndim < -self.axes[0] or (self.ndim is not None and ndim != self.ndim):
            need = f"{self.ndim}" if self.ndim is not None else f"at least {-self.axes[0]}"
            raise HalfpixelValueError(
                f"the input has {ndim} dimensions, the plan reads {need}", f"an array of {need} dimensions"
            )
        found = tuple(shape[a] for a in self.axes)
        if found != self.size_in:
            works = f"an array whose axes {self.axes} are {self.size_in} long"
            raise HalfpixelValueError(
                f"the input is {found} long along axes {self.axes}, the plan reads {self.size_in}", works
            )
        out = list(shape)
        for a, m in zip(self.axes, self.size_out, strict=True):
            out[a] = m
        return tuple(out)

    def __call__(self, x: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Resample `x`.

        **Convention:** the result has x's dtype, the plan's sizes and x's memory order; integers round half up and
        saturate.
        Arguments: x: an array whose `axes` are `size_in` long. out: where to write; must not overlap x.
        Returns: a new array, or `out`.
        Raises: TypeError for dtypes that have no arithmetic, ValueError for shapes that do not fit.
        """
        if type(x) is np.ndarray:
            run, shape = self._runs.get(x.dtype), self._shapes.get(x.shape)
            if run is not None and shape is not None and x.flags.aligned:
                if out is None:
                    y = fresh(x, shape)
                    run[0](x, y, run[1])
                    return y
                if _plain(out, shape, x):
                    run[0](x, out, run[1])
                    return out
        try:
            return self.run(x, out)
        except HalfpixelError as error:
            raise error.in_call(describe_call(f"{self!r}", x, out=out)) from None

    def run(self, x: Any, out: Any = None) -> NDArray[Any]:
        """As a call, on anything: other byte orders, misaligned arrays, lists; errors do not name the call."""
        from . import backends

        a = backends.as_array(x)
        shape = self.shape_out(a.shape)
        if out is None:
            _sizes.check_total(shape, a.itemsize)
            y = fresh(a, shape)
        else:
            y = backends.checked_out(out, a, shape)
        run, code = backends.bind(self, a.dtype)
        if a.dtype.isnative and y.size:
            if len(self._shapes) >= _MAX_SHAPES:
                self._shapes.clear()
            self._shapes[a.shape], self._runs[a.dtype] = shape, (run, code)
        backends.execute(run, code, a, y)
        return y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self._state() == other._state()

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._state())

    def _state(self) -> tuple[Any, ...]:
        return self.request, self.axes, self.ndim, self.builder, self.transposed

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, self._state()

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.size_in)) + " -> " + "x".join(map(str, self.size_out))
        what = f"like={self.like!r}" if self.like else f"filter={self.request.filter.name!r}"
        return f"Plan({sizes}, axes={self.axes}, {what}){'.T' if self.transposed else ''}"


def _name(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name


def _plain(out: Any, shape: Sizes, x: NDArray[Any]) -> bool:
    """`out` surely takes the result; anything else goes the long way, which has the errors."""
    if type(out) is not np.ndarray or out.shape != shape or out.dtype != x.dtype:
        return False
    # Bounds alone: whether arrays of overlapping bounds share an element is a search, and for the long way.
    return out.flags.behaved and 0 not in out.strides and not np.may_share_memory(x, out)


@functools.lru_cache(maxsize=512)
def _recipe(builder: Builder, request: Request, variant: str) -> Recipe:
    return builder.recipe(request, variant)


@functools.lru_cache(maxsize=512)
def _program(builder: Builder, request: Request, variant: str, axes: Sizes, transposed: bool) -> Program:
    program = lay_out(_recipe(builder, request, variant), axes, request.n_in, request.n_out)
    return program.T if transposed else program


@functools.lru_cache(maxsize=1024)
def _plan(request: Request, axes: Sizes, ndim: int | None, builder: Builder) -> Plan:
    return Plan(request, axes, ndim, builder)


def plan_like(model: Plan, request: Request) -> Plan:
    """The plan of another request along the same axes, by the same builder."""
    return _plan(request, model.axes, model.ndim, model.builder)


def clear_caches() -> None:
    """Forget every cached plan and program."""
    for cache in (_plan, _program, _recipe, chain_of):
        cache.cache_clear()


def plan(
    shape: Any,
    size: Any = None,
    *,
    scale: Any = None,
    axes: Any = None,
    filter: Any = "linear",
    grid: Any = "half_pixel",
    edge: Any = "crop",
    antialias: bool = True,
    box: Any = None,
    rounding: str = "round",
    fill: float = 0.0,
    like: Any = None,
    spacing: Any = None,
    new_spacing: Any = None,
) -> Plan:
    """The plan of a resize, cached.

    **Convention:** `size`, `scale`, `box`, `spacing` follow `axes` (default: the last len(size) axes). The step is
    n_in / n_out, also when a scale was given, unless a preset keeps the scale. Coordinates are exact; `box` is in
    pixel edges (the whole axis is 0 to n).
    Arguments:
        shape: of the arrays to come; only the resampled axes matter.
        size, scale: output lengths or factors, exactly one of them; or spacing and new_spacing, physical distances of
            samples.
        axes: the axes to resample.
        filter: a name, a factory call such as "cubic(a=-0.75)", or a `filters.Filter`.
        grid, edge: names from the tables. fill: what stands outside with edge="constant".
        antialias: stretch the filter by the step when it is above 1.
        box: one (start, stop) per axis. rounding: how scale becomes a size: "round" (half up), "floor" or "ceil".
        like: a preset's name in place of filter, grid, edge and antialias.
    Returns: a `Plan`.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> plan((480, 640), scale=2, filter="lanczos3").size_out
        (960, 1280)
    """
    options = Options(
        size, scale, axes, filter, grid, edge, antialias, box, rounding, fill, like, spacing, new_spacing
    )  # fmt: skip
    try:
        return plan_of(tuple(shape), options)
    except HalfpixelError as error:
        raise error.in_call(options.described("plan", tuple(shape))) from None


def plan_of(shape: Sizes, options: Options) -> Plan:
    """`plan`, with its options as one value; errors do not name the call."""
    return _plan(*resolve(shape, options))
