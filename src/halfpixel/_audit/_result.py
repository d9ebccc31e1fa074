# SPDX-License-Identifier: MIT
"""What an audit found: numbers, verdicts, words."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from halfpixel.errors import HalfpixelRuntimeError

VERDICTS = ("pass", "warning", "fail", "not applicable")


@dataclass(frozen=True)
class Check:
    """One measurement: its number (None where it does not apply), the limit with its reason, verdict and sentence."""

    name: str
    kind: str
    what: str
    number: float | None
    limit: float
    unit: str
    reason: str
    verdict: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values; numbers that are none (of outputs that are not finite) as None."""
        number = self.number if self.number is not None and math.isfinite(self.number) else None
        return {**asdict(self), "number": number}


@dataclass(frozen=True)
class Audit:
    """What `audit` found: `passed` (no check failed), `verdict` in words, `checks`; its str is a table.

    **Convention:** `size_in`, `size_out`: of the probe, spatial axes. `scale`: output pixels per input pixel and axis.
    `halo`: how many input pixels around its own an output pixel depends on, per axis; None: on the whole probe.
    """

    subject: str
    in_channels: int
    out_channels: int
    size_in: tuple[int, ...]
    size_out: tuple[int, ...]
    scale: tuple[float, ...]
    halo: tuple[int, ...] | None
    checks: tuple[Check, ...]
    verdict: str
    pictures: dict[str, Any] = field(repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings do not count."""
        return all(check.verdict != "fail" for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if check.verdict == "fail")

    @property
    def warned(self) -> tuple[str, ...]:
        """Names of the checks that gave a warning."""
        return tuple(check.name for check in self.checks if check.verdict == "warning")

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON; without pictures."""
        plain = {k: getattr(self, k) for k in ("subject", "passed", "verdict", "in_channels", "out_channels")}
        lists = {k: list(getattr(self, k)) for k in ("size_in", "size_out", "scale")}
        halo = None if self.halo is None else list(self.halo)
        return {**plain, **lists, "halo": halo, "checks": [check.to_dict() for check in self.checks]}

    def __str__(self) -> str:
        sizes = f"{_times(self.size_in)} -> {_times(self.size_out)}"
        reach = "reaches the whole probe" if self.halo is None else f"reach {_times(self.halo)}"
        lines = [f"{self.subject}: {self.in_channels} -> {self.out_channels} channels, {sizes}, {reach}"]
        rows = [(c.verdict, c.name, shown(c.number, ""), shown(c.limit, c.unit), c.sentence) for c in self.checks]
        rows.insert(0, ("verdict", "check", "number", "limit", ""))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines += ["  ".join(cell.ljust(w) for cell, w in zip(r[:4], widths, strict=True)) + "  " + r[4] for r in rows]
        return "\n".join([*(line.rstrip() for line in lines), self.verdict])

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the probes' answers and the verdicts; the format follows the name (.png, .svg, .pdf).

        Raises: RuntimeError where matplotlib is missing (`pip install "halfpixel[plot]"`); ValueError for formats
            that it has not.
        """
        from . import _plot

        try:
            _plot.draw(self, path)
        except ModuleNotFoundError as error:
            why = f"a picture needs {error.name}, which is not installed"
            raise HalfpixelRuntimeError(why, 'pip install "halfpixel[plot]"', "Audit.plot") from None


def shown(number: float | None, unit: str) -> str:
    """A number for people: four digits of small ones, none behind the point of large ones."""
    if number is None:
        return "-"
    text = f"{number:.2e}" if 0 < abs(number) < 1e-3 else f"{number:.4g}"
    return f"{text} {unit}".rstrip()


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def flat_picture(values: Any) -> np.ndarray[Any, Any]:
    """The first channel of (C, *spatial), in its middle plane: (H, W), or (1, n) of a signal."""
    array: np.ndarray[Any, Any] = np.asarray(values, dtype=np.float64)[0]
    while array.ndim > 2:
        array = array[array.shape[0] // 2]
    return array.reshape(1, -1) if array.ndim == 1 else array
