# SPDX-License-Identifier: MIT
"""From what lies in a folder to arrays of 8 bits; what cannot be used is named and left out."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

import halfpixel
from halfpixel import filters, io, presets
from halfpixel.errors import HalfpixelValueError
from halfpixel.io import formats

Array = npt.NDArray[Any]
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")

_STL10 = (3, 96, 96)


class SkippedFileWarning(UserWarning):
    """A file that training leaves out, and why."""


def skip(why: object) -> None:
    """Say that a file is left out."""
    warnings.warn(" ".join(str(why).split()), SkippedFileWarning, stacklevel=3)


def list_images(folder: Path) -> list[Path]:
    """Files below a folder whose suffix names an image format, hidden ones left out, in the order of their names.

    Raises: ValueError where there are none.
    """
    if not folder.exists():
        raise HalfpixelValueError(f"{folder} does not exist", "a folder of images")
    if folder.is_file():
        return [folder]
    found = [p for p in folder.rglob("*") if formats.of_suffix(p.suffix) and p.is_file() and not _hidden(p, folder)]
    if not found:
        raise HalfpixelValueError(f"{folder} holds no images", f"files of the formats {', '.join(formats.TABLE)}")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def read_rgb(path: Path) -> Array:
    """A picture as RGB of 8 bits, (height, width, 3): gray is repeated, alpha dropped, more bits rounded.

    Raises: ImageFileError, also for pictures that are not gray or RGB.
    """
    picture = io.read(path)
    name = picture.kind.partition("+")[0]
    if name not in ("gray", "rgb", "rgba") or picture.kind.endswith("bands"):
        raise io.ImageFileError(f"it is {picture.kind}, not gray or RGB", "converting it").in_call(str(path))
    pixels = bytes_of(picture.pixels.reshape(*picture.size, -1))
    colours = pixels[..., :1] if name == "gray" else pixels[..., :3]
    return np.ascontiguousarray(np.broadcast_to(colours, (*picture.size, 3)))


def bytes_of(pixels: Array) -> Array:
    """Samples as 8 bits: integers keep their share of full scale, floats are taken as 0 ... 1."""
    if pixels.dtype == np.uint8:
        return pixels
    full = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    share = np.nan_to_num(pixels.astype(np.float64)) / full
    return np.floor(np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


def readable(items: Sequence[Item], load: Callable[[Item], Loaded], where: object) -> list[tuple[Item, Loaded]]:
    """Every item with what it loads as, in order; those that fail are named in a warning each and left out.

    Raises: ValueError where none is left.
    """

    def tried(item: Item) -> Loaded | HalfpixelValueError:
        try:
            return load(item)
        except HalfpixelValueError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        results = list(threads.map(tried, items))
    left: list[tuple[Item, Loaded]] = []
    for item, result in zip(items, results, strict=True):
        if isinstance(result, HalfpixelValueError):
            skip(f"left out of training: {result}")
        else:
            left.append((item, result))
    if not left:
        first = next(r for r in results if isinstance(r, HalfpixelValueError))
        raise HalfpixelValueError(f"none of the {len(items)} pictures of {where} can be used; the first: {first}")
    return left


def shrink(pixels: Array, scale: int, method: str) -> Array:
    """A picture `scale` times smaller, by a preset ("matlab.bicubic") or an antialiased filter ("lanczos3").

    Raises: ValueError for unknown names.
    Example:
        >>> shrink(np.zeros((8, 6, 3), np.uint8), 2, "matlab.bicubic").shape
        (4, 3, 3)
    """
    return halfpixel.resize_image(pixels, (pixels.shape[0] // scale, pixels.shape[1] // scale), **recipe(method))


def recipe(method: str) -> dict[str, str]:
    """The arguments of `halfpixel.resize` that a preset's or a filter's name stands for. Raises: ValueError."""
    if method.partition("(")[0] in presets.TABLE or "." in method.partition("(")[0]:
        presets.get(method)
        return {"like": method}
    filters.get(method)
    return {"filter": method}


def stl10(path: Path) -> Array:
    """The pictures of one of STL10's binary files, mapped and not read: (pictures, 96, 96, 3).

    **Convention:** the file holds uint8 (pictures, channels, columns, rows).
    Source: https://cs.stanford.edu/~acoates/stl10
    Raises: ValueError where the file's length is not that of whole pictures.
    """
    size, one = path.stat().st_size, int(np.prod(_STL10))
    if not size or size % one:
        raise HalfpixelValueError(f"{path} has {size} bytes, no multiple of the {one} of an STL10 picture")
    return np.memmap(path, np.uint8, "r").reshape(-1, *_STL10).transpose(0, 3, 2, 1)


def numbered(pictures: Array, name: str) -> Iterable[tuple[str, Array]]:
    """Pictures of one file by names of their own."""
    return ((f"{name}[{index}]", picture) for index, picture in enumerate(pictures))


def stem(path: Path) -> str:
    """What the files of one picture share: their name without what tells them apart (x2, _SRF_2_HR, _LR, ...)."""
    return re.sub(r"(_SRF_\d+)?_(HR|LR|GT)$|_?x\d+$|_LRBI_x\d+$", "", path.stem, flags=re.IGNORECASE)
