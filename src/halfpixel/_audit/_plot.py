# SPDX-License-Identifier: MIT
"""An audit as a picture: what the probes became, and the verdicts. By matplotlib."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from halfpixel.errors import HalfpixelValueError

from ._result import Audit, shown

_INK, _QUIET, _LINE = "#1f2933", "#616e7c", "#0f609b"
_COLOURS = {"pass": "#0e7c61", "warning": "#b7791f", "fail": "#cf1124", "not applicable": "#9aa5b1"}


def draw(found: Audit, path: str | os.PathLike[str]) -> None:
    """Five panels and a table.

    Raises: ValueError where matplotlib has no such format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), dpi=120, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    format = Path(path).suffix.lower().lstrip(".") or "png"
    if format not in canvas.get_supported_filetypes():
        raise HalfpixelValueError(f"no picture of format {format!r}", "a name ending in .png, .svg or .pdf")
    figure.suptitle(f"{found.subject}: {found.verdict}", x=0.03, y=0.97, ha="left", fontsize=12, color=_INK, wrap=True)
    grid = figure.add_gridspec(2, 5, left=0.03, right=0.98, top=0.86, bottom=0.04, hspace=0.25, height_ratios=(1, 1.1))
    panels: list[tuple[str, str, Callable[[Any, Any], None]]] = [
        ("constant", "a constant becomes (corner)", _corner), ("impulse", "a pixel becomes (middle)", _middle),
        ("step", "a step becomes", _profile), ("spectrum", "spectrum of a smooth input, dB", _spectrum),
        ("gradient", "gradient of the sum", _image),
    ]  # fmt: skip
    for column, (name, title, drawn) in enumerate(panels):
        axes = figure.add_subplot(grid[0, column])
        axes.set_title(title, loc="left", fontsize=9, color=_INK)
        axes.tick_params(labelsize=7, colors=_QUIET)
        if name in found.pictures:
            drawn(axes, found.pictures[name])
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not applicable", ha="center", va="center", fontsize=8, color=_QUIET)
    _table(figure.add_subplot(grid[1, :]), found)
    figure.savefig(path, format=format)


def _corner(axes: Any, values: Any) -> None:
    _image(axes, values[:24, :24] if values.shape[0] > 1 else values)


def _middle(axes: Any, values: Any) -> None:
    _image(axes, values[tuple(slice(max(n // 2 - 10, 0), n // 2 + 10) for n in values.shape)])


def _image(axes: Any, values: Any) -> None:
    if values.shape[0] == 1:
        axes.plot(values[0], color=_LINE, lw=1.2)
        return
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-4 * max(abs(high), abs(low), 1e-30):  # rounding is not a picture
        low, high = low - 0.5, high + 0.5
    axes.imshow(values, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_xlabel(f"{low:.3g} black, {high:.3g} white", fontsize=7, color=_QUIET)


def _profile(axes: Any, values: Any) -> None:
    axes.plot(values[values.shape[0] // 2], color=_LINE, lw=1.2)
    for level in (0, 1):
        axes.axhline(level, color=_QUIET, lw=0.6, ls="--")


def _spectrum(axes: Any, power: Any) -> None:
    level = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
    if power.shape[0] == 1:
        axes.plot(np.fft.fftshift(level[0]), color=_LINE, lw=0.9)
        return
    axes.imshow(np.fft.fftshift(level), cmap="magma", vmin=-90, vmax=0, extent=(-0.5, 0.5, 0.5, -0.5))


def _table(axes: Any, found: Audit) -> None:
    axes.set_axis_off()
    step = 1 / (len(found.checks) + 1)
    for row, check in enumerate(found.checks):
        y, colour = 1 - (row + 0.5) * step, _COLOURS[check.verdict]
        cells = (check.verdict, check.name, shown(check.number, ""), shown(check.limit, check.unit), check.sentence)
        for x, cell in zip((0, 0.11, 0.21, 0.29, 0.39), cells, strict=True):
            axes.text(x, y, cell, fontsize=9, va="center", color=colour if x == 0 else _INK)
