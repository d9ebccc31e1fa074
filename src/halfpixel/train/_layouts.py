# SPDX-License-Identifier: MIT
"""Where the data sets of super-resolution keep their pictures. A new layout is one row of `LAYOUTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from halfpixel.errors import HalfpixelValueError
from halfpixel.train._pictures import list_images, skip, stem


@dataclass(frozen=True)
class Pair:
    """A picture and, where the data set has one, its small version."""

    high: Path
    low: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A way of laying out folders: `find(root, scale, part)` gives its pairs, or None where the folder is not like it.

    `part` is "train" or "valid"; layouts without parts give all that they have for both.
    """

    name: str
    example: str
    find: Callable[[Path, int, str], list[Pair] | None]


def _div2k(root: Path, scale: int, part: str) -> list[Pair] | None:
    high = root / f"DIV2K_{part}_HR"
    if not high.is_dir():
        return None
    low = root / f"DIV2K_{part}_LR_bicubic" / f"X{scale}"
    return matched(list_images(high), list_images(low) if low.is_dir() else None)


def _benchmark(root: Path, scale: int, part: str) -> list[Pair] | None:
    high = next((root / name for name in ("HR", "GTmod12", "original") if (root / name).is_dir()), None)
    if high is None:
        return None
    low = root / "LR_bicubic" / f"X{scale}"
    return matched(list_images(high), list_images(low) if low.is_dir() else None)


def _mixed(root: Path, scale: int, part: str) -> list[Pair] | None:
    folder = root / f"image_SRF_{scale}"
    if not folder.is_dir():
        return None
    files = list_images(folder)
    high = [path for path in files if path.stem.endswith(f"_SRF_{scale}_HR")]
    low = [path for path in files if path.stem.endswith(f"_SRF_{scale}_LR")]
    return matched(high, low or None) if high else None


def _folder(root: Path, scale: int, part: str) -> list[Pair] | None:
    return [Pair(path) for path in list_images(root)]


LAYOUTS: tuple[Layout, ...] = (
    Layout("DIV2K", "DIV2K_train_HR/0001.png, DIV2K_train_LR_bicubic/X2/0001x2.png, DIV2K_valid_HR/0801.png", _div2k),
    Layout("Set5, Set14, B100, Urban100 in one folder", "image_SRF_2/img_001_SRF_2_HR.png", _mixed),
    Layout("Set5, Set14, B100, Urban100 in two folders", "HR/baby.png, LR_bicubic/X2/babyx2.png", _benchmark),
    Layout("any folder", "holiday/beach.jpg", _folder),
)


def find_pairs(root: Path, scale: int, part: str, low: Path | None = None) -> list[Pair]:
    """The pictures below a folder with their small versions, by the first layout that fits.

    Arguments: root: the folder. part: "train" or "valid". low: a folder of small versions, by the same names.
    Raises: ValueError where there are no pictures.
    """
    if low is not None:
        return matched(list_images(root), list_images(low))
    for layout in LAYOUTS:
        if (found := layout.find(root, scale, part)) is not None:
            return found
    raise HalfpixelValueError(f"{root} has no known layout")  # the last row takes any folder


def matched(high: list[Path], low: list[Path] | None) -> list[Pair]:
    """Pictures with the small versions of the same stem; one that has none is named and left out.

    Raises: ValueError where none matches.
    """
    if low is None:
        return [Pair(path) for path in high]
    small = {stem(path): path for path in low}
    pairs = [Pair(path, small.get(stem(path))) for path in high]
    for pair in pairs:
        if pair.low is None:
            skip(f"left out of training: {pair.high}: {low[0].parent} holds no small version of it")
    if all(pair.low is None for pair in pairs):
        example = f"{high[0].stem}x2{high[0].suffix} for {high[0].name}"
        raise HalfpixelValueError(f"no picture of {high[0].parent} has a small version in {low[0].parent}", example)
    return [pair for pair in pairs if pair.low is not None]
