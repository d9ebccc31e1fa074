# SPDX-License-Identifier: MIT
"""Functions on tensors: torch's, with torch's signatures, and `resize` with the engine's options."""

from __future__ import annotations

from ._interpolate import interpolate
from ._resize import resize

__all__ = ["interpolate", "resize"]
