# SPDX-License-Identifier: MIT
"""Upsampling for torch: functions with torch's signatures and more, and modules whose checkpoints are torch's."""

from __future__ import annotations

from . import functional
from .pool import MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from .shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
from .upsample import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = [
    "ChannelShuffle", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
    "PixelShuffle", "PixelUnshuffle", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "functional",
]  # fmt: skip
