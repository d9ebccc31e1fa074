# SPDX-License-Identifier: MIT
"""What every row is meant to reach; a row that does not is marked in the published tables."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log

from .record import Results, Row

LEVEL = 1.05  # "level with" allows what two runs of the same code differ by


def floor_ms(row: Row, fresh: bool) -> float:
    """Reading the input and writing the output once, into new or into mapped memory."""
    return row.floor["read"].median_ms + row.floor["write_fresh" if fresh else "write"].median_ms


def speedup(row: Row, peer: str) -> float:
    """How many times our fresh call goes into the peer's."""
    return row.peers[peer].median_ms / row.ours["fresh"].median_ms


def is_photo(row: Row) -> bool:
    """A row of 8- or 16-bit integers, compared with every peer; other rows are compared with torch."""
    return "-uint" in row.id


def shortfalls(row: Row) -> list[str]:
    """One sentence for every target that the row misses."""
    missed = []
    ours = row.ours["fresh"].median_ms
    if not is_photo(row) and "torch" in row.peers:
        near = ours / floor_ms(row, fresh=True)
        if speedup(row, "torch") < 3 and near > 1.5:
            missed.append(
                f"{speedup(row, 'torch'):.1f}x torch, {near:.1f}x the floor (wanted 3x torch or 1.5x the floor)"
            )
    if is_photo(row):
        rivals = {name: t.median_ms for name, t in row.peers.items() if name != "pillow"}
        best = min(rivals, key=rivals.__getitem__, default=None)
        if best is not None and ours > LEVEL * rivals[best]:
            missed.append(f"{best} takes {rivals[best] / ours:.2f} of our time")
        if "pillow" in row.peers and speedup(row, "pillow") < 8:
            missed.append(f"{speedup(row, 'pillow'):.1f}x Pillow (wanted 8x)")
    alone = row.ours["out_one_thread"].median_ms
    both = row.ours["out"].median_ms
    if alone > 10 and both > 2 * floor_ms(row, fresh=False) and alone < 1.8 * both:
        missed.append(f"two threads are {alone / both:.2f}x one (wanted 1.8x)")
    return missed


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean; nan of nothing."""
    logs = [log(v) for v in values]
    return exp(sum(logs) / len(logs)) if logs else float("nan")


def summary(results: Results) -> list[str]:
    """The figures that stand for all rows, each as one sentence."""
    lines = []
    floats = [row for row in results.rows if not is_photo(row)]
    against = [row for row in floats if "torch" in row.peers]
    if against:
        ratios = [speedup(row, "torch") for row in against]
        near = sum(not any("torch" in s for s in shortfalls(row)) for row in against)
        lines.append(
            f"float rows against torch's interpolate, fresh outputs: geometric mean **{geometric_mean(ratios):.1f}x** "
            f"(lowest {min(ratios):.1f}x, highest {max(ratios):.1f}x); {near} of {len(ratios)} rows reach their target"
        )
        part = [floor_ms(r, fresh=False) / r.ours["out"].median_ms for r in floats if "-float32-" in r.id]
        lines.append(
            f"float32 with the output reused: geometric mean of floor / our time **{geometric_mean(part):.2f}**"
        )
    photos = [row for row in results.rows if is_photo(row)]
    rivals = [row for row in photos if set(row.peers) - {"pillow"}]
    if rivals:
        won = sum(not any("of our time" in s for s in shortfalls(row)) for row in rivals)
        lines.append(f"integer photos: level with or ahead of every peer but Pillow on **{won} of {len(rivals)}** rows")
    for peer in ("opencv", "torch", "pyvips", "kornia", "pillow"):
        found = [speedup(row, peer) for row in photos if peer in row.peers]
        if found:
            mean = geometric_mean(found)
            lines.append(
                f"photos against {peer}: geometric mean {mean:.1f}x over {len(found)} rows, lowest {min(found):.2f}x"
            )
    return lines
