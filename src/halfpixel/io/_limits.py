# SPDX-License-Identifier: MIT
"""How large a picture may be, known from its header before anything is decoded."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from halfpixel.io._picture import Header, NeedsMemory

MAX_PIXELS = 1 << 28
"""Pixels that a header may declare (268 million) unless a limit is given: more is taken for a decompression bomb."""


@dataclass(frozen=True)
class Limits:
    """Bounds on one picture. ``memory`` is in bytes and covers the decoded input plus the output; ``pixels`` the input.

    With ``memory`` given and ``pixels`` not, memory alone decides.
    """

    memory: int | None = None
    pixels: int | None = None

    @property
    def bytes(self) -> int:
        """The memory limit in force: half of what this machine has where none was given."""
        return half_of_memory() if self.memory is None else self.memory

    def check_pixels(self, header: Header) -> None:
        """Raises: NeedsMemory where the header declares more pixels than allowed."""
        limit = self.pixels if self.pixels is not None else None if self.memory is not None else MAX_PIXELS
        if limit is not None and header.height * header.width > limit:
            raise NeedsMemory(
                f"its header declares {header.width} x {header.height} pixels, more than the limit of {limit:,}",
                f"if the file is meant: --max-pixels {header.height * header.width}, or --max-memory",
            )


class MemoryBudget:
    """Memory shared by pictures that are worked on at the same time: those that do not fit beside others wait."""

    def __init__(self, total: int) -> None:
        self._total, self._free, self._changed = total, total, threading.Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Hold ``count`` bytes; waits until they are free, never for more than there are."""
        count = min(count, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


def half_of_memory() -> int:
    """Half of the memory that this machine has, or of what the process's container may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    try:
        bound = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        bound = "max"
    return min(total, int(bound) if bound.isdigit() else total) // 2


def readable_bytes(count: int) -> str:
    """12.3 MiB."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
