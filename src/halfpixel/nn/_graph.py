# SPDX-License-Identifier: MIT
"""What stands in exported graphs: operators of ATen alone, so that who runs them needs no halfpixel.

torch's own upsampling operator where it means the same and where its translation to ONNX does too; else, for sizes
that are known, a sum of gathers with constant weights; else, for rules that are arithmetic of the lengths, indices
computed in the graph; else an error. Where graphs of torch's operators were seen to be wrong as ONNX (torch 2.13,
onnxruntime 1.31): antialiasing with a kept scale; "nearest" between other lengths than multiples; "nearest-exact" and
"area" with dynamic sizes. "lanczos" has no translation.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halfpixel import filters, presets
from halfpixel._request import Options
from halfpixel.backends import _aten
from halfpixel.errors import HalfpixelNotImplementedError

from . import _how

Sizes = tuple[Any, ...]

_LINEAR = {1: "bilinear", 2: "bilinear", 3: "trilinear"}
_TORCH_FAMILY = {
    "nearest": "nearest", "nearest-exact": "nearest-exact", "area": "area", "linear": "linear", "bilinear": "linear",
    "trilinear": "linear", "bicubic": "bicubic", "lanczos": "lanczos",
}  # fmt: skip


class Form(NamedTuple):
    """A resize in torch's words: the family of modes, its options, the scale that is kept (None: n / m)."""

    family: str
    aligned: bool = False
    antialias: bool = False
    scale: tuple[float, ...] | None = None


def resize(x: Tensor, how: str, size_in: Sizes, size_out: Sizes) -> Tensor:
    """The graph of a resize along the axes that `how` names.

    Raises: NotImplementedError for sizes that are not known where nothing but constants would do.
    """
    axes, told = _understood(how, x.dtype)
    form = Form(*told)
    known = all(isinstance(n, int) for n in (*size_in, *size_out))
    form = _without_antialias(form, size_in, size_out) if known else form
    draw = _drawer(form, x, size_in, size_out, known)
    if draw is None:
        return _constants(x, how, size_in, size_out)
    return _on_images(x, axes, lambda images: draw(images, form, size_out))


@torch.compiler.assume_constant_result
def _understood(how: str, dtype: torch.dtype) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    axes = _how.axes_of(how)
    form = _form(how, len(axes))
    own = "like" not in json.loads(how)
    exact = dtype.is_floating_point or form.family.startswith("nearest") or (dtype == torch.uint8 and not own)
    return axes, tuple(form if exact else Form(""))


@functools.lru_cache(maxsize=1024)
def _form(how: str, dims: int) -> Form:
    """What torch calls this; the family is "" where torch has no such thing."""
    told = json.loads(how)
    o = Options(**{k: v for k, v in told.items() if k != "axes"})
    if o.box is not None or dims > 3:
        return Form("")
    if o.like is not None:
        row = presets.get(o.like)
        family = (
            _TORCH_FAMILY.get(row.name.partition("(")[0].removeprefix("torch."), "") if row.library == "torch" else ""
        )
        kept = tuple(o.scale) if o.scale is not None and row.step_rule == "scale" and family != "area" else None
        form = Form(family, row.grid == "align_corners", row.antialias, kept)
    else:
        form = _own_form(o)
    planar = form.family in ("bicubic", "lanczos") or form.antialias
    return Form("") if planar and dims != 2 and not (form.family == "linear" and o.like is None) else form


def _own_form(o: Options) -> Form:
    filter, aligned = filters.get(o.filter), o.grid == "align_corners"
    if o.grid == "half_pixel" and filter == filters.get("nearest"):
        return Form("nearest, exact fractions")
    if o.antialias:
        named = {"linear": "linear", "cubic": "bicubic"} if (o.grid, o.edge) == ("half_pixel", "crop") else {}
        return Form(next((f for n, f in named.items() if filter == filters.get(n)), ""), antialias=True)
    if not aligned and o.grid != "half_pixel":
        return Form("")
    if filter == filters.get("linear") and o.edge in ("edge", "crop"):
        return Form("linear", aligned)
    return Form("bicubic" if filter == filters.get("cubic(a=-0.75)") and o.edge == "edge" else "", aligned)


def _without_antialias(form: Form, size_in: Sizes, size_out: Sizes) -> Form:
    """Two taps of an axis that grows are two taps, stretched or not."""
    grows = all(n <= m for n, m in zip(size_in, size_out, strict=True))
    if form.family == "linear" and form.antialias and not form.aligned and grows:
        return Form(form.family, scale=form.scale)
    return form


Draw = Callable[[Tensor, Form, Sizes], Tensor]


def _drawer(form: Form, x: Tensor, size_in: Sizes, size_out: Sizes, known: bool) -> Draw | None:
    """Who draws it; None: constants do."""
    floats = x.dtype.is_floating_point
    same_scale = form.scale is None or _says_size(form.scale, size_in, size_out, known)
    flat = len(size_in) < 3 or not form.antialias  # torch antialiases images, of which a line is one
    if form.family == "nearest" and (floats or x.dtype == torch.uint8) and _is_whole(form, size_in, size_out, known):
        return _by_torch
    if form.family in ("linear", "bicubic") and floats and flat:
        # One column is where torch's own antialiased weights are wrong.
        if not form.antialias:
            return _by_torch
        if same_scale and not form.aligned and not (known and size_out[-1] == 1):
            return _antialiased
    if known:
        pools = form.family == "area" and floats and all(n % m == 0 for n, m in zip(size_in, size_out, strict=True))
        return _by_torch if pools else None
    if form.family in _COMPUTED and (floats or form.family != "area"):
        return _COMPUTED[form.family]
    plain = same_scale and flat and not torch.onnx.is_in_onnx_export()
    if plain and form.family and (floats or x.dtype == torch.uint8):
        return _by_torch
    raise HalfpixelNotImplementedError(
        f"sizes {tuple(map(str, size_in))} to {tuple(map(str, size_out))} are not all known in this graph, and the "
        "weights depend on them",
        "static sizes along these axes; or, for floating-point tensors, a mode of torch but lanczos, antialiased ones "
        "with size=, a whole scale, or recompute_scale_factor=True",
    )


def _is_whole(form: Form, size_in: Sizes, size_out: Sizes, known: bool) -> bool:
    """Every axis keeps, multiplies or divides its length by a whole number: floor(o n / m), however it is computed.
    Between these runtimes take other neighbours than torch, whose coordinates are float32.
    """
    if not known:
        return form.scale is not None and _says_size(form.scale, size_in, size_out, known)
    whole = all(m % n == 0 or n % m == 0 for n, m in zip(size_in, size_out, strict=True))
    return whole and (form.scale is None or _says_size(form.scale, size_in, size_out, known))


def _says_size(scale: tuple[float, ...], size_in: Sizes, size_out: Sizes, known: bool) -> bool:
    """The kept scale is n_out / n_in."""
    if not known:
        return all(float(s).is_integer() for s in scale)
    return all(n * s == m for n, s, m in zip(size_in, scale, size_out, strict=True))


def _constants(x: Tensor, how: str, size_in: Sizes, size_out: Sizes) -> Tensor:
    return _aten.applied(_ready(how, tuple(size_in), tuple(size_out), x.dtype, x.device), x)


@torch.compiler.assume_constant_result
def _ready(how: str, size_in: Sizes, size_out: Sizes, dtype: torch.dtype, device: torch.device) -> _aten.Ready:
    program = _how.plan(how, size_in, size_out, False).program(str(dtype).removeprefix("torch."))
    return _aten.ready(program, dtype, device)


def _on_images(x: Tensor, axes: tuple[int, ...], draw: Callable[[Tensor], Tensor]) -> Tensor:
    """`draw` on x as (N, C, *axes): other axes are brought in front, in their order, and back again."""
    dims = len(axes)
    last = tuple(range(-dims, 0))
    x = x if axes == last else x.movedim(axes, last)
    others = x.dim() - dims
    lead = x.shape[: max(others - 1, 0)]
    if others < 2:
        x = x[(None,) * (2 - others)]
    elif others > 2:
        x = x.flatten(0, others - 2)
    y = draw(x)
    if others < 2:
        y = y[(0,) * (2 - others)]
    elif others > 2:
        y = y.unflatten(0, lead)
    return y if axes == last else y.movedim(last, axes)


def _by_torch(x: Tensor, form: Form, size_out: Sizes) -> Tensor:
    """torch's operator; a line is an image of one row, since ONNX has an operator for images."""
    dims, mode = x.dim() - 2, form.family
    if mode == "linear":
        mode = _LINEAR[dims]
    aligned = form.aligned if mode in ("bilinear", "trilinear", "bicubic") else None
    row = mode == "bilinear" and dims == 1
    size, scale = list(size_out), None if form.scale is None else list(form.scale)
    if row:
        x, size, scale = x[:, :, None], [1, *size], None if scale is None else [1.0, *scale]
    y = torch.nn.functional.interpolate(
        x, None if scale else size, scale, mode, aligned, antialias=form.antialias
    )  # fmt: skip
    return y[:, :, 0] if row else y


def _antialiased(x: Tensor, form: Form, size_out: Sizes) -> Tensor:
    """torch's operator knows no halves."""
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return _by_torch(wide, Form(form.family, form.aligned, True), size_out).to(x.dtype)


def _along_each(x: Tensor, size_out: Sizes, indexed: Callable[[Tensor, int, Any, int], Tensor]) -> Tensor:
    dims = len(size_out)
    for k, m in enumerate(size_out):
        x = indexed(x, k - dims, m, k)
    return x


def _nearest(x: Tensor, form: Form, size_out: Sizes) -> Tensor:
    """floor(o step), or floor((o + 1/2) step) for "nearest-exact", as torch computes it: in float32 but for doubles,
    rounded to float32.
    """
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    shift = 0.5 if form.family == "nearest-exact" else 0.0

    def picked(x: Tensor, axis: int, m: Any, k: int) -> Tensor:
        n = x.shape[axis]
        step = n / m if form.scale is None else 1.0 / form.scale[k]
        centre = (torch.arange(m, device=x.device).to(real) + shift) * step
        return x.index_select(axis, centre.float().floor().to(torch.int64).clamp(max=n - 1))

    return _along_each(x, size_out, picked)


def _nearest_fraction(x: Tensor, form: Form, size_out: Sizes) -> Tensor:
    """floor((2 o + 1) n / (2 m)), in integers."""

    def picked(x: Tensor, axis: int, m: Any, k: int) -> Tensor:
        o = torch.arange(m, device=x.device)
        return x.index_select(axis, (2 * o + 1) * x.shape[axis] // (2 * m))

    return _along_each(x, size_out, picked)


def _area(x: Tensor, form: Form, size_out: Sizes) -> Tensor:
    """The mean of samples floor(o n / m) to ceil((o + 1) n / m), those that the longest window needs being gathered."""

    def mean(x: Tensor, axis: int, m: Any, k: int) -> Tensor:
        n = x.shape[axis]
        o = torch.arange(m, device=x.device)
        start, stop = o * n // m, ((o + 1) * n + m - 1) // m
        at = start[:, None] + torch.arange((n + m - 1) // m + 1, device=x.device)
        window = x.movedim(axis, -1)[..., at.clamp(max=n - 1)]
        total = torch.where(at < stop[:, None], window, 0).float().sum(-1)
        return (total / (stop - start)).to(x.dtype).movedim(-1, axis)

    return _along_each(x, size_out, mean)


_COMPUTED: dict[str, Draw] = {
    "nearest": _nearest, "nearest-exact": _nearest, "nearest, exact fractions": _nearest_fraction, "area": _area,
}  # fmt: skip
