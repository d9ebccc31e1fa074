# SPDX-License-Identifier: MIT
"""Segmentation."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from halfpixel.metrics import Confusion
from halfpixel.train import losses
from halfpixel.train._colour import middle, planar, to_bytes
from halfpixel.train._tasks import SHOWN, Task


class SegmentationTask(Task):
    """Training of a network that gives every pixel a class.

    **Convention:** batches hold uint8 `image` (N, H, W, 3) and `labels` (N, H, W), 255 where a pixel does not count;
    the network takes RGB in 0 ... 1 and returns scores (N, classes, H, W). Validation counts the pixels of all
    pictures: `val/miou`, `val/dice` and `val/accuracy`.
    Arguments:
        model: a name of `halfpixel.models`, or a module. classes: how many. model_options: of the network.
        loss: of `losses.LABELS`. optimizer, learning_rate, weight_decay, schedule, milestones: see `Optimization`.
    Raises: ValueError for unknown names.
    Example:
        >>> SegmentationTask("unet", classes=3).monitor
        'val/miou'
    """

    kind = "segmentation"
    monitor = "val/miou"
    losses = losses.LABELS

    def __init__(
        self, model: Any = "unet", *, classes: int, model_options: Mapping[str, Any] | None = None,
        loss: str = "cross_entropy", optimizer: str = "adam", learning_rate: float = 1e-3, weight_decay: float = 0.0,
        schedule: str = "cosine", milestones: Sequence[float] = (0.5, 0.75, 0.9),
    ) -> None:  # fmt: skip
        options = {"in_channels": 3, "out_channels": classes, **(model_options or {})}
        super().__init__(model, options, loss, optimizer, learning_rate, weight_decay, schedule, milestones)
        self.save_hyperparameters(ignore=[] if isinstance(model, str) else ["model"])
        self.classes = classes

    def step(self, batch: Any) -> tuple[Any, Mapping[str, Any]]:
        """The loss and the share of right pixels of a batch of patches."""
        scores, labels = self.model(planar(batch["image"])), batch["labels"].long()
        counted = labels != losses.IGNORED
        right = (scores.detach().argmax(1) == labels) & counted
        return self.loss(scores, labels), {"accuracy": right.sum() / counted.sum().clamp_min(1)}

    def scores(self, batch: Any) -> Mapping[str, Sequence[float]]:
        """Pixels by true and found class."""
        found = self.model(planar(batch["image"])).argmax(1)[0].cpu()
        seen = Confusion(self.classes, ignore_index=losses.IGNORED).add(found, batch["labels"][0].cpu())
        return {"counts": seen.counts.ravel().tolist()}

    def finished(self, totals: Mapping[str, Any]) -> Mapping[str, float]:
        """mIoU, Dice and accuracy over all pixels."""
        seen = Confusion(self.classes, ignore_index=losses.IGNORED)
        seen.counts = np.asarray(totals["counts"], np.int64).reshape(seen.counts.shape)
        return {"miou": seen.miou().mean, "dice": seen.dice().mean, "accuracy": seen.accuracy()}

    def picture(self, batch: Any) -> Sequence[tuple[str, Any]]:
        """The middle of the picture, its labels as found, its true labels."""
        image = middle(batch["image"], SHOWN)
        found = self.model(planar(image)).argmax(1)[0].cpu().numpy()
        true = middle(batch["labels"], SHOWN)[0].cpu().numpy()
        colours = palette(self.classes)
        return [
            ("image", to_bytes(planar(image))), ("labels found", colours[found]), ("true labels", colours[true]),
        ]  # fmt: skip


def palette(classes: int) -> Any:
    """A colour per label, (256, 3) bytes: black for 0, white for 255, the others around the colour circle."""
    colours = np.full((256, 3), 255, np.uint8)
    colours[0] = 0
    for label in range(1, classes):
        shares = colorsys.hsv_to_rgb((label * 0.618034) % 1, 0.75, 0.9)
        colours[label] = [round(255 * share) for share in shares]
    return colours
