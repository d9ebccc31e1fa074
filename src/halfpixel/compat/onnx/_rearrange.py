# SPDX-License-Identifier: MIT
"""DepthToSpace and SpaceToDepth: index maps, for any number of spatial axes."""

from __future__ import annotations

from typing import Any

from halfpixel._sizes import integer
from halfpixel.errors import HalfpixelError, HalfpixelValueError, describe_call

from ._arguments import Array, one_of, tensor

MODES = ("DCR", "CRD")


def depth_to_space(input: Any, *, blocksize: int, mode: str = "DCR") -> Array:
    """ONNX DepthToSpace: blocks of channels become blocks of samples.

    **Convention:** input (N, C, *spatial), result (N, C / blocksize**d, *spatial * blocksize). DCR takes channels as
    (block, C'), CRD as (C', block), which is torch's pixel_shuffle. ONNX has two spatial axes; any number works here.
    Returns: a new array of the input's dtype.
    Raises: ValueError where C is no multiple of blocksize**d.
    Source: ONNX DepthToSpace-13.
    Example:
        >>> import numpy as np
        >>> depth_to_space(np.arange(4).reshape(1, 4, 1, 1), blocksize=2).tolist()
        [[[[0, 1], [2, 3]]]]
    """
    try:
        x, block, dims = _checked(input, blocksize, mode)
        n, channels, *spatial = x.shape
        if channels % block**dims:
            raise HalfpixelValueError(
                f"{channels} channels, and blocks of {block**dims}", f"a multiple of {block**dims} channels"
            )
        blocks, depth = [block] * dims, channels // block**dims
        head = [*blocks, depth] if mode == "DCR" else [depth, *blocks]
        first = 1 if mode == "DCR" else 2
        axes = [0, dims + 1 if mode == "DCR" else 1]
        for k in range(dims):
            axes += [dims + 2 + k, first + k]
        y = x.reshape(n, *head, *spatial).transpose(axes).reshape(n, depth, *(s * block for s in spatial))
        return y.copy() if y.base is not None else y
    except HalfpixelError as error:
        raise error.in_call(describe_call("onnx.depth_to_space", input, blocksize=blocksize, mode=mode)) from None


def space_to_depth(input: Any, *, blocksize: int, mode: str = "DCR") -> Array:
    """ONNX SpaceToDepth: blocks of samples become blocks of channels; the inverse of depth_to_space.

    **Convention:** input (N, C, *spatial), result (N, C * blocksize**d, *spatial / blocksize); channels are (block, C)
    for DCR, which was ONNX's only order before opset 28, and (C, block) for CRD, torch's pixel_unshuffle.
    Returns: a new array of the input's dtype.
    Raises: ValueError where a spatial axis is no multiple of blocksize.
    Source: ONNX SpaceToDepth-13 and -28.
    Example:
        >>> import numpy as np
        >>> space_to_depth(np.arange(4).reshape(1, 1, 2, 2), blocksize=2).ravel().tolist()
        [0, 1, 2, 3]
    """
    try:
        x, block, dims = _checked(input, blocksize, mode)
        n, channels, *spatial = x.shape
        if any(s % block for s in spatial):
            raise HalfpixelValueError(f"spatial axes {tuple(spatial)}, and blocks of {block}", f"multiples of {block}")
        split = [part for s in spatial for part in (s // block, block)]
        inner, outer = [3 + 2 * k for k in range(dims)], [2 + 2 * k for k in range(dims)]
        axes = [0, *inner, 1, *outer] if mode == "DCR" else [0, 1, *inner, *outer]
        shape = n, channels * block**dims, *(s // block for s in spatial)
        y = x.reshape(n, channels, *split).transpose(axes).reshape(shape)
        return y.copy() if y.base is not None else y
    except HalfpixelError as error:
        raise error.in_call(describe_call("onnx.space_to_depth", input, blocksize=blocksize, mode=mode)) from None


def _checked(input: Any, blocksize: int, mode: str) -> tuple[Array, int, int]:
    one_of(mode, "mode", MODES)
    x, block = tensor(input, "input", 3), integer(blocksize, "blocksize")
    if block < 1:
        raise HalfpixelValueError(f"blocksize is {blocksize!r}", "a whole number from 1")
    return x, block, x.ndim - 2
