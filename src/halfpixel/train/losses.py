# SPDX-License-Identifier: MIT
"""Losses. A new one is one row of a table: it then stands in the API and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import functional as F

from halfpixel.errors import unknown_name

Loss = Callable[[Any, Any], Any]

IGNORED = 255
"""The label of pixels that do not count."""


def charbonnier(result: Any, target: Any, epsilon: float = 1e-3) -> Any:
    """Mean of sqrt(difference**2 + epsilon**2): L1 without its corner.

    Source: P. Charbonnier and others, "Two deterministic half-quadratic regularization algorithms", 1994.
    Example:
        >>> round(float(charbonnier(torch.ones(2), torch.zeros(2))), 6)
        1.0
    """
    return torch.sqrt((result - target) ** 2 + epsilon**2).mean()


def soft_dice(result: Any, target: Any, ignore: int = IGNORED) -> Any:
    """1 - the mean over classes of 2 |A and B| / (|A| + |B|), of probabilities.

    **Convention:** result (N, classes, H, W) before softmax, target (N, H, W) integers; pixels labelled `ignore` do not
    count.
    Source: F. Milletari and others, "V-Net", 2016.
    Example:
        >>> logits = torch.tensor([[[[9.0]], [[-9.0]]]])
        >>> bool(soft_dice(logits, torch.tensor([[[0]]])) < 1e-3)
        True
    """
    counts = (target != ignore)[:, None]
    there = result.softmax(1) * counts
    meant = F.one_hot(target.masked_fill(target == ignore, 0), result.shape[1]).movedim(-1, 1) * counts
    both, total = (there * meant).sum((0, 2, 3)), (there + meant).sum((0, 2, 3))
    present = meant.sum((0, 2, 3)) > 0
    return 1 - (2 * both[present] / total[present]).mean() if present.any() else result.sum() * 0


def cross_entropy(result: Any, target: Any, ignore: int = IGNORED) -> Any:
    """Cross entropy of classes per pixel; shapes as `soft_dice`."""
    return F.cross_entropy(result, target, ignore_index=ignore)


def cross_entropy_dice(result: Any, target: Any, ignore: int = IGNORED) -> Any:
    """Cross entropy plus soft Dice."""
    return cross_entropy(result, target, ignore) + soft_dice(result, target, ignore)


IMAGES: Mapping[str, Loss] = MappingProxyType({"l1": F.l1_loss, "charbonnier": charbonnier, "mse": F.mse_loss})
"""Losses between pictures."""

LABELS: Mapping[str, Loss] = MappingProxyType(
    {"cross_entropy": cross_entropy, "dice": soft_dice, "cross_entropy+dice": cross_entropy_dice}
)
"""Losses between scores of classes and labels."""


def get(name: str, table: Mapping[str, Loss]) -> Loss:
    """The loss of a name. Raises: ValueError that names the nearest ones."""
    if name not in table:
        raise unknown_name("loss", name, table)
    return table[name]
