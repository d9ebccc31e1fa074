# SPDX-License-Identifier: MIT
"""ONNX's operators that change sizes, on NumPy arrays, with the operators' attributes as keyword arguments.

**Convention:** inputs come in the order of the operator's inputs, attributes by name with the standard's defaults; the
result has X's dtype. `dialect` says whose answer is meant where two are in use: "onnx", the standard's reference
evaluator (so the official expected data), or "onnxruntime". The onnx package is needed by `backend` alone.
"""

from __future__ import annotations

from ._backend import backend
from ._conv_transpose import conv_transpose
from ._max_unpool import max_unpool
from ._rearrange import depth_to_space, space_to_depth
from ._resize import resize, upsample

__all__ = ["backend", "conv_transpose", "depth_to_space", "max_unpool", "resize", "space_to_depth", "upsample"]
