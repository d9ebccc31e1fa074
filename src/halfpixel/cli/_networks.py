# SPDX-License-Identifier: MIT
"""Networks on the command line: opened by name or file, listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy.typing as npt

from halfpixel import io
from halfpixel.errors import HalfpixelRuntimeError, HalfpixelValueError
from halfpixel.io import _network
from halfpixel.io._light import Working


def asked(name: str | None, tile: int | None, device: str | None, memory: int | None) -> io.Network | None:
    """The network that the options ask for; None where they ask for none."""
    if name is not None:
        return opened(name, tile, device, memory)
    if tile is not None or device is not None:
        raise HalfpixelValueError("--tile and --device are for networks", "--model NAME beside them")
    return None


def opened(name: str, tile: int | None = None, device: str | None = None, memory: int | None = None) -> io.Network:
    """The network of `--model`, ready for pictures.

    memory: what `--max-memory` said: a quarter of it is for tiles.
    Raises: ValueError for names and files that are no such network, RuntimeError where torch is missing.
    """
    models = _models()
    options: dict[str, Any] = {"tile": tile, "memory": memory and memory // 4}
    if device is not None:
        options["device"] = device
    return models.Enlarger(models.load(name), Path(name).name, **options)


def common_scale(networks: Iterable[io.Network]) -> Fraction:
    """What all of them enlarge; 4 where there is none.

    Raises: ValueError where they differ.
    """
    scales = sorted({network.scale for network in networks}) or [4]
    if len(scales) > 1:
        raise HalfpixelValueError(
            f"the networks enlarge {' and '.join(map(str, scales))} times", "--scale, one of them"
        )
    return Fraction(scales[0])


def enlarging(network: io.Network, small: npt.NDArray, size: tuple[int, int], filter: str) -> Any:
    """A function that makes of a gray or RGB picture one of ``size``, the filter doing what the network does not."""
    kind, channels = ("gray", 1) if small.ndim == 2 else ("rgb", 3)
    header = io.Header("png", small.shape[0], small.shape[1], kind, small.dtype, channels)
    way, _ = _network.enlarging(header, network, size, {"filter": filter}, Working(kind, small.dtype, small.dtype))
    return way.whole


def check(network: io.Network, scale: Fraction | None, linear_light: bool, how: Any) -> None:
    """Raises: ValueError for options that a network has no use for."""
    if linear_light:
        raise HalfpixelValueError("--linear-light is for filters: networks learned sRGB code values", "leave it out")
    if how and scale == network.scale:
        raise HalfpixelValueError(
            f"{network.name} enlarges {network.scale} times itself: there is nothing left for a filter",
            "--model alone, or a size beyond the network's, which the filter makes of its output",
        )


@dataclass(frozen=True)
class Row:
    """Weights that come with the package: the network's scale and class, and the page that tells how they were made."""

    scale: int
    summary: str
    card: str


def table() -> Mapping[str, Row]:
    """The weights that come with the package by name; none where torch is missing."""
    try:
        models = _models()
    except HalfpixelRuntimeError:
        return {}
    rows = {}
    for name in models.list_weights():
        network = models.load(name)
        parameters = sum(one.numel() for one in network.parameters())
        summary = f"{type(network).__name__}, {parameters} parameters, {_SEES[network.in_channels]}"
        rows[name] = Row(network.scale, summary, f"halfpixel/models/weights/{name}.md")
    return rows


_SEES = {1: "luma", 3: "RGB"}


def _models() -> Any:
    try:
        from halfpixel import models
    except ModuleNotFoundError as error:
        raise HalfpixelRuntimeError(
            f"networks need {error.name}, which is not installed", 'pip install "halfpixel[models]"'
        ) from error
    return models
