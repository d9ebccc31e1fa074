# SPDX-License-Identifier: MIT
"""The tables of docs/upsamplers.md are those of the registry. `python tests/upsamplers/test_page.py` writes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from halfpixel import upsamplers

PAGE = Path(__file__).parents[2] / "docs" / "upsamplers.md"
TABLE = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def amount(n):
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if n >= limit:
            return f"{n / (1e6 if unit == 'M' else 1e3):.1f}{unit}"
    return str(n)


def row(entry):
    channels = 64
    guide = 64 if entry.guide else None
    told = [
        f"`{entry.name}`", entry.summary.rstrip("."), "yes" if entry.guide else "", "yes" if entry.convex else "",
        "whole" if entry.integer_only else "any", ", ".join(map(str, entry.dims)),
        amount(entry.parameters(channels, None, 2, guide, 2)),
        amount(entry.multiply_adds((32, 32), channels, None, 2, guide, 2)), "yes" if entry.exportable else "",
        entry.source,
    ]  # fmt: skip
    return "| " + " | ".join(told) + " |"


def table(entries):
    head = "| name | what it does | guide | convex | scales | axes | parameters | multiply-adds | ONNX | source |"
    return "\n".join([head, "|---" * 10 + "|", *map(row, entries), ""])


def written(text):
    tables = {"upsamplers": upsamplers.list_upsamplers(), "downsamplers": upsamplers.list_downsamplers()}
    return TABLE.sub(lambda found: found[1] + table(tables[found[2]]) + found[4], text)


def test_the_page_has_the_tables_of_the_registry():
    text = PAGE.read_text(encoding="utf-8")
    assert len(TABLE.findall(text)) == 2
    assert written(text) == text, "python tests/upsamplers/test_page.py writes them"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
