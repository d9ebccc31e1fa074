# SPDX-License-Identifier: MIT
"""Functions on tensors: torch's, with torch's signatures, and `resize` with the engine's options."""

from __future__ import annotations

from ._grid_sample import grid_sample
from ._interpolate import interpolate, upsample
from ._interpolate_reduce import interpolate_argmax, interpolate_reduce, interpolate_threshold
from ._pooling import max_pool1d, max_pool2d, max_pool3d, max_unpool1d, max_unpool2d, max_unpool3d
from ._reassemble import convex_upsample, local_attention_weights, reassemble
from ._resize import resize
from ._sample_offsets import sample_offsets
from ._shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from ._transposing import conv_transpose1d, conv_transpose2d, conv_transpose3d

__all__ = [
    "channel_shuffle", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convex_upsample", "grid_sample",
    "interpolate", "interpolate_argmax", "interpolate_reduce", "interpolate_threshold", "local_attention_weights",
    "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "pixel_shuffle",
    "pixel_unshuffle", "reassemble", "resize", "sample_offsets", "upsample",
]  # fmt: skip
