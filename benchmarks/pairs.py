# SPDX-License-Identifier: MIT
"""One call through torch tensors: ours and torch's checked against each other, then timed in one loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

import halfpixel

from . import floor
from .check import WrongResult
from .measure import Sample, timed
from .record import Pair
from .rows import Effort, set_threads

Call = Callable[[], Any]
ACCELERATED = "accelerate"  # of ours, the call that is torch's own and runs under `halfpixel.accelerate()`


@dataclass(frozen=True)
class Work:
    """What to time: calls of ours and of torch that return the same (tensors, or tuples of them).

    `beside` is timed too and not compared. `tolerance` is the largest difference allowed, relative to the largest
    value where that is above 1; 0 asks for equality.
    """

    ours: dict[str, Call]
    torch: dict[str, Call]
    bytes_in: int
    bytes_out: int
    tolerance: float = 0.0
    beside: dict[str, Call] = field(default_factory=dict)
    flops: int = 0


@dataclass(frozen=True)
class Job:
    """A row to measure: `make` allocates, and is called when its turn comes. `share` is its part of the effort."""

    id: str
    group: str
    make: Callable[[], Work]
    share: float = 1.0


def run(job: Job, effort: Effort) -> Pair:
    """Check and measure `job`.

    Raises:
        WrongResult: two of its calls do not return the same.
    """
    set_threads(effort.threads)
    torch.manual_seed(0)
    work = job.make()
    error = _checked(work)
    calls = {
        **{f"ours {name}": call for name, call in work.ours.items()},
        **{f"torch {name}": call for name, call in work.torch.items()},
        **{f"floor {name}": call for name, call in work.beside.items()},
    }
    samples = {name: _sample(call, name == f"ours {ACCELERATED}") for name, call in calls.items()}
    bounds = floor.samples(work.bytes_in, work.bytes_out, effort.threads)
    bounds["write_tensor"] = partial(_write_tensor, work.bytes_out, effort.threads)
    samples |= {f"floor {what}": sample for what, sample in bounds.items()}
    timings = replace(effort, budget=effort.budget * job.share).interleaved(samples)
    ours, theirs, beside = (
        {name.removeprefix(f"{head} "): t for name, t in timings.items() if name.startswith(f"{head} ")}
        for head in ("ours", "torch", "floor")
    )
    return Pair(job.id, job.group, work.bytes_in, work.bytes_out, work.flops, error, ours, theirs, beside)


def moved(*tensors: Tensor) -> int:
    """The bytes of the tensors' elements."""
    return sum(t.numel() * t.element_size() for t in tensors)


def _write_tensor(size: int, threads: int) -> float:
    """Memory of torch's allocator, which hands out again what was freed, up to some size."""
    start = perf_counter()
    memory = torch.empty(size, dtype=torch.uint8)
    return perf_counter() - start + floor.written(memory.data_ptr(), size, threads)


def _around(accelerated: bool) -> AbstractContextManager[object]:
    return halfpixel.accelerate() if accelerated else nullcontext()


def _sample(call: Call, accelerated: bool) -> Sample:
    """Switching takes about a millisecond and stays outside of the time taken."""
    with _around(accelerated):
        sample = timed(call)

    def switched() -> float:
        with _around(accelerated):
            return sample()

    return switched


def _checked(work: Work) -> float:
    """The largest difference from the first call of torch's, or of ours where torch has none."""
    first = next(iter((work.torch or work.ours).values()))
    expected = _results(first())
    if not all(bool(t.isfinite().all()) for t in expected):
        raise WrongResult("a result is not finite")
    for name, call in list(work.torch.items())[1:]:
        _compare(f"torch {name}", _results(call()), expected, work.tolerance)
    error = 0.0
    for name, call in work.ours.items():
        with _around(name == ACCELERATED):
            result = _results(call())
        error = max(error, _compare(f"halfpixel {name}", result, expected, work.tolerance))
    return float(f"{error:.3g}")


def _results(result: Any) -> tuple[Tensor, ...]:
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(part.detach() for part in parts)


def _compare(name: str, result: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> float:
    if [(t.shape, t.dtype) for t in result] != [(t.shape, t.dtype) for t in expected]:
        raise WrongResult(f"{name} returned other shapes or dtypes than torch")
    error = 0.0
    for got, want in zip(result, expected, strict=True):
        if torch.equal(got, want):
            continue
        if not (got.is_floating_point() and tolerance):
            raise WrongResult(f"{name} and torch differ in {int((got != want).sum())} elements of {want.numel()}")
        difference = (got.double() - want.double()).abs().max() / want.abs().max().double().clamp_min(1)
        error = max(float(difference), error)
        if not float(difference) <= tolerance:
            raise WrongResult(f"{name} is {float(difference):.3g} away from torch, {tolerance:g} was allowed")
    return error
