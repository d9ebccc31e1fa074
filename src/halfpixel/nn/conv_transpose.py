# SPDX-License-Identifier: MIT
"""torch.nn's ConvTranspose modules, lazy ones too: the same constructors, parameters and text, and more padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelError, HalfpixelValueError, describe_call

from . import functional
from ._conv_transpose_shape import PADDING_MODES, checked_padding


class _Padded:
    """What the modules share: padding beyond torch's, and the call."""

    _function: Callable[..., Tensor]

    def _pad(self: Any, padding: Any, padding_mode: str) -> None:
        try:
            self.padding = checked_padding(padding, len(self.kernel_size))
            if padding_mode not in PADDING_MODES:
                raise HalfpixelValueError(f"padding_mode is {padding_mode!r}", f"one of {', '.join(PADDING_MODES)}")
        except HalfpixelError as error:
            raise error.in_call(
                describe_call(type(self).__name__, padding=padding, padding_mode=padding_mode)
            ) from None
        self.padding_mode = padding_mode

    def forward(self: Any, input: Tensor, output_size: Any = None, *, size_like: Tensor | None = None) -> Tensor:
        """The input, bigger: of `output_size`, or of the spatial size of `size_like`."""
        return self._function(
            input, self.weight, self.bias, self.stride, self.padding,
            self.output_padding if output_size is None and size_like is None else 0, self.groups, self.dilation,
            padding_mode=self.padding_mode, output_size=output_size, size_like=size_like,
        )  # fmt: skip

    @classmethod
    def adjoint_of(cls: Any, conv: torch.nn.Module) -> Any:
        """The transpose of a convolution, with the same weights: <conv(x), y> = <x, module(y, x.shape)>.

        Arguments: conv: a convolution of as many axes with zero padding; its bias has no part in the transpose.
        Returns: a module without bias, whose weight is a copy.
        Raises: ValueError for other modules and other padding.
        """
        name = f"{cls.__name__}.adjoint_of"
        dims = int(cls.__name__[-2])
        kind = getattr(torch.nn, f"Conv{dims}d")
        if not isinstance(conv, kind) or conv.padding_mode != "zeros":
            mode = getattr(conv, "padding_mode", None)
            why = f"the transpose of a {type(conv).__name__}" + (f" with padding_mode {mode!r}" if mode else "")
            raise HalfpixelValueError(why, f"a torch.nn.Conv{dims}d with zeros as padding").in_call(name)
        padding = conv.padding
        if padding == "valid":
            padding = 0
        elif padding == "same":
            total = [d * (k - 1) for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
            padding = tuple((t // 2, t - t // 2) for t in total)
        made = cls(
            conv.out_channels, conv.in_channels, conv.kernel_size, conv.stride, padding, groups=conv.groups, bias=False,
            dilation=conv.dilation, device=conv.weight.device, dtype=conv.weight.dtype,
        )  # fmt: skip
        with torch.no_grad():
            made.weight.copy_(conv.weight)
        return made


class ConvTranspose1d(_Padded, torch.nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d`: the same parameters, and padding as `functional.conv_transpose1d` takes it.

    **Convention:** see `functional.conv_transpose1d`; state_dicts of either load into the other.
    Arguments: as torch's; padding also "same", "valid" or pairs, padding_mode also "reflect", "replicate", "circular".
    Raises: ValueError, TypeError.
    Example:
        >>> import torch
        >>> ConvTranspose1d(8, 4, 3, stride=2, padding="same")(torch.zeros(1, 8, 5)).shape
        torch.Size([1, 4, 10])
    """

    _function = staticmethod(functional.conv_transpose1d)

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, 0, output_padding, groups, bias, dilation, "zeros", device,
            dtype,
        )  # fmt: skip
        self._pad(padding, padding_mode)


class ConvTranspose2d(_Padded, torch.nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`: the same parameters, and padding as `functional.conv_transpose2d` takes it.

    **Convention:** see `functional.conv_transpose2d`; state_dicts of either load into the other.
    Arguments: as torch's; padding also "same", "valid" or pairs, padding_mode also "reflect", "replicate", "circular".
    Raises: ValueError, TypeError.
    Example:
        >>> import torch
        >>> ConvTranspose2d(8, 4, 3, stride=2, padding="same")(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 4, 10, 12])
    """

    _function = staticmethod(functional.conv_transpose2d)

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, 0, output_padding, groups, bias, dilation, "zeros", device,
            dtype,
        )  # fmt: skip
        self._pad(padding, padding_mode)


class ConvTranspose3d(_Padded, torch.nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d`: the same parameters, and padding as `functional.conv_transpose3d` takes it.

    **Convention:** see `functional.conv_transpose3d`; state_dicts of either load into the other.
    Arguments: as torch's; padding also "same", "valid" or pairs, padding_mode also "reflect", "replicate", "circular".
    Raises: ValueError, TypeError.
    Example:
        >>> import torch
        >>> ConvTranspose3d(8, 4, 3, stride=2, padding="same")(torch.zeros(1, 8, 5, 6, 7)).shape
        torch.Size([1, 4, 10, 12, 14])
    """

    _function = staticmethod(functional.conv_transpose3d)

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, 0, output_padding, groups, bias, dilation, "zeros", device,
            dtype,
        )  # fmt: skip
        self._pad(padding, padding_mode)


class LazyConvTranspose1d(_Padded, torch.nn.LazyConvTranspose1d):
    """`torch.nn.LazyConvTranspose1d`: a `ConvTranspose1d` that learns its in_channels from the first input."""

    cls_to_become = ConvTranspose1d
    _function = staticmethod(functional.conv_transpose1d)

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            out_channels, kernel_size, stride, 0, output_padding, groups, bias, dilation, "zeros", device, dtype
        )
        self._pad(padding, padding_mode)


class LazyConvTranspose2d(_Padded, torch.nn.LazyConvTranspose2d):
    """`torch.nn.LazyConvTranspose2d`: a `ConvTranspose2d` that learns its in_channels from the first input."""

    cls_to_become = ConvTranspose2d
    _function = staticmethod(functional.conv_transpose2d)

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            out_channels, kernel_size, stride, 0, output_padding, groups, bias, dilation, "zeros", device, dtype
        )
        self._pad(padding, padding_mode)


class LazyConvTranspose3d(_Padded, torch.nn.LazyConvTranspose3d):
    """`torch.nn.LazyConvTranspose3d`: a `ConvTranspose3d` that learns its in_channels from the first input."""

    cls_to_become = ConvTranspose3d
    _function = staticmethod(functional.conv_transpose3d)

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            out_channels, kernel_size, stride, 0, output_padding, groups, bias, dilation, "zeros", device, dtype
        )
        self._pad(padding, padding_mode)
