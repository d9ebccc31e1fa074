# SPDX-License-Identifier: MIT
"""torch.nn's MaxPool and MaxUnpool modules: the same constructors, attributes and text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import functional


class MaxPool1d(torch.nn.MaxPool1d):
    """`torch.nn.MaxPool1d`: see `functional.max_pool1d`."""

    def forward(self, input: Tensor) -> Any:
        """Maxima of windows, and where they were if return_indices."""
        return functional.max_pool1d(input, *_windows(self))


class MaxPool2d(torch.nn.MaxPool2d):
    """`torch.nn.MaxPool2d`: see `functional.max_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        """Maxima of windows, and where they were if return_indices."""
        return functional.max_pool2d(input, *_windows(self))


class MaxPool3d(torch.nn.MaxPool3d):
    """`torch.nn.MaxPool3d`: see `functional.max_pool3d`."""

    def forward(self, input: Tensor) -> Any:
        """Maxima of windows, and where they were if return_indices."""
        return functional.max_pool3d(input, *_windows(self))


class MaxUnpool1d(torch.nn.MaxUnpool1d):
    """`torch.nn.MaxUnpool1d`: see `functional.max_unpool1d`."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Values back to where their maxima were."""
        return functional.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(torch.nn.MaxUnpool2d):
    """`torch.nn.MaxUnpool2d`: see `functional.max_unpool2d`."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Values back to where their maxima were."""
        return functional.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(torch.nn.MaxUnpool3d):
    """`torch.nn.MaxUnpool3d`: see `functional.max_unpool3d`."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Values back to where their maxima were."""
        return functional.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


def _windows(module: Any) -> tuple[Any, ...]:
    return (
        module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode, module.return_indices
    )  # fmt: skip
