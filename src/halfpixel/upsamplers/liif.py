# SPDX-License-Identifier: MIT
"""Local implicit image function: a network of coordinates, at any scale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelShapeError, HalfpixelValueError, describe_call

from ._base import Upsampler
from ._registry import Shape, Sizes, register

_HIDDEN = (256, 256, 256, 256)
_EPS = 1e-6  # of the reference: which of two equally near codes is meant, in units of the whole image
_AREA = 1e-9


def _parameters(shape: Shape, hidden: Sequence[int] = _HIDDEN, **options: Any) -> int:
    widths = (9 * shape.in_channels + 4, *hidden, shape.out_channels)
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


def _multiply_adds(
    shape: Shape, size: Sizes, hidden: Sequence[int] = _HIDDEN, local_ensemble: bool = True, **options: Any
) -> int:
    places, queries = math.prod(size), math.prod(shape.grown(size)) * (4 if local_ensemble else 1)
    widths = (4, *hidden, shape.out_channels)
    return places * 9 * shape.in_channels * hidden[0] + queries * sum(a * b for a, b in itertools.pairwise(widths))


@register(
    "liif", source="Chen et al., Learning continuous image representation with local implicit image function (2021)",
    parameters=_parameters, multiply_adds=_multiply_adds,
)  # fmt: skip
class Liif(Upsampler):
    """A network reads the features around a coordinate and the pixel's size, and says its value: any scale and size.

    **Convention:** parameters `imnet.layers.0`, `2`, ..., linear layers of the 3 x 3 features (channel, then place),
    the coordinate relative to the code and the pixel's size, both in pixels of the input times 2. Coordinates lie in
    [-1, 1], (y, x), -1 and 1 being the outer edges. The first layer's part that reads features runs once, as a
    convolution at the low resolution: the same numbers, since a gather commutes with it.
    Options: hidden: widths. local_ensemble: blend the answers of the four nearest codes by area. chunk: queries at
    once;
        memory follows it when no gradient is recorded.
    """

    def __init__(
        self, shape: Shape, *, hidden: Sequence[int] = _HIDDEN, local_ensemble: bool = True, chunk: int = 32768
    ) -> None:
        super().__init__(shape)
        if not hidden or chunk < 1:
            raise HalfpixelValueError(f"hidden is {hidden!r}, chunk {chunk!r}", "at least one width, and 1 query")
        self.local_ensemble, self.chunk = local_ensemble, chunk
        widths = (9 * shape.in_channels + 4, *hidden)
        layers: list[torch.nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        self.imnet = torch.nn.Module()
        self.imnet.layers = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], shape.out_channels))

    def upsample(self, x: Tensor, size: Sizes, guide: Tensor | None) -> Tensor:
        """x at size: a query at the middle of every pixel."""
        axes = [
            (torch.arange(m, device=x.device, dtype=_real(x)) * 2 + 1) / m - 1 for m in size
        ]  # fmt: skip
        coord = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)
        cell = coord.new_tensor([2 / m for m in size])
        return self._answers(x, coord.unsqueeze(0), cell).transpose(1, 2).unflatten(2, tuple(size))

    def query(self, feat: Tensor, coord: Tensor, cell: Tensor) -> Tensor:
        """The values at coordinates.

        Arguments: feat: features (N, in_channels, H, W). coord: (N, Q, 2), (y, x) in [-1, 1]. cell: the pixel's height
            and width in the same units (2 / size), (2,) or (N, Q, 2).
        Returns: (N, Q, out_channels).
        Raises: ValueError for other shapes.
        """
        self._check_input(feat, None, None)
        if coord.dim() != 3 or coord.shape[0] != feat.shape[0] or coord.shape[2] != 2:
            call = describe_call("liif.query", feat, coord, cell)
            raise HalfpixelShapeError(f"coord has shape {tuple(coord.shape)}", f"({feat.shape[0]}, Q, 2)", call)
        return self._answers(feat, coord, cell)

    def _answers(self, feat: Tensor, coord: Tensor, cell: Tensor) -> Tensor:
        n, count = feat.shape[0], coord.shape[1]
        first = self.imnet.layers[0]
        split = 9 * self.in_channels
        kernel = first.weight[:, :split].unflatten(1, (self.in_channels, 3, 3))
        codes = torch.nn.functional.conv2d(feat, kernel, first.bias, padding=1)
        codes = codes.flatten(2).transpose(1, 2)  # (N, places, width)
        sizes = tuple(feat.shape[2:])
        parts = []
        for at in range(0, max(count, 1), self.chunk):
            part = coord[:, at : at + self.chunk].to(_real(feat))
            its = (cell if cell.dim() == 1 else cell[:, at : at + self.chunk]).to(part)
            parts.append(self._blended(codes, part.expand(n, -1, -1), its, sizes, first.weight[:, split:]))
        return torch.cat(parts, 1)

    def _blended(self, codes: Tensor, coord: Tensor, cell: Tensor, sizes: Sizes, weight: Tensor) -> Tensor:
        lengths = coord.new_tensor(sizes)
        shifts = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if self.local_ensemble else [(0, 0)]
        answers, areas = [], []
        for shift in shifts:
            eps = _EPS if self.local_ensemble else 0.0
            place = coord + coord.new_tensor(shift) / lengths + eps
            place = place.clamp(-1 + _EPS, 1 - _EPS)
            index = ((place + 1) * lengths / 2).floor().clamp(min=0)
            index = torch.minimum(index, lengths - 1)
            relative = (coord + 1) * lengths - (2 * index + 1)  # in half pixels of the input
            told = torch.cat([relative, (cell * lengths).expand_as(relative)], -1).to(codes.dtype)
            flat = (index[..., 0] * lengths[1] + index[..., 1]).long()
            code = codes.gather(1, flat.unsqueeze(-1).expand(-1, -1, codes.shape[-1]))
            answers.append(self.imnet.layers[1:](code + torch.nn.functional.linear(told, weight)))
            areas.append(relative[..., :1].abs() * relative[..., 1:].abs() + _AREA)
        if len(answers) == 1:
            return answers[0]
        total = areas[0] + areas[1] + areas[2] + areas[3]
        blend = zip(answers, reversed(areas), strict=True)  # each by the area opposite to it
        return sum((answer * (area / total).to(answer.dtype) for answer, area in blend), answers[0] * 0)


def _real(x: Tensor) -> torch.dtype:
    """Coordinates are float32 or better."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
