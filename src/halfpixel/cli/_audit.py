# SPDX-License-Identifier: MIT
"""`audit`: checkerboards, shifts, borders, overshoot of an upsampler or network, without data."""

from __future__ import annotations

import ast
import importlib
import inspect
import json as json_lines
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from halfpixel.cli._convert import usage
from halfpixel.cli._report import SCHEMA

_COLOURS = {"pass": "green", "warning": "yellow", "fail": "red", "not applicable": "dim"}


def audit(
    subject: Annotated[str, typer.Argument(metavar="MODULE:FACTORY", help="Such as my.models:make_upsampler.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="An argument of the factory; repeatable.")
    ] = None,
    in_channels: Annotated[int | None, typer.Option(min=1, help="Of the input. Default: found.")] = None,
    shape: Annotated[str | None, typer.Option(metavar="HxW", help="Sizes of the input. Default: found.")] = None,
    scale: Annotated[float | None, typer.Option(help="Output pixels per input pixel. Default: found.")] = None,
    plot: Annotated[str | None, typer.Option(metavar="FILE", help="Draw a picture here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Does an upsampler or a network make checkerboards, shift, change borders, overshoot? Needs no data."""
    try:
        from halfpixel import audit as audited
    except ModuleNotFoundError as error:
        typer.echo(f'halfpixel: an audit needs {error.name}: pip install "halfpixel[torch]"', err=True)
        raise typer.Exit(2) from None
    made = _made(subject, dict(map(_pair, option or ())))
    with usage():
        found = audited(made, in_channels=in_channels, shape=_sizes(shape), scale=scale)
        if plot is not None:
            found.plot(plot)
    if json:
        values = {"event": "audit", "schema": SCHEMA, **found.to_dict(), "subject": subject}
        sys.stdout.write(json_lines.dumps(values, ensure_ascii=False) + "\n")
    else:
        _print(subject, found)
    raise typer.Exit(0 if found.passed else 1)


def _print(subject: str, found: Any) -> None:
    console = Console(highlight=False, soft_wrap=True)
    sizes = " → ".join("×".join(map(str, each)) for each in (found.size_in, found.size_out))
    console.print(f"[bold]{subject}[/]  {found.in_channels} → {found.out_channels} channels, {sizes}")
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("verdict", "check", "number", "limit", ""):
        drawn.add_column(column, no_wrap=column != "")
    for check in found.checks:
        number = "" if check.number is None else f"{check.number:.3g}"
        verdict = f"[{_COLOURS[check.verdict]}]{check.verdict}[/]"
        drawn.add_row(verdict, check.name, number, f"{check.limit:.3g} {check.unit}".rstrip(), check.sentence)
    console.print(drawn)
    console.print(f"[bold]{found.verdict}[/]", markup=True)


def _made(subject: str, options: dict[str, Any]) -> Any:
    """The module or function: what the factory returns, or the name itself where it is the function or module."""
    name, colon, attribute = subject.partition(":")
    if not (name and colon and attribute):
        raise typer.BadParameter(f"{subject!r} is not MODULE:FACTORY, such as torch.nn:Upsample")
    sys.path.insert(0, os.getcwd())
    try:
        value = importlib.import_module(name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as error:
        raise typer.BadParameter(f"{subject!r} cannot be found: {error}") from None
    except Exception as error:  # of the module's own code
        raise typer.BadParameter(f"{name!r} cannot be imported: {_said(error)}") from None
    finally:
        sys.path.remove(os.getcwd())
    return _called(subject, value, options)


def _called(subject: str, value: Any, options: dict[str, Any]) -> Any:
    from halfpixel._audit._subject import built, is_module

    if is_module(value) or (not options and _takes_one(value)):
        if options:
            raise typer.BadParameter(f"{subject!r} is a module already and takes no --option")
        return value
    if not callable(value):
        raise typer.BadParameter(f"{subject!r} is no factory: a {type(value).__name__}")
    try:
        return built(value, options)
    except Exception as error:  # of the factory's own code
        raise typer.BadParameter(f"{subject!r} with {options} failed: {_said(error)}") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _takes_one(value: Any) -> bool:
    """Whether it is the function of a tensor itself: one argument has to be given."""
    if isinstance(value, type) or not callable(value):
        return False
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) == 1


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise typer.BadParameter(f"--option {text!r} is not KEY=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) for part in parts) or len(parts) > 3:
        raise typer.BadParameter(f"--shape {text!r} is not HxW, or D x H x W, or N")
    return tuple(map(int, parts))
