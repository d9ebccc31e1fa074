# SPDX-License-Identifier: MIT
"""Where pixels go: the centroid of the impulse response, and whether moving the input moves the output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._limits import TABLE
from ._patterns import rms
from ._subject import Subject, noise

_STEP, _COARSE = 2.0**-6, 0.25  # of the impulses: small for the content, large for float32; of half precision
_CHANNELS = 8
_LARGEST = 8  # input pixels that make a period of the scale


def expected(subject: Subject, axis: int, k: int) -> float:
    """Where input pixel k belongs: scale * k + (scale - 1) / 2, and half of what was cut or added at both ends."""
    s = subject.scale[axis]
    return float(s * k + (s - 1) / 2 + subject.crop[axis] / 2)


@dataclass(frozen=True)
class Shift:
    """The largest shift over axes and places, what of it is beyond doubt, whether it differs from place to place."""

    number: float | None
    sure: float
    varies: bool
    sentence: str
    response: Any


def shift(subject: Subject) -> Shift:
    """What the centroids of impulse responses near the begin, in the middle and near the end say.

    Centroids are of energy, over all pairs of channels. A learned filter has a centroid of its own in every pair, a
    mistaken grid the same in all: three standard errors of the pairs' mean are in doubt.
    """
    period = math.lcm(*(s.denominator for s in subject.scale))
    period = period if period <= _LARGEST else 1
    best: tuple[float, float, str] | None = None
    picture = None
    seen: list[list[float]] = [[] for _ in range(subject.dims)]
    for name, place in _places(subject, period).items():
        moment, energy, response = _moments(subject, place, period)
        if name == "in the middle":
            picture = response
        total = float(energy.sum())
        if total <= 0:
            continue
        for axis in range(subject.dims):
            found = float(moment[axis].sum()) / total
            doubt = 3 * _error(moment[axis], energy, found)
            sure = max(abs(found) - doubt, 0.0)
            seen[axis].append(found)
            if best is None or (sure, abs(found)) > best[:2]:
                way = f"by {found:+.3g} output pixels along axis {axis} {name}"
                best = sure, abs(found), way + (f", of which {doubt:.2g} are in doubt" if doubt > 1e-3 else "")
    limit = TABLE["shift"].limit
    if best is None:
        return Shift(None, 0.0, False, "a pixel alone changes nothing", picture)
    sure, number, way = best
    sentence = f"content moves {way}" if sure > limit else "pixels stay where they belong"
    if sure <= limit < number:
        sentence = "channels differ, as learned filters do; in common they do not move"
    varies = sure > limit and max(max(each) - min(each) for each in seen) > limit
    return Shift(number, sure, varies, sentence, picture)


def _places(subject: Subject, period: int) -> dict[str, tuple[int, ...]]:
    """Input pixels near the begin, in the middle and near the end, along the diagonal."""
    low = [min((h + 1) if subject.halo else n // 4, (n - period) // 2)
           for h, n in zip(subject.halo or subject.size_in, subject.size_in, strict=True)]  # fmt: skip
    return {
        "near the beginning": tuple(low),
        "in the middle": tuple((n - period) // 2 for n in subject.size_in),
        "near the end": tuple(n - period - k for n, k in zip(subject.size_in, low, strict=True)),
    }


def _moments(subject: Subject, place: tuple[int, ...], period: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Per axis the energy-weighted distance from where it belongs, and the energy, of every pair of channels."""
    chosen = torch.linspace(0, subject.channels - 1, min(subject.channels, _CHANNELS)).round().long().unique()
    shape = (len(chosen), subject.out_channels)
    energy = torch.zeros(shape, dtype=torch.float64)
    moment = [torch.zeros(shape, dtype=torch.float64) for _ in range(subject.dims)]
    picture = torch.zeros(())
    height = _COARSE if subject.rounding > 1e-5 else _STEP
    noisy = max(1e-4, 4 * subject.rounding / height)
    for step in range(period):
        at = tuple(k + step for k in place)
        up, down = subject.constant(0.5, len(chosen)), subject.constant(0.5, len(chosen))
        for i, c in enumerate(chosen):
            up[(i, c, *at)] += height
            down[(i, c, *at)] -= height
        response = (subject.answer(up) - subject.answer(down)) / (2 * height)
        if subject.halo is None:  # what every place feels is no place's
            response = response - response.flatten(2).median(2).values.view(*shape, *(1,) * subject.dims)
        response[response.abs() < noisy * response.abs().max()] = 0
        power = response.square()
        energy += power.flatten(2).sum(2)
        for axis in range(subject.dims):
            line = power.movedim(axis + 2, -1).flatten(2, -2).sum(2) if subject.dims > 1 else power
            distance = torch.arange(line.shape[-1], dtype=torch.float64) - expected(subject, axis, at[axis])
            moment[axis] += (line * distance).sum(-1)
        if step == 0:
            picture = response[0] if float(response[0].abs().max()) else response.abs().sum(0)
    return moment, energy, picture


def _error(moment: Tensor, energy: Tensor, mean: float) -> float:
    """The standard error of a ratio of sums over pairs."""
    count = int((energy > 0).sum())
    if count < 2:
        return 0.0
    rest = (moment - mean * energy).square().sum().sqrt() / energy.sum()
    return float(rest) * math.sqrt(count / (count - 1))


def equivariance(subject: Subject) -> tuple[float | None, str]:
    """The change of the inside when the window moves by whole pixels over a larger picture, over its std; worst axis.

    By the fewest pixels that can be, where strides inside show, and by an eighth of the probe: what enters at the one
    end is dark and what leaves at the other bright, so that means over the whole picture change.
    """
    found: dict[int, float] = {}
    for axis, s in enumerate(subject.scale):
        n, few = subject.size_in[axis], s.denominator
        for far in sorted({few, max(n // 8 // few, 1) * few}) if few <= n // 4 else ():
            number = _moved(subject, axis, far, far * s.numerator // few)
            if number is not None:
                found[far] = max(found.get(far, 0.0), number)
    if not found:
        return None, "no number of input pixels makes a whole number of output pixels, or the result is constant"
    few, limit, worst = min(found), TABLE["equivariance"].limit, max(found.values())
    if worst <= limit:
        return worst, f"an input moved by {_pixels(few)} gives the same, moved"
    if found[max(found)] <= limit:
        return worst, f"moved by {_pixels(few)} an input gives something else, by {max(found)} the same: strides inside"
    far = next(k for k, v in sorted(found.items()) if v > limit)
    return worst, f"an input moved by {_pixels(far)} gives something else"


def _moved(subject: Subject, axis: int, far: int, move: int) -> float | None:
    """The change of the inside when the window moves by `far` input pixels, which are `move` of the output."""
    n = subject.size_in[axis]
    size = list(subject.size_in)
    size[axis] += far
    scene = noise((1, subject.channels, *size), 51)
    ends = scene.transpose(2, axis + 2)
    ends[:, :, :far], ends[:, :, -far:] = 0.0, 1.0
    a = subject.answer(scene.narrow(axis + 2, 0, n))[0]
    b = subject.answer(scene.narrow(axis + 2, far, n))[0]
    if a.shape[axis + 1] - move - 2 * subject.margin[axis] < 1:
        return None
    a, b = a.narrow(axis + 1, move, a.shape[axis + 1] - move), b.narrow(axis + 1, 0, b.shape[axis + 1] - move)
    a, b = subject.inside(a), subject.inside(b)
    std = rms(a - a.flatten(1).mean(1).view(-1, *(1,) * subject.dims))
    return rms(a - b) / std if std > 1e-12 else None


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"
