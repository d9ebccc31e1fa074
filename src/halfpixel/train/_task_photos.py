# SPDX-License-Identifier: MIT
"""Autoencoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from halfpixel import metrics
from halfpixel.train import losses
from halfpixel.train._colour import middle, planar, to_bytes
from halfpixel.train._tasks import SHOWN, Task, decibels


class AutoencoderTask(Task):
    """Training of a network that gives back the picture that it is shown.

    **Convention:** batches hold uint8 `image` (N, H, W, 3). `signed`: the network takes and returns -1 ... 1, as one
    does that ends in tanh; else 0 ... 1. Validation is PSNR of RGB in whole levels, on whole pictures: `val/psnr`.
    Arguments:
        model: a name of `halfpixel.models`, or a module. signed: see above. model_options: of the network.
        loss: of `losses.IMAGES`. optimizer, learning_rate, weight_decay, schedule, milestones: see `Optimization`.
    Raises: ValueError for unknown names.
    Example:
        >>> AutoencoderTask("generator").monitor
        'val/psnr'
    """

    kind = "autoencoder"
    monitor = "val/psnr"
    losses = losses.IMAGES

    def __init__(
        self, model: Any = "generator", *, signed: bool = True, model_options: Mapping[str, Any] | None = None,
        loss: str = "l1", optimizer: str = "adam", learning_rate: float = 1e-3, weight_decay: float = 0.0,
        schedule: str = "cosine", milestones: Sequence[float] = (0.5, 0.75, 0.9),
    ) -> None:  # fmt: skip
        super().__init__(model, model_options, loss, optimizer, learning_rate, weight_decay, schedule, milestones)
        self.save_hyperparameters(ignore=[] if isinstance(model, str) else ["model"])
        self.signed = signed

    def reconstructed(self, x: Any) -> Any:
        """What the network makes of pictures (N, 3, H, W) in 0 ... 1."""
        return self.model(x * 2 - 1) / 2 + 0.5 if self.signed else self.model(x)

    def step(self, batch: Any) -> tuple[Any, Mapping[str, Any]]:
        """The loss and PSNR of a batch of patches."""
        target = planar(batch["image"])
        result = self.reconstructed(target)
        with torch.no_grad():
            psnr = decibels(F.mse_loss(result.detach().float(), target))
        return self.loss(result, target), {"psnr": psnr}

    def scores(self, batch: Any) -> Mapping[str, Sequence[float]]:
        """PSNR, (sum, count)."""
        result = to_bytes(self.reconstructed(planar(batch["image"])))
        return {"psnr": (metrics.psnr(result, batch["image"][0].cpu().numpy()), 1)}

    def picture(self, batch: Any) -> Sequence[tuple[str, Any]]:
        """The middle of the picture, and what the network makes of it."""
        image = planar(middle(batch["image"], SHOWN))
        return [("image", to_bytes(image)), ("network", to_bytes(self.reconstructed(image)))]
