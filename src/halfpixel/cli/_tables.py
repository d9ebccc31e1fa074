# SPDX-License-Identifier: MIT
"""`list`: the tables themselves."""

from __future__ import annotations

import importlib
import json as json_lines
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

_HOME = {
    "filters": "halfpixel.filters",
    "grids": "halfpixel.grids",
    "edges": "halfpixel.edges",
    "presets": "halfpixel.presets",
    "formats": "halfpixel.io.formats",
    "protocols": "halfpixel.metrics.protocols",
    "models": "halfpixel.cli._networks",
}


def table(name: str) -> Mapping[str, Any]:
    """A table by its name; its home is imported only now."""
    if name == "models":
        return importlib.import_module(_HOME[name]).table()
    return importlib.import_module(_HOME[name]).TABLE


def preset(name: str) -> Any:
    """A preset by name. Raises: ValueError, with the nearest known ones."""
    return importlib.import_module(_HOME["presets"]).get(name)


def is_preset(name: str) -> bool:
    """Whether a name, or the call that it is, means a preset."""
    return name.partition("(")[0] in table("presets")


def columns(name: str) -> tuple[str, ...]:
    """What is shown of a row beside its name."""
    return {
        "filters": ("support", "summary", "source"),
        "formats": ("suffixes", "depths", "holds", "unavailable"),
        "models": ("scale", "summary", "card"),
    }.get(name, ("summary", "source"))


def row(name: str, key: str) -> dict[str, Any]:
    """One row as plain values."""
    entry = table(name)[key]
    if name == "formats":
        return {
            "name": key,
            "suffixes": list(entry.suffixes),
            "depths": {kind: list(dtypes) for kind, dtypes in entry.writes.items()},
            "holds": sorted(entry.holds),
            "unavailable": entry.why_not(),
        }
    return {"name": key, **{column: getattr(entry, column, None) for column in columns(name)}}


def list_tables(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[filters|grids|edges|presets|formats|protocols|models]...")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per row.")] = False,
) -> None:
    """The tables: filters, grids, edges, presets, file formats, protocols of measuring, networks with weights."""
    for name in which or _HOME:
        if name not in _HOME:
            raise typer.BadParameter(f"{name!r} is no table: {', '.join(_HOME)} are")
    for name in which or _HOME:
        rows = [row(name, key) for key in table(name)]
        if json:
            for one in rows:
                sys.stdout.write(json_lines.dumps({"table": name, **one}, ensure_ascii=False) + "\n")
        elif rows:
            Console(highlight=False).print(_drawn(name, rows))
        elif which:
            typer.echo(f"{name}: none here", err=True)


def _drawn(name: str, rows: list[dict[str, Any]]) -> Table:
    drawn = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown = [column for column in columns(name) if any(one[column] not in (None, "") for one in rows)]
    drawn.add_column("name", style="cyan", no_wrap=True)
    for column in shown:
        drawn.add_column(column, justify="right" if column == "support" else "left", overflow="fold")
    for one in rows:
        drawn.add_row(one["name"], *(_cell(one[column]) for column in shown))
    return drawn


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(value)
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
