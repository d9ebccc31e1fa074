# SPDX-License-Identifier: MIT
"""The table of docs/models.md is that of the registry. `python tests/models/test_page.py` writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from halfpixel import models

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
TABLE = re.compile(r"(<!-- table: models -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def row(entry):
    count = entry.parameters()
    amount = f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.1f}k"
    upsampler = f"`{entry.upsampler}`" if entry.upsampler else "published"
    told = [f"`{entry.name}`", entry.task, entry.summary.rstrip("."), upsampler, amount, entry.source]
    return "| " + " | ".join(told) + " |"


def written(text):
    head = "| name | task | what it is | upsampler | parameters | source |\n" + "|---" * 6 + "|"
    table = "\n".join([head, *map(row, models.list_models()), ""])
    return TABLE.sub(lambda found: found[1] + table + found[3], text)


def test_the_page_has_the_table_of_the_registry():
    text = PAGE.read_text(encoding="utf-8")
    assert len(TABLE.findall(text)) == 1
    assert written(text) == text, "python tests/models/test_page.py writes it"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
