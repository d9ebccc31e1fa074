# SPDX-License-Identifier: MIT
"""`convert`: torch's modules in a model become this package's, in place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from halfpixel.errors import HalfpixelTypeError

from . import conv_transpose, pool, shuffle, upsample

# torch's class -> ours, which has the same parameters and attributes.
TABLE: dict[type, type] = {
    getattr(torch.nn, name): getattr(room, name)
    for room in (conv_transpose, pool, shuffle, upsample)
    for name in vars(room)
    if isinstance(getattr(torch.nn, name, None), type) and issubclass(getattr(room, name), torch.nn.Module)
}


@dataclass(frozen=True)
class Swap:
    """A module of the model: its name ("" for the model itself), torch's class, and why it was left, if it was."""

    name: str
    kind: str
    why_not: str | None = None


@dataclass(frozen=True)
class Conversion:
    """What `convert` did: `swapped` modules, and those `left` that are of torch's kinds and yet not torch's own."""

    swapped: tuple[Swap, ...]
    left: tuple[Swap, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{len(self.swapped)} modules swapped"]
        lines += [f"  {swap.name or '(the model)'}: {swap.kind}" for swap in self.swapped]
        lines += [f"  {swap.name or '(the model)'}: {swap.kind} left: {swap.why_not}" for swap in self.left]
        return "\n".join(lines)


def convert(model: torch.nn.Module) -> Conversion:
    """Swap torch's upsampling, transposed convolution, shuffle and max-pooling modules for this package's, in place.

    **Convention:** every swapped module keeps its identity, parameters, buffers, hooks and place, and computes the same
    numbers; state_dicts stay as they were. It serves compiled models too, which `halfpixel.accelerate` does not.
    Calls of functions, such as torch.nn.functional.interpolate in a forward method, are not modules and stay.
    Arguments: model: any module; compile it afterwards.
    Returns: a report of what was swapped, and what was left and why; print it.
    Raises: TypeError for anything but a module.
    Example:
        >>> import torch
        >>> print(convert(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Upsample(scale_factor=2))))
        1 modules swapped
          1: Upsample
    """
    if not isinstance(model, torch.nn.Module):
        works = "a torch.nn.Module"
        raise HalfpixelTypeError(f"model is a {type(model).__name__}", works).in_call("convert(model)")
    swapped, left = [], []
    for name, module in model.named_modules():
        kind = type(module)
        if kind in TABLE:
            module.__class__ = TABLE[kind]
            swapped.append(Swap(name, kind.__name__))
        elif isinstance(module, tuple(TABLE)) and not isinstance(module, tuple(TABLE.values())):
            bases = [base.__name__ for base in TABLE if isinstance(module, base)]
            left.append(Swap(name, kind.__name__, f"a subclass of torch's {bases[0]}, which may do something else"))
    return Conversion(tuple(swapped), tuple(left))
