# SPDX-License-Identifier: MIT
"""Lines of `eval`, their means, and the loop that makes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from halfpixel.cli._report import Report
from halfpixel.cli._run import failed, reason, stopping
from halfpixel.metrics._quality import plain

Item = TypeVar("Item")
DIGITS = 6  # of measures in JSON


@dataclass(frozen=True)
class Line:
    """What one image scored: a line of ``--json``. Sizes are (width, height)."""

    input: str
    reference: str | None = None
    method: str | None = None
    size: tuple[int, int] | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str | None = None
    works: str | None = None

    @property
    def status(self) -> str:
        """ "done" or "failed"."""
        return "done" if self.error is None else "failed"

    def to_dict(self) -> dict[str, Any]:
        """What is known, as plain values."""
        names = {"reference": self.reference, "method": self.method, "size": self.size, "error": self.error}
        known = {name: value for name, value in {**names, "works": self.works}.items() if value is not None}
        found = {"event": "image", "status": self.status, "input": self.input, **known, **numbers(self.scores)}
        return found | {"notes": list(self.notes)}

    def text(self) -> str:
        """A line for people, of failures alone: the others stand in the table."""
        if self.error is None:
            return ""
        name = self.input if self.method is None else f"{self.input}, {self.method}"
        return failed(name, self.error, self.works)


def failure(error: Exception, source: str, **known: Any) -> Line:
    """The line of an image that could not be measured."""
    why, works = reason(error)
    return Line(source, error=why, works=works, **known)


def numbers(scores: Mapping[str, float]) -> dict[str, float | None]:
    """For JSON, which has no number for infinity and NaN."""
    return {name: None if plain(value) is None else round(value, DIGITS) for name, value in scores.items()}


def mean(lines: Sequence[Line]) -> dict[str, float]:
    """The mean of each measure over images; an infinite PSNR makes its mean infinite, images without a score are left
    out.
    """
    found = {}
    for name in lines[0].scores:
        known = [line.scores[name] for line in lines if line.scores[name] == line.scores[name]]
        found[name] = sum(known) / len(known) if known else float("nan")
    return found


def run(items: Sequence[Item], work: Callable[[Item], list[Line]], jobs: int, report: Report) -> list[Line] | None:
    """The lines of every item, said in the order of the items; None where the user stopped it.

    ``work`` turns what goes wrong with an item into lines.
    """
    lines: list[Line] = []
    with report.running(len(items)), stopping(threading.Event()), ThreadPoolExecutor(jobs) as pool:
        waiting = [(item, pool.submit(work, item)) for item in items]
        try:
            for item, future in waiting:
                made = future.result()
                for line in made:
                    report.say(line)
                report.count(str(item), "failed" if any(line.error for line in made) else "done")
                lines += made
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            report.interrupted()
            return None
    return lines


def done(lines: Iterable[Line]) -> list[Line]:
    """Those that were measured."""
    return [line for line in lines if line.error is None]
