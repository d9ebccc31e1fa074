# SPDX-License-Identifier: MIT
"""Optimizers and schedules of the learning rate. A new one is one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import lr_scheduler

from halfpixel.errors import HalfpixelValueError, unknown_name

OPTIMIZERS: Mapping[str, Callable[..., Any]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class Optimization:
    """How weights are changed.

    `schedule` is of `SCHEDULES`; `milestones` are the shares of all steps after which "multistep" halves the rate.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    milestones: Sequence[float] = (0.5, 0.75, 0.9)

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, OPTIMIZERS)
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)
        if not self.learning_rate > 0:
            raise HalfpixelValueError(f"learning_rate is {self.learning_rate}", "a number above 0, such as 1e-3")

    def for_lightning(self, parameters: Any, steps: float) -> dict[str, Any]:
        """What `configure_optimizers` returns; the schedule is stepped with every step of the optimizer."""
        made = OPTIMIZERS[self.optimizer](parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        if self.schedule == "constant":
            return {"optimizer": made}
        if steps == float("inf") or steps < 1:
            why = f"the schedule {self.schedule!r} needs to know how many steps there will be"
            raise HalfpixelValueError(why, "max_steps or max_epochs, or schedule='constant'")
        schedule = SCHEDULES[self.schedule](made, int(steps), self.milestones)
        return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _cosine(optimizer: Any, steps: int, milestones: Sequence[float]) -> Any:
    return lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _multistep(optimizer: Any, steps: int, milestones: Sequence[float]) -> Any:
    return lr_scheduler.MultiStepLR(optimizer, [max(1, round(share * steps)) for share in milestones], 0.5)


def _constant(optimizer: Any, steps: int, milestones: Sequence[float]) -> Any:
    return None


SCHEDULES: Mapping[str, Callable[..., Any]] = {"constant": _constant, "cosine": _cosine, "multistep": _multistep}
