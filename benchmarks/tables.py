# SPDX-License-Identifier: MIT
"""Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from .record import Timing


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` under `head`: the first column to the left, all others to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ms(timing: Timing | None) -> str:
    """The median; nothing for what was not measured."""
    return "" if timing is None else f"{timing.median_ms:.3g}"
