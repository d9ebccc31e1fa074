# SPDX-License-Identifier: MIT
"""Pairs of a picture and its small version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfpixel.errors import HalfpixelValueError
from halfpixel.train._data import Named, PatchData, load_pictures, stl10_files
from halfpixel.train._layouts import Pair, find_pairs
from halfpixel.train._pictures import read_rgb, readable, recipe, shrink

DEGRADE = "matlab.bicubic"


class SuperResolutionData(PatchData):
    """Patches (low, high) for super-resolution, from photos or from the data sets' own pairs.

    **Convention:** batches hold uint8 `low` (N, patch, patch, 3) and `high` (N, patch * scale, patch * scale, 3);
    pictures are cropped at the right and the bottom to a multiple of `scale`.
    Arguments:
        data: a folder of photos, of DIV2K, Set5, Set14, B100 or Urban100 (`LAYOUTS`), or STL10's binary files.
        validation: the same for validation; None: DIV2K's own part, or every tenth picture, which is kept back.
        scale: 2, 3, 4 ... low: a folder of small versions of the same names. degrade: the preset or filter that makes
            them; None: "matlab.bicubic", where the data set has none of its own.
        patch: side in low-resolution pixels. batch_size, epoch_steps, seed, augment: of the batches.
    Raises: ValueError when it is set up, where nothing can be used; single files that cannot are named in warnings.
    Example:
        >>> data = SuperResolutionData("photos", scale=2, patch=48)
        >>> data.scales
        (1, 2)
    """

    layers = ("low", "high")

    def __init__(
        self, data: Any, validation: Any = None, *, scale: int = 2, low: Any = None, degrade: str | None = None,
        patch: int = 48, batch_size: int = 16, epoch_steps: int = 500, seed: int = 0, augment: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            data, validation, patch=patch, batch_size=batch_size, epoch_steps=epoch_steps, seed=seed, augment=augment
        )
        if scale < 2 or int(scale) != scale:
            raise HalfpixelValueError(f"scale is {scale}", "a whole number from 2 on")
        if low is not None and degrade is not None:
            raise HalfpixelValueError("low= and degrade= exclude each other", "one of them")
        recipe(degrade or DEGRADE)
        self.scale, self.low, self.degrade = int(scale), None if low is None else Path(low), degrade
        self.scales = (1, self.scale)

    def pictures(self, part: str) -> Named | None:
        """(name, (low, high)) of every picture of a part."""
        root = self.data if part == "train" else self.validation
        if root is None:
            return self._own_validation()
        if stl10_files(root, part):
            found = load_pictures(root, part)
            return found and [(name, self._made(pixels)) for name, pixels in found]
        return self._loaded(root, part)

    def _own_validation(self) -> Named | None:
        if stl10_files(self.data, "valid") and self.data.is_dir():
            found = load_pictures(self.data, "valid")
            return found and [(name, self._made(pixels)) for name, pixels in found]
        return self._loaded(self.data, "valid") if (self.data / "DIV2K_valid_HR").is_dir() else None

    def _loaded(self, root: Path, part: str) -> Named:
        low = self.low if part == "train" else None
        pairs = find_pairs(root, self.scale, part, low)
        return [(str(pair.high), layers) for pair, layers in readable(pairs, self._load, root)]

    def _load(self, pair: Pair) -> Any:
        high = read_rgb(pair.high)
        if pair.low is None or self.degrade is not None:
            return self._made(high)
        low = read_rgb(pair.low)
        sizes = [n // self.scale for n in high.shape[:2]]
        if [*low.shape[:2]] != sizes:
            raise HalfpixelValueError(
                f"{pair.low} is {low.shape[1]} x {low.shape[0]}, and {pair.high} divided by {self.scale} is "
                f"{sizes[1]} x {sizes[0]}",
                f"pictures of scale {self.scale}, or degrade={DEGRADE!r} to make them",
            )
        return low, high[: sizes[0] * self.scale, : sizes[1] * self.scale]

    def _made(self, high: Any) -> Any:
        rows, columns = (n // self.scale for n in high.shape[:2])
        if not rows or not columns:
            raise HalfpixelValueError(f"{high.shape[1]} x {high.shape[0]} pixels are too few for scale {self.scale}")
        high = high[: rows * self.scale, : columns * self.scale]
        return shrink(high, self.scale, self.degrade or DEGRADE), high
