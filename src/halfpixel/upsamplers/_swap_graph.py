# SPDX-License-Identifier: MIT
"""The graph of a module's forward method, and a module that runs it."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from halfpixel.errors import HalfpixelValueError


class _Leaves(torch.fx.Tracer):
    """One module's own forward method: its children are calls."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return True


def graph_of(module: torch.nn.Module, unseen: bool) -> Any:
    """The graph of a module's forward method, `unseen` if no call of it can show whether another branch was taken."""
    code = getattr(type(module).forward, "__code__", None)
    optional = [p.name for p in inspect.signature(module.forward).parameters.values() if p.default is not p.empty]
    if unseen and optional:
        raise HalfpixelValueError(f"a graph would fix what {optional[0]} does, which may be left out; give example=")
    if code is not None and "training" in code.co_names and not isinstance(module, torch.fx.GraphModule):
        raise HalfpixelValueError("its forward method reads self.training, which a graph would freeze")
    try:
        return _Leaves().trace(module)
    except Exception as error:
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise HalfpixelValueError(f"torch.fx cannot trace its forward method: {line}") from error


def graph_module(caller: torch.nn.Module, graph: Any, new: dict[str, Any]) -> Any:
    """The graph as a module with everything that the caller holds, used or not."""
    for name, module in new.items():
        if hasattr(caller, name):
            raise HalfpixelValueError(f"it has an attribute {name} already")
        caller.add_module(name, module)
    made = torch.fx.GraphModule(caller, graph, type(caller).__name__)
    for held in ("_modules", "_parameters", "_buffers"):
        mine = getattr(made, held)
        for key, value in getattr(caller, held).items():
            mine.setdefault(key, value)
        for key in [*getattr(caller, held), *[k for k in mine if k not in getattr(caller, held)]]:
            mine[key] = mine.pop(key)  # in the caller's order
    made._forward_hooks, made._forward_pre_hooks = caller._forward_hooks, caller._forward_pre_hooks
    made._forward_hooks_with_kwargs = caller._forward_hooks_with_kwargs
    made._forward_pre_hooks_with_kwargs = caller._forward_pre_hooks_with_kwargs
    return made.train(caller.training)
