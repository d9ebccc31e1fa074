# SPDX-License-Identifier: MIT
"""The compiled kernels. The only module that touches `halfpixel._native`."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._recipe import Program, Stage
from halfpixel.errors import HalfpixelRuntimeError

from . import reference
from ._dtypes import VIEWS, code_of, compute_dtype

name = "cpu"
MAX_PASSES = 9
Array = NDArray[Any]
Run = Callable[[Array, Array, str], None]


@functools.cache
def _load() -> tuple[Any, str | None]:
    try:
        module = importlib.import_module("halfpixel._native")
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "halfpixel._native"
        return (
            None,
            "the compiled kernels are not part of this installation" if absent else f"they do not load: {error}",
        )
    wanted = os.environ.get("HALFPIXEL_ISA")
    if not module.isa():
        return None, "the processor runs none of the compiled instruction sets"
    if wanted and wanted not in module.isas():
        return None, f"HALFPIXEL_ISA={wanted}, and this processor and build run {', '.join(module.isas())}"
    if wanted:
        module.set_isa(wanted)
    return module, None


def native() -> Any:
    """The compiled module.

    Raises: RuntimeError with the reason where there is none.
    """
    module, reason = _load()
    if module is None:
        raise HalfpixelRuntimeError(
            reason or "", "pip install halfpixel without HALFPIXEL_NO_NATIVE, with a C++ compiler"
        )
    return module


def why_not(program: Program | None = None, dtype: np.dtype[Any] | None = None, device: str = "cpu") -> str | None:
    """Why the kernels cannot run the program on the dtype and device, or None."""
    if device != "cpu":
        return f"the compiled kernels run on the CPU, not on {device}"
    if program is not None and len(program.stages) > MAX_PASSES:
        return f"{len(program.stages)} passes are more than the kernels' {MAX_PASSES}"
    if (
        program is not None
        and program.compute == "fixed"
        and (dtype is None or dtype.kind not in "iu" or dtype.itemsize > 2)
    ):
        return f"fixed-point arithmetic is for integers of 8 and 16 bits, not for {dtype}"
    return _load()[1]


def bind(program: Program, dtype: np.dtype[Any]) -> Run:
    """A function `run(x, out, code)`; programs are compiled once and kept."""
    if not program.stages:
        return _copy
    if any(stage.link.solve for stage in program.stages):
        return functools.partial(_run_segments, program)
    continued = _continued(program.stages)
    if continued:
        rest = replace(program, stages=program.stages[continued:], cache={})
        return functools.partial(_run_continued, Program(program.stages[:continued]), rest)
    if dtype.kind == "c":
        return _bind_complex(program)
    run: Run = _compiled(program, program.stages, 0).run
    view = VIEWS.get(code_of(dtype))
    return run if view is None else functools.partial(_run_viewed, run, lambda a: a.view(view))


def bind_bfloat16(program: Program) -> Run | None:
    """A function `run(x, out, "bf16")` on uint16 arrays of bfloat16's bits; None where one run of the kernels is not
    enough.
    """
    solves = any(stage.link.solve for stage in program.stages)
    if why_not(program) or not program.stages or solves or _continued(program.stages):
        return None
    run: Run = _compiled(program, program.stages, 0).run
    return run


def reducer(program: Program, dtype: np.dtype[Any] | None) -> Any:
    """The compiled passes, which also reduce what they make (dtype None: bfloat16); None where one run of the kernels
    is not enough.
    """
    solves = any(stage.link.solve for stage in program.stages)
    if why_not(program, dtype) or not program.stages or solves or _continued(program.stages):
        return None
    return None if dtype is not None and dtype.kind == "c" else _compiled(program, program.stages, 0)


def apply(program: Program, x: Array, out: Array) -> None:
    """Run the program on x into out."""
    bind(program, x.dtype)(x, out, code_of(x.dtype))


def _bind_complex(program: Program) -> Run:
    """Two reals side by side; where something stands outside, it is real, and the parts go separately."""
    if all(stage.link.bias is None for stage in program.stages):
        return functools.partial(_run_viewed, _compiled(program, program.stages, 1).run, _as_reals)
    plain = tuple(Stage(s.axis, replace(s.link, bias=None)) for s in program.stages)
    real, imag = _compiled(program, program.stages, 0).run, _compiled(program, plain, 0).run

    def run(x: Array, out: Array, code: str) -> None:
        real(x.real, out.real, code)
        imag(x.imag, out.imag, code)

    return run


def _copy(x: Array, out: Array, code: str) -> None:
    out[...] = x


def _continued(stages: tuple[Stage, ...]) -> int:
    """How many passes at the front only continue an axis that has another pass: the kernels take one pass an axis."""
    count = 0
    while any(s.axis == stages[count].axis for s in stages[count + 1 :]):
        count += 1
    return count


def _run_continued(first: Program, rest: Program, x: Array, out: Array, code: str) -> None:
    shape = list(x.shape)
    for stage in first.stages:
        shape[stage.axis] = stage.link.band.n_out
    y = np.empty(tuple(shape), x.dtype)
    bind(first, x.dtype)(x, y, code)
    bind(rest, x.dtype)(y, out, code)


def _run_viewed(run: Run, view: Callable[[Array], Array], x: Array, out: Array, code: str) -> None:
    run(view(x), view(out), code)


def _as_reals(a: Array) -> Array:
    real = a.real
    strides = (*real.strides, real.itemsize)
    return np.lib.stride_tricks.as_strided(real, (*real.shape, 2), strides, writeable=a.flags.writeable)


def _compiled(program: Program, stages: tuple[Stage, ...], shift: int) -> Any:
    """The compiled passes, their axes `shift` further from the end."""
    key = (stages, shift)
    found = program.cache.get(key)
    if found is None:
        rows = [
            (s.axis - shift, b.n_in, b.start, b.weight, b.periodic, s.link.bias, s.link.post)
            for s in stages
            for b in (s.link.band,)
        ]
        found = program.cache.setdefault(key, native().Program(rows, program.compute, program.rounding))
    return found


def _segments(stages: tuple[Stage, ...]) -> list[tuple[Stage, ...]]:
    parts: list[list[Stage]] = [[]]
    for stage in stages:
        if stage.link.solve:
            parts += [[stage], []]
        else:
            parts[-1].append(stage)
    return [tuple(part) for part in parts if part]


def _run_segments(program: Program, x: Array, out: Array, code: str) -> None:
    """Programs with banded solves: part after part, everything in the compute dtype, solves in place where they can."""
    kind = compute_dtype(x.dtype, program.compute)
    v = x if x.dtype == kind else x.astype(kind)
    parts = _segments(program.stages)
    for part in parts:
        shape = list(v.shape)
        for stage in part:
            shape[stage.axis] = stage.link.band.n_out
        solve = part[0].link.solve
        if part is parts[-1] and out.dtype == kind:
            y = out
        else:
            y = v if solve and v is not x else np.empty(tuple(shape), kind)
        if solve:
            _solve(part[0], v, y)
        else:
            apply(Program(part, program.compute, program.rounding, program.cache), v, y)
        v = y
    if v is not out:
        with np.errstate(all="ignore"):
            reference.store(v, out, program.rounding)


def _solve(stage: Stage, x: Array, out: Array) -> None:
    """The solution along the stage's axis; `out` may be `x`."""
    code, axis = code_of(x.dtype), stage.axis
    if x.dtype.kind == "c":
        x, out, axis = _as_reals(x), _as_reals(out), axis - 1
    native().solve(x, out, axis, code, *stage.link.band.factors.tables)
