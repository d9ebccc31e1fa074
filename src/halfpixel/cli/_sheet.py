# SPDX-License-Identifier: MIT
"""The picture that `compare` makes: the same detail by every method, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from halfpixel.cli._methods import Result
from halfpixel.io._picture import full_scale

_CELL, _GAP, _MARGIN, _CAPTION, _HEAD = 240, 20, 40, 52, 118
_PAPER, _INK, _QUIET, _ACCENT = "#fbfbfa", "#1b1f24", "#6b7380", "#c2410c"


@dataclass(frozen=True)
class Cell:
    """One square of the sheet: pixels already enlarged, a name, and a line below it."""

    pixels: npt.NDArray
    name: str
    below: str
    accent: bool = False


def window(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) of the detail that is shown: some thirty input pixels, enlarged by a whole number."""
    zoom = max(2, round(_CELL / (30 * scale)))
    side = _CELL // zoom
    return min(side, size[0]), min(side, size[1])


def sheet(
    title: str, subtitle: str, original: npt.NDArray, nearest: npt.NDArray, results: Sequence[Result],
    where: tuple[slice, slice],
) -> Image.Image:  # fmt: skip
    """Draw it. ``nearest`` is the small picture in blocks; results that are equal share a cell."""
    cells = [
        Cell(_framed(original, where), "the picture", f"{original.shape[1]} x {original.shape[0]} pixels"),
        Cell(_enlarged(original[where]), "original", "what was there"),
        Cell(_enlarged(nearest[where]), "input", "what every method is given"),
        *_ranked(results, where),
    ]
    columns = _columns(len(cells))
    rows = -(-len(cells) // columns)
    width = 2 * _MARGIN + columns * (_CELL + _GAP) - _GAP
    height = _HEAD + rows * (_CELL + _CAPTION + _GAP) + _MARGIN - _GAP
    page = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 34), title, _INK, _font(28))
    draw.text((_MARGIN, 76), _fitted(draw, subtitle, width - 2 * _MARGIN, 15), _QUIET, _font(15))
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        _draw_cell(page, draw, cell, _MARGIN + column * (_CELL + _GAP), _HEAD + row * (_CELL + _CAPTION + _GAP))
    return page


def _columns(count: int) -> int:
    """So many that the sheet is about as wide as a screen, the last row as full as can be."""
    likely = range(max(1, min(count, 5)), min(count, 8) + 1)
    return min(likely, key=lambda columns: ((-count) % columns, abs(columns - 7)))


def _ranked(results: Sequence[Result], where: tuple[slice, slice]) -> list[Cell]:
    best_psnr, best_ssim = (max(getattr(one, by) for one in results) for by in ("psnr", "ssim"))
    cells = []
    for group in _equal(sorted(results, key=lambda one: -one.psnr)):
        first = group[0]
        best = [
            name for name, is_best in (("PSNR", first.psnr == best_psnr), ("SSIM", first.ssim == best_ssim)) if is_best
        ]
        name = " = ".join(one.name for one in group) + (f"   best {' and '.join(best)}" if best else "")
        below = f"{_db(first.psnr)}   SSIM {first.ssim:.4f}   {_ms(min(one.milliseconds for one in group))}"
        cells.append(Cell(_enlarged(first.pixels[where]), name, below, bool(best)))
    return cells


def _equal(results: Sequence[Result]) -> list[list[Result]]:
    """Results with the same pixels, together."""
    groups: list[list[Result]] = []
    for one in results:
        same = next((group for group in groups if np.array_equal(group[0].pixels, one.pixels)), None)
        if same is None:
            groups.append([one])
        else:
            same.append(one)
    return groups


def _db(psnr: float) -> str:
    return f"{psnr:.2f} dB" if np.isfinite(psnr) else "inf dB"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.{2 if milliseconds < 1 else 1 if milliseconds < 100 else 0}f} ms"


def _draw_cell(page: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, left: int, top: int) -> None:
    picture = Image.fromarray(cell.pixels)
    page.paste(picture, (left, top + _CELL - picture.height))
    name = _fitted(draw, cell.name, _CELL, 16)
    draw.text((left, top + _CELL + 7), name, _ACCENT if cell.accent else _INK, _font(16))
    draw.text((left, top + _CELL + 28), _fitted(draw, cell.below, _CELL, 13), _QUIET, _font(13))


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """The text, cut where it does not fit."""
    if draw.textlength(text, _font(size)) <= width:
        return text
    while text and draw.textlength(text + "...", _font(size)) > width:
        text = text[:-1]
    return text.rstrip(" =") + "..."


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _enlarged(pixels: npt.NDArray) -> npt.NDArray:
    """Whole pixels as blocks, as many to the side as fit a cell."""
    zoom = max(1, _CELL // max(pixels.shape[:2]))
    return _shown(pixels).repeat(zoom, axis=0).repeat(zoom, axis=1)


def _framed(original: npt.NDArray, where: tuple[slice, slice]) -> npt.NDArray:
    """The whole picture in a cell, the detail marked."""
    picture = Image.fromarray(_shown(original))
    ratio = min(_CELL / picture.width, _CELL / picture.height)
    picture = picture.resize((max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))))
    rows, columns = where
    box = [columns.start * ratio, rows.start * ratio, columns.stop * ratio - 1, rows.stop * ratio - 1]
    draw = ImageDraw.Draw(picture)
    draw.rectangle([box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1], outline="white", width=4)
    draw.rectangle(box, outline=_ACCENT, width=2)
    return np.asarray(picture)


def _shown(pixels: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Any samples as 8-bit RGB, for the eye."""
    value = np.nan_to_num(pixels.astype(np.float64) / full_scale(pixels.dtype))
    shown = np.floor(np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.stack([shown] * 3, axis=-1) if shown.ndim == 2 else shown
