# SPDX-License-Identifier: MIT
"""The options of a resize as one string, so that an operator's schema can carry them; and the plans that they mean."""

from __future__ import annotations

import functools
import json
from typing import Any

from halfpixel._plan import Plan, plan_of
from halfpixel._request import Options
from halfpixel.errors import HalfpixelTypeError, HalfpixelValueError

Sizes = tuple[int, ...]

# Options that are data already; `scale` keeps what was given, for conventions whose step is 1 / scale.
_FIELDS = ("filter", "grid", "edge", "antialias", "box", "fill", "like", "scale", "rounding")


def written(axes: Sizes, **options: Any) -> str:
    """The string of these options along these (negative, ascending) axes; defaults are left out.

    Raises: TypeError for options that no string can stand for: a filter that is not in the table.
    """
    defaults = Options._field_defaults
    told = {k: options[k] for k in _FIELDS if k in options and options[k] != defaults[k]}
    try:
        return json.dumps({"axes": axes, **told}, sort_keys=True)
    except TypeError:
        works = "names from halfpixel.filters.TABLE, or a factory call such as 'cubic(a=-0.75)'"
        raise HalfpixelTypeError(f"torch operators take options by name, not {told}", works) from None


@functools.lru_cache(maxsize=4096)
def linear(how: str) -> str:
    """The same without what stands outside: the part whose transpose is the gradient."""
    told = json.loads(how)
    told.pop("fill", None)
    return json.dumps(told, sort_keys=True)


@functools.lru_cache(maxsize=4096)
def axes_of(how: str) -> Sizes:
    """The axes, negative and ascending."""
    return tuple(json.loads(how)["axes"])


@functools.lru_cache(maxsize=512)
def plan(how: str, size_in: Sizes, size_out: Sizes, transposed: bool) -> Plan:
    """The plan from `size_in` to `size_out` along the axes, or its transpose, which leads back.

    Raises: ValueError where a kept scale means another size than `size_out`.
    """
    told = json.loads(how)
    axes = tuple(told.pop("axes"))
    shape = [1] * -axes[0]
    for axis, n in zip(axes, size_in, strict=True):
        shape[axis] = n
    if "box" in told:
        told["box"] = tuple(tuple(pair) for pair in told["box"])
    if "scale" in told:
        told["scale"] = tuple(told["scale"])
    else:
        told["size"] = size_out
    made = plan_of(tuple(shape), Options(axes=axes, **told))
    if made.size_out != size_out:
        why = f"the preset makes {made.size_out} of {size_in} at this scale, {size_out} was expected"
        raise HalfpixelValueError(why, "size= in a compiled function")
    return made.T if transposed else made
