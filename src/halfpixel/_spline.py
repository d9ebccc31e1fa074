# SPDX-License-Identifier: MIT
"""Interpolating splines: bands with a banded solve beside them.

**Convention:** enlarging, the solve finds the coefficients first (Unser's prefilter, as SciPy means it). Shrinking
with antialias the filter is the cardinal spline stretched, which is the stretched B-spline followed by the same solve
on the output samples. Coefficients obey the edge rule themselves; with rules that continue the data (edge, zero,
constant) the data are continued first.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from . import edges
from ._axis import Axis, Chain, Link, band_of
from ._band import Band
from .edges import Edge
from .filters import TABLE, Filter

# SciPy continues the data by this many samples before it prefilters ("nearest", "grid-constant").
PAD = 12


def samples_itself(axis: Axis) -> bool:
    """Output sample o is input sample o, so that interpolation changes nothing."""
    return axis.step == 1 and axis.offset == 0 and axis.n_in == axis.n_out


def _prefilter(n: int, filter: Filter, edge: Edge) -> Link:
    return Link(band_of(Axis(n, n, Fraction(1), Fraction(0), filter, edge))[0], solve=True)


def _padded(axis: Axis) -> Chain:
    wide = axis.n_in + 2 * PAD
    pad = Axis(axis.n_in, wide, Fraction(1), Fraction(-PAD), TABLE["nearest"], axis.edge, fill=axis.fill)
    inner = replace(axis, n_in=wide, offset=axis.offset + PAD)
    return Link(*band_of(pad)), _prefilter(wide, axis.filter, edges.TABLE[axis.edge.prefilter]), Link(*band_of(inner))


def spline_chain(axis: Axis) -> Chain:
    """The links of an interpolating spline of degree 2 and up."""
    if samples_itself(axis):
        return (Link(Band.identity(axis.n_in)),)
    if axis.stretch > 1:
        after = axis.edge if axis.edge.periodic else edges.TABLE["symmetric"]
        return Link(*band_of(axis)), _prefilter(axis.n_out, axis.filter, after)
    if axis.edge.prefilter:
        return _padded(axis)
    return _prefilter(axis.n_in, axis.filter, axis.edge), Link(*band_of(axis))
