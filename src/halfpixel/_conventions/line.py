# SPDX-License-Identifier: MIT
"""What the rules are given (`Columns`, `Line`) and what they make (`Windows`, `Variant`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from halfpixel import edges
from halfpixel._axis import Chain, Link, fold

Float = NDArray[Any]
Index = NDArray[np.int64]

# Every dtype that has arithmetic here, by the name under which a plan asks for its recipe.
DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
)
INTEGERS = tuple(name for name in DTYPES if "int" in name)
# These compute in float64; the others fit in float32.
WIDE = ("float64", "complex128", "uint32", "int32", "uint64", "int64")


@dataclass(frozen=True)
class Columns:
    """A convention as names; see the package's text."""

    name: str
    filter: str
    coord_rule: str
    weight_rule: str
    grid: str = "half_pixel"
    edge: str = "edge"
    antialias: bool = False
    step_rule: str = "size"
    size_rule: str = "caller"
    skip_rule: str = "never"
    pass_order: str = "default"
    round_rule: str = "float"
    routes: tuple[tuple[str, str], ...] = ()
    box_rule: str = "none"
    most_axes: int = 0
    prefilter: bool = True
    library: str = ""
    dtypes: str = ""
    summary: str = ""
    source: str = ""


class Numbers(dict[Any, Any]):
    """The values of an option that takes any number: those in it are the ones that are shown."""

    def __init__(self, shown: tuple[float, ...], columns: Callable[[float], dict[str, Any]]) -> None:
        super().__init__({value: columns(value) for value in shown})
        self.columns = columns

    def __missing__(self, value: float) -> dict[str, Any]:
        return self.columns(float(value))


@dataclass(frozen=True)
class Line:
    """One axis as a library sees it, knowing the sizes of the others.

    `real` is the type in which coordinates and weights are computed; `scales` and `boxes` are what was asked for, or
    None; `position` counts from the first axis.
    """

    row: Columns
    position: int
    sizes_in: tuple[int, ...]
    sizes_out: tuple[int, ...]
    scales: tuple[float, ...] | None = None
    boxes: tuple[tuple[float, float], ...] | None = None
    fill: float = 0.0
    real: Any = np.float64

    @property
    def n_in(self) -> int:
        return self.sizes_in[self.position]

    @property
    def n_out(self) -> int:
        return self.sizes_out[self.position]

    @property
    def kept(self) -> float | None:
        """The scale of this axis where it makes the step, None where the sizes do."""
        return self.scales[self.position] if self.scales is not None and self.row.step_rule == "scale" else None

    @property
    def box(self) -> tuple[float, float] | None:
        return None if self.boxes is None else self.boxes[self.position]

    @property
    def count(self) -> int:
        return len(self.sizes_in)

    @property
    def is_last(self) -> bool:
        """The axis along the row: an image's width."""
        return self.position == self.count - 1

    @property
    def is_whole(self) -> bool:
        return self.box is None or np.array_equal(np.array(self.box, np.float32), (0.0, self.n_in))


class Windows(NamedTuple):
    """Rows of weights, as if the input had no end: row i weighs samples first[i], first[i] + 1, ..."""

    first: Index
    weight: Float


Finish = Callable[[Line, Windows], Chain]


def folded(line: Line, windows: Windows) -> Chain:
    """The band of the windows under the row's edge rule. Cropped windows are normalised already, once."""
    edge = "zero" if line.row.edge == "crop" else line.row.edge
    band, _ = fold(windows.first, windows.weight.astype(np.float64), line.n_in, edges.get(edge))
    return (Link(band),)


@dataclass(frozen=True)
class Variant:
    """What a convention does with a dtype: the type of its coordinates, the arithmetic of its passes, the last
    rounding; `weight_rule`, `coord_rule` and `skip_rule` replace the row's where a dtype has its own.
    """

    real: Any = np.float64
    compute: str = "natural"
    rounding: str = "half_even"
    finish: Finish = folded
    weight_rule: str | None = None
    coord_rule: str | None = None
    skip_rule: str | None = None


def by_dtype(default: Variant, **special: Variant) -> dict[str, Variant]:
    """A variant for every dtype."""
    return {name: special.get(name, default) for name in DTYPES}


def by_width(rounding: str = "half_even", **special: Variant) -> dict[str, Variant]:
    """Coordinates in float64 for the dtypes that compute in it, in float32 for the others."""
    narrow, wide = (Variant(real, rounding=rounding) for real in (np.float32, np.float64))
    return {name: special.get(name, wide if name in WIDE else narrow) for name in DTYPES}


def limits(dtype: str) -> tuple[float, float]:
    """Least and largest value of an integer dtype."""
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)
