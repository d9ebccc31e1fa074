# SPDX-License-Identifier: MIT
"""One call of a model, and what some of its modules and functions were given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@dataclass
class Call:
    """A call: of a `module`, or of a `function` within `caller`'s forward method, the `place`-th of one run of it."""

    x: Tensor
    size: tuple[int, ...]
    module: torch.nn.Module | None = None
    function: Callable[..., Any] | None = None
    caller: torch.nn.Module | None = None
    place: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)


class _Functions(TorchFunctionMode):
    """Notes calls of the functions, and by which module."""

    def __init__(self, functions: tuple[Callable[..., Any], ...], stack: list[list[Any]], calls: list[Call]) -> None:
        super().__init__()
        self.functions, self.stack, self.calls = functions, stack, calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        y = func(*args, **kwargs)
        if func in self.functions and self.stack:
            bound = inspect.signature(func).bind(*args, **kwargs)
            bound.apply_defaults()
            caller, count = self.stack[-1]
            self.stack[-1][1] += 1
            x = bound.arguments["input"]
            self.calls.append(
                Call(x, tuple(y.shape[2:]), None, func, caller, count, dict(bound.arguments))
            )  # fmt: skip
        return y


def watched(
    model: torch.nn.Module, inputs: tuple[Any, ...], kinds: tuple[type, ...], functions: tuple[Callable[..., Any], ...]
) -> tuple[Any, list[Call]]:
    """The model's result in eval mode, without gradients, and the calls of the kinds of modules and the functions."""
    calls: list[Call] = []
    stack: list[list[Any]] = []
    training = [(module, module.training) for module in model.modules()]
    handles = []

    def enter(module: torch.nn.Module, args: Any) -> None:
        stack.append([module, 0])

    def leave(module: torch.nn.Module, args: Any, result: Any) -> None:
        stack.pop()
        if isinstance(module, kinds):
            calls.append(Call(args[0], tuple(result.shape[2:]), module))

    try:
        for module, _ in training:
            handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
        model.eval()
        with torch.no_grad(), _Functions(functions, stack, calls):
            result = model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training:
            module.training = mode
    # What a module of the kinds calls itself is its own affair.
    inner = [c for c in calls if c.function is None or not isinstance(c.caller, kinds)]
    return result, inner
