# SPDX-License-Identifier: MIT
"""Super-resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

import halfpixel
from halfpixel import metrics
from halfpixel.errors import HalfpixelValueError
from halfpixel.train import losses
from halfpixel.train._colour import middle, planar, to_bytes
from halfpixel.train._tasks import SHOWN, Task, decibels


class SuperResolutionTask(Task):
    """Training of a super-resolution network.

    **Convention:** batches hold uint8 `low` (N, h, w, 3) and `high` (N, h * scale, w * scale, 3). A network of one
    input channel is trained on BT.601 luma. Validation is PSNR by the protocol "sr-y", on whole pictures: `val/psnr`,
    and `val/bicubic`, that of MATLAB's bicubic.
    Arguments:
        model: a name of `halfpixel.models`, or a module with `scale` and `in_channels`. scale: for a name.
        model_options: of the network. loss: of `losses.IMAGES`.
        optimizer, learning_rate, weight_decay, schedule, milestones: see `Optimization`.
    Raises: ValueError for unknown names.
    Example:
        >>> SuperResolutionTask("espcn", scale=3).model.scale
        3
    """

    kind = "super-resolution"
    monitor = "val/psnr"
    losses = losses.IMAGES

    def __init__(
        self, model: Any = "espcn", *, scale: int = 2, model_options: Mapping[str, Any] | None = None, loss: str = "l1",
        optimizer: str = "adam", learning_rate: float = 1e-3, weight_decay: float = 0.0, schedule: str = "cosine",
        milestones: Sequence[float] = (0.5, 0.75, 0.9),
    ) -> None:  # fmt: skip
        options = {"scale": scale, **(model_options or {})}
        super().__init__(model, options, loss, optimizer, learning_rate, weight_decay, schedule, milestones)
        self.save_hyperparameters(ignore=[] if isinstance(model, str) else ["model"])
        if not hasattr(self.model, "scale") or not hasattr(self.model, "in_channels"):
            raise HalfpixelValueError(
                f"{type(self.model).__name__} is not a network for super-resolution: it has no scale or no in_channels",
                "espcn, fsrcnn, edsr ..., or a module with these attributes",
            )
        self._bicubic: dict[str, float] = {}

    def step(self, batch: Any) -> tuple[Any, Mapping[str, Any]]:
        """The loss and PSNR of a batch of patches."""
        channels = self.model.in_channels
        result, target = self.model(planar(batch["low"], channels)), planar(batch["high"], channels)
        with torch.no_grad():
            psnr = decibels(torch.nn.functional.mse_loss(result.detach().float(), target))
        return self.loss(result, target), {"psnr": psnr}

    def scores(self, batch: Any) -> Mapping[str, Sequence[float]]:
        """PSNR of the network and of bicubic interpolation, (sum, count)."""
        result = self.model(planar(batch["low"], self.model.in_channels))
        if batch["name"] not in self._bicubic:
            self._bicubic[batch["name"]] = self._psnr(self._interpolated(batch["low"]), batch)
        return {"psnr": (self._psnr(result, batch), 1), "bicubic": (self._bicubic[batch["name"]], 1)}

    def _psnr(self, result: Any, batch: Any) -> float:
        scale, high = self.model.scale, batch["high"]
        if self.model.in_channels == 3:
            return metrics.psnr(to_bytes(result), high[0].cpu().numpy(), protocol="sr-y", scale=scale)
        # "sr-y" takes RGB; what a network of luma alone has to do with it is Y, in whole levels.
        levels, reference = (result * 255).round().clamp(0, 255), planar(high, 1) * 255
        return metrics.psnr(levels[0, 0].cpu(), reference[0, 0].cpu(), crop=scale, data_range=255.0)

    def _interpolated(self, low: Any) -> Any:
        size = tuple(n * self.model.scale for n in low.shape[1:3])
        pixels = halfpixel.resize_image(low[0].cpu().numpy(), size, like="matlab.bicubic")
        return planar(torch.from_numpy(pixels)[None].to(low.device), self.model.in_channels)

    def picture(self, batch: Any) -> Sequence[tuple[str, Any]]:
        """The middle of the picture: by bicubic interpolation, by the network, and the original."""
        side = max(1, SHOWN // self.model.scale)
        low, high = middle(batch["low"], side), middle(batch["high"], side * self.model.scale)
        result = self.model(planar(low, self.model.in_channels))
        target = planar(high, self.model.in_channels)
        shown = {"bicubic": self._interpolated(low), "network": result, "original": target}
        return [(name, to_bytes(x)) for name, x in shown.items()]
