# SPDX-License-Identifier: MIT
"""`show`: a filter or preset as text and as a picture."""

from __future__ import annotations

import io as bytes_io
import json as json_lines
import sys
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from halfpixel import filters
from halfpixel.cli import _options as option
from halfpixel.cli import _tables, _values
from halfpixel.cli._braille import chart
from halfpixel.cli._convert import method, usage
from halfpixel.cli._curves import Curves, curves, decibels

_FLOOR = -60.0


def show(
    name: Annotated[str, typer.Argument(metavar="FILTER", help="A filter, such as lanczos3, or a preset.")],
    edge: option.EdgeName = None,
    scale: Annotated[
        Fraction | None,
        typer.Option(parser=_values.scale, metavar="2", help="Of the weights near an edge. Default: 2."),
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Draw a picture here.")] = None,
    overwrite: option.Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Kernel, frequency response and the weights near an edge."""
    is_preset = _tables.is_preset(name)
    with usage():
        entry = _tables.preset(name) if is_preset else filters.get(name)
        chosen = method(None, name, None, edge) if is_preset else method(name, None, None, edge)
        found = curves(chosen, Fraction(2) if scale is None else scale)
    about: dict[str, Any] = {
        column: getattr(entry, column, None) for column in _tables.columns("presets" if is_preset else "filters")
    }
    if output is not None:
        _save(name, about["summary"], found, output, overwrite)
    if json:
        sys.stdout.write(json_lines.dumps({**about, "name": name, **found.to_dict()}, ensure_ascii=False) + "\n")
    else:
        _print(name, about, found)


def _print(name: str, about: dict[str, Any], found: Curves) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{name}[/]" + f"  {escape(about['summary'])}  [dim]{escape(about['source'])}[/]")
    shown = abs(found.x) <= found.reach + 0.5
    low, high = min(float(found.kernel.min()), 0.0), float(found.kernel.max())
    console.print(f"\n[bold]kernel[/]  reach {found.reach:g} pixels, a step overshoots by {found.overshoot:.1%}")
    _draw(console, found.kernel[shown], low, high, f"{high:.2f}", f"{low:.2f}")
    console.print(_axis(f"{-found.reach - 0.5:g}", "0", f"{found.reach + 0.5:g} pixels"), style="dim")
    detail = ", ".join(f"{found.at(f):.1f} dB at {f:g}" for f in (0.25, 0.5))
    console.print(f"\n[bold]frequency response[/]  {detail}; images up to {found.images:.0f} dB")
    _draw(console, decibels(found.gain), _FLOOR, 6.0, "6 dB", f"{_FLOOR:g}")
    console.print(_axis("0", "1", "2 cycles per pixel"), style="dim")
    console.print(f"\n[bold]weights near an edge[/]  enlarging by {found.scale}: rows are outputs, columns inputs")
    console.print(_weights(found))


def _draw(console: Console, values: Any, low: float, high: float, top: str, bottom: str) -> None:
    lines = chart(values, low, high)
    for index, line in enumerate(lines):
        label = top if index == 0 else bottom if index == len(lines) - 1 else ""
        console.print(Text.assemble((f"{label:>7} ", "dim"), (line, "cyan")))


def _axis(left: str, middle: str, right: str) -> str:
    half = 30 - len(left) - len(middle) // 2
    return " " * 8 + left + " " * half + middle + " " * (30 - len(right) + len(right.partition(" ")[2]) - 1) + right


def _weights(found: Curves) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    drawn.add_column("", justify="right", style="dim")
    for column in range(found.weight.shape[1]):
        drawn.add_column(str(column), justify="right", no_wrap=True, min_width=7)
    for output, row in enumerate(found.weight):
        cells = [f"{value:.4f}" if abs(value) > 5e-5 else "[dim]·[/]" for value in row]
        drawn.add_row(str(output), *(f"[red]{cell}[/]" if cell.startswith("-") else cell for cell in cells))
    return drawn


def _save(name: str, summary: str, found: Curves, output: str, overwrite: bool) -> None:
    from halfpixel import io

    try:
        from halfpixel.cli._plot import drawn
    except ModuleNotFoundError as error:
        typer.echo(f'halfpixel: a picture needs {error.name}: pip install "halfpixel[plot]"', err=True)
        raise typer.Exit(2) from None
    content = bytes_io.BytesIO()
    with usage():
        drawn(name, summary, found, content, Path(output).suffix.lower().lstrip(".") or "png")
        with io.atomic_write(output, overwrite=overwrite) as file:
            file.write(content.getvalue())
