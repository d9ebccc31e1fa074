# SPDX-License-Identifier: MIT
"""Which reference belongs to which image, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from halfpixel.cli._paths import Found

Cut = Callable[[str], str]
_SCALE = re.compile(r"[_-]?(x\d+|\d+x)$", re.IGNORECASE)


@dataclass(frozen=True)
class Match:
    """An image and what it is compared with; ``problem`` where there is nothing to compare."""

    source: str
    reference: str = ""
    problem: str | None = None


def matches(
    images: Sequence[Found], references: Sequence[Found], suffix: str = "", alone: bool = False
) -> tuple[list[Match], list[str]]:
    """Images with their references, and the references that no image belongs to.

    **Convention:** names are compared without their extensions: the same place below what was named, else the same
    name anywhere; then the same without ``suffix``; then without an ending such as x4, _x4 or -4x, of the image and
    at last of both. ``alone`` says that one file and one reference were named, which then belong together.
    """
    there = [one for one in references if not one.problem]
    if alone and len(images) == len(there) == 1:
        return [Match(images[0].source, there[0].source, images[0].problem)], []
    tables = [_Names(there, ours, theirs, name) for ours, theirs in _cuts(suffix) for name in (_below, _alone)]
    made = [_match(one, tables) for one in images]
    used = {one.reference for one in made}
    return made, [one.source for one in there if one.source not in used]


def _match(image: Found, tables: Sequence[_Names]) -> Match:
    if image.problem:
        return Match(image.source, problem=image.problem)
    fitting = next(filter(None, (table.fitting(image) for table in tables)), [])
    if not fitting:
        return Match(image.source, problem="no reference has its name")
    if len(fitting) > 1:
        return Match(image.source, problem=f"several references have its name: {', '.join(fitting)}")
    return Match(image.source, fitting[0])


class _Names:
    """References by what is left of their names, for one rule of what must be equal."""

    def __init__(self, references: Sequence[Found], ours: Cut, theirs: Cut, name: Callable[[PurePath, Cut], PurePath]):
        self._ours, self._name = ours, name
        self._table: dict[PurePath, list[str]] = {}
        for one in references:
            self._table.setdefault(name(one.place, theirs), []).append(one.source)

    def fitting(self, image: Found) -> list[str]:
        return self._table.get(self._name(image.place, self._ours), [])


def _cuts(suffix: str) -> list[tuple[Cut, Cut]]:
    """How names are shortened, the image's and the reference's, strictest first."""
    named: list[tuple[Cut, Cut]] = [(lambda stem: stem.removesuffix(suffix), _whole)] if suffix else []
    return [(_whole, _whole), *named, (_unscaled, _whole), (_unscaled, _unscaled)]


def _whole(stem: str) -> str:
    return stem


def _unscaled(stem: str) -> str:
    return _SCALE.sub("", stem)


def _below(place: PurePath, cut: Cut) -> PurePath:
    return place.parent / (cut(place.stem) or place.stem)


def _alone(place: PurePath, cut: Cut) -> PurePath:
    return PurePath(cut(place.stem) or place.stem)
