# SPDX-License-Identifier: MIT
"""Functions on tensors: torch's, with torch's signatures, and `resize` with the engine's options."""

from __future__ import annotations

from ._interpolate import interpolate
from ._resize import resize
from ._shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle

__all__ = ["channel_shuffle", "interpolate", "pixel_shuffle", "pixel_unshuffle", "resize"]
