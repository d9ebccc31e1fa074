# SPDX-License-Identifier: MIT
"""What `eval` does with one item: measure a pair of files, or shrink an original, enlarge it back and measure that."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import typer

import halfpixel
from halfpixel import metrics
from halfpixel.cli import _methods
from halfpixel.cli._matching import Match
from halfpixel.cli._paths import Found
from halfpixel.cli._scores import Line, failure
from halfpixel.cli._subjects import labels, subject
from halfpixel.errors import HalfpixelError, HalfpixelValueError
from halfpixel.io._picture import ImageFileError, full_scale

SHRINK = "matlab.bicubic"
Pixels = npt.NDArray[Any]
Enlarge = Callable[[Pixels, tuple[int, int]], Pixels]


@dataclass(frozen=True)
class Yardstick:
    """How images are measured: a protocol and what border it cuts off."""

    protocol: metrics.Protocol | None
    scale: int | None = None
    crop: int | None = None

    @property
    def border(self) -> int:
        """Pixels cut off on every side."""
        if self.crop is not None or self.protocol is None:
            return self.crop or 0
        return (self.scale or 0) + self.protocol.margin

    def measure(self, image: Pixels, reference: Pixels) -> dict[str, float]:
        """PSNR and SSIM."""
        scores = metrics.measure(image, reference, protocol=self.protocol, crop=self.border)
        return {"psnr": scores.psnr, "ssim": scores.ssim}


def pair(match: Match, yardstick: Yardstick) -> Line:
    """An image measured against its reference."""
    if match.problem:
        return Line(match.source, error=match.problem)
    try:
        image, notes = subject(match.source)
        reference, more = _read_reference(subject, match)
        reference, cut = _fitted(reference, image, yardstick.scale)
        image, reference, gray = _alike(image, reference)
        said = [*notes, *(f"the reference: {note}" for note in [*more, *cut]), *gray]
        scores = yardstick.measure(image, reference)
        return Line(match.source, match.reference, None, _size(image), scores, tuple(said))
    except Exception as error:
        return failure(error, match.source, reference=match.reference)


def _read_reference(read: Callable[[str], Any], match: Match) -> Any:
    """What was read, or an error that names the reference, as the line is about the image."""
    try:
        return read(match.reference)
    except ImageFileError as error:
        raise ImageFileError(f"its reference {match.reference}: {error.why}", error.works) from None


def _fitted(reference: Pixels, image: Pixels, scale: int | None) -> tuple[Pixels, list[str]]:
    """The reference without the rows and columns that a multiple of the scale leaves over, where that makes it fit."""
    size, there = image.shape[:2], reference.shape[:2]
    if scale is None or size == there or size != tuple(n - n % scale for n in there):
        return reference, []
    note = f"cut from {there[1]} x {there[0]} to {size[1]} x {size[0]}, whole multiples of {scale}"
    return reference[: size[0], : size[1]], [note]


def _alike(image: Pixels, reference: Pixels) -> tuple[Pixels, Pixels, list[str]]:
    """Both gray or both RGB."""
    if image.ndim == reference.ndim:
        return image, reference, []
    note = "one of the two is gray, and counts as red = green = blue"
    image, reference = (one if one.ndim == 3 else np.repeat(one[..., None], 3, -1) for one in (image, reference))
    return image, reference, [note]


def label_pair(match: Match, seen: metrics.Confusion, edges: metrics.Boundaries) -> Line:
    """A label map measured against its reference; what was counted is left in ``seen`` and ``edges``, given fresh."""
    if match.problem:
        return Line(match.source, error=match.problem)
    try:
        found, true = labels(match.source), _read_reference(labels, match)
        seen.add(found, true)
        edges.add(found, true)
        return Line(match.source, match.reference, None, _size(found), overlaps(seen, edges))
    except Exception as error:
        return failure(error, match.source, reference=match.reference)


def overlaps(seen: metrics.Confusion, edges: metrics.Boundaries) -> dict[str, float]:
    """The means over classes of what was counted."""
    boundary = edges.boundary_iou().mean
    return {"miou": seen.miou().mean, "dice": seen.dice().mean, "boundary_iou": boundary, "accuracy": seen.accuracy()}


def enlargers(methods: Sequence[str], models: Sequence[str], scale: int) -> dict[str, Enlarge]:
    """By name, what enlarges a picture to a size (height, width).

    Raises: ValueError for unknown names, typer.BadParameter for a network that cannot be used.
    """
    found: dict[str, Enlarge] = {}
    for name, arguments in (_methods.methods(methods) if methods else {}).items():
        found[name] = _by_plan(arguments)
    for name in models:
        found[name] = _by_network(name, scale)
    return found


def _by_plan(arguments: Mapping[str, Any]) -> Enlarge:
    return lambda small, size: halfpixel.resize_image(small, size, **arguments)


def _by_network(name: str, scale: int) -> Enlarge:
    try:
        models: Any = importlib.import_module("halfpixel.models")
        model = models.load(name)
    except ModuleNotFoundError as error:
        works = 'pip install "halfpixel[models]"'
        raise typer.BadParameter(f"--model needs {error.name}, which is not installed: {works}") from None
    except HalfpixelError as error:
        works = f" (what would work: {error.works})" if error.works else ""
        raise typer.BadParameter(f"{name}: {error.why}{works}") from None
    except OSError as error:
        raise typer.BadParameter(f"{name}: {error.strerror or error}") from None
    if not hasattr(model, "scale"):
        raise typer.BadParameter(f"{name} is no super-resolution network: it has no scale")
    if model.scale != scale:
        raise typer.BadParameter(f"{name} enlarges {model.scale} times, and --scale is {scale}")
    return lambda small, size: models.enlarge(model, small)


def trial(found: Found, chosen: Mapping[str, Enlarge], yardstick: Yardstick, scale: int) -> list[Line]:
    """An original shrunk, enlarged back by every method, and measured."""
    if found.problem:
        return [Line(found.source, error=found.problem)]
    try:
        original, small, notes = _shrunk(found.source, scale)
    except Exception as error:
        return [failure(error, found.source)]
    return [_trial(found.source, name, act, original, small, notes, yardstick) for name, act in chosen.items()]


def _trial(
    source: str, name: str, enlarge: Enlarge, original: Pixels, small: Pixels, notes: list[str], yardstick: Yardstick
) -> Line:
    try:
        enlarged = enlarge(small, original.shape[:2])
        if enlarged.dtype.kind == "f" and np.isnan(enlarged).any():
            raise HalfpixelValueError("what it made holds NaN")
        scores = yardstick.measure(enlarged, original)
        return Line(source, None, name, _size(original), scores, tuple(notes))
    except Exception as error:
        return failure(error, source, method=name)


def _shrunk(source: str, scale: int) -> tuple[Pixels, Pixels, list[str]]:
    """The original at 8 bits and a multiple of the scale in size, and the small picture."""
    original, notes = subject(source)
    if original.dtype != np.uint8:
        notes.append(f"{original.dtype} samples are rounded to 8 bits")
        value = original.astype(np.float64) * (255 / full_scale(original.dtype))
        original = np.floor(np.clip(value, 0, 255) + 0.5).astype(np.uint8)
    height, width = (n - n % scale for n in original.shape[:2])
    if not height or not width:
        why = f"{original.shape[1]} x {original.shape[0]} pixels are less than one of the small picture"
        raise HalfpixelValueError(why, f"{scale} pixels a side or more")
    if (height, width) != original.shape[:2]:
        notes.append(f"cut to {width} x {height}, whole multiples of {scale}")
        original = original[:height, :width].copy()
    return original, halfpixel.resize_image(original, (height // scale, width // scale), like=SHRINK), notes


def _size(pixels: Pixels) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]
