# SPDX-License-Identifier: MIT
"""Timing several things beside each other, so that what the machine does meanwhile falls on all of them."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from time import perf_counter

from .record import Timing

Sample = Callable[[], float]  # runs something once, returns its seconds


def timed(call: Callable[[], object], shortest: float = 1e-3) -> Sample:
    """A sample of `call`: one untimed call, then as many as fill `shortest` seconds.

    The untimed call brings code and plan into the caches and lets another library's worker threads come to rest.
    A result lives until its call has been timed, so each call writes memory of its own.
    """
    call()
    start = perf_counter()
    call()
    count = max(1, round(shortest / max(perf_counter() - start, 1e-9)))

    def sample() -> float:
        call()
        if count > 1:
            start = perf_counter()
            for _ in range(count):
                call()
            return (perf_counter() - start) / count
        start = perf_counter()
        result = call()
        seconds = perf_counter() - start
        del result
        return seconds

    return sample


def interleaved(samples: dict[str, Sample], budget: float = 4.0, least: int = 7, most: int = 41) -> dict[str, Timing]:
    """Median and inter-quartile range of each sample, taken in turns; every round starts with another one."""
    taken: dict[str, list[float]] = {name: [] for name in samples}
    names = list(samples)
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = perf_counter()
        for round_ in range(most):
            if round_ >= least and perf_counter() - start > budget:
                break
            first = round_ % len(names)
            for name in names[first:] + names[:first]:
                taken[name].append(samples[name]() * 1e3)
    finally:
        if enabled:
            gc.enable()
    return {name: summary(values) for name, values in taken.items()}


def summary(milliseconds: list[float]) -> Timing:
    """Median and inter-quartile range."""
    if len(milliseconds) < 2:
        return Timing(round(milliseconds[0], 6), 0.0, len(milliseconds))
    low, _, high = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Timing(round(statistics.median(milliseconds), 6), round(high - low, 6), len(milliseconds))
