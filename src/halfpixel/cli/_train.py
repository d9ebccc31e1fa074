# SPDX-License-Identifier: MIT
"""`train`: one command per task, made of a table of options. What is not given is left to the package."""

from __future__ import annotations

import inspect
import json as json_text
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from halfpixel.cli._convert import usage

app = typer.Typer(
    name="train", no_args_is_help=True, help="Train a network: sr, segmentation, autoencoder. Needs halfpixel[train]."
)


@dataclass(frozen=True)
class Option:
    """One option of `fit` on the command line: `--name-with-dashes`, or `flag` where it is said otherwise."""

    name: str
    type: Any
    panel: str
    help: str
    metavar: str | None = None
    flag: str | None = None

    def parameter(self) -> inspect.Parameter:
        """As typer reads it from a signature."""
        flag = self.flag or "--" + self.name.replace("_", "-")
        option = typer.Option(
            flag, help=self.help, metavar=self.metavar, rich_help_panel=self.panel, show_default=False
        )
        default, kind = (False, bool) if self.type is bool else (None, self.type | None)
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
        )


_DATA, _NETWORK, _LEARNING, _RUN, _TRAINER = "Data", "Network", "Learning", "Run", "Where and how long (Lightning's)"

_COMMON = (
    Option("validation", str, _DATA, "What to validate on. Default: DIV2K's or STL10's own, or every tenth picture."),
    Option("patch", int, _DATA, "Side of the patches, in pixels of the network's input.", "PIXELS"),
    Option("batch_size", int, _DATA, "Patches a step and process. Default: 16.", "N"),
    Option("epoch_steps", int, _DATA, "Steps between two validations. Default: 500.", "N"),
    Option("augment", bool, _DATA, "No flips and no turns.", flag="--no-augment"),
    Option("model", str, _NETWORK, "A name of halfpixel.models."),
    Option("model_options", list[str], _NETWORK, "Of the network, such as upsampler=carafe; repeatable.", "NAME=VALUE",
           "--model-option"),
    Option("loss", str, _LEARNING, "l1, charbonnier, mse; segmentation: cross_entropy, dice, cross_entropy+dice."),
    Option("optimizer", str, _LEARNING, "adam or adamw. Default: adam."),
    Option("learning_rate", float, _LEARNING, "Default: 1e-3.", "X"),
    Option("weight_decay", float, _LEARNING, "Default: 0.", "X"),
    Option("schedule", str, _LEARNING, "cosine, multistep or constant. Default: cosine."),
    Option("milestones", list[float], _LEARNING, "Share of the steps where multistep halves the rate; repeatable.",
           "SHARE", "--milestone"),
    Option("ema", float, _LEARNING, "Decay of the averaged weights; 0 for none. Default: 0.999.", "X"),
    Option("seed", int, _LEARNING, "Default: 0.", "N"),
    Option("resume", bool, _RUN, "Go on from the run's last checkpoint."),
    Option("overwrite", bool, _RUN, "Begin anew in a folder that holds a run."),
    Option("checkpoint_every", int, _RUN, "Steps between two writes of last.ckpt. Default: 500.", "N"),
    Option("pictures", int, _RUN, "Validation pictures that are shown. Default: 4.", "N"),
    Option("max_steps", int, _TRAINER, "Default: 20000, where no other end is given.", "N"),
    Option("max_epochs", int, _TRAINER, "Epochs of --epoch-steps.", "N"),
    Option("max_time", str, _TRAINER, "Stop after this long.", "DD:HH:MM:SS"),
    Option("accelerator", str, _TRAINER, "cpu, gpu, tpu, auto ..."),
    Option("devices", str, _TRAINER, "How many, or which: 2, '0,1', auto."),
    Option("num_nodes", int, _TRAINER, "Machines.", "N"),
    Option("strategy", str, _TRAINER, "ddp, fsdp, deepspeed ..."),
    Option("precision", str, _TRAINER, "32-true, 16-mixed, bf16-mixed ..."),
    Option("accumulate_grad_batches", int, _TRAINER, "Batches to one step of the optimizer.", "N"),
    Option("gradient_clip_val", float, _TRAINER, "Longest gradient.", "X"),
    Option("deterministic", bool, _TRAINER, "The same bits on a GPU too."),
)  # fmt: skip

_OF_TASK: dict[str, tuple[str, tuple[Option, ...]]] = {
    "sr": (
        "Super-resolution, from a folder of photos or DIV2K, Set5, Set14, B100, Urban100, STL10.",
        (
            Option("scale", int, _NETWORK, "2, 3, 4 ... Default: 2.", "N"),
            Option("low", str, _DATA, "A folder of small versions. Default: the data set's own, or made.", "FOLDER"),
            Option("degrade", str, _DATA, "Preset or filter that makes small versions. Default: matlab.bicubic."),
        ),
    ),
    "segmentation": (
        "Segmentation, from a folder of images and one of masks whose numbers, or palette indices, are the labels.",
        (
            Option("classes", int, _NETWORK, "How many labels there are, 0 included. Needed.", "N"),
            Option("masks", str, _DATA, "The folder of masks. Default: masks, beside images.", "FOLDER"),
        ),
    ),
    "autoencoder": ("Autoencoder, from a folder of photos or STL10's binary files.", ()),
}


def command(task: str, about: str, options: tuple[Option, ...]) -> Callable[..., None]:
    """The command of a task, with the signature that typer reads."""

    def run(**given: Any) -> None:
        data, folder = given.pop("data"), given.pop("output")
        quiet, json = given.pop("quiet"), given.pop("json")
        with usage():
            from halfpixel.train._missing import require

            require()
            from halfpixel import train

            values = _values(given)
            if values.get("resume"):
                values = {**_before(folder, task), **values}
            with _skipped_files_named(), _interruptible(folder):
                result = train.fit(task, data, run=folder, progress=not quiet, **values)
        _report(result, quiet, json)

    run.__doc__ = about
    data = Annotated[str, typer.Argument(metavar="DATA", help="The folder to learn from.")]
    output = Annotated[str, typer.Option("-o", "--output", metavar="FOLDER", help="Where the run goes.")]
    quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Nothing but errors.")]
    json = Annotated[bool, typer.Option("--json", help="The result as one JSON object on standard output.")]
    own = [option.parameter() for option in (*options, *_COMMON)]
    fixed = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in (
            ("data", data, inspect.Parameter.empty), ("output", output, inspect.Parameter.empty),
            ("quiet", quiet, False), ("json", json, False),
        )
    ]  # fmt: skip
    run.__signature__ = inspect.Signature([*fixed, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run


def _values(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, as `fit` takes it."""
    # By identity: a 0 is given, though 0 == False.
    values = {n: v for n, v in given.items() if v is not None and v is not False and v not in ([], ())}
    if "augment" in values:
        values["augment"] = False
    if values.get("ema") == 0:
        values["ema"] = None
    if "model_options" in values:
        values["model_options"] = dict(_assignment(text) for text in values["model_options"])
    return values


def _before(folder: str, task: str) -> dict[str, Any]:
    """The options of the run that is resumed: they need not be said again."""
    from halfpixel.train._run import Folder

    options = Folder(Path(folder)).options(task)
    return {name: value for name, value in options.items() if name != "data"}


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--model-option")
    try:
        return name, json_text.loads(value)
    except ValueError:
        return name, value


@contextmanager
def _skipped_files_named() -> Iterator[None]:
    """Files that are left out, one line each on standard error."""
    from halfpixel.train import SkippedFileWarning

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        if issubclass(category, SkippedFileWarning):
            typer.echo(f"halfpixel: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about each other
        warnings.simplefilter("always", SkippedFileWarning)
        warnings.showwarning = show
        yield


@contextmanager
def _interruptible(folder: str) -> Iterator[None]:
    """Ctrl-C, which Lightning turns into an exit of its own, ends with status 130 as it does for the other verbs."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        if not isinstance(error, KeyboardInterrupt) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        typer.echo(f"halfpixel: stopped; to go on from the last checkpoint: --resume -o {folder}", err=True)
        raise typer.Exit(130) from None
    except OSError as error:  # of folders that cannot be written to, of disks that are full
        typer.echo(f"halfpixel: {error.strerror or error}: {error.filename or folder}", err=True)
        raise typer.Exit(1) from None


def _report(result: Any, quiet: bool, json: bool) -> None:
    if json:
        typer.echo(json_text.dumps(result.to_dict(), ensure_ascii=False))
    elif not quiet:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
        typer.echo(f"{result.steps} steps: {scores}\n{result.weights or result.checkpoint}", err=True)


for _name, (_about, _options) in _OF_TASK.items():
    app.command(_name)(command(_name, _about, _options))
