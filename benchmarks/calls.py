# SPDX-License-Identifier: MIT
"""What one call costs when there is nothing to compute, and what the import costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from time import perf_counter

import numpy as np

import halfpixel

from .measure import Sample, timed
from .record import Timing
from .rows import Effort

SHAPE, SIZE = (3, 8, 8), (16, 16)


def run(effort: Effort) -> dict[str, Timing]:
    """Tiny calls (3x8x8 to 16x16, float32) and whole-process imports."""
    x = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    plan = halfpixel.plan(SHAPE, SIZE, antialias=False)
    samples = {
        "plan": timed(lambda: plan(x)),
        "resize": timed(lambda: halfpixel.resize(x, SIZE, antialias=False)),
    }
    if find_spec("torch"):
        import torch

        tensor = torch.from_numpy(x)[None]
        samples["torch bilinear"] = timed(lambda: torch.nn.functional.interpolate(tensor, size=SIZE, mode="bilinear"))
    imports = {
        "import numpy": _import("numpy"),
        "import halfpixel": _import("halfpixel; halfpixel.resize"),  # the name loads what the import puts off
        "python": _import("sys"),
    }
    return effort.interleaved(samples) | effort.interleaved(imports)


def _import(module: str) -> Sample:
    def sample() -> float:
        start = perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        return perf_counter() - start

    return sample
