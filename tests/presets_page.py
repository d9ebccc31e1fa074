# SPDX-License-Identifier: MIT
"""The table in docs/presets.md, made from the presets: `python -m tests.presets_page`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfpixel import presets
from halfpixel._conventions.line import Numbers

PAGE = Path(__file__).parent.parent / "docs" / "presets.md"
BEGIN, END = "<!-- presets -->\n", "<!-- /presets -->"


def _options(row: presets.Preset) -> str:
    return "; ".join(f"`{name}`: {_values(values)}" for name, values in row.options.items()) or "none"


def _values(values: Mapping[Any, Any]) -> str:
    return ", ".join([repr(v) for v in values] + ["any number"] * isinstance(values, Numbers))


def table() -> str:
    """The rows as Markdown."""
    lines = ["| name | what it does | options, the default first | dtypes of the library | checked against |"]
    lines += ["|---|---|---|---|---|"]
    for name, row in presets.TABLE.items():
        lines.append(f"| `{name}` | {row.summary} | {_options(row)} | {row.dtypes} | {row.source} |")
    return "\n".join(lines) + "\n"


def rendered(text: str) -> str:
    """The page with the table between its marks made anew."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
