# SPDX-License-Identifier: MIT
"""``python -m benchmarks.render``: write the tables of every results file into README.md and docs/performance.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .record import RESULTS, Results, Row, load
from .render_networks import network_summary, network_text
from .render_tensors import tensor_text
from .render_upsamplers import upsampler_summary, upsampler_text
from .tables import ms, table
from .targets import floor_ms, is_photo, shortfalls, speedup, summary
from .tensor_targets import tensor_summary

ROOT = Path(__file__).parent.parent
_PEERS = ("opencv", "torch", "pyvips", "kornia", "pillow")


def readme_text(results: Results) -> str:
    """The head, the summary and the rows below their targets."""
    lines = [_head(results), "", *(f"- {line}" for line in summary(results)), *_notes(results)]
    lines += [f"- {line}" for line in tensor_summary(results.tensors)]
    lines += [f"- {upsampler_summary(results.upsamplers)}"] if results.upsamplers else []
    lines += [f"- {network_summary(results.networks)}"] if results.networks else []
    missed = [f"- `{row.id}`: {why}" for row in results.rows for why in shortfalls(row)]
    lines += ["", f"Rows below their target ({len(missed)}):" if missed else "No row is below its target.", *missed]
    return "\n".join(lines)


def full_text(results: Results) -> str:
    """All rows."""
    floats = [row for row in results.rows if not is_photo(row)]
    photos = [row for row in results.rows if is_photo(row)]
    parts = [_head(results), "", "### Against torch", "", _float_table(floats)]
    parts += [
        "",
        "### Photos",
        "",
        _photo_table(photos),
        "",
        "### One resize from 1 to 256 megapixels",
        "",
        _sweep_table(results.sweep),
    ]
    if results.tensors:
        parts += ["", tensor_text(results.tensors)]
    if results.upsamplers:
        parts += ["", upsampler_text(results.upsamplers)]
    if results.networks:
        parts += ["", network_text(results.networks)]
    parts += ["", "### Memory, calls, loops", "", *_notes(results), "", *_left_out(results.rows)]
    return "\n".join(parts)


def _head(results: Results) -> str:
    m = results.machine
    with_ = ", ".join(f"{name} {version}" for name, version in m.versions.items())
    machine = f"{m.cpu}, {m.cores} cores, {m.threads} threads, instruction set {m.isa}, Python {m.python}"
    return f"{machine}; {with_}. Milliseconds, medians."


def _mark(row: Row) -> str:
    return f"`{row.id}`" + (" (below target)" if shortfalls(row) else "")


def _float_table(rows: Sequence[Row]) -> str:
    head = ("row", "ours", "torch", "times", "floor", "ours, output reused", "floor, output reused", "one thread")
    return table(
        head,
        [
            (
                _mark(row),
                ms(row.ours["fresh"]),
                ms(row.peers.get("torch")),
                f"{speedup(row, 'torch'):.1f}x" if "torch" in row.peers else "",
                f"{floor_ms(row, fresh=True):.3g}",
                ms(row.ours["out"]),
                f"{floor_ms(row, fresh=False):.3g}",
                ms(row.ours["out_one_thread"]),
            )
            for row in rows
        ],
    )


def _photo_table(rows: Sequence[Row]) -> str:
    head = ("row", "ours", *_PEERS, "ours, output reused", "one thread")
    return table(
        head,
        [
            (
                _mark(row),
                ms(row.ours["fresh"]),
                *(ms(row.peers.get(p)) for p in _PEERS),
                ms(row.ours["out"]),
                ms(row.ours["out_one_thread"]),
            )
            for row in rows
        ],
    )


def _sweep_table(rows: Sequence[Row]) -> str:
    head = ("row", "ours, output reused", "floor", "over the floor")
    return table(
        head,
        [
            (
                f"`{r.id}`",
                ms(r.ours["out"]),
                f"{(f := floor_ms(r, fresh=False)):.3g}",
                f"{r.ours['out'].median_ms / f:.2f}",
            )
            for r in rows
        ],
    )


def _notes(results: Results) -> list[str]:
    lines = []
    if results.memory:
        share = max(m.extra / (m.bytes_in + m.bytes_out) for m in results.memory)
        lines.append(f"- memory beyond input and output: at most {share:.1%} of them, over {len(results.memory)} rows")
    if "plan" in results.calls:
        us = {name: t.median_ms * 1e3 for name, t in results.calls.items()}
        lines.append(
            f"- a tiny call (3x8x8 to 16x16): {us['plan']:.1f} us with a plan, {us['resize']:.1f} us through `resize`"
        )
        extra = (us["import halfpixel"] - us["import numpy"]) / 1e3
        lines.append(f"- `import halfpixel` takes {extra:.1f} ms longer than `import numpy`")
    if results.alternate:
        ms = {name: t.median_ms for name, t in results.alternate.items()}
        together, apart = ms["conv and ours"], ms["conv"] + ms["ours"]
        lines.append(
            f"- torch's convolution and ours in turns: {together:.2f} ms a turn, {apart:.2f} ms when each runs alone"
        )
    for f in results.fused:
        times, share = f.torch.median_ms / f.ours.median_ms, f.extra / max(f.torch_extra, 1)
        lines.append(
            f"- `{f.id}`: {f.ours.median_ms:.3g} ms and {f.extra / 2**20:.1f} MiB beyond input and labels; torch's "
            f"interpolate and argmax {f.torch.median_ms:.3g} ms and {f.torch_extra / 2**20:.0f} MiB: {times:.1f}x, "
            f"{share:.1%} of the memory{'' if times >= 10 and share <= 0.05 else ' (below target)'}"
        )
    return lines


def _left_out(rows: Sequence[Row]) -> list[str]:
    return [f"- `{row.id}`, {peer} left out: {why}" for row in rows for peer, why in row.left_out.items()]


def between(text: str, name: str, new: str) -> str:
    """`text` with what stands between the comments ``<!-- name -->`` and ``<!-- /name -->`` replaced.

    Raises:
        ValueError: the comments are missing.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    result, count = pattern.subn(lambda found: f"{found[1]}{new}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"expected the comments <!-- {name} --> and <!-- /{name} --> once, found them {count} times")
    return result


def main() -> int:
    found = [load(path) for path in sorted(RESULTS.glob("*.json"))]
    pages: tuple[tuple[str, Callable[[Results], str]], ...] = (
        ("README.md", readme_text),
        ("docs/performance.md", full_text),
    )
    for page, text in pages:
        path = ROOT / page
        new = "\n\n".join(text(results) for results in found) or "Not measured yet."
        path.write_text(between(path.read_text(), "bench", new))
        print(f"{page}: {len(found)} machines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
