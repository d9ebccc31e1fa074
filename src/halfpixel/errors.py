# SPDX-License-Identifier: MIT
"""Errors that say which call failed, on what, why, and what would work instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class HalfpixelError(Exception):
    """Base of every error this package raises; always mixed with the built-in class a caller would expect.

    `why` says what is wrong, `works` what would work, `call` the public call with its shapes (filled in at the public
    edge).
    """

    def __init__(self, why: str, works: str | None = None, call: str | None = None) -> None:
        super().__init__(why, works, call)
        self.why, self.works, self.call = why, works, call

    def __str__(self) -> str:
        head = f"{self.call}: {self.why}" if self.call else self.why
        return f"{head}\n  What would work: {self.works}" if self.works else head

    def in_call(self, call: str) -> HalfpixelError:
        """The same error with the public call in front; the outermost call is the one that the user wrote."""
        self.call = call
        self.args = (self.why, self.works, call)
        return self


class HalfpixelValueError(HalfpixelError, ValueError):
    """A value out of range or at odds with another one."""


class HalfpixelTypeError(HalfpixelError, TypeError):
    """A type or dtype that cannot be used here."""


class HalfpixelRuntimeError(HalfpixelError, RuntimeError):
    """Something that this process or machine cannot do."""


class HalfpixelShapeError(HalfpixelValueError, RuntimeError):
    """Shapes that do not fit each other, where torch's habit is RuntimeError."""


class HalfpixelNotImplementedError(HalfpixelError, NotImplementedError):
    """A combination that is well defined but that no backend offers."""


class PrecisionWarning(UserWarning):
    """64-bit integers beyond 2**53 were computed in float64 and lost low bits."""


def unknown_name(kind: str, name: object, names: Iterable[str]) -> HalfpixelValueError:
    """An error for a name that a table lacks, with the nearest names the table has."""
    import difflib

    known = sorted(names)
    near = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
    works = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return HalfpixelValueError(f"unknown {kind} {name!r}", f"{works}Known: {', '.join(known)}.")


def describe(x: Any) -> str:
    """A short description of an argument: dtype and shape of arrays, repr of anything small."""
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if shape is not None and dtype is not None:
        return f"<{dtype} {tuple(shape)}>"
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def describe_call(name: str, *args: Any, **options: Any) -> str:
    """`name(<float32 (3, 8, 8)>, size=(4, 4))`: the call as the user may have written it; options that are None are
    left out.
    """
    shown = [describe(a) for a in args] + [f"{k}={describe(v)}" for k, v in options.items() if v is not None]
    return f"{name}({', '.join(shown)})"
