# SPDX-License-Identifier: MIT
"""Many files at once: a pool, a progress bar, a record of each, an exit status."""

from __future__ import annotations

import os
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from halfpixel import io
from halfpixel.cli._paths import STDIO, Pair
from halfpixel.cli._report import Report
from halfpixel.errors import HalfpixelError
from halfpixel.io._limits import readable_bytes

INTERRUPTED = 130


class Stopped(Exception):
    """The user asked to stop; whatever is unfinished is dropped."""


@dataclass(frozen=True)
class Record:
    """What became of one file: a line of ``--json``. Sizes are (width, height)."""

    status: str
    input: str
    output: str
    format: str | None = None
    size_in: tuple[int, int] | None = None
    size_out: tuple[int, int] | None = None
    kind: str | None = None
    dtype: str | None = None
    in_rows: bool | None = None
    memory: int | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    works: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is known, as plain values."""
        return {"event": "file", **{name: value for name, value in asdict(self).items() if value is not None}}

    def text(self) -> str:
        """A line for people."""
        name, target = escape(self.input), escape(self.output)
        if self.status == "failed":
            return failed(self.input, self.error, self.works)
        if self.status == "skipped":
            return f"[dim]skipped  {target} is there[/]"
        sizes = " → ".join(f"{size[0]}×{size[1]}" for size in (self.size_in, self.size_out) if size)
        how = f"{self.seconds:.2f} s" if self.seconds is not None else f"needs {readable_bytes(self.memory or 0)}"
        rows = ", in rows" if self.in_rows else ""
        notes = "".join(f"\n  [yellow]note:[/] {escape(note)}" for note in self.notes)
        return f"[green]{self.status}[/]  {name} → {target}  [cyan]{sizes}[/]  [dim]{how}{rows}[/]{notes}"


def failed(name: str, error: str | None, works: str | None) -> str:
    """The line for people about a failure, and what would work."""
    advice = f"\n  [dim]what would work:[/] {escape(works)}" if works else ""
    return f"[red]failed[/]  {escape(name)}: {escape(error or '')}{advice}"


def run(made: Sequence[Pair], skipped: set[str], settings: io.Settings, jobs: int, dry: bool, report: Report) -> int:
    """Work through the pairs; returns the exit status."""
    stop, budget = threading.Event(), io.MemoryBudget(settings.limits.bytes)

    def work(pair: Pair) -> Record:
        if pair.target in skipped:
            return Record("skipped", pair.source, pair.target)
        if pair.problem:
            return Record("failed", pair.source, pair.target, error=pair.problem)
        return _attempt(pair, lambda: _planned(pair, settings) if dry else _done(pair, settings, budget, report, stop))

    with report.running(len(made)), stopping(stop), ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(work, pair) for pair in made]
        try:
            for future in as_completed(waiting):
                record = future.result()
                report.count(record.input, record.status)
                report.say(record)
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            report.interrupted()
            return INTERRUPTED
    return report.finish()


def _attempt(pair: Pair, act: Callable[[], Record]) -> Record:
    try:
        return act()
    except Stopped:
        raise
    except Exception as error:
        why, works = reason(error)
        return Record("failed", pair.source, pair.target, error=why, works=works)


def reason(error: Exception) -> tuple[str, str | None]:
    """Why a file failed, and what would work; a mistake of this package must not cost the other files."""
    if isinstance(error, HalfpixelError):
        return error.why, error.works
    if isinstance(error, MemoryError):
        return "there is not enough memory for it", None
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or ''}", None
    return f"an error within halfpixel: {error!r}", None


def _done(pair: Pair, settings: io.Settings, budget: io.MemoryBudget, report: Report, stop: threading.Event) -> Record:
    def on_progress(share: float) -> None:
        if stop.is_set():
            raise Stopped
        report.progress(pair.source, share)

    begun = time.perf_counter()
    if pair.target != STDIO:
        Path(pair.target).absolute().parent.mkdir(parents=True, exist_ok=True)
    on_progress(0.0)
    job = io.resize_file(pair.source, pair.target, settings, budget=budget, on_progress=on_progress)
    return _record("done", pair, job, time.perf_counter() - begun)


def _planned(pair: Pair, settings: io.Settings) -> Record:
    return _record("planned", pair, io.plan_file(pair.source, pair.target, settings), None)


def _record(status: str, pair: Pair, job: io.Job, seconds: float | None) -> Record:
    before, after = job.header, job.header_out
    return Record(
        status,
        pair.source,
        pair.target,
        after.format,
        before.size[::-1],
        after.size[::-1],
        after.kind,
        after.dtype.name,
        job.in_rows,
        job.nbytes,
        None if seconds is None else round(seconds, 4),
        job.notes,
    )


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Being asked to end is treated as Ctrl-C; a second request does not wait."""

    def handle(number: int, frame: types.FrameType | None) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
