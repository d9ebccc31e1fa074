# SPDX-License-Identifier: MIT
"""One run: the chosen sections in order, each result printed as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from halfpixel.testing.cases import CASES, Case

from . import alternate, calls, fused, memory, rows, sweep
from .base import BaseWorker, build
from .check import WrongResult
from .machine import describe
from .record import RESULTS, Fused, Measure, Memory, Pair, Results, Row, Timing
from .rows import Effort

__all__ = ["RESULTS", "run"]

_MEMORY_ROWS = ("cubic-float32-64mp", "cubic_aa-uint8-64mp")


def run(
    sections: Sequence[str],
    wanted: Callable[[str], bool],
    threads: int,
    quick: bool,
    base_ref: str | None,
    name: str | None,
) -> tuple[Results, list[str]]:
    """The results, and the ids of the rows whose result was wrong (they carry no figures)."""
    effort = Effort(threads, budget=0.05, least=2, most=3) if quick else Effort(threads)
    table = [case.small() if quick else case for case in CASES if wanted(case.id)]
    sizes = tuple(sweep.cases((1,) if quick else sweep.MEGAPIXELS))
    results, failed = Results(describe(threads, name)), list[str]()
    print(f"{results.machine.cpu}, {threads} threads, isa {results.machine.isa}, {results.machine.versions}\n")
    base = BaseWorker(build(base_ref)) if base_ref else None
    if "rows" in sections:
        results.rows.extend(_rows(table, effort, base, failed))
    if "sweep" in sections:
        results.sweep.extend(_rows(sizes, effort, base, failed))
    if base is not None:
        base.close()
    if "memory" in sections:
        results.memory.extend(_memory(sizes, table, quick))
    if "calls" in sections:
        results.calls.update(_show(calls.run(effort)))
    if "alternate" in sections:
        results.alternate.update(_show(alternate.run(effort)))
    if "fused" in sections:
        results.fused.extend(_fused(effort, quick))
    if "tensors" in sections and find_spec("torch"):
        from . import pairs, tensors

        results.tensors.extend(_pairs(tensors.jobs(quick), partial(pairs.run, effort=effort), wanted, failed))
    if "upsamplers" in sections and find_spec("torch"):
        from . import upsamplers

        measure = partial(upsamplers.run, effort=effort, quick=quick)
        results.upsamplers.extend(_pairs(upsamplers.jobs(quick), measure, wanted, failed))
    if "networks" in sections and find_spec("torch"):
        from . import networks

        results.networks.extend(_networks(networks.jobs(quick), effort, wanted, failed))
    return results, failed


def _rows(table: Iterable[Case], effort: Effort, base: BaseWorker | None, failed: list[str]) -> Iterable[Row]:
    for case in table:
        try:
            row = rows.run(case, effort, base)
        except WrongResult as wrong:
            print(f"{case.id}\n    WRONG: {wrong}", flush=True)
            failed.append(case.id)
            continue
        print(_line(row), flush=True)
        yield row


def _pairs(
    jobs: Iterable[Any], measure: Callable[[Any], Pair], wanted: Callable[[str], bool], failed: list[str]
) -> Iterable[Pair]:
    for job in jobs:
        if not wanted(job.id):
            continue
        try:
            pair = measure(job)
        except WrongResult as wrong:
            print(f"{job.id}\n    WRONG: {wrong}", flush=True)
            failed.append(job.id)
            continue
        print(
            f"{pair.id}\n    ours {_part(pair.ours)} | {_part(pair.torch)} | floor {_part(pair.floor)} ms", flush=True
        )
        yield pair


def _networks(
    jobs: Iterable[Any], effort: Effort, wanted: Callable[[str], bool], failed: list[str]
) -> Iterable[Measure]:
    for job in jobs:
        if not wanted(job.id):
            continue
        try:
            found = job.make(effort)
        except WrongResult as wrong:
            print(f"{job.id}\n    WRONG: {wrong}", flush=True)
            failed.append(job.id)
            continue
        beside = "  ".join(f"{name} {value:.4g}" for name, value in found.beside.items())
        print(
            f"{found.id}\n    ours {found.ours:.4g} | reference {found.reference:.4g} {found.unit} | "
            f"ratio {found.ratio:.3f}, target {found.target:.3f} | {beside}",
            flush=True,
        )
        yield found


def _part(timings: dict[str, Timing]) -> str:
    return "  ".join(f"{name} {t.median_ms:.3g}±{t.iqr_ms:.2g}" for name, t in timings.items())


def _line(row: Row) -> str:
    out = [f"    left out: {name}: {why}" for name, why in row.left_out.items()]
    return "\n".join([row.id, f"    ours {_part(row.ours)} | {_part(row.peers)} | floor {_part(row.floor)} ms", *out])


def _memory(sizes: Sequence[Case], table: Sequence[Case], quick: bool) -> Iterable[Memory]:
    chosen = (
        sizes if quick else [case for case in sizes if case.id in _MEMORY_ROWS] + [c for c in table if c.peers][:40:4]
    )
    for case in chosen:
        found = memory.run(case)
        share = found.extra / (found.bytes_in + found.bytes_out)
        print(
            f"memory {case.id}: {found.extra / 2**20:.2f} MiB beyond input and output, {share:.1%} of them", flush=True
        )
        yield found


def _fused(effort: Effort, quick: bool) -> Iterable[Fused]:
    for case in fused.CASES:
        found = fused.run(case.small() if quick else case, effort)
        if found is None:
            continue
        print(
            f"{found.id}: ours {found.ours.median_ms:.3g} ms, {found.extra / 2**20:.2f} MiB; "
            f"torch {found.torch.median_ms:.3g} ms, {found.torch_extra / 2**20:.2f} MiB",
            flush=True,
        )
        yield found


def _show(timings: dict[str, Timing]) -> dict[str, Timing]:
    for name, timing in timings.items():
        print(f"{name}: {timing.median_ms * 1e3:.1f} us ± {timing.iqr_ms * 1e3:.1f}", flush=True)
    return timings
