# SPDX-License-Identifier: MIT
"""The tables of the networks' rows."""

from __future__ import annotations

from collections.abc import Sequence

from .record import Measure
from .tables import table

_HEADS = {
    "training": ("with its data, ms", "one batch at hand, ms"),
    "tiles": ("in tiles, ms", "in one call, ms"),
    "memory": ("100 megapixels, MiB", "10 megapixels, MiB"),
    "quality": ("network, dB", "bicubic, dB"),
}
_RATIO = {"quality": "gain, dB"}
_NOT_SHOWN = ("scale",)


def network_text(found: Sequence[Measure]) -> str:
    """A table of each group that has rows; nothing for no rows."""
    if not found:
        return ""
    parts = ["### Networks", "", f"- {network_summary(found)}"]
    for group, (ours, reference) in _HEADS.items():
        rows = [one for one in found if one.group == group]
        if rows:
            beside = [name for name in rows[0].beside if name not in _NOT_SHOWN]
            head = ("row", ours, reference, _RATIO.get(group, "times"), "target", *beside)
            parts += ["", table(head, [_row(one, beside) for one in rows])]
    return "\n".join(parts)


def network_summary(found: Sequence[Measure]) -> str:
    """One sentence for all rows."""
    reach = sum(one.reached for one in found)
    said = [f"networks: {reach} of {len(found)} rows reach their target"]
    for one in found:
        if one.group == "training":
            said.append(f"a training step that loads its photos takes {one.ratio:.2f} of one that does not")
        if one.group == "memory":
            said.append(f"`enlarge` holds {one.ours:.0f} MiB beyond a picture of 100 megapixels, {one.ratio:.2f} of 10")
    if tiles := [one.ratio for one in found if one.group == "tiles"]:
        said.append(f"tiles take {min(tiles):.2f} to {max(tiles):.2f} of the time in one call")
    if gains := [one.ratio for one in found if one.group == "quality"]:
        said.append(f"shipped weights gain {min(gains):.2f} to {max(gains):.2f} dB over bicubic")
    return "; ".join(said)


def _row(one: Measure, beside: Sequence[str]) -> tuple[str, ...]:
    quality = one.group == "quality"
    shown = "{:.2f}" if quality else "{:.4g}"
    return (
        f"`{one.id}`" + ("" if one.reached else " (below target)"),
        shown.format(one.ours),
        shown.format(one.reference),
        f"{one.ratio:.2f}",
        f"{one.target:.2f}",
        *(f"{one.beside[name]:.4g}" for name in beside),
    )
