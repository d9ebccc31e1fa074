# SPDX-License-Identifier: MIT
"""Programs as operators of torch. Imported where torch is wanted, and not before.

A pass is one `index_select`, one product and one sum per tap, in the order of the taps; a banded solve is such a pass
too, since the inverse of a spline's band dies away by powers and so is a band again. Nothing is scattered, and
nothing is reduced by an operator that may choose an order: results depend neither on the device's scheduling nor on
the batch nor on the memory order, and what is not finite stays where its weights are. A transposed program is the
transposed bands, gathers again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halfpixel._band import Band
from halfpixel._recipe import Program, Stage

from ._inverse import inverse_band
from .eager import kind_of, name, named

Array = NDArray[Any]

# torch has little more than copies for these: they are gathered and stored as signed integers of the same size.
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
# Exported graphs multiply by the whole matrix where rows are longer: three nodes a tap become one a pass.
# That is until the matrix is large itself.
_DENSE_FROM, _DENSE_UP_TO = 16, 1 << 21


class Pass(NamedTuple):
    """A pass as tensors, one entry per tap: which samples, their weights (None: all 1), and where those are not 0
    (None: nowhere 0). Or `dense`, the whole matrix. `bias` is what is added, `post` as in `Link`.
    """

    axis: int
    columns: tuple[Tensor, ...]
    weight: tuple[Tensor | None, ...]
    reads: tuple[Tensor | None, ...]
    dense: Tensor | None = None
    bias: Tensor | None = None
    post: tuple[Any, ...] | None = None


class Ready(NamedTuple):
    """A program's passes for a dtype and device; `kind` is the type that they compute in, None where they copy."""

    passes: tuple[Pass, ...]
    kind: torch.dtype | None
    rounding: str


def ready(program: Program, dtype: torch.dtype, device: torch.device) -> Ready:
    """The constants of a program, kept with it; those of a graph that is being traced are that graph's alone."""
    if torch.compiler.is_exporting():
        return _ready(program, dtype, device)
    key = (name, dtype, device)
    found: Ready | None = program.cache.get(key)
    return program.cache.setdefault(key, _ready(program, dtype, device)) if found is None else found


def applied(r: Ready, x: Tensor) -> Tensor:
    """The result on x, in x's dtype: a graph of operators and of the constants, nothing in place."""
    if r.kind is None:
        y = x.view(_SIGNED[x.dtype]) if x.dtype in _SIGNED else x
        for p in r.passes:
            y = y.index_select(p.axis, p.columns[0])
        return y.view(x.dtype) if x.dtype in _SIGNED else y
    v = torch.view_as_real(x.to(r.kind.to_complex())) if x.dtype.is_complex else x.to(r.kind)
    for p in r.passes:
        v = _along(v, p)
    return torch.view_as_complex(v.contiguous()).to(x.dtype) if x.dtype.is_complex else _stored(v, x.dtype, r.rounding)


def as_tensor(x: Array) -> Tensor:
    """A tensor of the array's values; of its memory where that can be."""
    if x.dtype.name == "bfloat16":
        return as_tensor(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x if x.flags.writeable and min(x.strides, default=0) >= 0 else x.copy())


def as_array(y: Tensor, dtype: np.dtype[Any]) -> Array:
    """The tensor's memory as an array of that dtype, which is its own."""
    if y.dtype == torch.bfloat16:
        return np.asarray(y.view(torch.int16).numpy()).view(dtype)
    return np.asarray(y.numpy())


def _ready(program: Program, dtype: torch.dtype, device: torch.device) -> Ready:
    if program.copies:
        picks = [_constant(s.link.band.selected(), "int64", device) for s in program.stages]
        passes = [Pass(s.axis, (pick,), (None,), (None,)) for s, pick in zip(program.stages, picks, strict=True)]
        return Ready(tuple(passes), None, program.rounding)
    kind = kind_of(program, named(dtype))
    passes = [_pass(stage, kind, dtype.is_complex, device) for stage in program.stages]
    return Ready(tuple(passes), getattr(torch, kind), program.rounding)


def _pass(stage: Stage, kind: str, paired: bool, device: torch.device) -> Pass:
    """A stage's constants; paired: an axis of real and imaginary parts stands behind those of the program."""
    link, behind = stage.link, -stage.axis - 1 + paired
    band = inverse_band(link.band, _least(kind)) if link.solve else link.band
    bias = link.bias
    if bias is not None and paired:
        bias = np.stack([bias, np.zeros_like(bias)], axis=1)
    rest = {"bias": _column(bias, behind, kind, device), "post": link.post}
    if _goes_dense(band, kind, device):
        return Pass(stage.axis - paired, (), (), (), _constant(band.dense(), kind, device), **rest)
    columns, weight = band.columns(), band.weight
    taps = [k for k in range(band.taps) if weight[:, k].any()] or [0]
    return Pass(
        stage.axis - paired,
        tuple(_constant(columns[:, k], "int64", device) for k in taps),
        tuple(_column(None if (weight[:, k] == 1).all() else weight[:, k], behind, kind, device) for k in taps),
        tuple(_column(None if weight[:, k].all() else weight[:, k] != 0, behind, "bool", device) for k in taps),
        **rest,
    )


def _goes_dense(band: Band, kind: str, device: torch.device) -> bool:
    if not torch.compiler.is_exporting() or kind == "int64" or band.taps <= _DENSE_FROM:
        return False
    # Autocast would take a product of matrices to half precision.
    halves = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    return band.n_in * band.n_out <= _DENSE_UP_TO and not halves


def _least(kind: str) -> float:
    """Entries of an inverse below this, of the largest, change no result of that type."""
    return float(np.finfo(kind).eps) / 16


def _constant(values: Array, kind: str, device: torch.device) -> Tensor:
    made = torch.from_numpy(np.ascontiguousarray(values).astype(kind))
    return made if device.type == "cpu" else made.to(device)


def _column(values: Array | None, behind: int, kind: str, device: torch.device) -> Tensor | None:
    """A value, or a pair, per sample of an axis that has `behind` axes behind it."""
    if values is None:
        return None
    pair = values.shape[1:]
    return _constant(values.reshape(len(values), *(1,) * (behind - len(pair)), *pair), kind, device)


def _along(v: Tensor, p: Pass) -> Tensor:
    """One pass, in v's type."""
    if v.dtype.is_floating_point:
        y = _weighed(v, p, 0) if p.dense is None else (v.movedim(p.axis, -1) @ p.dense.mT).movedim(-1, p.axis)
        y = y if p.bias is None else y + p.bias
        return _POSTS[p.post[0]](y, *p.post[1:]) if p.post else y
    _, pre, tap_shift, shift, low, high = p.post or ("fixed", 0, 0, 0, -(2**31), 2**31 - 1)
    y = _weighed(v >> pre if pre else v, p, tap_shift)
    return ((y + (1 << shift >> 1)) >> shift if shift else y).clamp(low, high)


def _weighed(v: Tensor, p: Pass, tap_shift: int) -> Tensor:
    total = _term(v, p, 0, tap_shift)
    for k in range(1, len(p.columns)):
        total = total + _term(v, p, k, tap_shift)
    return total


def _term(v: Tensor, p: Pass, k: int, tap_shift: int) -> Tensor:
    taken, weight, reads = v.index_select(p.axis, p.columns[k]), p.weight[k], p.reads[k]
    product = taken if weight is None else taken * weight
    product = product >> tap_shift if tap_shift else product
    return product if reads is None else torch.where(reads, product, 0)


def _half_away(v: Tensor) -> Tensor:
    return (v + 0.5 * v.sign()).trunc()


_POSTS: dict[str, Callable[..., Tensor]] = {
    "round_away": lambda v, low, high: _half_away(v).clamp(low, high),
    "float32": lambda v: v.float().to(v.dtype),
}

_ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "half_up": lambda v: (v + 0.5).floor(),
    "half_even": lambda v: v.round(),
    "half_away": _half_away,
    "trunc": lambda v: v.trunc(),
}


def _stored(v: Tensor, dtype: torch.dtype, rounding: str) -> Tensor:
    """Results in the dtype: floats round once, integers by the rule and saturating, NaN becomes 0."""
    if dtype == torch.bool:
        return v >= 0.5
    if dtype.is_floating_point:
        return v.to(dtype)
    if v.dtype.is_floating_point:
        v = _ROUNDINGS[rounding](v).nan_to_num(0.0, math.inf, -math.inf)
    info = torch.iinfo(dtype)
    if info.bits == 64:
        bits = _as_bits(v, info)
    else:
        bits = v.clamp(info.min, info.max).to(torch.int64 if dtype in _SIGNED else dtype)
    return bits.to(_SIGNED[dtype]).view(dtype) if dtype in _SIGNED else bits


def _as_bits(v: Tensor, info: Any) -> Tensor:
    """float64 values as integers of 64 bits, whose largest is no float64; unsigned ones by their bits."""
    low, high = v <= float(info.min), v >= float(info.max)
    v = torch.where(low | high, 0, v)
    if info.min == 0:
        v = torch.where(v >= 2.0**63, v - 2.0**64, v)
    largest = info.max - 2**64 if info.max >= 2**63 else info.max
    return torch.where(high, largest, torch.where(low, info.min, v.to(torch.int64)))
