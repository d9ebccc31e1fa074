# SPDX-License-Identifier: MIT
"""The verbs."""

from __future__ import annotations

from typing import Annotated

import typer

import halfpixel
from halfpixel.cli._audit import audit
from halfpixel.cli._compare import compare
from halfpixel.cli._convert import convert
from halfpixel.cli._eval import evaluate
from halfpixel.cli._info import explain, info
from halfpixel.cli._show import show
from halfpixel.cli._tables import list_tables
from halfpixel.cli._train import app as train

app = typer.Typer(
    name="halfpixel",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version(value: bool) -> None:
    if value:
        typer.echo(halfpixel.__version__)
        raise typer.Exit


@app.callback()
def program(
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Print it and exit.")] = False,
) -> None:
    """Images bigger and smaller, exact to a named convention."""


app.command("upscale", help="Make images bigger; twice as large unless a size is given.")(convert)
app.command("resize", help="Make images bigger or smaller.")(convert)
app.command("compare")(compare)
app.command("eval")(evaluate)
app.command("show")(show)
app.command("audit")(audit)
app.command("info")(info)
app.command("explain")(explain)
app.command("list")(list_tables)
app.add_typer(train)
