# SPDX-License-Identifier: MIT
"""Recipe: everything a backend needs to know, and the hook through which presets put their own arithmetic in.

A `Request` is what was asked, in exact numbers. A *builder* turns (request, dtype name) into a `Recipe`: `own` below
is the builder of this package's conventions, a preset is another. A builder fills columns with named values and never
touches arrays:

    chains    per resampled axis, in logical order: a tuple of `Link(band, bias, solve, post)`
    order     a name in ORDERS, or an explicit tuple of positions into `chains`
    compute   "natural" | "double" | "fixed": the arithmetic of every pass
    rounding  of the final store to integers: "half_up" | "half_even" | "half_away" | "trunc"

`Link.post` is done to a pass' result before the next pass: ("fixed", pre, tap_shift, shift, lo, hi),
("round_away", lo, hi) or ("float32",). The last two are other libraries' arithmetic: such passes multiply and add with
two roundings, the others fuse them.
A builder whose answer depends on the dtype names its variants in `variant(dtype)`; recipes are cached per variant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from ._axis import Axis, Chain, Link, band_of
from ._spline import spline_chain
from .edges import Edge
from .errors import unknown_name
from .filters import Filter
from .grids import Grid

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Request:
    """What was asked of the resampled axes, in logical order.

    **Convention:** `start`, `stop` are the box in edge units; `scale` holds the factors that were given (None where a
    size was); `box` and `raw_scale` are the same as the user wrote them, for presets that compute in floating point.
    """

    n_in: Sizes
    n_out: Sizes
    start: tuple[Fraction, ...]
    stop: tuple[Fraction, ...]
    scale: tuple[Fraction, ...] | None
    filter: Filter
    grid: Grid
    edge: Edge
    antialias: bool
    fill: float
    box: tuple[tuple[float, float], ...] | None = None
    raw_scale: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a backend is to do; see the module's text for the columns."""

    chains: tuple[Chain, ...]
    order: str | tuple[int, ...] = "default"
    compute: str = "natural"
    rounding: str = "half_up"


@functools.lru_cache(maxsize=512)
def chain_of(axis: Axis) -> Chain:
    """The chain of one axis, cached."""
    return spline_chain(axis) if axis.filter.degree > 1 else (Link(*band_of(axis)),)


class Builder(Protocol):
    """Where recipes come from: `OWN`, or a preset. Builders are frozen, hashable and picklable."""

    @property
    def name(self) -> str:
        """What users call it."""

    def __hash__(self) -> int: ...

    def variant(self, dtype: str) -> str:
        """Which of the builder's recipes serves this dtype (a NumPy dtype name, or "bfloat16")."""

    def recipe(self, request: Request, variant: str) -> Recipe:
        """The recipe of that variant."""

    def size(self, n_in: int, scale: Fraction, raw: float) -> int | None:
        """The output length for a scale; None means the caller's `rounding=`."""

    def check(self, request: Request) -> None:
        """Raises: ValueError for a request that it cannot serve."""


@dataclass(frozen=True)
class Own:
    """This package's own conventions: one recipe for all dtypes."""

    name: str = "halfpixel"

    def variant(self, dtype: str) -> str:
        return ""

    def recipe(self, request: Request, variant: str) -> Recipe:
        return Recipe(tuple(chain_of(axis) for axis in axes_of(request)))

    def size(self, n_in: int, scale: Fraction, raw: float) -> int | None:
        return None

    def check(self, request: Request) -> None:
        return None


OWN = Own()


def axis_of(request: Request, p: int, step: Fraction | None = None) -> Axis:
    """Axis p of the request; `step` replaces (stop - start) / n_out where a convention keeps the scale."""
    start, stop, n_out = request.start[p], request.stop[p], request.n_out[p]
    grid_step, offset = request.grid.affine(start, stop, n_out, step or (stop - start) / n_out)
    antialias = request.antialias
    fill = request.fill if request.edge.fills else 0.0
    return Axis(request.n_in[p], n_out, grid_step, offset, request.filter, request.edge, antialias, fill)


def axes_of(request: Request) -> tuple[Axis, ...]:
    """Every axis of the request, step (stop - start) / n_out."""
    return tuple(axis_of(request, p) for p in range(len(request.n_in)))


def _pivot_last_shrinks_first(n_in: Sizes, n_out: Sizes) -> Sizes:
    *others, pivot = range(len(n_in))
    shrinking = [p for p in others if n_out[p] < n_in[p]]
    return (*shrinking, pivot, *(p for p in reversed(others) if p not in shrinking))


ORDERS: dict[str, Callable[[Sizes, Sizes], Sizes]] = {
    "default": _pivot_last_shrinks_first,
    "horizontal_first": lambda n_in, n_out: tuple(reversed(range(len(n_in)))),
    "vertical_first": lambda n_in, n_out: tuple(range(len(n_in))),
}


class Stage(NamedTuple):
    """One pass: an axis, as a negative offset from the end, and what is done along it."""

    axis: int
    link: Link


@dataclass(frozen=True, eq=False)
class Program:
    """A recipe laid out: passes in order, identities left out. Backends keep what they compile from it in `cache`."""

    stages: tuple[Stage, ...]
    compute: str = "natural"
    rounding: str = "half_up"
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def copies(self) -> bool:
        """Nothing is computed: every pass selects elements."""
        return all(s.link.selects for s in self.stages)

    @property
    def T(self) -> Program:
        """The transposed linear part: transposed passes, last to first."""
        return Program(tuple(Stage(s.axis, s.link.T) for s in reversed(self.stages)), rounding=self.rounding)


def order_of(recipe: Recipe, n_in: Sizes, n_out: Sizes) -> Sizes:
    """The passes as positions into `recipe.chains`."""
    if isinstance(recipe.order, tuple):
        return recipe.order
    if recipe.order not in ORDERS:
        raise unknown_name("pass order", recipe.order, ORDERS)
    return ORDERS[recipe.order](n_in, n_out)


def lay_out(recipe: Recipe, axes: Sizes, n_in: Sizes, n_out: Sizes) -> Program:
    """The program of a recipe for these (negative) axes.

    Chains that begin by continuing their axis (a selection, and more to come) do so before every other pass: selecting
    commutes with the passes of other axes, and copies the input's own dtype.
    """
    order = order_of(recipe, n_in, n_out)
    chains = [[Stage(axes[p], link) for link in recipe.chains[p] if not link.is_identity] for p in order]
    stages = [chain.pop(0) for chain in chains if len(chain) > 1 and chain[0].link.selects]
    if any(stage.link.solve for chain in chains for stage in chain):
        stages += _around_solves(chains, [n_out[p] < n_in[p] for p in order])
    else:
        stages += [stage for chain in chains for stage in chain]
    return Program(tuple(stages), recipe.compute, recipe.rounding)


def _around_solves(chains: list[list[Stage]], shrinks: list[bool]) -> list[Stage]:
    """Solves where arrays are smallest, bands side by side, since kernels run those together: axes that shrink, then
    their last solves, then the first solves of axes that grow, then their bands. What is linear along one axis
    commutes with what is along another; a fill does too, as every link of a spline keeps constants.
    """
    shrinking: list[Stage] = []
    between: list[Stage] = []
    growing: list[Stage] = []
    for chain, smaller in zip(chains, shrinks, strict=True):
        solves = [k for k, stage in enumerate(chain) if stage.link.solve]
        ends = bool(solves) and solves[-1] == len(chain) - 1
        if smaller:
            cut = len(chain) - ends
            shrinking, between = shrinking + chain[:cut], between + chain[cut:]
        else:
            cut = solves[-1] + 1 if solves and not ends else 0
            between, growing = between + chain[:cut], growing + chain[cut:]
    return shrinking + between + growing
