# SPDX-License-Identifier: MIT
"""Levels: what borders do to constants, and how far results go beyond their inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._limits import LEVEL
from ._patterns import Levels
from ._subject import Subject, noise


def border(subject: Subject, levels: Levels) -> tuple[float, str, Any]:
    """The largest difference between a border's place and the inside, rms over channels, over the range."""
    worst, gain, picture = 0.0, 0.0, None
    for answer in levels.answers:
        rest = answer - _level(subject, answer)
        each = rest.square().mean(0).sqrt()
        outside = torch.ones_like(each, dtype=torch.bool)
        outside[tuple(slice(m, n - m) for m, n in zip(subject.margin, each.shape, strict=True))] = False
        if not bool(outside.any()):
            continue
        number = float(each[outside].max()) / levels.range
        if number > worst:
            worst, gain = number, float(rest[:, outside].mean())
        picture = answer if picture is None else picture
    if worst <= LEVEL:
        return worst, "constants stay constant up to the border", picture
    return worst, f"borders are {'darker' if gain < 0 else 'brighter'}, by up to {worst:.0%} of the range", picture


def _level(subject: Subject, answer: Tensor) -> Tensor:
    """The inside at the phase of each place, so that a checkerboard is not taken for a border: (C, *size)."""
    inner = subject.inside(answer)
    index = []
    for m, n, k, s in zip(subject.margin, inner.shape[1:], answer.shape[1:], subject.scale, strict=True):
        p = s.numerator if n >= s.numerator else 1
        start = m + (n - p) // 2  # a period in the middle
        index.append(start + (torch.arange(k) - start) % p)
    return answer[(slice(None), *torch.meshgrid(*index, indexing="ij"))]


def overshoot(subject: Subject) -> tuple[float, str, Any]:
    """Of steps from 0 to 1 along every axis, beyond 0 and 1."""
    worst, picture = 0.0, None
    for axis in range(subject.dims):
        x = subject.constant(0.0)
        x.narrow(axis + 2, subject.size_in[axis] // 2, subject.size_in[axis] - subject.size_in[axis] // 2).fill_(1)
        y = subject.answer(x)[0]
        worst = max(worst, float(y.max()) - 1, -float(y.min()))
        picture = y.movedim(axis + 1, -1)
    return worst, f"a step overshoots by {worst:.1%}" if worst > LEVEL else "steps stay within their ends", picture


def beyond(subject: Subject) -> tuple[float, str]:
    """Of random and of binary inputs, beyond the least and largest of the sample and channel."""
    x = noise((2, subject.channels, *subject.size_in), 61)
    x[1] = (x[1] > 0.5).to(x.dtype)
    y = subject.answer(x).flatten(2)
    low, high = x.flatten(2).amin(2), x.flatten(2).amax(2)
    worst = max(float((y.amax(2) - high).max()), float((low - y.amin(2)).max()), 0.0)
    return worst, f"noise overshoots by up to {worst:.0%}" if worst > LEVEL else "noise stays within its range"
