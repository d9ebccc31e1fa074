# SPDX-License-Identifier: MIT
"""Upsampling for torch: functions with torch's signatures and more, and modules whose checkpoints are torch's."""

from __future__ import annotations

from . import _labels as _labels  # defines its operator
from . import functional, init
from ._conv_transpose_shape import conv_transpose_size
from ._convert import Conversion, convert
from .conv_transpose import (
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    LazyConvTranspose1d,
    LazyConvTranspose2d,
    LazyConvTranspose3d,
)
from .export import ExportReport, check_export
from .pool import MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from .shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
from .upsample import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = [
    "ChannelShuffle", "Conversion", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "ExportReport",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d", "LazyConvTranspose3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d", "PixelShuffle", "PixelUnshuffle", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d",
    "check_export", "conv_transpose_size", "convert", "functional", "init",
]  # fmt: skip
