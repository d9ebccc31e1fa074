# SPDX-License-Identifier: MIT
"""What is said while files are worked on: lines and a bar on standard error, JSON lines on standard output."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from halfpixel.io._limits import readable_bytes

if TYPE_CHECKING:
    from halfpixel.cli._run import Record

SCHEMA = 1


class Report:
    """Records of one run. ``as_json`` writes them as JSON lines; ``quiet`` leaves errors alone."""

    def __init__(self, verb: str, as_json: bool, quiet: bool) -> None:
        self._verb, self._json, self._quiet = verb, as_json, quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._counts: Counter[str] = Counter()
        self._shares: dict[str, float] = {}
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._begun = time.perf_counter()
        self._total = 0

    @contextmanager
    def running(self, total: int) -> Iterator[None]:
        """Show a bar while the block runs, where someone is looking."""
        self._total = total
        shown = self._console.is_terminal and not (self._quiet or self._json)
        columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not shown) as self._progress:
            self._task = self._progress.add_task(self._verb, total=total)
            yield

    def progress(self, source: str, share: float) -> None:
        """A file is this far; called from any thread."""
        with self._lock:
            self._shares[source] = share
            self._show()

    def add(self, record: Record) -> None:
        """One file is finished."""
        with self._lock:
            self._shares.pop(record.input, None)
            self._counts[record.status] += 1
            self._show()
        if self._json:
            self._line(record.to_dict())
        elif record.status == "failed" or not self._quiet:
            self._console.print(_text(record))

    def finish(self) -> int:
        """The closing line; returns the exit status."""
        counts = {status: self._counts[status] for status in ("done", "failed", "skipped", "planned")}
        seconds = round(time.perf_counter() - self._begun, 3)
        if self._json:
            self._line({"event": "summary", "schema": SCHEMA, "verb": self._verb, **counts, "seconds": seconds})
        elif self._total > 1 and not self._quiet:
            said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
            self._console.print(f"[bold]{said}[/] in {seconds:.1f} s")
        return 1 if counts["failed"] else 0

    def interrupted(self) -> None:
        """The closing line of a run that was stopped."""
        left = self._total - sum(self._counts.values())
        if self._json:
            self._line({"event": "interrupted", "schema": SCHEMA, "verb": self._verb, "left": left})
        else:
            self._console.print(f"stopped: {left} of {self._total} not done; --skip-existing goes on from here")

    def _show(self) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=sum(self._counts.values()) + sum(self._shares.values()))

    def _line(self, values: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _text(record: Record) -> str:
    name, target = escape(record.input), escape(record.output)
    if record.status == "failed":
        works = f"\n  [dim]what would work:[/] {escape(record.works)}" if record.works else ""
        return f"[red]failed[/]  {name}: {escape(record.error or '')}{works}"
    if record.status == "skipped":
        return f"[dim]skipped  {target} is there[/]"
    sizes = " → ".join(f"{size[0]}×{size[1]}" for size in (record.size_in, record.size_out) if size)
    how = f"{record.seconds:.2f} s" if record.seconds is not None else f"needs {readable_bytes(record.memory or 0)}"
    rows = ", in rows" if record.in_rows else ""
    notes = "".join(f"\n  [yellow]note:[/] {escape(note)}" for note in record.notes)
    return f"[green]{record.status}[/]  {name} → {target}  [cyan]{sizes}[/]  [dim]{how}{rows}[/]{notes}"
