# SPDX-License-Identifier: MIT
"""`swap_upsamplers`: the upsamplings of a model become another method, its output kept where that can be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree

from halfpixel.errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, describe_call
from halfpixel.nn import functional

from ._registry import create, entry_of
from ._watch import Call, watched

_MODES = {
    "nearest": "nearest", "nearest-exact": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear",
    "bicubic": "cubic",
}  # fmt: skip
_TRANSPOSED = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)
_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    torch.nn.functional.interpolate, torch.nn.functional.upsample, functional.interpolate, functional.upsample,
)  # fmt: skip


@dataclass(frozen=True)
class UpsamplerSwap:
    """One upsampling of the model: where it is, what it was; whether the output is kept, or why it was left or
    differs."""

    name: str
    kind: str
    kept: bool = False
    why: str | None = None

    def __str__(self) -> str:
        told = "kept at step 0" if self.kept else self.why
        return f"{self.name or '(the model)'}: {self.kind}: {told}"


@dataclass(frozen=True)
class UpsamplerSwaps:
    """What `swap_upsamplers` did; its str is a readable text.

    **Convention:** `model` is the model to use: the one that was given, or, if its own forward method called functions,
    a torch.fx.GraphModule in its place. `difference`: the largest |change| of its output on the example, in eval mode.
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
        lines.append(f"largest change of the output: {self.difference:.3g}")
        return "\n".join(lines)


class _Asked(NamedTuple):
    """An upsampling, as its caller wrote it."""

    mode: str
    size: Any
    scale: Any
    align_corners: bool | None
    recompute: bool | None
    antialias: bool


def swap_upsamplers(
    model: torch.nn.Module, name: str, example: Any, *, transposed: bool = False, functions: bool = True, **options: Any
) -> UpsamplerSwaps:
    """Replace the upsamplings of a model by another method.

    **Convention:** modules (torch.nn.Upsample and its subclasses, this package's among them) are replaced in place;
    modules whose forward method calls `interpolate` are replaced by their torch.fx graph, with a new submodule for each
    call. Where the method can start as the interpolation that it replaces, it does, so that the model's output is what
    it was until it is trained; the report says where it cannot. Parameters, buffers and names of all else stay.
    Arguments:
        model: any module. name: of `list_upsamplers()`, a method without guide.
        example: an input, or a tuple of inputs: one call in eval mode tells channels and sizes.
        transposed: replace ConvTranspose modules too, whose learned weights are lost.
        functions: replace calls of `torch.nn.functional.interpolate` and this package's too.
        options: the upsampler's own.
    Returns: a report; use its `model`. Optimizers have to be made afterwards.
    Raises: ValueError for methods with a guide and unknown names; TypeError for anything but a module.
    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Upsample(scale_factor=2))
        >>> print(swap_upsamplers(model, "pixel_shuffle", torch.rand(1, 3, 8, 8)))
        1 swapped for pixel_shuffle, 0 left
          1: Upsample(nearest): kept at step 0
        largest change of the output: 0
    """
    try:
        if not isinstance(model, torch.nn.Module):
            raise HalfpixelTypeError(f"model is a {type(model).__name__}", "a torch.nn.Module")
        if entry_of("upsampler", name).guide:
            why = f"{name!r} needs a guide, and which tensor of the model that is cannot be known"
            raise HalfpixelValueError(why, "a method without, or halfpixel.upsamplers.blocks")
        inputs = example if isinstance(example, tuple) else (example,)
        before, calls = watched(model, inputs, (torch.nn.Upsample, *_TRANSPOSED), _FUNCTIONS)
        work = _Work(model, name, options, calls)
        work.modules(transposed)
        if functions:
            work.functions()
        after, _ = watched(work.model, inputs, (), ())
        return UpsamplerSwaps(work.model, name, tuple(work.swapped), tuple(work.left), _apart(before, after))
    except HalfpixelError as error:
        raise error.in_call(describe_call("swap_upsamplers", model, name)) from None


class _Work:
    """The model while it changes, and the report."""

    def __init__(self, model: torch.nn.Module, method: str, options: dict[str, Any], calls: list[Call]) -> None:
        self.model, self.method, self.options, self.calls = model, method, options, calls
        self.whole = entry_of("upsampler", method).integer_only
        self.names = {id(m): n for n, m in model.named_modules()}
        self.swapped: list[UpsamplerSwap] = []
        self.left: list[UpsamplerSwap] = []

    def modules(self, transposed: bool) -> None:
        """Replace the modules."""
        for name, module in list(self.model.named_modules()):
            is_transposed = isinstance(module, _TRANSPOSED)
            if not (isinstance(module, torch.nn.Upsample) or (is_transposed and transposed)):
                continue
            kind = type(module).__name__ if is_transposed else f"{type(module).__name__}({module.mode})"
            call = next((c for c in self.calls if c.module is module), None)
            try:
                if call is None:
                    raise HalfpixelValueError("the example did not reach it")
                made, why = self._transposed(module, call) if is_transposed else self._upsample(module, call)
            except HalfpixelError as error:
                self.left.append(UpsamplerSwap(name, kind, False, error.why))
                continue
            self._place(name, made.to(call.x).train(module.training))
            self.swapped.append(UpsamplerSwap(name, kind, why is None, why))

    def _upsample(self, module: Any, call: Call) -> tuple[Any, str | None]:
        asked = _Asked(
            module.mode, module.size, module.scale_factor, module.align_corners, module.recompute_scale_factor,
            getattr(module, "antialias", False),
        )  # fmt: skip
        made, why = self._made(asked, call)
        own = made.shape.grown(call.x.shape[2:])
        return (made if module.size is None and own == call.size else _Sized(made, call.size)), why

    def _transposed(self, module: Any, call: Call) -> tuple[Any, str | None]:
        places = zip(
            module.kernel_size, module.stride, module.padding, module.output_padding, module.dilation, strict=True
        )
        if any(d * (k - 1) + 1 - s - 2 * p + more for k, s, p, more, d in places):
            raise HalfpixelValueError("its result is not stride times the input")
        made = create(
            "upsampler", self.method, module.in_channels, module.out_channels, module.stride, None,
            call.x.dim() - 2, self.options,
        )  # fmt: skip
        return made, "it has learned weights, and the new ones are others"

    def _made(self, asked: _Asked, call: Call) -> tuple[Any, str | None]:
        """The new module, and why it does not start as what it replaces, if it does not."""
        sizes = list(zip(call.x.shape[2:], call.size, strict=True))
        if any(m < n for n, m in sizes):
            raise HalfpixelValueError("it makes its input smaller")
        scale = tuple(-(-m // n) for n, m in sizes)
        if asked.size is None:
            given = asked.scale if isinstance(asked.scale, (list, tuple)) else (asked.scale,) * len(sizes)
            scale = tuple(int(s) if s == int(s) else float(s) for s in given)
        if self.whole and any(not s - 1 >= n * s - m >= 0 for (n, m), s in zip(sizes, scale, strict=True)):
            raise HalfpixelValueError(f"{self.method} takes whole scales only, not {sizes[0][1]} / {sizes[0][0]}")
        made = create("upsampler", self.method, call.x.shape[1], None, scale, None, len(sizes), self.options)
        if made.out_channels != call.x.shape[1]:
            raise HalfpixelValueError(f"{self.method} makes {made.out_channels} channels of {call.x.shape[1]}")
        return made, self._start(made, asked, sizes)

    def _start(self, made: Any, asked: _Asked, sizes: list[tuple[int, int]]) -> str | None:
        mode = _MODES.get(asked.mode)
        why = f"no method starts as {asked.mode!r}" if mode is None else made.start_as(mode)
        if why is not None:
            return why
        multiple = all(m % n == 0 for n, m in sizes)
        if asked.align_corners and sizes != [(m, m) for _, m in sizes]:
            return "it had align_corners=True; the new one has half-pixel coordinates"
        if made.integer_only and not multiple:
            return "the size is no multiple of the input's: the new one cuts the end off"
        if asked.mode == "nearest" and not multiple:
            return "torch's 'nearest' takes other neighbours at scales that are not whole"
        if asked.size is None and not multiple and not asked.recompute:
            return "torch's step is 1 / scale_factor; the new one's is the ratio of the sizes"
        return None

    def functions(self) -> None:
        """Replace the modules whose forward methods call functions by their graphs."""
        callers = list({id(c.caller): c.caller for c in self.calls if c.function is not None}.values())
        # From the inside: a module is traced with its children as they are by then.
        depth = {id(m): len(self.names[id(m)].split(".")) if self.names[id(m)] else 0 for m in callers}
        for caller in sorted(callers, key=lambda m: -depth[id(m)]):
            name = self.names[id(caller)]
            calls = [c for c in self.calls if c.caller is caller and c.function is not None]
            try:
                self._replace(name, caller, calls[: calls[-1].place + 1])
            except HalfpixelError as error:
                kinds = [f"{c.function.__name__}()" for c in calls[: calls[-1].place + 1]]  # type: ignore[union-attr]
                self.left += [UpsamplerSwap(name, kind, False, error.why) for kind in kinds]

    def _replace(self, name: str, caller: torch.nn.Module, calls: list[Call]) -> None:
        graph = _graph_of(caller)
        nodes = [n for n in graph.nodes if n.op == "call_function" and n.target in _FUNCTIONS]
        if len(nodes) != len(calls):
            raise HalfpixelValueError(f"its graph has {len(nodes)} calls, and {len(calls)} were seen")
        new: dict[str, Any] = {}
        swapped, left = [], []
        for i, (node, call) in enumerate(zip(nodes, calls, strict=True)):
            kind = f"{node.target.__name__}({call.arguments['mode']})"
            try:
                made, why = self._called(graph, node, call, f"upsampler_{i}")
            except HalfpixelError as error:
                left.append(UpsamplerSwap(name, kind, False, error.why))
                continue
            new[f"upsampler_{i}"] = made.to(call.x).train(caller.training)
            swapped.append(UpsamplerSwap(f"{name}.upsampler_{i}".lstrip("."), kind, why is None, why))
        self.left += left
        if not new:
            return
        self._place(name, _graph_module(caller, graph, new))
        self.swapped += swapped

    def _called(self, graph: Any, node: Any, call: Call, target: str) -> tuple[Any, str | None]:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments
        told = call.arguments
        made, why = self._made(
            _Asked(
                told["mode"], told["size"], told["scale_factor"], told["align_corners"],
                told.get("recompute_scale_factor"), told.get("antialias", False),
            ),
            call,
        )  # fmt: skip
        size = bound.get("size")
        if size is None and isinstance(bound.get("scale_factor"), torch.fx.Node):
            raise HalfpixelValueError("its scale_factor is computed")
        with graph.inserting_before(node):
            new = graph.create_node("call_module", target, (bound["input"],), {} if size is None else {"size": size})
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        return made, why

    def _place(self, name: str, made: torch.nn.Module) -> None:
        if not name:
            self.model = made
            return
        old = self.model.get_submodule(name)
        for module in list(self.model.modules()):
            for key, child in list(module._modules.items()):
                if child is old:
                    module._modules[key] = made
        self.names[id(made)] = name


class _Sized(torch.nn.Module):
    """An upsampler with a size of its own, as torch.nn.Upsample(size=) has it."""

    def __init__(self, upsampler: torch.nn.Module, size: tuple[int, ...]) -> None:
        super().__init__()
        self.upsampler, self.size = upsampler, size

    def forward(self, x: Tensor) -> Tensor:
        """x at the size."""
        return self.upsampler(x, self.size)


class _Leaves(torch.fx.Tracer):
    """One module's own forward method: its children are calls."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return True


def _graph_of(module: torch.nn.Module) -> Any:
    code = getattr(type(module).forward, "__code__", None)
    if code is not None and "training" in code.co_names and not isinstance(module, torch.fx.GraphModule):
        raise HalfpixelValueError("its forward method reads self.training, which a graph would freeze")
    try:
        return _Leaves().trace(module)
    except Exception as error:
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise HalfpixelValueError(f"torch.fx cannot trace its forward method: {line}") from error


def _graph_module(caller: torch.nn.Module, graph: Any, new: dict[str, Any]) -> Any:
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


def _apart(before: Any, after: Any) -> float:
    pairs = zip(_pytree.tree_leaves(before), _pytree.tree_leaves(after), strict=True)
    apart = [float((a - b).abs().max()) for a, b in pairs if isinstance(a, Tensor) and a.numel()]
    return max(apart, default=math.nan)
