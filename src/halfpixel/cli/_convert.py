# SPDX-License-Identifier: MIT
"""`upscale` and `resize`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import typer

from halfpixel import edges, filters, grids
from halfpixel.cli import _options as option
from halfpixel.cli import _tables
from halfpixel.errors import HalfpixelError, HalfpixelValueError


def convert(
    ctx: typer.Context,
    inputs: option.Inputs,
    output: option.Output = None,
    scale: option.Scale = None,
    size: option.Size = None,
    width: option.Width = None,
    height: option.Height = None,
    fit: option.Fit = None,
    megapixels: option.Megapixels = None,
    filter: option.FilterName = None,
    like: option.Like = None,
    model: option.Model = None,
    tile: option.Tile = None,
    device: option.Device = None,
    grid: option.GridName = None,
    edge: option.EdgeName = None,
    no_antialias: option.NoAntialias = False,
    linear_light: option.LinearLight = False,
    suffix: option.Suffix = "",
    format: option.FormatName = None,
    quality: option.Quality = None,
    lossless: option.Lossless = False,
    depth: option.Depth = None,
    background: option.Background = None,
    overwrite: option.Overwrite = False,
    skip_existing: option.SkipExisting = False,
    jobs: option.Jobs = None,
    max_memory: option.MaxMemory = None,
    max_pixels: option.MaxPixels = None,
    dry_run: option.DryRun = False,
    json: option.Json = False,
    quiet: option.Quiet = False,
) -> None:
    from halfpixel import io
    from halfpixel.cli import _networks, _paths, _run
    from halfpixel.cli._report import Report

    verb = ctx.info_name or ""
    sizes = (scale, size, width, height, fit, megapixels)
    with usage():
        network = _networks.asked(model, tile, device, max_memory)
        if verb == "upscale" and all(one is None for one in sizes):
            scale = Fraction(2 if network is None else network.scale)
        if network is not None:
            _networks.check(network, scale, linear_light, filter or like or grid or edge or no_antialias)
    if overwrite and skip_existing:
        raise typer.BadParameter("--overwrite and --skip-existing exclude each other")
    if json and output == _paths.STDIO:
        raise typer.BadParameter("--json and -o - both write to standard output")
    if depth is not None and depth not in io.formats.DEPTHS:
        raise typer.BadParameter(f"--depth is one of {', '.join(io.formats.DEPTHS)}")
    with usage():
        format = io.formats.get(format)[0] if format else None
        settings = io.Settings(
            size=io.SizeRule(scale, size, width, height, fit, megapixels),
            method=method(filter, like, grid, edge, no_antialias),
            format=format,
            quality=quality,
            lossless=lossless,
            depth=depth,
            background=background,
            linear_light=linear_light,
            limits=io.Limits(max_memory, max_pixels),
            overwrite=overwrite,
            shrinks=verb != "upscale",
            network=network,
        )
    made = _paths.pairs(inputs, output, suffix, format)
    there = _paths.existing(made)
    if there and not (overwrite or skip_existing):
        raise typer.BadParameter(_there_already([pair.target for pair in there]))
    warnings.simplefilter("ignore")  # codecs warn about tags; what matters is said in notes
    skipped = {pair.target for pair in there} if skip_existing else set()
    report = Report(verb, json, quiet, resumes="; --skip-existing goes on from here")
    status = _run.run(made, skipped, settings, jobs or default_jobs(), dry_run, report)
    raise typer.Exit(status)


@contextmanager
def usage() -> Iterator[None]:
    """What the package refuses in a call is, on the command line, a wrong use: exit status 2."""
    try:
        yield
    except HalfpixelError as error:
        works = f" (what would work: {error.works})" if error.works else ""
        raise typer.BadParameter(error.why + works) from error


def method(
    filter: str | None, like: str | None, grid: str | None, edge: str | None, no_antialias: bool = False
) -> dict[str, Any]:
    """The arguments of `halfpixel.plan` that choose the arithmetic, every name looked up already."""
    chosen = {"filter": filter, "grid": grid, "edge": edge, "antialias": False if no_antialias else None}
    given = {name: value for name, value in chosen.items() if value is not None}
    if like is not None:
        if given:
            raise HalfpixelValueError(f"--like {like} replaces {', '.join(given)}", "--like alone, or the others alone")
        _tables.preset(like)
        return {"like": like}
    filters.get(filter or option.DEFAULT_FILTER)
    grids.get(grid or "half_pixel")
    edges.get(edge or "crop")
    return {"filter": option.DEFAULT_FILTER, **given}


def default_jobs() -> int:
    """Files at a time: a few, as the kernels have threads of their own while codecs have not."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _there_already(targets: list[str]) -> str:
    shown = ", ".join(targets[:3]) + (f" and {len(targets) - 3} more" if len(targets) > 3 else "")
    return f"{shown}: there already; --overwrite replaces, --skip-existing goes on with the rest"
