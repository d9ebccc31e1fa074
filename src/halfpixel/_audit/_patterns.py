# SPDX-License-Identifier: MIT
"""Checkerboards: patterns that repeat every few pixels, of inputs that have none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ._layers import Layer, layers
from ._limits import LEVEL
from ._subject import Subject, noise

_LINES = 16  # periods in a spectrum: lines lie apart, and images of slow waves beside them
_RISE = 1 / 8  # of ramps
_FACTORS = (2, 3, 4, 8)  # of layers inside, whose patterns outlive a result of the input's own size


def periods(subject: Subject, lengths: Sequence[int], least: int = 2) -> list[tuple[int, ...]]:
    """Per axis: the scale's own period, and those of usual strides, of which the lengths hold at least so many."""
    own = [s.numerator for s in subject.scale]
    found = {tuple(own)}
    for f in _FACTORS:
        found.add(tuple(math.lcm(f, p) if p <= 8 else p for p in own))
        found.add((f,) * len(own))
    return [p for p in sorted(found) if max(p) > 1 and all(n >= least * q for n, q in zip(lengths, p, strict=True))]


def _largest(found: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Without those that divide another one, whose lines are among the other's."""

    def divides(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        return a != b and all(y % x == 0 for x, y in zip(a, b, strict=True))

    return [p for p in found if not any(divides(p, q) for q in found)]


def phase_means(y: Tensor, period: Sequence[int]) -> Tensor:
    """Means of the samples at equal places in a period: (channels, *period)."""
    whole = y[(..., *(slice(n // p * p) for n, p in zip(y.shape[1:], period, strict=True)))]
    split = [q for n, p in zip(whole.shape[1:], period, strict=True) for q in (n // p, p)]
    return whole.reshape(y.shape[0], *split).mean(tuple(range(1, 2 * len(period) + 1, 2)))


def rms(values: Tensor) -> float:
    """Root mean square."""
    return float(values.square().mean().sqrt())


def detrended(y: Tensor) -> tuple[Tensor, Tensor]:
    """What a plane leaves of (C, *spatial), and the plane's slopes (C, axes)."""
    axes = [torch.arange(n, dtype=y.dtype) - (n - 1) / 2 for n in y.shape[1:]]
    rest, slopes = y - y.flatten(1).mean(1).view(-1, *(1,) * len(axes)), []
    for axis, at in enumerate(axes):
        shape = [1] * y.dim()
        shape[axis + 1] = -1
        line = at.reshape(shape)
        total = at.square().sum() * (y[0].numel() / len(at))
        slope = (rest * line).flatten(1).sum(1) / total.clamp(min=1e-300)
        rest = rest - slope.view(-1, *(1,) * len(axes)) * line
        slopes.append(slope)
    return rest, torch.stack(slopes, 1)


class Levels:
    """What constants become: answers to flat fields, and the range of outputs that numbers are shares of."""

    def __init__(self, subject: Subject) -> None:
        each = noise((subject.channels,), 21)
        self.levels = [torch.full_like(each, 0.5), each]
        self.fields = [subject.constant(v) for v in self.levels]
        self.answers = [subject.answer(x)[0] for x in self.fields]
        ends = [subject.inside(subject.answer(subject.constant(v))[0]) for v in (0.0, 1.0)]
        busy = subject.inside(subject.answer(noise((1, subject.channels, *subject.size_in), 22))[0])
        inner = [*ends, busy, *(subject.inside(y) for y in self.answers)]
        values = torch.cat([y.flatten(1) for y in inner], 1)
        self.range = max(rms(values.amax(1) - values.amin(1)), 1e-30)

    def keeps(self, subject: Subject) -> bool:
        """Whether constants stay what they are inside: an interpolation, or a network that learned to be one."""
        if subject.out_channels != subject.channels:
            return False
        inner = [subject.inside(y).flatten(1) for y in self.answers]
        far = [
            float((y.mean(1) - level).abs().max()) for y, level in zip(inner, self.levels, strict=True)
        ]  # fmt: skip
        return max(far) < 0.02


def polyphase(subject: Subject) -> tuple[float | None, str, list[Layer]]:
    """Of the layers: the worst, with its name."""
    found = layers(subject)
    known = [layer for layer in found if layer.score != math.inf or float(layer.sums.abs().max()) > 0]
    if not known:
        return None, "no transposed convolution and no convolution before a pixel shuffle", found
    worst = max(known, key=lambda layer: layer.score)
    each = "phases of every layer sum to the same" if worst.score <= LEVEL else f"worst layer: {worst.name}"
    return worst.score, f"{each} ({len(known)} layer{'s' * (len(known) > 1)})", found


def flat(subject: Subject, levels: Levels) -> tuple[float, str]:
    """Std of the phase means of constants, over the range; a guide's halves are looked at apart."""
    numbers: dict[tuple[int, ...], float] = {}
    for answer in levels.answers:
        for part in _parts(subject, subject.inside(answer)):
            rest = detrended(part)[0] if subject.halo is None else part
            for period in periods(subject, rest.shape[1:]):
                means = phase_means(rest, period).flatten(1)
                spread = float(means.var(1, unbiased=False).mean().sqrt()) / levels.range
                numbers[period] = max(numbers.get(period, 0.0), spread)
    if not numbers:
        return 0.0, "the result is too small for any period"
    worst = max(numbers.values())
    period = min((p for p, v in numbers.items() if v >= 0.7 * worst), key=math.prod)
    if worst <= LEVEL:
        return worst, "constants stay flat"
    return worst, f"constants get a pattern of period {'x'.join(map(str, period))}"


def _parts(subject: Subject, inner: Tensor) -> Iterator[Tensor]:
    if not subject.guide_structured:
        yield inner
        return
    n = inner.shape[-1]
    away = min(subject.margin[-1], n // 2 - 2)  # of the step in the guide
    yield inner[..., : n // 2 - away]
    yield inner[..., n // 2 + away :]


def ramp(subject: Subject, levels: Levels) -> tuple[float | None, str]:
    """How far apart the phases of a ramp come that rise at rates of their own: over the range, of a ramp from 0 to 1.

    The ramp is a gentle one: where the response is curved, phases differ by their places alone.
    """
    worst, stairs, rises = 0.0, 0.0, False
    for axis in range(subject.dims):
        n = subject.size_in[axis]
        shape = [1] * (subject.dims + 2)
        shape[axis + 2] = n
        line = (0.5 + _RISE * ((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5)).reshape(shape)
        inner = subject.inside(subject.answer(line.expand(1, subject.channels, *subject.size_in))[0])
        rest, slopes = detrended(inner)
        slope = rms(slopes[:, axis])
        if slope * inner.shape[axis + 1] < 1e-6 * levels.range:
            continue
        rises = True
        for period in periods(subject, inner.shape[1:], 3):
            if any(p % s.numerator for p, s in zip(period, subject.scale, strict=True)):
                continue  # stairs of the scale would beat against it
            rates = _rates(inner, period, axis)
            spread = float(rates.var(1, unbiased=False).mean().sqrt())
            worst = max(worst, spread / _RISE * inner.shape[axis + 1] / 2 / levels.range)
            means = phase_means(rest, period).flatten(1)
            stairs = max(stairs, rms(means.amax(1) - means.amin(1)) / (slope * float(subject.scale[axis])))
    if not rises:
        return None, "a ramp becomes flat"
    if worst > LEVEL:
        return worst, "the phases of a ramp rise at different rates"
    return worst, "ramps stay ramps" if stairs < 0.05 else f"ramps become stairs of {stairs:.2g} input pixels"


def _rates(y: Tensor, period: Sequence[int], axis: int) -> Tensor:
    """By how much a pixel the samples of each phase rise along an axis: (channels, phases)."""
    blocks, p = y.shape[axis + 1] // period[axis], period[axis]
    at = torch.arange(blocks, dtype=y.dtype) - (blocks - 1) / 2
    shape = [1] * y.dim()
    shape[axis + 1] = blocks * p
    line = at.repeat_interleave(p).reshape(shape)
    weighted = y.narrow(axis + 1, 0, blocks * p) * line
    return phase_means(weighted, period).flatten(1) / (at.square().mean() * p)


def texture(channels: int, size: Sequence[int], seed: int) -> Tensor:
    """Like photographs: random phases, amplitudes of 1/f up to a fifth of the sampling rate; mean 0.5, std 0.15."""
    white = torch.fft.rfftn(noise((channels, *size), seed) - 0.5, dim=tuple(range(1, len(size) + 1)))
    grids = [torch.fft.fftfreq(n, dtype=torch.float64) for n in size[:-1]]
    grids.append(torch.fft.rfftfreq(size[-1], dtype=torch.float64))
    f = torch.stack(torch.meshgrid(*grids, indexing="ij")).square().sum(0).sqrt()
    gain = torch.where((f > 0) & (f < 0.2), 1 / f.clamp(min=1e-9), torch.zeros_like(f))
    x = torch.fft.irfftn(white / white.abs().clamp(min=1e-12) * gain, s=tuple(size), dim=tuple(range(1, len(size) + 1)))
    std = x.flatten(1).std(1).view(-1, *(1,) * len(size))
    return (0.5 + 0.15 * x / std).unsqueeze(0)


def comb(subject: Subject) -> tuple[float | None, str, Any]:
    """The strongest line at a multiple of a period's frequency, over the mean of its surroundings; and the spectrum."""
    with subject.doubled():
        inner = subject.inside(subject.answer(texture(subject.channels, subject.size_in, 31))[0])
    worst, where, picture = None, "", None
    for period in _largest(periods(subject, inner.shape[1:], _LINES)):
        lengths = [n // p * p for n, p in zip(inner.shape[1:], period, strict=True)]
        power = spectrum(inner[(..., *map(slice, lengths))])
        picture = power if picture is None else picture
        floor = float(power.max()) * (LEVEL / 16) ** 2
        for m in itertools.product(*map(range, period)):
            if not any(m):
                continue
            line = tuple(i * n // p for i, n, p in zip(m, lengths, period, strict=True))
            over = 10 * math.log10(max(float(power[line]), 1e-300) / max(_around(power, line), floor))
            if worst is None or over > worst:
                worst, where = over, ", ".join(str(Fraction(i, p)) for i, p in zip(m, period, strict=True))
    if worst is None:
        return None, "the result is too small for a spectrum", picture
    worst = max(worst, 0.0)
    sentence = f"a line at ({where}) of the sampling rate" if worst > 10 else "no lines stand out of the spectrum"
    return worst, sentence, picture


def spectrum(y: Tensor) -> Tensor:
    """The mean power spectrum of channels (C, *spatial), under Hann windows."""
    for axis, n in enumerate(y.shape[1:]):
        shape = [1] * y.dim()
        shape[axis + 1] = n
        y = y * torch.hann_window(n, periodic=True, dtype=y.dtype).reshape(shape)
    return torch.fft.fftn(y, dim=tuple(range(1, y.dim()))).abs().square().mean(0)


def _around(power: Tensor, line: tuple[int, ...]) -> float:
    """The mean of the bins that are 2 or 3 away: beside the window's main lobe, and nearer than the next line."""
    near = [(torch.arange(k - 3, k + 4)) % n for k, n in zip(line, power.shape, strict=True)]
    block = power[torch.meshgrid(*near, indexing="ij")]
    away = torch.stack(torch.meshgrid(*[torch.arange(-3, 4).abs()] * len(line), indexing="ij")).amax(0)
    return float(block[away >= 2].mean())


def gradient(subject: Subject) -> tuple[float | None, str, Any]:
    """Std over mean of the gradient of the sum of all outputs, inside; both as rms over channels."""
    x = subject.constant(0.5).to(device=subject.device, dtype=subject.dtype).requires_grad_()
    y = subject.call(x)
    if not y.requires_grad:
        return None, "it has no gradient", None
    try:
        (g,) = torch.autograd.grad(y.sum(), x, allow_unused=True)
    except RuntimeError as error:
        return None, f"it has no gradient: {str(error).splitlines()[0]}", None
    if g is None:
        return None, "the result does not depend on the input", None
    g = g[0].detach().double().cpu()
    reach = subject.halo or tuple(n // 4 for n in subject.size_in)
    cut = [min(h + 1, (n - 1) // 2) for h, n in zip(reach, g.shape[1:], strict=True)]
    inner = g[(..., *(slice(c, n - c) for c, n in zip(cut, g.shape[1:], strict=True)))]
    mean = inner.flatten(1).mean(1)
    rest = detrended(inner)[0] if subject.halo is None else inner - mean.view(-1, *(1,) * subject.dims)
    size = rms(mean)
    if size < 1e-6 * float(g.abs().max()) or not size:
        return None, "the gradients of a constant cancel", g
    number = rms(rest) / size
    if number <= 0.02:
        return number, "all input pixels have the same share", g
    return number, "input pixels have unequal shares: training sees a checkerboard", g
