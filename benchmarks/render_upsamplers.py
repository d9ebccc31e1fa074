# SPDX-License-Identifier: MIT
"""The table of the upsamplers' rows."""

from __future__ import annotations

from collections.abc import Sequence

from .record import Pair
from .tables import ms, table
from .tensor_targets import pair_shortfalls, speedup

_BESIDE = ("convolutions", "bilinear and convolution")


def upsampler_text(pairs: Sequence[Pair]) -> str:
    """All rows, and below why rows miss their targets; nothing for no rows."""
    if not pairs:
        return ""
    head = ("row", "ours", "torch's plain form", "times", "its parts alone", "over them", "MiB at the peak")
    missed = [f"- `{pair.id}`: {why}" for pair in pairs for why in pair_shortfalls(pair)]
    parts = ["### Upsamplers", "", f"- {upsampler_summary(pairs)}", "", table(head, [_row(pair) for pair in pairs])]
    return "\n".join([*parts, *(["", "Below target:", "", *missed] if missed else [])])


def upsampler_summary(pairs: Sequence[Pair]) -> str:
    """One sentence for all rows."""
    judged = [pair for pair in pairs if pair.torch or any(name in pair.floor for name in _BESIDE)]
    reach = sum(not pair_shortfalls(pair) for pair in judged)
    return f"upsamplers, whole modules: {reach} of {len(judged)} rows that can be compared reach their target"


def _row(pair: Pair) -> tuple[str, ...]:
    ours = pair.ours["functional"]
    beside = next((pair.floor[name] for name in _BESIDE if name in pair.floor), None)
    return (
        f"`{pair.id}`" + (" (below target)" if pair_shortfalls(pair) else ""),
        ms(ours),
        ms(pair.torch.get("torch")),
        f"{speedup(pair):.1f}x" if pair.torch else "",
        ms(beside),
        f"{ours.median_ms / beside.median_ms:.2f}" if beside else "",
        f"{pair.extra / 2**20:.2f}" if pair.extra >= 0 else "",
    )
