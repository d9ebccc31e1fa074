# SPDX-License-Identifier: MIT
"""What the keys and shapes of state dicts tell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from halfpixel.errors import HalfpixelValueError

State = dict[str, Tensor]


def renamed(state: State, begins: Mapping[str, str]) -> State:
    """The same tensors, keys that begin with one text begin with another."""
    new = {}
    for key, value in state.items():
        found = next((begin for begin in begins if key.startswith(begin)), "")
        new[begins.get(found, "") + key[len(found) :]] = value
    return new


def count(keys: Iterable[str], pattern: str) -> int:
    """How many blocks there are: one more than the largest number that the pattern's group finds; 0 for none."""
    found = (re.match(pattern, key) for key in keys)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def root_of(channels: int, per: int, key: str) -> int:
    """The scale of a convolution to the pixels of a block: the root of channels / per.

    Raises: ValueError where there is none.
    """
    scale = math.isqrt(channels // per) if per else 0
    if scale * scale * per != channels or scale < 1:
        why = f"{key} makes {channels} channels, which are not {per} times a square"
        raise HalfpixelValueError(why, "a checkpoint whose last convolution makes the pixels of a block")
    return scale


def prelu_or(other: str, state: State, key: str) -> str:
    """ "prelu" where its weights are there."""
    return "prelu" if key in state else other
