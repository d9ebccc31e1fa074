# SPDX-License-Identifier: MIT
"""Pictures of every kind and depth, made from one seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("PIL", reason='image files need pip install "halfpixel[cli]"')

from PIL import Image

CHANNELS = {
    "gray": 1, "gray+alpha": 2, "rgb": 3, "rgba": 4, "cmyk": 4, "cmyk+alpha": 5, "bands": 7, "rgb+bands": 6,
}  # fmt: skip

Maker = Callable[..., npt.NDArray]


@pytest.fixture
def pixels() -> Maker:
    """pixels(kind, dtype, height, width): noise over the whole range of the type."""

    def make(kind: str, dtype: str, height: int = 7, width: int = 11) -> npt.NDArray:
        rng = np.random.default_rng(7)
        shape = (height, width) if CHANNELS[kind] == 1 else (height, width, CHANNELS[kind])
        if np.dtype(dtype).kind == "f":
            return rng.random(shape).astype(dtype)
        bounds = np.iinfo(dtype)
        return rng.integers(bounds.min, bounds.max, shape, dtype=dtype, endpoint=True)

    return make


@pytest.fixture
def exif_block() -> Callable[[int], bytes]:
    """exif_block(orientation): EXIF with a maker, a date, an aperture, pixel sizes and a place."""

    def make(orientation: int = 1) -> bytes:
        exif = Image.Exif()
        exif[271], exif[274], exif[306] = "Maker", orientation, "2020:01:02 03:04:05"
        exif.get_ifd(34665).update({33437: 2.8, 40962: 11, 40963: 7})
        exif.get_ifd(34853)[1] = "N"
        return exif.tobytes()

    return make
