# SPDX-License-Identifier: MIT
"""Backends: who applies the passes. An ordered list; the first whose `why_not` has no objection is taken.

**Convention:** every backend module has `name`, `why_not(program, dtype) -> str | None` and `bind(program, dtype) ->
run` with `run(x, out, code)`: x and out are aligned, native, of that dtype, of shapes that fit, and share no memory.
The environment variable HALFPIXEL_BACKEND forces one by name; it is read when a plan first meets a dtype. The
sentence of `why_not` is what choice, errors, `explain` and skipped tests show.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._memory import fresh
from halfpixel._recipe import Program
from halfpixel.errors import (
    HalfpixelRuntimeError,
    HalfpixelTypeError,
    HalfpixelValueError,
    PrecisionWarning,
    unknown_name,
)

from . import cpu, eager, reference
from ._dtypes import CODES, code_of

if TYPE_CHECKING:
    from halfpixel._plan import Plan

Array = NDArray[Any]
Run = Callable[[Array, Array, str], None]

BACKENDS: dict[str, ModuleType] = {cpu.name: cpu, reference.name: reference, eager.name: eager}


def why_not(name: str, program: Program | None = None, dtype: Any = np.float32) -> str | None:
    """Why this backend cannot run the program on the dtype, as a sentence, or None."""
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    sentence: str | None = BACKENDS[name].why_not(program, np.dtype(dtype))
    return sentence


def choose(program: Program | None = None, dtype: Any = np.float32) -> str:
    """The name of the backend that runs the program on the dtype.

    Raises: RuntimeError when HALFPIXEL_BACKEND names one that cannot.
    """
    forced = os.environ.get("HALFPIXEL_BACKEND")
    reasons = []
    for name in [forced] if forced else list(BACKENDS):
        reason = why_not(name, program, dtype)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    if forced:
        raise HalfpixelRuntimeError(f"HALFPIXEL_BACKEND={forced}: {reasons[0]}", "unset HALFPIXEL_BACKEND")
    raise HalfpixelRuntimeError("no backend can run this: " + "; ".join(reasons))


def bind(plan: Plan, dtype: Any, backend: str | None = None) -> tuple[Run, str]:
    """A function `run(x, out, code)` for the plan and dtype, and the code it wants."""
    dtype = np.dtype(dtype).newbyteorder("=")
    program, code = plan.program(dtype), code_of(dtype)
    run: Run = BACKENDS[backend or choose(program, dtype)].bind(program, dtype)
    if code in ("i64", "u64") and not program.copies:
        return _warning_run(run), code
    return run, code


def apply(plan: Plan, x: Any, out: Array | None = None, *, backend: str | None = None) -> Array:
    """`plan(x, out)` by a backend of the caller's choice.

    Raises: RuntimeError with the backend's own sentence when it cannot.
    """
    a = as_array(x)
    shape = plan.shape_out(a.shape)
    y = fresh(a, shape) if out is None else checked_out(out, a, shape)
    if backend is not None:
        reason = why_not(backend, plan.program(a.dtype), a.dtype)
        if reason is not None:
            raise HalfpixelRuntimeError(f"backend {backend!r}: {reason}")
    execute(*bind(plan, a.dtype, backend), a, y)
    return y


def execute(run: Run, code: str, x: Array, out: Array) -> None:
    """Run on arrays of any byte order and alignment."""
    if out.size == 0:
        return
    a = behaved(x)
    y = out if _is_behaved(out) else np.empty(out.shape, out.dtype.newbyteorder("="))
    run(a, y, code)
    if y is not out:
        out[...] = y


def _is_behaved(a: Array) -> bool:
    return a.dtype.isnative and a.flags.aligned


def behaved(a: Array) -> Array:
    """`a`, or a copy in native byte order at aligned addresses."""
    return a if _is_behaved(a) else a.astype(a.dtype.newbyteorder("="), order="K", copy=True)


def _warning_run(run: Run) -> Run:
    def run_and_warn(x: Array, out: Array, code: str) -> None:
        warn_of_lost_bits(x, 5)
        run(x, out, code)

    return run_and_warn


def warn_of_lost_bits(x: Array, stacklevel: int) -> None:
    """Warn where 64-bit integers do not fit in the float64 of the arithmetic."""
    if int(x.max(initial=0)) > 2**53 or int(x.min(initial=0)) < -(2**53):
        warnings.warn(
            f"{x.dtype} values beyond 2**53 are computed in float64 and lose their low bits; "
            "filters that only copy, such as 'nearest', are exact",
            PrecisionWarning,
            stacklevel=stacklevel,
        )


def is_tensor(x: Any) -> bool:
    """A tensor of torch, found without importing it."""
    return any(base.__module__.partition(".")[0] == "torch" for base in type(x).__mro__)


def as_array(x: Any) -> Array:
    """A NumPy array of a dtype that has arithmetic, from whatever was passed.

    Raises: TypeError that says what would work.
    """
    if is_tensor(x):
        raise HalfpixelTypeError(f"x is a torch {type(x).__name__}", "tensor.numpy(), of a detached tensor on the CPU")
    if isinstance(x, np.ma.MaskedArray):
        raise HalfpixelTypeError("x is a masked array", "x.data with mask=~numpy.ma.getmaskarray(x)")
    try:
        a = np.asarray(x)
    except ValueError as error:
        raise HalfpixelTypeError(f"x is not an array: {error}", "a NumPy array, or nested lists of one shape") from None
    if a.dtype.newbyteorder("=") in CODES or a.dtype.name == "bfloat16":
        return a
    raise HalfpixelTypeError(f"x has dtype {a.dtype}", _advice(a.dtype))


def _advice(dtype: np.dtype[Any]) -> str:
    if dtype.kind in "Mm":
        return "x.view(numpy.int64), and viewing the result back"
    if dtype.kind == "V":
        return "one call per field, or an array with one more axis"
    if dtype.kind in "SU":
        return "numbers; for labels, resize their integer codes with filter='nearest'"
    if dtype.kind == "O":
        return "x.astype(float), or another numeric dtype"
    if dtype.kind in "fc":
        return "x.astype(numpy.complex128)" if dtype.kind == "c" else "x.astype(numpy.float64)"
    return f"one of {', '.join(d.name for d in CODES)} or bfloat16"


def checked_out(out: Any, x: Array, shape: tuple[int, ...]) -> Array:
    """`out` if it can take the result of x.

    Raises: TypeError or ValueError for another type, shape or dtype, for read-only memory and for memory that overlaps.
    """
    if not isinstance(out, np.ndarray):
        raise HalfpixelTypeError(f"out is a {type(out).__name__}", "a NumPy array")
    if out.shape != shape:
        raise HalfpixelValueError(f"out has shape {out.shape}, the result {shape}", f"numpy.empty({shape}, {x.dtype})")
    if out.dtype != x.dtype:
        raise HalfpixelTypeError(f"out has dtype {out.dtype}, the result {x.dtype}", f"numpy.empty({shape}, {x.dtype})")
    if not out.flags.writeable:
        raise HalfpixelValueError("out is read-only", "an array that may be written to")
    if any(s == 0 and n > 1 for s, n in zip(out.strides, out.shape, strict=True)):
        raise HalfpixelValueError("out overlaps itself: an axis has stride 0", "an array with memory of its own")
    if np.may_share_memory(x, out) and _shares(x, out):
        raise HalfpixelValueError("out overlaps x", "another array, or out=None")
    return out


def _shares(x: Array, out: Array) -> bool:
    try:
        return bool(np.shares_memory(x, out, max_work=100_000))  # type: ignore[arg-type]
    except Exception:  # TooHardError, whose place differs between NumPy versions: when in doubt, refuse
        return True
