# SPDX-License-Identifier: MIT
"""Filters: the functions that weights are sampled from. A new filter is one row of `TABLE`.

**Convention:** a filter is a function of the signed distance (tap - centre) in units of the sample step of the coarser
side, zero outside (-support, support); rows are divided by their sum, so that a filter needs no normalisation of its
own.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import HalfpixelTypeError, HalfpixelValueError, unknown_name

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

RULES = ("sample", "nearest", "half_open", "overlap")


@dataclass(frozen=True, eq=False)
class Filter:
    """A named filter.

    **Convention:** `function` maps float64 arrays of signed distances to weights and is zero at and beyond `support`.
    `rule` names how a row is made from it: "sample" (the function at every tap), "nearest" (one tap),
    "half_open" (all taps in (c - r, c + r], equal) or "overlap" (exact overlap of pixels with the interval).
    `degree` > 1 means an interpolating spline of that degree: a banded solve goes with the rows.

    Example:
        >>> Filter("tent", 1.0, lambda x: np.maximum(1 - abs(x), 0))(np.array([0.0, 0.25]))
        array([1.  , 0.75])
    """

    name: str
    support: float
    function: Function
    rule: str = "sample"
    degree: int = 0
    summary: str = ""
    source: str = ""
    spec: str = ""

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise HalfpixelTypeError(
                f"filter {self.name!r}: function is not callable", "a vectorised function of float64 arrays"
            )
        _number(self.support, f"filter {self.name!r}: support", 2.0**-20, 1024)
        if self.rule not in RULES:
            raise unknown_name("filter rule", self.rule, RULES)

    def __call__(self, x: Any) -> Array:
        return self.function(np.asarray(x, dtype=np.float64))

    def _key(self) -> tuple[Any, ...]:
        # What a name or a factory call makes is the same filter each time; functions compare by identity.
        return (self.spec,) if self.spec else (self.name, self.support, self.function, self.rule, self.degree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        if self.spec:
            return get, (self.spec,)
        return Filter, (self.name, self.support, self.function, self.rule, self.degree, self.summary, self.source)


def _ones(x: Array) -> Array:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _linear(x: Array) -> Array:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _hermite(x: Array) -> Array:
    t = np.minimum(np.abs(x), 1.0)
    return (2.0 * t - 3.0) * t * t + 1.0


def _cubic(x: Array, b: float, c: float) -> Array:
    # The outer piece is written from its far end, where it is small: nothing cancels.
    t = np.abs(x)
    u = np.maximum(2.0 - t, 0.0)
    near = ((12 - 9 * b - 6 * c) * t + (-18 + 12 * b + 6 * c)) * t * t + (6 - 2 * b)
    far = ((b + 6 * c) * u - 6 * c) * u * u
    return np.where(t < 1, near, far) / 6.0


def _lanczos(x: Array, n: int) -> Array:
    return np.where(np.abs(x) < n, np.sinc(x) * np.sinc(x / n), 0.0)


def _hamming(x: Array) -> Array:
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0.0)


def _gaussian(x: Array, sigma: float, support: float) -> Array:
    return np.where(np.abs(x) < support, np.exp(-0.5 * (x / sigma) ** 2), 0.0)


def _kaiser(x: Array, support: float, beta: float) -> Array:
    inside = np.sqrt(np.maximum(1.0 - (x / support) ** 2, 0.0))
    return np.where(np.abs(x) < support, np.sinc(x) * np.i0(beta * inside) / np.i0(beta), 0.0)


def _mks2013(x: Array) -> Array:
    t = np.abs(x)
    pieces = [17 / 16 - 7 / 4 * t * t, (1 - t) * (7 / 4 - t), -((t - 5 / 2) ** 2) / 8]
    return np.select([t <= 0.5, t <= 1.5, t <= 2.5], pieces, 0.0)


def _mks2021(x: Array) -> Array:
    t = np.abs(x)
    pieces = [
        577 / 576 - 239 / 144 * t * t,
        (140 * t * t - 379 * t + 239) / 144,
        -(24 * t * t - 113 * t + 130) / 144,
        (4 * t * t - 27 * t + 45) / 144,
        -((2 * t - 9) ** 2) / 1152,
    ]
    return np.select([t <= 0.5, t <= 1.5, t <= 2.5, t <= 3.5, t <= 4.5], pieces, 0.0)


def _bspline(x: Array, degree: int) -> Array:
    # Truncated powers from the near end: at most (degree + 1) / 2 terms, so that no cancellation builds up in the tail.
    half = (degree + 1) / 2
    y, total = half - np.abs(x), np.zeros_like(x)
    for j in range(int(half) + 1):
        total += (-1.0) ** j * math.comb(degree + 1, j) * np.maximum(y - j, 0.0) ** degree
    return total / math.factorial(degree)


def _number(value: Any, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise HalfpixelValueError(f"{what} is {value!r}", f"a number from {low:g} to {high:g}")
    return float(value)


@functools.lru_cache(maxsize=256)
def cubic(a: float | None = None, *, b: float | None = None, c: float | None = None) -> Filter:
    """The cubic convolution family, by Keys' `a` (default -0.5) or by Mitchell and Netravali's `b`, `c`.

    Raises: ValueError when both ways are mixed or a number is absurd.
    Source: Keys 1981 (b = 0, c = -a); Mitchell and Netravali 1988.
    Example:
        >>> float(cubic(a=-0.75)(1.5))
        -0.09375
    """
    if a is not None and (b is not None or c is not None):
        raise HalfpixelValueError("cubic takes a, or b and c, not both", "cubic(a=-0.75) or cubic(b=1/3, c=1/3)")
    if b is None and c is None:
        a = -0.5 if a is None else _number(a, "cubic's a", -16, 16)
        spec, b, c = ("cubic" if a == -0.5 else f"cubic(a={a!r})"), 0.0, -a
    else:
        b, c = _number(b or 0.0, "cubic's b", -16, 16), _number(c or 0.0, "cubic's c", -16, 16)
        spec = f"cubic(b={b!r}, c={c!r})"
    function = functools.partial(_cubic, b=b, c=c)
    return Filter(
        spec, 2.0, function, summary=f"cubic convolution, B = {b:g}, C = {c:g}", source="Keys 1981", spec=spec
    )


@functools.lru_cache(maxsize=64)
def lanczos(n: int = 3) -> Filter:
    """The sinc windowed by the central lobe of a sinc n times as wide.

    Source: Duchon 1979; n = 3 agrees with Pillow's LANCZOS.
    """
    if _number(n, "lanczos: n", 1, 64) != int(n):
        raise HalfpixelValueError(f"lanczos: n is {n!r}", "an integer from 1 to 64")
    n = int(n)
    name = f"lanczos{n}"
    summary = f"sinc windowed by a sinc, {n} lobes"
    spec = f"lanczos(n={n})"
    return Filter(name, float(n), functools.partial(_lanczos, n=n), summary=summary, source="Duchon 1979", spec=spec)


@functools.lru_cache(maxsize=64)
def gaussian(sigma: float = 0.5, support: float | None = None) -> Filter:
    """A Gaussian of standard deviation `sigma`, cut off at `support` (default: three sigma).

    Source: the default agrees with TensorFlow's ScaleAndTranslate "gaussian".
    """
    sigma = _number(sigma, "gaussian's sigma", 1e-3, 256)
    support = _number(3 * sigma if support is None else support, "gaussian's support", 1e-3, 1024)
    spec = f"gaussian(sigma={sigma!r}, support={support!r})"
    function = functools.partial(_gaussian, sigma=sigma, support=support)
    summary = f"Gaussian, sigma {sigma:g}, cut off at {support:g}"
    name = "gaussian" if (sigma, support) == (0.5, 1.5) else spec
    return Filter(name, support, function, summary=summary, source="TensorFlow", spec=spec)


@functools.lru_cache(maxsize=64)
def kaiser(support: float = 4.0, beta: float = 8.0) -> Filter:
    """The sinc under a Kaiser window of half width `support` and shape `beta`.

    Source: Kaiser 1974.
    """
    support, beta = _number(support, "kaiser's support", 0.5, 64), _number(beta, "kaiser's beta", 0, 100)
    spec = f"kaiser(support={support!r}, beta={beta!r})"
    function = functools.partial(_kaiser, support=support, beta=beta)
    summary = f"sinc under a Kaiser window, half width {support:g}, beta {beta:g}"
    name = "kaiser" if (support, beta) == (4.0, 8.0) else spec
    return Filter(name, support, function, summary=summary, source="Kaiser 1974", spec=spec)


def _spline(degree: int) -> Filter:
    rule, name = "half_open" if degree == 0 else "sample", f"spline{degree}"
    function = _ones if degree == 0 else functools.partial(_bspline, degree=degree)
    summary = f"interpolating B-spline of degree {degree}" + (", prefiltered" if degree > 1 else "")
    return Filter(name, (degree + 1) / 2, function, rule, degree, summary, "Unser 1993; scipy.ndimage.zoom", name)


def _row(name: str, support: float, function: Function, summary: str, source: str, rule: str = "sample") -> Filter:
    return Filter(name, support, function, rule, 0, summary, source, name)


def _named(name: str, base: Filter, summary: str, source: str) -> Filter:
    return Filter(name, base.support, base.function, base.rule, base.degree, summary, source, name)


_ROWS = [
    _row(
        "nearest", 0.5, _ones, "the pixel under the sample point, never antialiased", "exact rational rule", "nearest"
    ),
    _row("box", 0.5, _ones, "mean of the pixel centres in a half-open interval", "Pillow BOX", "half_open"),
    _row("area", 0.5, _ones, "exact overlap of pixels with the output pixel", "JAX and TensorFlow area", "overlap"),
    _row("linear", 1.0, _linear, "the tent", "bilinear, trilinear and so on of every library"),
    _row("hermite", 1.0, _hermite, "cubic Hermite step, no overshoot", "2|x|^3 - 3x^2 + 1"),
    _row("hamming", 1.0, _hamming, "sinc under a Hamming window of one lobe", "Pillow HAMMING"),
    _named("cubic", cubic(), "cubic convolution, a = -0.5", "Keys 1981; Pillow BICUBIC"),
    _named("catmull-rom", cubic(), "cubic convolution, a = -0.5, by its other name", "Catmull and Rom 1974"),
    _named("mitchell", cubic(b=1 / 3, c=1 / 3), "cubic, B = C = 1/3", "Mitchell and Netravali 1988"),
    _named("bspline", cubic(b=1.0, c=0.0), "cubic B-spline, smooths (not prefiltered)", "B = 1, C = 0"),
    *(_named(f"lanczos{n}", lanczos(n), f"sinc windowed by a sinc, {n} lobes", "Duchon 1979") for n in (2, 3, 4, 5)),
    _named("gaussian", gaussian(), "Gaussian, sigma 0.5, cut off at 1.5", "TensorFlow ScaleAndTranslate"),
    _named("kaiser", kaiser(), "sinc under a Kaiser window, half width 4, beta 8", "Kaiser 1974"),
    _row("mks2013", 2.5, _mks2013, "Magic Kernel Sharp 2013", "Costella; Pillow MKS2013"),
    _row("mks2021", 4.5, _mks2021, "Magic Kernel Sharp 2021", "Costella; Pillow MKS2021"),
    *(_spline(degree) for degree in range(6)),
]
TABLE: dict[str, Filter] = {row.name: row for row in _ROWS}
FACTORIES: dict[str, Callable[..., Filter]] = {
    "cubic": cubic,
    "lanczos": lanczos,
    "gaussian": gaussian,
    "kaiser": kaiser,
}


def _from_call(spec: str) -> Filter:
    works = "a filter's name, or a factory with numbers, such as 'cubic(a=-0.75)'"
    try:
        node = ast.parse(spec.strip(), mode="eval").body
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            raise HalfpixelValueError(f"cannot read filter {spec!r}", works)
        args = [ast.literal_eval(a) for a in node.args]
        options = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
    except (SyntaxError, ValueError) as error:
        raise HalfpixelValueError(f"cannot read filter {spec!r}", works) from error
    if node.func.id not in FACTORIES:
        raise unknown_name("filter factory", node.func.id, FACTORIES)
    try:
        return FACTORIES[node.func.id](*args, **options)
    except HalfpixelValueError:
        raise
    except TypeError as error:
        raise HalfpixelValueError(f"filter {spec!r}: {error}", works) from error


def get(spec: str | Filter | Function) -> Filter:
    """The filter that `spec` means: a name of `TABLE`, a factory call as text, a Filter, or a callable with `.support`.

    Raises: ValueError for an unknown name, with the nearest known ones; TypeError for anything else.
    Example:
        >>> get("cubic(a=-0.75)") == cubic(a=-0.75)
        True
    """
    if isinstance(spec, Filter):
        return spec
    if isinstance(spec, str):
        row = TABLE.get(spec)
        if row is not None:
            return row
        if "(" in spec:
            return _from_call(spec)
        raise unknown_name("filter", spec, TABLE)
    support = getattr(spec, "support", None)
    if support is not None:
        return Filter(getattr(spec, "__name__", type(spec).__name__), float(support), spec)
    works = "a name, a filters.Filter(name, support, function), or a callable with an attribute `support`"
    raise HalfpixelTypeError(f"filter is {spec!r}", works)
