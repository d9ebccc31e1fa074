# SPDX-License-Identifier: MIT
"""The folder of a run, and options sorted into those of the network, of the data and of Lightning's Trainer."""

from __future__ import annotations

import inspect
import json
import logging
import platform
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

import halfpixel
from halfpixel import io
from halfpixel.errors import HalfpixelValueError, unknown_name

STEPS = 20_000
"""Steps where none of max_steps, max_epochs and max_time is given."""

_OURS = (
    "callbacks", "logger", "num_sanity_val_steps", "enable_progress_bar", "enable_model_summary", "default_root_dir",
)  # fmt: skip
# What may differ between a run and its resumption: how long and where it runs, not what it computes.
# The data may have been moved.
_FREE = (
    "data", "max_steps", "max_epochs", "max_time", "accelerator", "devices", "num_nodes", "strategy",
)  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """Options sorted by whom they are for."""

    task: str
    module: dict[str, Any]
    data: dict[str, Any]
    trainer: dict[str, Any]


def planned(task: str, module: Callable[..., Any], data: Callable[..., Any], options: Mapping[str, Any]) -> Planned:
    """Each option to whom it is for, some to both module and data.

    Raises: ValueError for a name that none of them takes.
    """
    for_module, for_data = names(module) - {"self"}, names(data) - {"self", "data"}
    for_trainer = names(pl.Trainer) - {"self", *_OURS}
    known = for_module | for_data | for_trainer
    for name in options:
        if name not in known:
            raise unknown_name(f"option of fit({task!r})", name, known)
    for name in sorted(required(module) | required(data)):
        if options.get(name) is None:
            raise HalfpixelValueError(f"fit({task!r}) needs {name}", f"{name}=...")
    trainer = {name: value for name, value in options.items() if name in for_trainer and value is not None}
    chosen = {name: value for name, value in options.items() if name in for_data}
    return Planned(
        task, {name: value for name, value in options.items() if name in for_module}, *_lengths(chosen, trainer, data)
    )


def names(call: Callable[..., Any]) -> set[str]:
    """The arguments that a class or function takes."""
    return {name for name, p in inspect.signature(call).parameters.items() if p.kind is not p.VAR_KEYWORD}


def required(call: Callable[..., Any]) -> set[str]:
    """The arguments by name alone that have no default."""
    taken = inspect.signature(call).parameters.items()
    return {name for name, p in taken if p.kind is p.KEYWORD_ONLY and p.default is p.empty}


def _lengths(
    data: dict[str, Any], trainer: dict[str, Any], call: Callable[..., Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How long to train: `STEPS` where nothing is said, and no epoch longer than all of it."""
    if not {"max_steps", "max_epochs", "max_time"} & set(trainer):
        trainer["max_steps"] = STEPS
    trainer.setdefault("max_epochs", -1)
    steps = data.get("epoch_steps", inspect.signature(call).parameters["epoch_steps"].default)
    if 0 < trainer.get("max_steps", -1) < steps:
        steps = trainer["max_steps"]
    trainer.setdefault("log_every_n_steps", min(50, steps))
    return {**data, "epoch_steps": steps}, trainer


class Folder:
    """Where a run's files are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config, self.checkpoints = root / "config.json", root / "checkpoints"
        self.best, self.last = self.checkpoints / "best.ckpt", self.checkpoints / "last.ckpt"
        self.pictures, self.weights, self.logs = root / "pictures", root / "model.safetensors", root / "logs"

    def open(self, config: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Make the folder and write config.json into it.

        Raises: ValueError where a run is in it that is neither to be resumed nor to be replaced, or another one than is
        to be resumed, or where other things are in it.
        """
        if resume and overwrite:
            raise HalfpixelValueError("resume and overwrite exclude each other", "one of them")
        if rank_zero_only.rank:
            return  # another process of this run has made the folder
        if self.config.exists():
            if not (resume or overwrite):
                works = "resume=True to go on (--resume), overwrite=True to begin anew (--overwrite), or another folder"
                raise HalfpixelValueError(f"{self.root} holds a run already", works)
            if resume:
                self._check(config)
            else:
                self._clear()
        elif self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise HalfpixelValueError(f"{self.root} exists and is not the folder of a run", "a new folder")
        self.root.mkdir(parents=True, exist_ok=True)
        with io.atomic_write(self.config, overwrite=True) as file:
            file.write(json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n")

    def options(self, task: str) -> dict[str, Any]:
        """The options of the run in here; none where there is no run yet. Raises: ValueError for another task's run."""
        if not self.config.exists():
            return {}
        try:
            before = dict(json.loads(self.config.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise HalfpixelValueError(
                f"{self.config} is damaged", "overwrite=True to begin anew, --overwrite"
            ) from None
        if before.get("task") != task:
            raise HalfpixelValueError(f"{self.root} holds a run of the task {before.get('task')!r}", "another folder")
        return dict(before.get("options", {}))

    def to_go_on_from(self) -> Path | None:
        """The last checkpoint; None where there is none yet. Raises: ValueError for one that cannot be read."""
        if not self.last.exists():
            return None
        from halfpixel.models._load import read

        try:
            read(self.last)
        except HalfpixelValueError as error:
            works = f"{self.best.name} in its place, or a new run"
            raise HalfpixelValueError(f"{self.last}: {error.why}", works) from None
        return self.last

    def _check(self, config: Mapping[str, Any]) -> None:
        old, new = self.options(config["task"]), config["options"]
        differing = [
            f"{name}: {old.get(name)!r} then, {new.get(name)!r} now"
            for name in sorted({*old, *new} - {*_FREE})
            if old.get(name) != new.get(name)
        ]
        if differing:
            works = "the options of the run that is resumed"
            raise HalfpixelValueError(f"{self.root} holds another run ({'; '.join(differing)})", works)

    def _clear(self) -> None:
        for folder in (self.checkpoints, self.pictures, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.weights, self.config):
            file.unlink(missing_ok=True)


def config(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json holds: the task, every option that was given, and versions."""
    libraries = ("numpy", "torch", "lightning", "tensorboard")
    return {
        "task": task,
        "options": json.loads(json.dumps(options, default=_plain)),
        "versions": {
            "halfpixel": halfpixel.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in libraries},
        },
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, set)) else str(value) if isinstance(value, Path) else repr(value)


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning without its notes on hardware and its advertisements, and without warnings that are not meant here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # The folder is the run's own: Folder.open has checked it.
            warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")
            # Lightning 2.6 walks its trees by a name that torch 2.10 and later is about to drop.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
