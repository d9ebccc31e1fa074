# SPDX-License-Identifier: MIT
"""The dtypes that have arithmetic, and the code by which kernels know them."""

from __future__ import annotations

from typing import Any

import numpy as np

CODES: dict[np.dtype[Any], str] = {
    np.dtype(name): code
    for name, code in {
        "float32": "f32",
        "float64": "f64",
        "float16": "f16",
        "uint8": "u8",
        "int8": "i8",
        "uint16": "u16",
        "int16": "i16",
        "uint32": "u32",
        "int32": "i32",
        "uint64": "u64",
        "int64": "i64",
        "bool": "bool",
        "complex64": "f32",
        "complex128": "f64",
    }.items()
}
# Kernels see these as unsigned integers of the same size: the DLPack-like view knows neither halves nor bools.
VIEWS: dict[str, np.dtype[Any]] = {"f16": np.dtype(np.uint16), "bf16": np.dtype(np.uint16), "bool": np.dtype(np.uint8)}
WIDE = ("f64", "i32", "u32", "i64", "u64")


def code_of(dtype: np.dtype[Any]) -> str:
    """The kernel's code of a dtype; complex ones count as two reals. bfloat16 is known by name: ml_dtypes is not
    imported.
    """
    return CODES.get(dtype) or "bf16"


def compute_dtype(dtype: np.dtype[Any], compute: str) -> np.dtype[Any]:
    """In what a dtype is computed: float32 for what fits in it, float64 for the rest."""
    wide = compute == "double" or code_of(dtype) in WIDE
    if dtype.kind == "c":
        return np.dtype(np.complex128 if wide else np.complex64)
    return np.dtype(np.float64 if wide else np.float32)
