# SPDX-License-Identifier: MIT
"""Upsampling for torch: functions with torch's signatures and more, and modules whose checkpoints are torch's."""

from __future__ import annotations

from . import functional
from .upsample import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "functional"]
