# SPDX-License-Identifier: MIT
"""What runs beside training: a bar, averaged weights, seeds, pictures, atomic checkpoints."""

from __future__ import annotations

import io as streams
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO

from halfpixel import io
from halfpixel.errors import HalfpixelValueError
from halfpixel.train._draws import draws

_SELDOM = 100  # steps between two states of a bar that nobody looks at


class Average(WeightAveraging):
    """Exponential moving average of the weights: what is validated, kept in checkpoints as `state_dict`, and exported.

    **Convention:** after step n it is a * average + (1 - a) * weights with a = min(decay, (1 + n) / (10 + n)), so that
    the first weights, which are random, are soon forgotten.
    Arguments: decay: in 0 ... 1; the average looks back over about 1 / (1 - decay) steps.
    Source: the ramp is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise HalfpixelValueError(f"the decay of averaged weights is {decay}", "a number between 0 and 1, or None")

        @torch.no_grad()
        def averaged(mean: Sequence[Any], weights: Sequence[Any], n: Any) -> None:
            share = 1 - ((1 + n) / (10 + n)).clamp(max=decay)  # stays on the device
            for a, b in zip(mean, weights, strict=True):
                a.lerp_(b, share.to(a)) if a.is_floating_point() else a.copy_(b)

        super().__init__(multi_avg_fn=averaged)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The weights stay as they are, for the last checkpoint: a run may be resumed to go on for longer."""


class Bar(TQDMProgressBar):
    """Lightning's bar on standard error, as standard output is for results; in files and pipes a line now and then."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else _SELDOM)

    def init_train_tqdm(self) -> Any:
        """The bar of an epoch."""
        with redirect_stdout(sys.stderr):  # which it takes when it is made
            return super().init_train_tqdm()

    def init_validation_tqdm(self) -> Any:
        """The bar of a validation."""
        with redirect_stdout(sys.stderr):
            return super().init_validation_tqdm()


class Seeds(Callback):
    """Seeds torch before every step from (seed, step, process): dropout too is the same in a run that was resumed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Before the step's forward."""
        number = trainer.fit_loop.total_batch_idx * trainer.world_size + trainer.global_rank
        torch.manual_seed(int(draws(self.seed, [number], 1)[0, 0] >> np.uint64(1)))


class Pictures(Callback):
    """Crops of the first validation pictures, beside each other: as PNG files and in TensorBoard.

    Arguments: folder: where the files go, `step-00000500-0.png`. count: of pictures; 0 for none.
    """

    def __init__(self, folder: Path, count: int = 4) -> None:
        self.folder, self.count = folder, count

    @torch.no_grad()
    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """While the averaged weights are in the network."""
        if batch_idx >= self.count or not trainer.is_global_zero or trainer.sanity_checking:
            return
        shown = pl_module.picture(batch)
        sheet = np.concatenate([_framed(pixels) for _, pixels in shown], axis=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{trainer.global_step:08d}-{batch_idx}.png"
        io.write(io.Picture(sheet, "rgb"), path, overwrite=True)
        if isinstance(trainer.logger, pl.loggers.TensorBoardLogger):
            tag = f"{batch_idx}: {', '.join(name for name, _ in shown)}"
            trainer.logger.experiment.add_image(tag, sheet, trainer.global_step, dataformats="HWC")


def _framed(pixels: Any) -> Any:
    return np.pad(pixels, ((2, 2), (2, 2), (0, 0)), constant_values=255)


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all, whatever file systems lie beneath."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside `path`, then rename."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        stream = streams.BytesIO()
        torch.save(checkpoint, stream)
        with io.atomic_write(path, overwrite=True) as file:
            file.write(stream.getbuffer())


class Finite(Callback):
    """Stops a run whose loss is no number, at the next validation, instead of training on for hours."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """After each validation. Raises: ValueError."""
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None and not bool(torch.isfinite(loss)):
            raise HalfpixelValueError(
                f"the loss is {float(loss)} after step {trainer.global_step}",
                "a smaller learning_rate, or gradient_clip_val",
            )
