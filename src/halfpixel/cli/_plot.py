# SPDX-License-Identifier: MIT
"""`show` as a picture, by matplotlib."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from halfpixel.cli._curves import Curves, decibels
from halfpixel.errors import HalfpixelValueError

_INK, _QUIET, _PALE, _LINE, _WARM = "#1f2933", "#616e7c", "#9aa5b1", "#0f609b", "#cf1124"
_STYLE = {"color": _INK, "fontsize": 10}


def drawn(name: str, summary: str, found: Curves, file: BinaryIO, format: str) -> None:
    """Draw kernel, frequency response and edge weights side by side.

    Raises: ValueError where matplotlib has no such format.
    """
    figure = Figure(figsize=(13, 4.5), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.05, right=0.985, top=0.79, bottom=0.12, wspace=0.2)
    canvas = FigureCanvasAgg(figure)
    if format not in canvas.get_supported_filetypes():
        raise HalfpixelValueError(f"no picture of format {format!r}", "a name ending in .png, .svg or .pdf")
    title = figure.text(0.05, 0.915, name, fontsize=17, fontweight="bold", color=_INK)
    end = title.get_window_extent(canvas.get_renderer()).x1 / figure.bbox.width
    figure.text(end + 0.012, 0.915, summary, fontsize=11, color=_QUIET)
    kernel, response, edge = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    _kernel(kernel, found)
    _response(response, found)
    _edge(edge, found)
    figure.savefig(file, format=format)


def _plain(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", **_STYLE)
    axes.set_xlabel(x, **_STYLE)
    axes.set_ylabel(y, **_STYLE)
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_PALE)


def _kernel(axes: Any, found: Curves) -> None:
    seen = np.abs(found.x) <= found.reach + 0.5
    x, value = found.x[seen], found.kernel[seen]
    axes.axhline(0, color=_PALE, lw=0.8)
    axes.fill_between(x, value, where=value < 0, color=_WARM, alpha=0.18, lw=0, interpolate=True)
    axes.fill_between(x, value, where=value > 0, color=_LINE, alpha=0.12, lw=0, interpolate=True)
    axes.plot(x, value, color=_LINE, lw=1.8)
    whole = np.arange(-np.floor(found.reach), np.floor(found.reach) + 1)
    axes.plot(whole, np.interp(whole, found.x, found.kernel), "o", ms=3.5, color=_INK)
    axes.set_xlim(x[0], x[-1])
    _plain(axes, f"Kernel: a step overshoots by {found.overshoot:.1%}", "input pixels", "weight")


def _response(axes: Any, found: Curves) -> None:
    axes.axvspan(0.5, 2, color=_PALE, alpha=0.15, lw=0)
    axes.plot([0, 0.5, 0.5], [0, 0, -80], color=_PALE, lw=1, ls="--")
    axes.plot(found.frequency, decibels(found.gain), color=_LINE, lw=1.6)
    axes.set_xlim(0, 2)
    axes.set_ylim(-80, 8)
    axes.text(1.97, 5.5, "images of the input, unwanted", ha="right", va="top", fontsize=8, color=_INK)
    title = f"Frequency response: {_number(found.at(0.5), 1)} dB at the finest detail"
    _plain(axes, title, "cycles per input pixel", "gain, dB")


def _edge(axes: Any, found: Curves) -> None:
    bound = 1.7 * max(float(np.abs(found.weight).max()), 1e-9)  # pale enough to be read on
    axes.imshow(found.weight, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
    for (output, column), value in np.ndenumerate(found.weight):
        if abs(value) > 5e-4:
            axes.text(column, output, _number(value, 3), ha="center", va="center", fontsize=8, color=_INK)
    axes.set_xticks(range(found.weight.shape[1]))
    axes.set_yticks(range(found.weight.shape[0]))
    _plain(axes, f"Weights at the edge, enlarging by {found.scale}", "input pixel", "output pixel")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
