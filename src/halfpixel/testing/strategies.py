# SPDX-License-Identifier: MIT
"""Hypothesis strategies for resizes: sizes from 1 up, filters, edges, grids, dtypes, arrays in odd memory. Needs
hypothesis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from halfpixel import edges, filters, grids
from halfpixel._plan import Plan, plan
from halfpixel.backends._dtypes import CODES

from .laws import layouts_of

DTYPES = tuple(d.name for d in CODES)
FLOATS = tuple(d.name for d in CODES if d.kind in "fc")

filter_names = st.sampled_from(sorted(filters.TABLE))
edge_names = st.sampled_from(sorted(edges.TABLE))
grid_names = st.sampled_from(sorted(grids.TABLE))
dtype_names = st.sampled_from(DTYPES)
lengths = st.integers(1, 40)
dimensions = st.integers(1, 3)


@st.composite
def cubic_filters(draw: st.DrawFn) -> filters.Filter:
    """Members of the cubic family."""
    return filters.cubic(draw(st.floats(-2, 0, allow_nan=False).map(lambda a: round(a, 3))))


@st.composite
def plans(draw: st.DrawFn, /, dims: st.SearchStrategy[int] = dimensions, **fixed: Any) -> Plan:
    """Plans of 1 to 3 axes; `fixed` holds options of `halfpixel.plan` that are not to be drawn."""
    count = draw(dims)
    longest = {1: 60, 2: 20, 3: 9}.get(count, 5)
    sizes = [draw(st.tuples(st.integers(1, longest), st.integers(1, longest))) for _ in range(count)]
    options = {
        "filter": draw(filter_names),
        "edge": draw(edge_names),
        "grid": draw(grid_names),
        "antialias": draw(st.booleans()),
        "fill": draw(st.sampled_from([0.0, 1.0, -2.5])),
    }
    return plan(tuple(n for n, _ in sizes), tuple(m for _, m in sizes), **{**options, **fixed})


@st.composite
def arrays(draw: st.DrawFn, p: Plan, dtype: str) -> NDArray[Any]:
    """Arrays that fit a plan, with up to one batch axis, in C order or in odd memory."""
    batch = draw(st.sampled_from([(), (1,), (3,)])) if p.ndim is None else ()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = samples(rng, (*batch, *p.size_in), dtype)
    return draw(st.sampled_from([x, *layouts_of(x).values()]))


def samples(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Random values that suit a dtype: normal floats, integers over the whole range (of 32 bits at most), bools."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return rng.integers(max(info.min, -(2**31)), min(info.max, 2**31 - 1), shape, dtype=kind, endpoint=True)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape)).astype(kind) if kind.kind == "c" else x.astype(kind)
