# SPDX-License-Identifier: MIT
"""How numbers, sizes and colours are written on the command line."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

import typer

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def scale(text: str) -> Fraction:
    """4, 1.5 or 3/2, exactly."""
    try:
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text!r} is no scale: 4, 1.5 and 3/2 are") from None


class Box(NamedTuple):
    """A width and a height."""

    width: int
    height: int


class Colour(NamedTuple):
    """Red, green and blue in 0 ... 1."""

    red: float
    green: float
    blue: float


def box(text: str) -> Box:
    """1920x1080."""
    found = re.fullmatch(r"(\d{1,12})\s*[x×,]\s*(\d{1,12})", text.strip().lower())
    if not found:
        raise typer.BadParameter(f"{text!r} is no size: 1920x1080 is")
    return Box(int(found[1]), int(found[2]))


def pair(text: str) -> tuple[int, int]:
    """3,-5: a column and a row; negative ones count from the end."""
    found = re.fullmatch(r"(-?\d{1,12})\s*,\s*(-?\d{1,12})", text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is no pixel: 12,34 is")
    return int(found[1]), int(found[2])


def byte_count(text: str) -> int:
    """2GiB, 500M, 1000000."""
    return _count(text, r"([\d.]+)\s*([kmgt]i?)?b?", "amount of memory: 2GiB, 500M and 1000000 are")


def pixel_count(text: str) -> int:
    """500M, 1.5G, 1000000."""
    return _count(text, r"([\d.]+)\s*([kmgt])?", "number of pixels: 500M, 1.5G and 1000000 are")


def _count(text: str, pattern: str, right: str) -> int:
    found = re.fullmatch(pattern, text.strip().lower())
    try:
        count = int(Fraction(found[1]) * _UNITS[found[2] or ""]) if found else 0
    except ValueError:
        count = 0
    if count < 1:
        raise typer.BadParameter(f"{text!r} is no {right}")
    return count


def colour(text: str) -> Colour:
    """white, #ff8000, rgb(255, 128, 0)."""
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no colour: white, #ff8000 and 'rgb(255, 128, 0)' are") from None
    return Colour(red / 255, green / 255, blue / 255)
