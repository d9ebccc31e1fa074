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
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SCHEMA = 1


class Said(Protocol):
    """What a line needs to have."""

    @property
    def status(self) -> str:
        """ "failed", or something better."""

    def to_dict(self) -> dict[str, Any]:
        """The line of ``--json``."""

    def text(self) -> str:
        """The line for people, in rich's markup; nothing where a table will tell."""


class Report:
    """Records of one run. ``as_json`` writes them as JSON lines; ``quiet`` leaves errors alone.

    ``resumes`` says how a run that was stopped goes on.
    """

    def __init__(self, verb: str, as_json: bool, quiet: bool, resumes: str = "") -> None:
        self._verb, self._json, self._quiet, self._resumes = verb, as_json, quiet, resumes
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

    def count(self, source: str, status: str) -> None:
        """One file is finished."""
        with self._lock:
            self._shares.pop(source, None)
            self._counts[status] += 1
            self._show()

    def say(self, record: Said) -> None:
        """A line about a file, or about a part of what was asked of it."""
        if self._json:
            self.line(record.to_dict())
        elif (record.status == "failed" or not self._quiet) and (text := record.text()):
            self._console.print(text)

    def finish(self, **more: Any) -> int:
        """The closing line, with ``more`` in it where it is JSON; returns the exit status."""
        counts = {status: self._counts[status] for status in ("done", "failed", "skipped", "planned")}
        seconds = round(time.perf_counter() - self._begun, 3)
        if self._json:
            self.line({"event": "summary", "schema": SCHEMA, "verb": self._verb, **counts, "seconds": seconds, **more})
        elif self._total > 1 and not self._quiet:
            said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
            self._console.print(f"[bold]{said}[/] in {seconds:.1f} s")
        return 1 if counts["failed"] else 0

    def interrupted(self) -> None:
        """The closing line of a run that was stopped."""
        left = self._total - sum(self._counts.values())
        if self._json:
            self.line({"event": "interrupted", "schema": SCHEMA, "verb": self._verb, "left": left})
        else:
            self._console.print(f"stopped: {left} of {self._total} not done{self._resumes}")

    def _show(self) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=sum(self._counts.values()) + sum(self._shares.values()))

    def line(self, values: dict[str, Any]) -> None:
        """A line of JSON."""
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
        sys.stdout.flush()
