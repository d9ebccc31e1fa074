# SPDX-License-Identifier: MIT
"""From what was named to (input, output) pairs; every clash is found before anything is written."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import typer

from halfpixel.io import formats

STDIO = "-"


@dataclass(frozen=True)
class Pair:
    """One input and where its result goes; ``problem`` where there is nothing to read."""

    source: str
    target: str
    problem: str | None = None


@dataclass(frozen=True)
class Found:
    """An input, and its place below the output folder."""

    source: str
    place: PurePath
    problem: str | None = None


def pairs(inputs: Sequence[str], output: str | None, suffix: str, format: str | None) -> list[Pair]:
    """Inputs expanded and paired with outputs.

    **Convention:** folders are searched recursively, for files with a known suffix, hidden ones left out, and their
    tree is kept below the output folder; a glob keeps what lies below its first wildcard. Without an output, ``suffix``
    puts the result beside its input.
    Raises: typer.BadParameter where two inputs would be written to one file, or an input by another's output.
    """
    found = list(expanded(inputs, output))
    targets = _targets(found, inputs, output, suffix, format)
    made = [Pair(one.source, target, one.problem) for one, target in zip(found, targets, strict=True)]
    _check_clashes(made)
    return made


def existing(made: Iterable[Pair]) -> list[Pair]:
    """The pairs whose output is there already."""
    return [pair for pair in made if pair.target != STDIO and not pair.problem and os.path.lexists(pair.target)]


def expanded(inputs: Sequence[str], output: str | None = None) -> Iterator[Found]:
    """The files that are meant; below a folder, those of ``output`` are left out."""
    for text in inputs:
        if text == STDIO:
            yield Found(STDIO, PurePath("stdin"))
        elif os.path.isdir(text):
            yield from _in_folder(text, output)
        elif glob.has_magic(text) and not os.path.exists(text):
            yield from _in_glob(text)
        else:
            yield Found(text, PurePath(Path(text).name))


def _in_folder(folder: str, output: str | None) -> Iterator[Found]:
    skipped = os.path.realpath(output) if output and os.path.isdir(output) else None
    count = 0
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(where, name)) != skipped
        )
        for name in sorted(files):
            if not name.startswith(".") and formats.of_suffix(Path(name).suffix):
                count += 1
                path = os.path.join(where, name)
                yield Found(path, PurePath(os.path.relpath(path, folder)))
    if not count:
        yield Found(folder, PurePath("nothing"), "it holds no image file")


def _in_glob(pattern: str) -> Iterator[Found]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = os.path.join(*parts[:fixed]) if fixed else ""
    files = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
    for path in files:
        yield Found(path, PurePath(os.path.relpath(path, root or os.curdir)))
    if not files:
        yield Found(pattern, PurePath("nothing"), "no file matches")


def _targets(
    found: Sequence[Found], inputs: Sequence[str], output: str | None, suffix: str, format: str | None
) -> list[str]:
    if output is None:
        if not suffix:
            raise typer.BadParameter("say where: -o FILE or FOLDER, or --suffix _x2 to write beside the input")
        if any(one.source == STDIO for one in found):
            raise typer.BadParameter("standard input has no name to put a suffix to: -o FILE")
        return [str(Path(one.source).with_name(_named(Path(one.source), suffix, format))) for one in found]
    if not _is_folder(found, inputs, output):
        if suffix:
            raise typer.BadParameter("--suffix is for a folder of outputs; -o names one file")
        _check_file(output, format)
        return [output]
    if os.path.exists(output) and not os.path.isdir(output):
        raise typer.BadParameter(f"{output} is a file, and {len(found)} outputs need a folder")
    return [os.path.join(output, one.place.with_name(_named(one.place, suffix, format))) for one in found]


def _is_folder(found: Sequence[Found], inputs: Sequence[str], output: str) -> bool:
    if output == STDIO or any(one.source == STDIO for one in found):
        if len(found) > 1:
            raise typer.BadParameter("standard input and output hold one picture")
        return False
    several = len(found) > 1 or inputs[0] != found[0].source
    return several or os.path.isdir(output) or output.endswith(("/", os.sep))


def _check_file(output: str, format: str | None) -> None:
    named = formats.of_suffix(Path(output).suffix)
    if named is None and format is None and output != STDIO and Path(output).suffix:
        raise typer.BadParameter(f"{output}: no format has that suffix: {', '.join(formats.TABLE)}")
    if named is not None and format is not None and named != format:
        raise typer.BadParameter(f"{output} is named as {named}, and --format says {format}")


def _named(place: PurePath, suffix: str, format: str | None) -> str:
    """The output's name: the input's, with the suffix, and the format's extension where that changes."""
    kept = format is None or formats.of_suffix(place.suffix) == format
    return place.stem + suffix + (place.suffix if kept else formats.TABLE[format or ""].suffixes[0])


def _check_clashes(made: Sequence[Pair]) -> None:
    where: dict[str, str] = {}
    sources = {os.path.realpath(pair.source): pair.source for pair in made if pair.source != STDIO}
    for pair in made:
        if pair.target == STDIO or pair.problem:
            continue
        key = os.path.normcase(os.path.realpath(pair.target))
        if key in where:
            raise typer.BadParameter(f"{where[key]} and {pair.source} would both be written to {pair.target}")
        if sources.get(key, pair.source) != pair.source:
            raise typer.BadParameter(f"{pair.source} would be written to {pair.target}, which is an input as well")
        where[key] = pair.source
