# SPDX-License-Identifier: MIT
"""How many channels a place of a model has, as far as the modules around it know, without calling the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch.nn.modules import activation, conv, dropout, padding, pooling

from ._base import Resampler
from ._lazy import LazyUpsampler


class Known(NamedTuple):
    """Channels, and spatial axes where these are known too."""

    channels: int
    dims: int | None


_OTHERS = ("MultiheadAttention", "GLU")
_KEEP: tuple[type, ...] = (
    *(getattr(part, n) for part in (activation, dropout, padding, pooling) for n in part.__all__ if n not in _OTHERS),
    torch.nn.Identity, torch.nn.Upsample, LazyUpsampler, torch.nn.LocalResponseNorm,
)  # fmt: skip
_NORMS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.instancenorm._InstanceNorm, torch.nn.GroupNorm)
_SAME = (
    torch.relu, torch.relu_, torch.sigmoid, torch.tanh, torch.nn.functional.relu, torch.nn.functional.leaky_relu,
    torch.nn.functional.gelu, torch.nn.functional.silu, torch.nn.functional.elu, torch.nn.functional.relu6,
    torch.nn.functional.hardswish, torch.nn.functional.dropout, torch.nn.functional.dropout2d,
    torch.nn.functional.interpolate, torch.nn.functional.max_pool2d, torch.nn.functional.avg_pool2d,
)  # fmt: skip
_METHODS = ("relu", "relu_", "sigmoid", "tanh", "contiguous", "clone", "detach")


def around(model: torch.nn.Module, module: torch.nn.Module) -> Known | None:
    """Of the input of `module`, from the modules before it in a Sequential, or from those behind it."""
    for outer in model.modules():  # the outermost knows most
        if not isinstance(outer, torch.nn.Sequential):
            continue
        chain = list(_flat(outer))
        places = [i for i, m in enumerate(chain) if m is module]
        found = {_first(reversed(chain[:i]), True) or _first(chain[i + 1 :], False) for i in places}
        if len(found) == 1 and (known := found.pop()) is not None:
            return known
    return None


def of_node(modules: dict[str, torch.nn.Module], node: Any) -> Known | None:
    """Of a value in the graph of a forward method, from where it comes."""
    if not isinstance(node, torch.fx.Node) or node.op in ("placeholder", "get_attr", "output"):
        return None
    before = node.args[0] if node.args else None
    if node.op == "call_module":
        module = modules[str(node.target)]
        return _told(module, True) or (of_node(modules, before) if _keeps(module) else None)
    if node.op == "call_method":
        return of_node(modules, before) if node.target in _METHODS else None
    if node.target is torch.cat:
        return _joined(modules, node)
    return of_node(modules, before) if node.target in _SAME else None


def needed(modules: dict[str, torch.nn.Module], node: Any) -> Known | None:
    """Of a value in the graph of a forward method, from the module that takes it, or what is made of it alone."""
    for user in node.users:
        found = None
        if user.op == "call_module" and user.args and user.args[0] is node:
            module = modules[str(user.target)]
            found = _told(module, False) or (needed(modules, user) if _keeps(module) else None)
        elif user.op == "call_function" and user.target in _SAME:
            found = needed(modules, user)
        if found is not None:
            return found
    return None


def _joined(modules: dict[str, torch.nn.Module], node: Any) -> Known | None:
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    parts = node.args[0] if node.args else node.kwargs.get("tensors", ())
    found = [of_node(modules, part) for part in parts] if isinstance(parts, (list, tuple)) else [None]
    known = [k for k in found if k is not None]
    if axis != 1 or len(known) < len(found):
        return None
    return Known(sum(k.channels for k in known), next((k.dims for k in known if k.dims), None))


def _flat(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    if type(module) is torch.nn.Sequential:
        for child in module:
            yield from _flat(child)
    else:
        yield module


def _keeps(module: torch.nn.Module) -> bool:
    return all(isinstance(m, _KEEP) for m in _flat(module))


def _told(module: torch.nn.Module, made: bool) -> Known | None:
    chain = list(_flat(module))
    return _first(reversed(chain) if made else chain, made)


def _first(chain: Iterable[torch.nn.Module], made: bool) -> Known | None:
    """What the first module that knows its channels makes, or takes."""
    for module in chain:
        if isinstance(module, (conv._ConvNd, Resampler)):
            channels = module.out_channels if made else module.in_channels
            dims = module.dims if isinstance(module, Resampler) else len(module.kernel_size)
            return Known(channels, dims) if channels else None  # a lazy one does not know yet
        if isinstance(module, _NORMS):
            channels = module.num_channels if isinstance(module, torch.nn.GroupNorm) else module.num_features
            digit = type(module).__name__[-2:-1]
            return Known(channels, int(digit) if digit.isdigit() else None) if channels else None
        if not isinstance(module, _KEEP):
            return None
    return None
