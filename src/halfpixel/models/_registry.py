# SPDX-License-Identifier: MIT
"""The table of networks: what each is, needs and costs; and the networks made by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from halfpixel.errors import HalfpixelError, HalfpixelValueError, describe_call, unknown_name

TASKS = ("super-resolution", "segmentation", "pyramid", "autoencoder")


@dataclass(frozen=True)
class Entry:
    """One row of the table: a network by name.

    **Convention:** `task`: what it is for, of `TASKS`. `upsampler`: what `upsampler=` is by default; None is the
    published tail of networks that have one. `options`: the names of the arguments with their defaults.
    """

    name: str
    task: str
    module: Any
    summary: str
    source: str

    @property
    def options(self) -> dict[str, Any]:
        """The arguments by name with their defaults."""
        known = inspect.signature(self.module).parameters.values()
        return {p.name: p.default for p in known if p.kind != p.VAR_KEYWORD}

    @property
    def upsampler(self) -> str | None:
        """The upsampler's name by default."""
        return self.options["upsampler"]

    def parameters(self, **options: Any) -> int:
        """How many parameters the network has that `create_model` makes of the same options; none is allocated."""
        with torch.device("meta"):
            return sum(p.numel() for p in create(self.name, options).parameters())


TABLE: dict[str, Entry] = {}


def register(name: str, *, task: str, source: str) -> Callable[[type], type]:
    """Decorate a subclass of `Network`: it then stands in the table under this name.

    Arguments: name: what `create_model` calls it. task: of `TASKS`. source: the paper and the code whose keys it keeps.
    Returns: a decorator; the class gets the attribute `entry`, its docstring's first line is the summary.
    Raises: ValueError for a name that is taken, or a task that is none.
    """

    def keep(cls: Any) -> type:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        if name in TABLE and TABLE[name].module.__qualname__ != cls.__qualname__:
            raise HalfpixelValueError(f"the name {name!r} is taken by {TABLE[name].module}", "another name")
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
        TABLE[name] = cls.entry = Entry(name, task, cls, summary, source)
        return cls

    return keep


def entry_of(name: str) -> Entry:
    """The row of a name.

    Raises: ValueError with the nearest names.
    """
    if name not in TABLE:
        raise unknown_name("model", name, TABLE)
    return TABLE[name]


def create(name: str, options: dict[str, Any]) -> Any:
    """The network of a name; errors name the call."""
    try:
        entry = entry_of(name)
        known = entry.options
        if options.get("upsampler", known.get("upsampler")) is None:
            for option in options:
                if option not in known:
                    raise unknown_name(f"option of {name!r}", option, known)
        return entry.module(**options)
    except HalfpixelError as error:
        raise error.in_call(describe_call("create_model", name, **options)) from None
