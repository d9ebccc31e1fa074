# SPDX-License-Identifier: MIT
"""`info` and `explain`."""

from __future__ import annotations

import json as json_lines
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import halfpixel
from halfpixel import backends
from halfpixel._accelerate import replaceable
from halfpixel.backends import cpu, eager
from halfpixel.cli import _options as option
from halfpixel.cli import _values
from halfpixel.cli._convert import method, usage

_LIBRARIES = ("numpy", "Pillow", "tifffile", "imagecodecs", "matplotlib", "torch")
_JSON = Annotated[bool, typer.Option("--json", help="As one JSON object.")]


def info(json: _JSON = False) -> None:
    """Version, backends and why each that cannot run cannot, instruction sets, threads, libraries."""
    found = facts()
    if json:
        sys.stdout.write(json_lines.dumps(found, ensure_ascii=False) + "\n")
        return
    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="bold")
    drawn.add_column()
    drawn.add_row("halfpixel", found["version"])
    drawn.add_row("Python", f"{found['python']} on {found['platform']}")
    for name, reason in found["backends"].items():
        state = f"[red]cannot run:[/] {reason}" if reason else "[green]ready[/]"
        drawn.add_row(f"backend {name}", state + (", [bold]chosen[/]" if name == found["chosen"] else ""))
    other = found["other_devices"]
    state = (
        f"{other['backend']}, since {other['reason']}" if other["backend"] else f"[red]cannot run:[/] {other['reason']}"
    )
    drawn.add_row("tensors elsewhere", state)
    names = ", ".join(name for name in found["accelerates"] if not name.endswith("_backward"))
    drawn.add_row("accelerate()", f"replaces, with their gradients, aten's {names}" if names else "[dim]nothing[/]")
    sets = found["instruction_sets"]
    if sets["usable"]:
        drawn.add_row("instruction set", f"{sets['chosen']} of {', '.join(sets['usable'])}")
    drawn.add_row("threads", str(found["threads"]))
    for name, version in found["libraries"].items():
        drawn.add_row(name, version or "[dim]not installed[/]")
    Console(highlight=False, soft_wrap=True).print(drawn)


def facts() -> dict[str, Any]:
    """What `info` says, as plain values."""
    native = None if cpu.why_not() else cpu.native()
    return {
        "version": halfpixel.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "backends": {name: backends.why_not(name) for name in backends.BACKENDS},
        "chosen": backends.choose(),
        "other_devices": _other_devices(),
        "accelerates": list(replaceable()),
        "instruction_sets": {
            "chosen": native.isa() if native else None,
            "usable": list(native.isas()) if native else [],
        },
        "threads": halfpixel.get_num_threads(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def _other_devices() -> dict[str, str | None]:
    """Who resamples tensors that are not on the CPU, and why not the kernels; no backend: why none."""
    reason = eager.why_not()
    return {"backend": None if reason else eager.name, "reason": reason or cpu.why_not(device="other devices")}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def explain(
    picture: Annotated[str, typer.Argument(metavar="FILE|WxH", help="An image file, or a size.")],
    scale: option.Scale = None,
    size: option.Size = None,
    filter: option.FilterName = None,
    like: option.Like = None,
    grid: option.GridName = None,
    edge: option.EdgeName = None,
    no_antialias: option.NoAntialias = False,
    at: Annotated[str | None, typer.Option(metavar="X,Y", help="An output pixel. Default: the middle one.")] = None,
    json: _JSON = False,
) -> None:
    """Which pixels an output pixel is made of, with which weights, in which arithmetic, by which backend."""
    if (scale is None) == (size is None):
        raise typer.BadParameter("say --scale or --size, one of them")
    shape, dtype = _subject(picture)
    how = {"scale": (scale, scale)} if size is None else {"size": size[::-1]}
    with usage():
        index = _values.pair(at)[::-1] if at else None
        found = halfpixel.explain(
            shape, index=index, dtype=dtype, **how, **method(filter, like, grid, edge, no_antialias)
        )
    if json:
        sys.stdout.write(json_lines.dumps(found.to_dict(), ensure_ascii=False) + "\n")
    else:
        Console(highlight=False, soft_wrap=True, markup=False).print(str(found))


def _subject(picture: str) -> tuple[tuple[int, int], np.dtype]:
    """(height, width) and sample type of what is to be explained."""
    if not os.path.exists(picture):
        width, height = _values.box(picture)
        return (height, width), np.dtype(np.float32)
    from halfpixel import io

    try:
        header = io.header(Path(picture))
    except io.ImageFileError as error:
        typer.echo(f"halfpixel: {error}", err=True)
        raise typer.Exit(1) from None
    return header.size, header.dtype
