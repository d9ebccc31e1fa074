# SPDX-License-Identifier: MIT
"""`compare`: every method side by side, as a picture, a table, JSON or CSV."""

from __future__ import annotations

import csv as csv_rows
import json as json_lines
import sys
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

import halfpixel
from halfpixel.cli import _options as option
from halfpixel.cli import _values
from halfpixel.cli._convert import usage

_MOST_PIXELS = 1 << 22
_FIELDS = ("name", "psnr", "ssim", "milliseconds")


def compare(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="An image file.")],
    scale: Annotated[
        Fraction | None,
        typer.Option(
            parser=_values.scale,
            metavar="4",
            help="Shrink by this, enlarge back by this. Default: 4, or what the network enlarges.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Draw a picture here.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="A filter or preset; may be repeated. Default: all."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME|FILE", help="A network beside the methods; may be repeated."),
    ] = None,
    overwrite: option.Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per method, then a summary.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV on standard output.")] = False,
) -> None:
    """Shrink a picture, enlarge it back by every method, and measure each against the original."""
    from halfpixel.cli import _methods, _networks

    if json and csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if output is not None and Path(output).exists() and not overwrite:
        raise typer.BadParameter(f"{output}: there already; --overwrite replaces it")
    original, notes = _subject(photo)
    with usage():
        networks = {name: _networks.opened(name) for name in model or []}
        ratio = _networks.common_scale(networks.values()) if scale is None else scale
        chosen = {**networks, **_methods.methods(only or [])}
        unit = int(ratio) if networks and ratio.denominator == 1 else 1
        original, cut = _whole_blocks(original, unit)
        notes += cut
        small = _methods.shrunk(original, ratio)
        if original.shape[0] * original.shape[1] > _MOST_PIXELS:
            original, note = _part(original, small, unit)
            small, notes = _methods.shrunk(original, ratio), [*notes, note]
        console = Console(stderr=True)
        trials = _methods.tried(original, small, chosen)
        shown = track(trials, "compare", len(chosen), console=console, transient=True, disable=not console.is_terminal)
        results = sorted(shown, key=lambda one: -one.psnr)
    sizes = {"size": [*original.shape[1::-1]], "small": [*small.shape[1::-1]]}
    if output is not None:
        _draw(photo, ratio, original, small, results, output, overwrite)
    if json:
        for one in results:
            _line(one.to_dict())
        summary = {"photo": photo, "scale": str(ratio), **sizes, "picture": output, "notes": notes}
        _line({"event": "summary", "schema": 1, "verb": "compare", **summary})
    elif csv:
        rows = csv_rows.DictWriter(sys.stdout, _FIELDS, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows(one.to_dict() for one in results)
    else:
        _print(results, sizes, output, notes)


def _subject(photo: str) -> tuple[npt.NDArray, list[str]]:
    """The pixels to compare on: gray or RGB, transparency left out."""
    from halfpixel import io
    from halfpixel.cli._subjects import subject

    try:
        return subject(photo)
    except io.ImageFileError as error:
        typer.echo(f"halfpixel: {error}", err=True)
        raise typer.Exit(1) from None


def _whole_blocks(original: npt.NDArray, unit: int) -> tuple[npt.NDArray, list[str]]:
    """The picture without what a network's output could not cover, and the note about it."""
    height, width = (n - n % unit for n in original.shape[:2])
    if (height, width) == original.shape[:2] or 0 in (height, width):
        return original, []
    return original[:height, :width].copy(), [f"cut to {width} x {height} pixels, which {unit} divides"]


def _part(original: npt.NDArray, small: npt.NDArray, unit: int) -> tuple[npt.NDArray, str]:
    from halfpixel.cli import _methods

    height, width = original.shape[:2]
    ratio = (_MOST_PIXELS / (height * width)) ** 0.5
    part = int(height * ratio) // unit * unit, int(width * ratio) // unit * unit
    smooth = halfpixel.resize_image(small, (height, width), filter="cubic")
    where = _methods.most_detailed(original, smooth, *part)
    corner = f"{where[1].start},{where[0].start}"
    note = f"compared on its most detailed {part[1]} x {part[0]} pixels, from {corner} on"
    return original[where].copy(), note


def _draw(
    photo: str, scale: Fraction, original: npt.NDArray, small: npt.NDArray, results: list[Any], output: str,
    overwrite: bool,
) -> None:  # fmt: skip
    from halfpixel import io
    from halfpixel.cli import _methods, _sheet

    size = original.shape[:2]
    smooth, nearest = (halfpixel.resize_image(small, size, filter=name) for name in ("cubic", "nearest"))
    where = _methods.most_detailed(original, smooth, *_sheet.window(size, float(scale)))
    subtitle = (
        f"{size[1]} x {size[0]} shrunk to {small.shape[1]} x {small.shape[0]} ({_methods.SHRINK}, antialiased), then "
        "enlarged back: PSNR and structural similarity against the original, time of one call; best first"
    )
    page = _sheet.sheet(f"{Path(photo).name}, enlarged {scale} times", subtitle, original, nearest, results, where)
    with usage():
        io.write(io.Picture(np.asarray(page), "rgb"), output, overwrite=overwrite)


def _print(results: list[Any], sizes: dict[str, list[int]], output: str | None, notes: list[str]) -> None:
    console = Console(highlight=False)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    drawn.add_column("method", style="cyan", no_wrap=True)
    for column in ("PSNR, dB", "SSIM", "ms"):
        drawn.add_column(column, justify="right", no_wrap=True)
    best = {field: max(getattr(one, field) for one in results) for field in ("psnr", "ssim")}
    best["milliseconds"] = min(one.milliseconds for one in results)
    for one in results:
        cells = ((one.psnr, "psnr", ".2f"), (one.ssim, "ssim", ".4f"), (one.milliseconds, "milliseconds", ".2f"))
        drawn.add_row(one.name, *(f"[bold green]{v:{f}}[/]" if v == best[k] else f"{v:{f}}" for v, k, f in cells))
    (width, height), (small_width, small_height) = sizes["size"], sizes["small"]
    console.print(f"[bold]{width} × {height}[/] shrunk to {small_width} × {small_height}, then enlarged back\n")
    console.print(drawn)
    for note in notes:
        console.print(f"[yellow]note:[/] {note}")
    if output is not None:
        console.print(f"\npicture: {output}", soft_wrap=True)


def _line(values: dict[str, Any]) -> None:
    sys.stdout.write(json_lines.dumps(values, ensure_ascii=False) + "\n")
