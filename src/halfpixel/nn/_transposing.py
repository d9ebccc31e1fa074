# SPDX-License-Identifier: MIT
"""`conv_transpose1d` to `conv_transpose3d`, with torch's signatures and more."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._conv_transpose_shape import conv_transpose


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, padding_mode: str = "zeros",
    output_size: Any = None, size_like: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.conv_transpose1d`, with more kinds of padding, and faster for contiguous tensors.

    **Convention:** input (N, C_in, L) or (C_in, L), weight (C_in, C_out / groups, k). Per axis, size =
    (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) + output_padding + 1: see
    `nn.conv_transpose_size`.
    Arguments:
        input, weight, bias, stride, output_padding, groups, dilation: as torch's.
        padding: as torch's, or a pair (begin, end) per axis, or "valid" (0), or "same": size = n * stride, the odd
            sample cut at the end.
        padding_mode: what lies outside of the input: "zeros", "reflect", "replicate" or "circular".
        output_size: the spatial size, in place of output_padding.
        size_like: a tensor whose spatial size is the output_size.
    Returns: a tensor of the input's dtype, channels-last where the input or the weight is.
    Raises: ValueError that is a RuntimeError, as torch's, for shapes that do not fit; ValueError; TypeError.
    Source: torch 2.13; ONNX ConvTranspose for "same" (SAME_UPPER) and pairs.
    Example:
        >>> import torch
        >>> conv_transpose1d(torch.zeros(1, 8, 5), torch.zeros(8, 4, 4), stride=2, padding=1).shape
        torch.Size([1, 4, 10])
    """
    return conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation, padding_mode, output_size,
        size_like,
    )  # fmt: skip


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, padding_mode: str = "zeros",
    output_size: Any = None, size_like: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.conv_transpose2d`, with more kinds of padding, and faster for contiguous tensors.

    **Convention:** input (N, C_in, H, W) or (C_in, H, W), weight (C_in, C_out / groups, kH, kW). Per axis, size =
    (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) + output_padding + 1: see
    `nn.conv_transpose_size`.
    Arguments:
        input, weight, bias, stride, output_padding, groups, dilation: as torch's.
        padding: as torch's, or a pair (begin, end) per axis, or "valid" (0), or "same": size = n * stride, the odd
            sample cut at the end.
        padding_mode: what lies outside of the input: "zeros", "reflect", "replicate" or "circular".
        output_size: the spatial size, in place of output_padding.
        size_like: a tensor whose spatial size is the output_size.
    Returns: a tensor of the input's dtype, channels-last where the input or the weight is.
    Raises: ValueError that is a RuntimeError, as torch's, for shapes that do not fit; ValueError; TypeError.
    Source: torch 2.13; ONNX ConvTranspose for "same" (SAME_UPPER) and pairs.
    Example:
        >>> import torch
        >>> conv_transpose2d(torch.zeros(1, 8, 5, 6), torch.zeros(8, 4, 4, 4), stride=2, padding=1).shape
        torch.Size([1, 4, 10, 12])
    """
    return conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation, padding_mode, output_size,
        size_like,
    )  # fmt: skip


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, padding_mode: str = "zeros",
    output_size: Any = None, size_like: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.conv_transpose3d`, with more kinds of padding, and faster for contiguous tensors.

    **Convention:** input (N, C_in, D, H, W) or (C_in, D, H, W), weight (C_in, C_out / groups, kD, kH, kW). Per axis,
    size = (n - 1) * stride - padding_begin - padding_end + dilation * (kernel_size - 1) + output_padding + 1: see
    `nn.conv_transpose_size`.
    Arguments:
        input, weight, bias, stride, output_padding, groups, dilation: as torch's.
        padding: as torch's, or a pair (begin, end) per axis, or "valid" (0), or "same": size = n * stride, the odd
            sample cut at the end.
        padding_mode: what lies outside of the input: "zeros", "reflect", "replicate" or "circular".
        output_size: the spatial size, in place of output_padding.
        size_like: a tensor whose spatial size is the output_size.
    Returns: a tensor of the input's dtype, channels-last where the input or the weight is.
    Raises: ValueError that is a RuntimeError, as torch's, for shapes that do not fit; ValueError; TypeError.
    Source: torch 2.13; ONNX ConvTranspose for "same" (SAME_UPPER) and pairs.
    Example:
        >>> import torch
        >>> conv_transpose3d(torch.zeros(1, 8, 5, 6, 7), torch.zeros(8, 4, 4, 4, 4), stride=2, padding=1).shape
        torch.Size([1, 4, 10, 12, 14])
    """
    return conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation, padding_mode, output_size,
        size_like,
    )  # fmt: skip
