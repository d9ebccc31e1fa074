# SPDX-License-Identifier: MIT
"""`max_pool1d` to `max_pool3d` and `max_unpool1d` to `max_unpool3d`, with torch's signatures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._pool import max_pool, max_unpool


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`torch.nn.functional.max_pool1d`: maxima of windows, and where they were.

    **Convention:** input (N, C, L) or (C, L). The first of equal maxima is taken; NaN counts as a
    maximum. Indices are int64 positions in the plane. Channels-last inputs give channels-last results.
    Arguments: as torch's: one number or one per axis; stride defaults to kernel_size; padding is -inf, at most half a
        window; ceil_mode adds a window where samples are left.
    Returns: the maxima in input's dtype; with return_indices also the indices.
    Raises: ValueError that is a RuntimeError, as torch's, for shapes that do not fit; TypeError.
    Source: torch 2.13.
    Example:
        >>> import torch
        >>> max_pool1d(torch.zeros(1, 2, 6), 2).shape
        torch.Size([1, 2, 3])
    """
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`torch.nn.functional.max_pool2d`: maxima of windows, and where they were.

    **Convention:** input (N, C, H, W) or (C, H, W). The first of equal maxima is taken; NaN counts as a
    maximum. Indices are int64 positions in the plane. Channels-last inputs give channels-last results.
    Arguments: as torch's: one number or one per axis; stride defaults to kernel_size; padding is -inf, at most half a
        window; ceil_mode adds a window where samples are left.
    Returns: the maxima in input's dtype; with return_indices also the indices.
    Raises: ValueError that is a RuntimeError, as torch's, for shapes that do not fit; TypeError.
    Source: torch 2.13.
    Example:
        >>> import torch
        >>> max_pool2d(torch.zeros(1, 2, 4, 6), 2).shape
        torch.Size([1, 2, 2, 3])
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`torch.nn.functional.max_pool3d`: maxima of windows, and where they were.

    **Convention:** input (N, C, D, H, W) or (C, D, H, W). The first of equal maxima is taken; NaN counts as a
    maximum. Indices are int64 positions in the plane. Channels-last inputs give channels-last results.
    Arguments: as torch's: one number or one per axis; stride defaults to kernel_size; padding is -inf, at most half a
        window; ceil_mode adds a window where samples are left.
    Returns: the maxima in input's dtype; with return_indices also the indices.
    Raises: ValueError that is a RuntimeError, as torch's, for shapes that do not fit; TypeError.
    Source: torch 2.13.
    Example:
        >>> import torch
        >>> max_pool3d(torch.zeros(1, 2, 4, 4, 6), 2).shape
        torch.Size([1, 2, 2, 2, 3])
    """
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """`torch.nn.functional.max_unpool1d`: values back to where their maxima were, zeros elsewhere.

    **Convention:** input and indices (N, C, L) or (C, L). Of equal indices the last wins, with its
    gradient; torch leaves that open. Every index is checked.
    Arguments: as torch's. output_size: the spatial size, or the whole one, that was pooled; at most a stride - 1 away
        from (n - 1) * stride + kernel_size - 2 * padding, the default.
    Returns: a new tensor of input's dtype.
    Raises: ValueError (that is a RuntimeError, as torch's, for shapes and indices that do not fit), TypeError.
    Source: Zeiler et al., Adaptive Deconvolutional Networks (2011); torch 2.13.
    Example:
        >>> import torch
        >>> y, places = max_pool1d(torch.rand(1, 2, 6), 2, return_indices=True)
        >>> max_unpool1d(y, places, 2).shape
        torch.Size([1, 2, 6])
    """
    return max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """`torch.nn.functional.max_unpool2d`: values back to where their maxima were, zeros elsewhere.

    **Convention:** input and indices (N, C, H, W) or (C, H, W). Of equal indices the last wins, with its
    gradient; torch leaves that open. Every index is checked.
    Arguments: as torch's. output_size: the spatial size, or the whole one, that was pooled; at most a stride - 1 away
        from (n - 1) * stride + kernel_size - 2 * padding, the default.
    Returns: a new tensor of input's dtype.
    Raises: ValueError (that is a RuntimeError, as torch's, for shapes and indices that do not fit), TypeError.
    Source: Zeiler et al., Adaptive Deconvolutional Networks (2011); torch 2.13.
    Example:
        >>> import torch
        >>> y, places = max_pool2d(torch.rand(1, 2, 4, 6), 2, return_indices=True)
        >>> max_unpool2d(y, places, 2).shape
        torch.Size([1, 2, 4, 6])
    """
    return max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """`torch.nn.functional.max_unpool3d`: values back to where their maxima were, zeros elsewhere.

    **Convention:** input and indices (N, C, D, H, W) or (C, D, H, W). Of equal indices the last wins, with its
    gradient; torch leaves that open. Every index is checked.
    Arguments: as torch's. output_size: the spatial size, or the whole one, that was pooled; at most a stride - 1 away
        from (n - 1) * stride + kernel_size - 2 * padding, the default.
    Returns: a new tensor of input's dtype.
    Raises: ValueError (that is a RuntimeError, as torch's, for shapes and indices that do not fit), TypeError.
    Source: Zeiler et al., Adaptive Deconvolutional Networks (2011); torch 2.13.
    Example:
        >>> import torch
        >>> y, places = max_pool3d(torch.rand(1, 2, 4, 4, 6), 2, return_indices=True)
        >>> max_unpool3d(y, places, 2).shape
        torch.Size([1, 2, 4, 4, 6])
    """
    return max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
