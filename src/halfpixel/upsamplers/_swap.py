# SPDX-License-Identifier: MIT
"""`swap_upsamplers`: the upsamplings of a model become another method, its output kept where that can be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree

from halfpixel.errors import HalfpixelError, HalfpixelTypeError, HalfpixelValueError, describe_call
from halfpixel.nn import functional

from . import _channels
from ._channels import Known
from ._lazy import LazyUpsampler
from ._registry import create, entry_of
from ._swap_graph import graph_module, graph_of
from ._swap_report import UpsamplerSwap, UpsamplerSwaps
from ._watch import Call, watched

_MODES = {
    "nearest": "nearest", "nearest-exact": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear",
    "bicubic": "cubic",
}  # fmt: skip
_DIMS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_KNOWN = ("torch.", "halfpixel.")
_TRANSPOSED = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)
_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    torch.nn.functional.interpolate, torch.nn.functional.upsample, functional.interpolate, functional.upsample,
)  # fmt: skip


class _Asked(NamedTuple):
    """An upsampling, as its caller wrote it."""

    mode: str
    size: Any
    scale: Any
    align_corners: bool | None
    recompute: bool | None
    antialias: bool


def swap_upsamplers(
    model: torch.nn.Module, name: str, example: Any = None, *, transposed: bool = False, functions: bool = True,
    **options: Any,
) -> UpsamplerSwaps:  # fmt: skip
    """Replace the upsamplings of a model by another method.

    **Convention:** modules (torch.nn.Upsample and its subclasses, this package's among them) are replaced in place;
    modules whose forward method calls `interpolate` are replaced by their torch.fx graph, with a new submodule for each
    call. Where the method can start as the interpolation that it replaces, it does, so that the model's output is what
    it was until it is trained; the report says where it cannot. Parameters, buffers and names of all else stay.
    Without an example channels are those of the convolutions and normalisations around; where these do not tell, the
    new module is a `LazyUpsampler`, which the first call makes.
    Arguments:
        model: any module. name: of `list_upsamplers()`, a method without guide.
        example: an input, or a tuple of inputs: one call in eval mode tells channels and sizes, what cannot be swapped,
            and how much the output changed.
        transposed: replace ConvTranspose modules too, whose learned weights are lost.
        functions: replace calls of `torch.nn.functional.interpolate` and this package's too.
        options: the upsampler's own.
    Returns: a report; use its `model`. Optimizers have to be made afterwards; they may be made before the first call.
    Raises: ValueError for methods with a guide and unknown names; TypeError for anything but a module.
    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Upsample(scale_factor=2))
        >>> print(swap_upsamplers(model, "pixel_shuffle", torch.rand(1, 3, 8, 8)))
        1 swapped for pixel_shuffle, 0 left
          1: Upsample(nearest): kept at step 0
        largest change of the output: 0
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Upsample(scale_factor=2, mode="bilinear"))
        >>> swap_upsamplers(model, "dysample").model[1].in_channels
        8
    """
    try:
        if not isinstance(model, torch.nn.Module):
            raise HalfpixelTypeError(f"model is a {type(model).__name__}", "a torch.nn.Module")
        if entry_of("upsampler", name).guide:
            why = f"{name!r} needs a guide, and which tensor of the model that is cannot be known"
            raise HalfpixelValueError(why, "a method without, or halfpixel.upsamplers.blocks")
        inputs = example if isinstance(example, tuple) else (example,)
        before, calls, apart = None, None, math.nan
        if example is not None:
            before, calls = watched(model, inputs, (torch.nn.Upsample, *_TRANSPOSED), _FUNCTIONS)
        else:
            LazyUpsampler(name, **options)  # refuses wrong options before anything is changed
        work = _Work(model, name, options, calls)
        work.modules(transposed)
        if functions:
            work.functions()
        if example is not None:
            apart = _apart(before, watched(work.model, inputs, (), ())[0])
        return UpsamplerSwaps(work.model, name, tuple(work.swapped), tuple(work.left), apart)
    except HalfpixelError as error:
        raise error.in_call(describe_call("swap_upsamplers", model, name)) from None


class _Work:
    """The model while it changes, and the report."""

    def __init__(
        self, model: torch.nn.Module, method: str, options: dict[str, Any], calls: list[Call] | None
    ) -> None:  # fmt: skip
        self.model, self.method, self.options, self.calls = model, method, options, calls
        self.like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
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
            try:
                call = self._call_of(module)
                made, why = self._transposed(module) if is_transposed else self._upsample(module, call)
            except HalfpixelError as error:
                self.left.append(UpsamplerSwap(name, kind, False, error.why))
                continue
            self._place(name, self._alike(made, call).train(module.training))
            self._swapped(name, kind, made, why)

    def _call_of(self, module: torch.nn.Module) -> Call | None:
        """The module's call on the example; None where there is no example."""
        if self.calls is None:
            return None
        found = [c for c in self.calls if c.module is module]
        if not found:
            raise HalfpixelValueError("the example did not reach it")
        channels = sorted({c.x.shape[1] for c in found})
        if len(channels) > 1:
            told = " and ".join(map(str, channels))
            raise HalfpixelValueError(f"it is called with {told} channels, and what replaces it has those of one place")
        return found[0]

    def _alike(self, made: Any, call: Call | None) -> Any:
        like = self.like if call is None else call.x
        return made.to(device=like.device, dtype=like.dtype)

    def _swapped(self, name: str, kind: str, made: Any, why: str | None) -> None:
        lazy = any(isinstance(m, LazyUpsampler) for m in made.modules())
        self.swapped.append(UpsamplerSwap(name, kind, why is None, why, lazy))

    def _upsample(self, module: Any, call: Call | None) -> tuple[Any, str | None]:
        asked = _Asked(
            module.mode, module.size, module.scale_factor, module.align_corners, module.recompute_scale_factor,
            getattr(module, "antialias", False),
        )  # fmt: skip
        if call is None:
            made, why = self._told(asked, _channels.around(self.model, module))
            return (made if module.size is None else _Sized(made, module.size)), why
        made, why = self._made(asked, call)
        own = made.shape.grown(call.x.shape[2:])
        return (made if module.size is None and own == call.size else _Sized(made, call.size)), why

    def _transposed(self, module: Any) -> tuple[Any, str | None]:
        places = zip(
            module.kernel_size, module.stride, module.padding, module.output_padding, module.dilation, strict=True
        )
        if any(d * (k - 1) + 1 - s - 2 * p + more for k, s, p, more, d in places):
            raise HalfpixelValueError("its result is not stride times the input")
        made = create(
            "upsampler", self.method, module.in_channels, module.out_channels, module.stride, None,
            len(module.kernel_size), self.options,
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

    def _told(self, asked: _Asked, known: Known | None) -> tuple[Any, str | None]:
        """The same without an example, of what the code says and the modules around it know."""
        dims = _DIMS.get(asked.mode) or (known.dims if known else None)
        if asked.size is not None:
            made: Any = LazyUpsampler(self.method, None, dims, **self.options)
            return made, self._start(made, asked, []) or "whether it is kept depends on the sizes"
        given = tuple(asked.scale) if isinstance(asked.scale, (list, tuple)) else (asked.scale,)
        if any(s < 1 for s in given):
            raise HalfpixelValueError("it makes its input smaller")
        if self.whole and any(s != int(s) for s in given):
            raise HalfpixelValueError(f"{self.method} takes whole scales only, not {asked.scale}")
        each = tuple(int(s) if s == int(s) else float(s) for s in given)
        if known is not None and dims is not None:
            scale = each * dims if len(each) == 1 else each
            made = create("upsampler", self.method, known.channels, None, scale, None, dims, self.options)
            if made.out_channels != known.channels:
                raise HalfpixelValueError(f"{self.method} makes {made.out_channels} channels of {known.channels}")
        else:
            made = LazyUpsampler(self.method, each if len(each) > 1 else each[0], dims, **self.options)
        ratios = [(r.denominator, r.numerator) for r in map(Fraction, each)]
        return made, self._start(made, asked, ratios)

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
        if self.calls is None:
            self._written()
            return
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

    def _written(self) -> None:
        """The same without an example: all modules of the model's own whose forward methods can be traced."""
        places = [(n, m) for n, m in self.model.named_modules() if _is_own(m)]
        for name, module in reversed(places):  # children stand behind their parents
            code = getattr(type(module).forward, "__code__", None)
            # Attributes are among a code's names too: self.upsample is a module.
            written = {n for n in (code.co_names if code else ()) if not hasattr(module, n)}
            calls = sorted({f.__name__ for f in _FUNCTIONS} & written)
            try:
                self._replace(name, module, None)
            except HalfpixelError as error:
                self.left += [UpsamplerSwap(name, f"{call}()", False, error.why) for call in calls]

    def _replace(self, name: str, caller: torch.nn.Module, calls: list[Call] | None) -> None:
        graph = graph_of(caller, calls is None)
        nodes = [n for n in graph.nodes if n.op == "call_function" and n.target in _FUNCTIONS]
        if calls is not None and len(nodes) != len(calls):
            raise HalfpixelValueError(f"its graph has {len(nodes)} calls, and {len(calls)} were seen")
        new: dict[str, Any] = {}
        swapped, left = [], []
        each: list[Call | None] = [None] * len(nodes) if calls is None else [*calls]
        for i, (node, call) in enumerate(zip(nodes, each, strict=True)):
            bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
            bound.apply_defaults()
            mode = (call.arguments if call else bound.arguments)["mode"]
            kind = f"{node.target.__name__}({mode})"
            try:
                made, why = self._called(dict(caller.named_modules()) | new, node, call)
                self._call_module(graph, node, bound.arguments, f"upsampler_{i}")
            except HalfpixelError as error:
                left.append(UpsamplerSwap(name, kind, False, error.why))
                continue
            new[f"upsampler_{i}"] = self._alike(made, call).train(caller.training)
            swapped.append((f"{name}.upsampler_{i}".lstrip("."), kind, made, why))
        self.left += left
        if not new:
            return
        self._place(name, graph_module(caller, graph, new))
        for found in swapped:
            self._swapped(*found)

    def _called(self, modules: dict[str, Any], node: Any, call: Call | None) -> tuple[Any, str | None]:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
        bound.apply_defaults()
        told = bound.arguments
        if told["size"] is None and isinstance(told["scale_factor"], torch.fx.Node):
            raise HalfpixelValueError("its scale_factor is computed")
        told = told if call is None else call.arguments
        asked = _Asked(
            told["mode"], told["size"], told["scale_factor"], told["align_corners"],
            told.get("recompute_scale_factor"), told.get("antialias", False),
        )  # fmt: skip
        if call is not None:
            return self._made(asked, call)
        if any(isinstance(value, torch.fx.Node) for value in (asked.mode, asked.align_corners)):
            raise HalfpixelValueError("its mode is computed")
        return self._told(asked, _channels.of_node(modules, told["input"]) or _channels.needed(modules, node))

    @staticmethod
    def _call_module(graph: Any, node: Any, told: dict[str, Any], target: str) -> None:
        size = told["size"]
        with graph.inserting_before(node):
            new = graph.create_node("call_module", target, (told["input"],), {} if size is None else {"size": size})
        node.replace_all_uses_with(new)
        graph.erase_node(node)

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

    def __init__(self, upsampler: torch.nn.Module, size: Any) -> None:
        super().__init__()
        self.upsampler, self.size = upsampler, size

    def forward(self, x: Tensor) -> Tensor:
        """x at the size."""
        return self.upsampler(x, self.size)


def _is_own(module: torch.nn.Module) -> bool:
    """The model's code, not torch's or this package's."""
    return isinstance(module, torch.fx.GraphModule) or not type(module).__module__.startswith(_KNOWN)


def _apart(before: Any, after: Any) -> float:
    pairs = zip(_pytree.tree_leaves(before), _pytree.tree_leaves(after), strict=True)
    apart = [float((a - b).abs().max()) for a, b in pairs if isinstance(a, Tensor) and a.numel()]
    return max(apart, default=math.nan)
