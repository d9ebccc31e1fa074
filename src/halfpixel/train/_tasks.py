# SPDX-License-Identifier: MIT
"""What the three LightningModules share: the network, its loss, its optimizer, its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from halfpixel.errors import HalfpixelValueError
from halfpixel.train import losses
from halfpixel.train._optimizers import Optimization

SHOWN = 192  # pixels a side of what pictures show


class Task(pl.LightningModule):
    """A network in training. Subclasses say what a batch means: `step(batch)` and `scores(batch)`.

    `monitor` names the score that the best checkpoint is chosen by; larger is better for all of them.
    """

    kind: str  # of `halfpixel.models`
    monitor: str
    losses: Mapping[str, losses.Loss]

    def __init__(
        self, model: Any, model_options: Mapping[str, Any] | None, loss: str, optimizer: str, learning_rate: float,
        weight_decay: float, schedule: str, milestones: Sequence[float],
    ) -> None:  # fmt: skip
        super().__init__()
        self.loss = losses.get(loss, self.losses)
        self.optimization = Optimization(optimizer, learning_rate, weight_decay, schedule, tuple(milestones))
        self.model = network(model, self.kind, **(model_options or {}))
        self._totals: dict[str, list[float]] = {}
        self.scored: dict[str, float] = {}
        self.scored_at = -1

    def step(self, batch: Any) -> tuple[Any, Mapping[str, Any]]:
        """(loss, what the progress bar shows beside it) of a batch of patches."""
        raise NotImplementedError

    def scores(self, batch: Any) -> Mapping[str, Sequence[float]]:
        """Sums and counts, or anything that is added up over pictures, by name."""
        raise NotImplementedError

    def finished(self, totals: Mapping[str, Any]) -> Mapping[str, float]:
        """The scores that added-up `totals` mean: here (sum, count) as their mean."""
        return {name: float(total[0] / total[1]) for name, total in totals.items()}

    def picture(self, batch: Any) -> Sequence[tuple[str, Any]]:
        """What to show of a validation batch, side by side: (name, RGB bytes (height, width, 3))."""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """The network's own."""
        return self.model(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """One step; the loss and the score go to the log."""
        loss, shown = self.step(batch)
        self.log("train/loss", loss.detach())
        for name, value in shown.items():
            self.log(name, value, prog_bar=True, logger=False)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Nothing has been added up yet."""
        self._totals = {}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Add up the scores of one whole picture."""
        for name, values in self.scores(batch).items():
            before = self._totals.get(name, [0.0] * len(values))
            self._totals[name] = [a + float(b) for a, b in zip(before, values, strict=True)]

    def on_validation_epoch_end(self) -> None:
        """Put the sums of all processes together and log the scores."""
        if self.trainer.world_size > 1:
            self._totals = self._gathered(self._totals)
        self.scored, self.scored_at = dict(self.finished(self._totals)), self.trainer.global_step
        for name, value in self.scored.items():
            self.log(f"val/{name}", value, prog_bar=name == self.monitor.removeprefix("val/"), rank_zero_only=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the scores of the weights beside them."""
        checkpoint["scores"], checkpoint["scored_at"] = self.scored, self.scored_at

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The scores of the last validation, which the run that is resumed made."""
        self.scored, self.scored_at = checkpoint.get("scores", {}), checkpoint.get("scored_at", -1)

    def _gathered(self, mine: Mapping[str, list[float]]) -> dict[str, list[float]]:
        everyone: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(everyone, dict(mine))
        names = dict.fromkeys(name for part in everyone for name in part)
        return {name: [sum(v) for v in zip(*(p[name] for p in everyone if name in p), strict=True)] for name in names}

    def configure_optimizers(self) -> Any:
        """The optimizer and the schedule of its rate."""
        steps = self.trainer.estimated_stepping_batches
        return self.optimization.for_lightning(self.parameters(), steps)


def network(model: Any, kind: str, **options: Any) -> Any:
    """A network by its name in `halfpixel.models`, or the one that was given.

    Raises: ValueError for a name of another kind.
    """
    if isinstance(model, torch.nn.Module):
        return model
    from halfpixel.models import create_model, list_models

    kinds = {entry.name: entry.task for entry in list_models()}
    if kinds.get(model, kind) != kind:
        works = ", ".join(name for name, task in kinds.items() if task == kind)
        raise HalfpixelValueError(f"the model {model!r} is for {kinds[model]}, not for {kind}", works)
    return create_model(model, **options)


def decibels(error: Any) -> Any:
    """The PSNR of a mean squared error, of values in 0 ... 1."""
    return -10 * torch.log10(error.clamp_min(1e-12))
