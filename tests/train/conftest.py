# SPDX-License-Identifier: MIT
"""Small photos, synthetic scenes with labels, and torch on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

for library in ("torch", "lightning", "tensorboard", "safetensors", "PIL", "tifffile", "imagecodecs"):
    pytest.importorskip(library, reason='training needs pip install "halfpixel[train]"')

import torch  # noqa: E402

from halfpixel import io  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run beside each other: threads that wait for each other's cores make them many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save(path: Path, pixels: np.ndarray) -> Path:
    """An image file of gray or RGB pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.ascontiguousarray(pixels)
    io.write(io.Picture(pixels, "gray" if pixels.ndim == 2 else "rgb"), path, overwrite=True)
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """RGB bytes that no two places share."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


CROPS = {"astronaut": (0, 150), "cat": (20, 20), "chelsea": (50, 100), "coffee": (100, 150), "rocket": (200, 250)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of 128 x 128."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photos")
    for name, (top, left) in CROPS.items():
        save(folder / f"{name}.png", getattr(data, name)()[top : top + 128, left : left + 128])
    return folder


def scene(seed: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture of a disc (label 1) and a bar (label 2) on a background (0), and its labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.uint8)
    top, left = rng.integers(4, side - 12, 2)
    labels[top : top + 8, left:] = 2
    cy, cx, radius = *rng.integers(10, side - 10, 2), rng.integers(6, 12)
    labels[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 1
    colours = np.array([[60, 60, 70], [200, 80, 60], [70, 150, 210]], np.float64)
    image = colours[labels] + rng.normal(0, 25, (side, side, 3))
    return np.clip(image, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes in images/ and masks/."""
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(12):
        image, labels = scene(seed)
        save(folder / f"images/{seed:02d}.png", image)
        save(folder / f"masks/{seed:02d}.png", labels)
    return folder
