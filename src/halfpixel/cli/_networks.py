# SPDX-License-Identifier: MIT
"""Networks on the command line: opened by name or file, listed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from halfpixel import io
from halfpixel.errors import HalfpixelRuntimeError, HalfpixelValueError


def opened(name: str | None, tile: int | None, device: str | None, memory: int | None) -> io.Network | None:
    """The network of `--model`, ready for pictures; None where none was asked for.

    memory: what `--max-memory` said: a quarter of it is for tiles.
    Raises: ValueError for names and files that are no such network, RuntimeError where torch is missing.
    """
    if name is None:
        if tile is not None or device is not None:
            raise HalfpixelValueError("--tile and --device are for networks", "--model NAME beside them")
        return None
    models = _models()
    options: dict[str, Any] = {"tile": tile, "memory": memory and memory // 4}
    if device is not None:
        options["device"] = _device(device)
    return models.Enlarger(models.load(name), name, **options)


def check(network: io.Network, scale: Fraction | None, linear_light: bool, how: Any) -> None:
    """Raises: ValueError for options that a network has no use for."""
    if linear_light:
        raise HalfpixelValueError("--linear-light is for filters: networks learned sRGB code values", "leave it out")
    if how and scale == network.scale:
        raise HalfpixelValueError(
            f"{network.name} enlarges {network.scale} times itself: there is nothing left for a filter",
            "--model alone, or a size beyond the network's, which the filter makes of its output",
        )


def listed() -> list[dict[str, Any]]:
    """The networks that come with the package, as rows; none where torch is missing."""
    try:
        models = _models()
    except HalfpixelRuntimeError:
        return []
    return [dict(row) for row in models.list_weights()]


def _models() -> Any:
    try:
        from halfpixel import models
    except ModuleNotFoundError as error:
        raise HalfpixelRuntimeError(
            f"networks need {error.name}, which is not installed", 'pip install "halfpixel[models]"'
        ) from error
    return models


def _device(name: str) -> str:
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise HalfpixelValueError(f"--device {name} cannot be used: {reason}", "cpu, cuda, cuda:1") from error
    return name
