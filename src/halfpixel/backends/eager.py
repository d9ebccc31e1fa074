# SPDX-License-Identifier: MIT
"""torch's own operators: for tensors of any device, and for graphs that are exported. torch is imported when something
is computed, not before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._recipe import Program
from halfpixel.errors import HalfpixelRuntimeError

from ._dtypes import compute_dtype

name = "eager"
Array = NDArray[Any]

# Devices that know no float64 at all.
_SINGLE = ("mps",)


@functools.cache
def _absent() -> str | None:
    return None if find_spec("torch") else "torch is not installed"


def named(dtype: Any) -> str:
    """A dtype's name; torch's are called as NumPy's are."""
    return str(dtype).removeprefix("torch.") if isinstance(dtype, str) or hasattr(dtype, "is_complex") else (
        np.dtype(dtype).name
    )  # fmt: skip


def kind_of(program: Program, dtype: str) -> str:
    """In what a dtype of that name is computed: "float32", "float64", or "int64" for fixed-point programs."""
    if program.compute == "fixed":
        return "int64"
    real = np.dtype(np.float32 if dtype == "bfloat16" else dtype)
    return "float64" if compute_dtype(real, program.compute).name in ("float64", "complex128") else "float32"


def why_not(program: Program | None = None, dtype: Any = None, device: str = "cpu") -> str | None:
    """Why torch's operators cannot run the program on the dtype and device, or None."""
    if program is not None and not program.copies and device in _SINGLE and kind_of(program, named(dtype)) == "float64":
        return f"{device} has no float64, in which this is computed for {named(dtype)}"
    return _absent()


def bind(program: Program, dtype: np.dtype[Any]) -> Callable[[Array, Array, str], None]:
    """A function `run(x, out, code)` on NumPy arrays."""
    return functools.partial(_run, program)


def _run(program: Program, x: Array, out: Array, code: str) -> None:
    from . import _aten

    t = _aten.as_tensor(x)
    out[...] = _aten.as_array(_aten.applied(_aten.ready(program, t.dtype, t.device), t), out.dtype)


def apply(program: Program, x: Any, out: Any) -> None:
    """Run the program on x into out: two arrays, or two tensors of one device.

    Raises: RuntimeError with the sentence of `why_not`.
    """
    if isinstance(x, np.ndarray):
        _run(program, x, out, "")
        return
    from . import _aten

    reason = why_not(program, x.dtype, x.device.type)
    if reason is not None:
        raise HalfpixelRuntimeError(f"backend 'eager': {reason}", "x.float() and a floating-point preset, or x.cpu()")
    out.copy_(_aten.applied(_aten.ready(program, x.dtype, x.device), x))
