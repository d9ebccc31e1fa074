# SPDX-License-Identifier: MIT
"""What `swap_upsamplers` reports."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch


@dataclass(frozen=True)
class UpsamplerSwap:
    """One upsampling of the model: where it is, what it was; whether the output is kept, or why it was left or
    differs; and whether it is a `LazyUpsampler` until the first call."""

    name: str
    kind: str
    kept: bool = False
    why: str | None = None
    lazy: bool = False

    def __str__(self) -> str:
        told = "kept at step 0" if self.kept else self.why
        later = ", made at the first call" if self.lazy else ""
        return f"{self.name or '(the model)'}: {self.kind}: {told}{later}"


@dataclass(frozen=True)
class UpsamplerSwaps:
    """What `swap_upsamplers` did; its str is a readable text.

    **Convention:** `model` is the model to use: the one that was given, or, if its own forward method called functions,
    a torch.fx.GraphModule in its place. `difference`: the largest |change| of its output on the example, in eval mode;
    nan without an example.
    """

    model: torch.nn.Module
    method: str
    swapped: tuple[UpsamplerSwap, ...]
    left: tuple[UpsamplerSwap, ...]
    difference: float

    @property
    def kept(self) -> bool:
        """Every swapped upsampling starts as what it replaced."""
        return all(swap.kept for swap in self.swapped)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the model."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "model"}
        return {**plain, "swapped": [vars(s) for s in self.swapped], "left": [vars(s) for s in self.left]}

    def __str__(self) -> str:
        lines = [f"{len(self.swapped)} swapped for {self.method}, {len(self.left)} left"]
        lines += [f"  {swap}" for swap in self.swapped]
        lines += [f"  left: {swap}" for swap in self.left]
        told = "unknown without an example" if math.isnan(self.difference) else f"{self.difference:.3g}"
        lines.append(f"largest change of the output: {told}")
        return "\n".join(lines)
