# SPDX-License-Identifier: MIT
"""A loop that alternates a torch convolution and a resize: does one library's idle threads slow the other's?"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter

import numpy as np

import halfpixel

from .record import Timing
from .rows import Effort

_TURNS = 10


def run(effort: Effort, channels: int = 64, side: int = 64) -> dict[str, Timing]:
    """Milliseconds per turn: each alone, both in turns, and torch's own interpolate in our place.

    Where the pools do not disturb each other, "conv and ours" is "conv" plus "ours".
    """
    if not find_spec("torch"):
        return {}
    import torch

    shape, size = (1, channels, side, side), (2 * side, 2 * side)
    tensor = torch.rand(shape)
    x = tensor.numpy()
    weight = torch.rand(channels, channels, 3, 3)
    plan = halfpixel.plan(shape, size, antialias=False, edge="edge")
    out = np.empty((1, channels, *size), np.float32)

    def conv() -> None:
        torch.nn.functional.conv2d(tensor, weight, padding=1)

    def ours() -> None:
        plan(x, out=out)

    def theirs() -> None:
        torch.nn.functional.interpolate(tensor, size=size, mode="bilinear")

    with torch.inference_mode():
        loops = {"conv": _loop(conv), "ours": _loop(ours), "interpolate": _loop(theirs)}
        loops |= {"conv and ours": _loop(conv, ours), "conv and interpolate": _loop(conv, theirs)}
        return effort.interleaved(loops)


def _loop(*calls: Callable[[], None]) -> Callable[[], float]:
    def sample() -> float:
        for call in calls:
            call()
        start = perf_counter()
        for _ in range(_TURNS):
            for call in calls:
                call()
        return (perf_counter() - start) / _TURNS

    return sample
