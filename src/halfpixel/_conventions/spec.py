# SPDX-License-Identifier: MIT
"""Names of presets with options, as in a call: "torch.bilinear(align_corners=True)"."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from halfpixel.errors import HalfpixelValueError, unknown_name

from .builder import Preset
from .line import Numbers

WORKS = "a preset's name with options as in a call, such as 'torch.bilinear(align_corners=True)'"


def parsed(spec: str, table: Mapping[str, Preset]) -> Preset:
    """The row that `spec` names, with its options set.

    Raises: ValueError with the nearest names, or with the values that an option takes.
    """
    name, bracket, rest = spec.strip().partition("(")
    row = table.get(name.strip())
    if row is None:
        raise unknown_name("preset", name.strip(), table)
    return with_options(row, _arguments(spec, bracket + rest)) if bracket else row


def _arguments(spec: str, call: str) -> dict[str, Any]:
    try:
        node = ast.parse(f"options{call}", mode="eval").body
        if not isinstance(node, ast.Call) or node.args:
            raise SyntaxError("options have names")
        return {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
    except (SyntaxError, ValueError) as error:
        raise HalfpixelValueError(f"cannot read preset {spec!r}", WORKS) from error


def _takes(values: Mapping[Any, Any], value: Any) -> bool:
    if isinstance(values, Numbers):
        return type(value) in (int, float) and math.isfinite(value)
    return any(type(v) is type(value) and v == value for v in values)


def with_options(row: Preset, given: Mapping[str, Any]) -> Preset:
    """The row with columns replaced as its options say; its name tells which are not at their defaults."""
    for option, value in given.items():
        if option not in row.options:
            raise unknown_name(f"option of {row.name}", option, row.options)
        if not _takes(row.options[option], value):
            known = ", ".join(map(repr, row.options[option]))
            raise HalfpixelValueError(f"{row.name} with {option}={value!r}", f"one of {known}")
    columns: dict[str, Any] = {}
    said = []
    for option, values in row.options.items():
        default = next(iter(values))
        value = given.get(option, default)
        if value != default:
            columns.update(values[value])
            said.append(f"{option}={float(value) if isinstance(values, Numbers) else value!r}")
    return replace(row, name=f"{row.name}({', '.join(said)})" if said else row.name, **columns)
