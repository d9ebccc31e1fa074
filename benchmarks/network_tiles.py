# SPDX-License-Identifier: MIT
"""Pictures through networks in tiles, beside the same in one call: what the tiles cost, and that nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import torch

from halfpixel.models import _windows, create_model, run_tiled
from halfpixel.models._tiles import Tiler

from .check import WrongResult
from .measure import Sample, timed
from .record import Measure
from .rows import Effort, set_threads

SMALL, MORE = 1.1, 1.03  # of networks whose halo is small; of the others beyond the halo's share
_TOLERANCE = 2e-5  # of the largest value, where that is above 1
_LARGE = 3  # rounds at least and at most of networks whose call takes seconds


@dataclass(frozen=True)
class Case:
    """A network, the side of its picture, and what its row must reach; None: the halo's share of pixels and 3%."""

    name: str
    options: tuple[tuple[str, int], ...]
    side: int
    target: float | None
    tile: int | None = None  # None: the default

    @property
    def id(self) -> str:
        """The row's name."""
        return "-".join(("tiles", self.name, *(f"{k}{v}" for k, v in self.options), f"{self.side}x{self.side}"))


_CASES = (
    Case("espcn", (("scale", 2),), 512, SMALL),
    Case("fsrcnn", (("scale", 2),), 512, SMALL),
    Case("edsr", (("scale", 2),), 448, None),
    Case("srvgg", (("scale", 4), ("convs", 16)), 512, None),
    Case("rrdbnet", (("scale", 4), ("blocks", 2)), 256, None),
)


def cases(quick: bool = False) -> Iterator[Case]:
    """The rows; `quick` ones of a small picture that is cut all the same."""
    for case in _CASES:
        yield replace(case, side=48, tile=24) if quick else case


def run(case: Case, effort: Effort) -> Measure:
    """Check and measure `case`.

    Raises:
        WrongResult: tiles give other numbers than the whole, or the picture is a single tile.
    """
    set_threads(effort.threads)
    torch.manual_seed(0)
    model = create_model(case.name, **dict(case.options)).eval()
    x = torch.rand(1, model.in_channels, case.side, case.side)
    tiles, share = computed(model, case)
    if tiles < 2:
        raise WrongResult("the picture is a single tile: there is nothing to compare")
    ours, reference = partial(run_tiled, model, x, tile=case.tile), partial(_whole, model, x)
    error = _error(ours(), reference())
    if case.target is None:
        effort = replace(effort, least=min(effort.least, _LARGE), most=min(effort.most, _LARGE))
    found = effort.interleaved({"ours": _sample(ours, case), "reference": _sample(reference, case)})
    times = {name: t.median_ms for name, t in found.items()}
    ratio, target = times["ours"] / times["reference"], round(case.target or share * MORE, 4)
    beside = {f"{name} iqr": t.iqr_ms for name, t in found.items()}
    beside |= {"tiles": tiles, "share of pixels": round(share, 4), "error": float(f"{error:.3g}")}
    return Measure(case.id, "tiles", "ms", **times, ratio=ratio, target=target, reached=ratio <= target, beside=beside)


def computed(model: Any, case: Case) -> tuple[int, float]:
    """How many tiles there are, and how many pixels they compute for each of the picture's."""
    tiler = Tiler(model, model.in_channels, tile=case.tile)
    size = (case.side, case.side)
    spans = [
        _windows.exact(n, side, tiler.halo, tiler.multiple) for n, side in zip(size, tiler.tile(size), strict=True)
    ]
    height, width = (sum(span.length for span in axis) for axis in spans)
    return len(spans[0]) * len(spans[1]), height * width / case.side**2


def _whole(model: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(x)


def _sample(call: Any, case: Case) -> Sample:
    """Of calls that take seconds none is untimed: the check was one."""
    if case.target is not None:
        return timed(call)
    return partial(_seconds, call)


def _seconds(call: Any) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _error(got: torch.Tensor, want: torch.Tensor) -> float:
    if got.shape != want.shape:
        raise WrongResult(f"tiles give {tuple(got.shape)}, the whole {tuple(want.shape)}")
    error = float((got - want).abs().max() / want.abs().max().clamp_min(1))
    if not error <= _TOLERANCE:
        raise WrongResult(f"tiles are {error:.3g} away from the whole, {_TOLERANCE:g} was allowed")
    return error
