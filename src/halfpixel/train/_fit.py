# SPDX-License-Identifier: MIT
"""`fit`: a task, a folder of data, and a folder that the run goes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from halfpixel.errors import HalfpixelError, HalfpixelValueError, describe_call, unknown_name
from halfpixel.train._callbacks import AtomicCheckpoints, Average, Bar, Finite, Pictures, Seeds
from halfpixel.train._data_labels import SegmentationData
from halfpixel.train._data_photos import AutoencoderData
from halfpixel.train._data_sr import SuperResolutionData
from halfpixel.train._run import Folder, config, planned, quiet
from halfpixel.train._task_labels import SegmentationTask
from halfpixel.train._task_photos import AutoencoderTask
from halfpixel.train._task_sr import SuperResolutionTask


@dataclass(frozen=True)
class TaskEntry:
    """A task of `fit`: its LightningModule and its LightningDataModule, whose options are those of `fit`."""

    module: Callable[..., Any]
    data: Callable[..., Any]


TASKS: Mapping[str, TaskEntry] = {
    "sr": TaskEntry(SuperResolutionTask, SuperResolutionData),
    "segmentation": TaskEntry(SegmentationTask, SegmentationData),
    "autoencoder": TaskEntry(AutoencoderTask, AutoencoderData),
}


@dataclass(frozen=True)
class Result:
    """What came out of a run.

    `module`: the LightningModule with the best weights, `module.model` the network, in eval mode. `metrics`: the scores
    of these weights. `checkpoint`: their file; `last`: the one to resume from. `weights`: the exported safetensors
    file, for `halfpixel.models.load`; None for a network that `halfpixel.models` does not know. `steps`: in all.
    """

    module: Any
    metrics: Mapping[str, float]
    checkpoint: Path
    last: Path
    weights: Path | None
    run: Path
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the module."""
        paths = {name: getattr(self, name) for name in ("checkpoint", "last", "weights", "run")}
        plain = {name: None if path is None else str(path) for name, path in paths.items()}
        return {"metrics": dict(self.metrics), "steps": self.steps, **plain}


def fit(
    task: str, data: Any, *, run: Any, resume: bool = False, overwrite: bool = False, seed: int = 0,
    ema: float | None = 0.999, checkpoint_every: int = 500, pictures: int = 4, progress: bool = True,
    callbacks: Any = (), **options: Any,
) -> Result:  # fmt: skip
    """Train a network and export it.

    **Convention:** everything goes below the folder `run`: config.json, checkpoints/last.ckpt and best.ckpt, logs for
    TensorBoard, pictures/, and model.safetensors with the best averaged weights. The same options give the same weights
    on a CPU, whether the run was stopped and resumed or not.
    Arguments:
        task: "sr", "segmentation" or "autoencoder". data: the folder to learn from. run: the folder of the run.
        resume: go on from last.ckpt where there is one. overwrite: begin anew in a folder that holds a run.
        seed: of weights, order, patches. ema: decay of the averaged weights; None: none.
        checkpoint_every: steps between two writes of last.ckpt. pictures: validation pictures that are shown.
        progress: a bar on standard error. callbacks: more of Lightning's.
        options: those of the task's module (`SuperResolutionTask`: model, loss, learning_rate ...), of its data
            (`SuperResolutionData`: validation, patch, batch_size ...) and of Lightning's Trainer (max_steps,
            max_epochs, max_time, accelerator, devices, num_nodes, strategy, precision ...), each by its own name.
    Returns: Result.
    Raises: ValueError for unknown names and unusable data, with what would work.
    Example: see docs/training.md.
    """
    try:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        check_counts(seed=(seed, 0), checkpoint_every=(checkpoint_every, 1), pictures=(pictures, 0))
        entry, folder = TASKS[task], Folder(Path(run))
        plan = planned(task, entry.module, entry.data, {"seed": seed, **options})
        given = {"data": str(data), "seed": seed, "ema": ema, **options}
        with quiet():
            pl.seed_everything(seed, workers=True, verbose=False)
            module, source = entry.module(**plan.module), entry.data(data, **plan.data)
            source.setup("fit")
            best, last = checkpoints(module, folder, checkpoint_every)
            more = [*callbacks, *beside(folder, seed, ema, pictures, progress), best, last]
            trainer = made_trainer(plan.trainer, folder, more, progress)
            folder.open(config(task, given), resume=resume, overwrite=overwrite)
            begun = folder.to_go_on_from() if resume else None
            trainer.fit(module, datamodule=source, ckpt_path=begun, weights_only=True)
            return finished(trainer, module, source, folder, best)
    except HalfpixelError as error:
        raise error.in_call(describe_call("fit", task, str(data), run=str(run))) from error


def check_counts(**given: tuple[int, int]) -> None:
    """Raises: ValueError for a number (value, least) that is too small, or beyond what seeds may be."""
    for name, (value, least) in given.items():
        if not least <= value < 2**32:
            raise HalfpixelValueError(f"{name} is {value}", f"{least} to {2**32 - 1}")


def made_trainer(flags: Mapping[str, Any], folder: Folder, callbacks: list[Callback], progress: bool) -> pl.Trainer:
    """Lightning's Trainer with its flags as they were given."""
    plugins = flags.get("plugins") or []
    told = {
        **flags,
        "plugins": [AtomicCheckpoints(), *(plugins if isinstance(plugins, (list, tuple)) else [plugins])],
        "callbacks": callbacks,
        "logger": TensorBoardLogger(folder.root, name="", version="logs"),
        "default_root_dir": folder.root,
        "enable_progress_bar": progress,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    try:
        return pl.Trainer(**told)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise HalfpixelValueError(f"Lightning refuses its options: {error}") from error


def beside(folder: Folder, seed: int, ema: float | None, pictures: int, progress: bool) -> list[Callback]:
    """The callbacks of every run but those that write checkpoints."""
    made: list[Callback] = [Seeds(seed), Pictures(folder.pictures, pictures), Finite()]
    if ema is not None:
        made.append(Average(ema))
    return [*made, Bar()] if progress else made


def checkpoints(module: Any, folder: Folder, every: int) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """The callbacks that write best.ckpt and last.ckpt."""
    shared = {"dirpath": folder.checkpoints, "enable_version_counter": False, "save_top_k": 1}
    best = ModelCheckpoint(filename="best", monitor=module.monitor, mode="max", save_on_train_epoch_end=False, **shared)
    return best, ModelCheckpoint(filename="last", monitor=None, every_n_train_steps=every, **shared)


def finished(trainer: Any, module: Any, source: Any, folder: Folder, best: ModelCheckpoint) -> Result:
    """Validate what the last epoch left unvalidated, take the best weights and export them."""
    steps = trainer.global_step
    trainer.save_checkpoint(folder.last)
    if module.scored_at != steps or not folder.best.exists():
        trainer.validate(module, datamodule=source, verbose=False)
        reached = module.scored[module.monitor.removeprefix("val/")]
        if best.best_model_score is None or reached > float(best.best_model_score):
            trainer.save_checkpoint(folder.best)
    trainer.strategy.barrier()
    kept = torch.load(folder.best, map_location=module.device, weights_only=True)
    module.load_state_dict(kept["state_dict"])
    module.eval()
    weights = export(module, folder, kept["scores"], kept["global_step"]) if trainer.is_global_zero else None
    return Result(module, kept["scores"], folder.best, folder.last, weights, folder.root, steps)


def export(module: Any, folder: Folder, scores: Mapping[str, float], step: int) -> Path | None:
    """Write model.safetensors, for `halfpixel.models.load`; None for a network that is none of `halfpixel.models`."""
    if not isinstance(module.hparams.get("model"), str):
        return None
    from halfpixel import models

    models.save(module.model, folder.weights, scores=json.dumps(scores), steps=str(step))
    return folder.weights
