# SPDX-License-Identifier: MIT
"""Upsampling for torch: functions with torch's signatures and more, and modules whose checkpoints are torch's."""

from __future__ import annotations

from . import functional
from .shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
from .upsample import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = [
    "ChannelShuffle", "PixelShuffle", "PixelUnshuffle", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d",
    "functional",
]  # fmt: skip
