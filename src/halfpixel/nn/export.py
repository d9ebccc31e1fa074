# SPDX-License-Identifier: MIT
"""Exported models beside their modules."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from halfpixel.errors import HalfpixelError, HalfpixelRuntimeError, HalfpixelTypeError, describe_call

_NEEDS = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class OutputDifference:
    """One output of a model beside the module's.

    **Convention:** `largest` is the largest |difference| (inf where shapes or NaNs disagree), `position` where it is
    (None: nowhere), `count` how many elements differ by more than the tolerance.
    """

    index: int
    dtype: str
    shape: tuple[int, ...]
    shape_onnx: tuple[int, ...]
    largest: float
    position: tuple[int, ...] | None
    count: int

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "one number"
        if self.shape != self.shape_onnx:
            return f"output {self.index}: {shape}, onnxruntime gives {'x'.join(map(str, self.shape_onnx))}"
        where = f" at {self.position}" if self.position is not None else ""
        many = f", {self.count} of {math.prod(self.shape)} beyond the tolerance" if self.count else ""
        return f"output {self.index}: {self.dtype} {shape}, differs by {self.largest:.3g}{where}{many}"


@dataclass(frozen=True)
class ExportReport:
    """What `check_export` found: its str is a readable text, `to_dict()` the same as plain values."""

    module: str
    opset: int
    nodes: tuple[tuple[str, int], ...]
    atol: float
    outputs: tuple[OutputDifference, ...]

    @property
    def agrees(self) -> bool:
        """Every output has the module's shape and differs by no more than `atol`."""
        return all(o.shape == o.shape_onnx and o.count == 0 for o in self.outputs)

    @property
    def largest(self) -> float:
        """The largest difference of all outputs."""
        return max((o.largest for o in self.outputs), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON but for differences that are not finite."""
        outputs = [{**vars(o), "shape": list(o.shape), "shape_onnx": list(o.shape_onnx)} for o in self.outputs]
        for o in outputs:
            o["position"] = None if o["position"] is None else list(o["position"])
        return {
            "module": self.module, "opset": self.opset, "nodes": dict(self.nodes), "atol": self.atol,
            "agrees": self.agrees, "largest": self.largest, "outputs": outputs,
        }  # fmt: skip

    def __str__(self) -> str:
        verdict = "agrees with" if self.agrees else "DIFFERS from"
        nodes = ", ".join(f"{count} {name}" for name, count in self.nodes) or "none"
        return "\n".join([
            f"{self.module}, opset {self.opset}: onnxruntime {verdict} the module, tolerance {self.atol:g}",
            f"nodes: {nodes}",
            *map(str, self.outputs),
        ])  # fmt: skip


def check_export(
    module: torch.nn.Module,
    args: Tensor | tuple[Any, ...],
    *,
    opset: int | None = None,
    atol: float = 1e-5,
    dynamic_shapes: Any = None,
) -> ExportReport:
    """Export a module by `torch.onnx.export(dynamo=True)`, run it in onnxruntime, compare.

    **Convention:** both get the same inputs; integers are compared as numbers, NaN equals NaN. The module is taken as
    it is: call `.eval()` first where that matters.
    Arguments:
        module: any module or function of tensors. args: its inputs.
        opset: the ONNX operator set; None: the exporter's own choice.
        atol: how far an element may be from the module's. dynamic_shapes: as in `torch.export.export`.
    Returns: an `ExportReport`: the nodes of the graph, and for each output the largest difference and its position.
    Raises: RuntimeError where onnx, onnxruntime or onnxscript is missing, or the exporter fails; this package's own
        error where a resize has no graph.
    """
    inputs = args if isinstance(args, tuple) else (args,)
    try:
        if missing := [name for name in _NEEDS if not find_spec(name)]:
            raise HalfpixelRuntimeError(f"{' and '.join(missing)} not installed", "pip install 'halfpixel[onnx]'")
        _check_tensors(inputs)
        program = _exported(module, inputs, opset, dynamic_shapes)
        with torch.no_grad():
            want = _tensors_of(module(*inputs))
        got = list(program(*inputs))
        if len(got) != len(want):
            raise HalfpixelRuntimeError(f"the model has {len(got)} outputs, the module {len(want)}")
        return _report(module, program, want, got, atol)
    except HalfpixelError as error:
        # A resize inside the module has named itself.
        call = error.call or describe_call("check_export", module, *inputs, opset=opset)
        raise error.in_call(call) from error.__cause__


def _check_tensors(inputs: Sequence[Any]) -> None:
    for x in _tensors_of(inputs):
        if x.device.type != "cpu":
            raise HalfpixelTypeError(
                f"an input is on {x.device}, onnxruntime runs on the CPU here", "inputs on the CPU"
            )


def _tensors_of(values: Any) -> list[Tensor]:
    return [v for v in _pytree.tree_leaves(values) if isinstance(v, Tensor)]


def _name(module: Any) -> str:
    return getattr(module, "__name__", type(module).__name__)


class _Called(torch.nn.Module):
    """A function as a module: the exporter takes those alone."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def _exported(module: Any, inputs: tuple[Any, ...], opset: int | None, dynamic_shapes: Any) -> Any:
    whole = module if isinstance(module, torch.nn.Module) else _Called(module)
    # Clones: the exporter leaves its marks of dynamic axes on the tensors it is given.
    given = _pytree.tree_map_only(Tensor, lambda x: x.detach().clone(), inputs)
    if dynamic_shapes is not None and whole is not module:
        dynamic_shapes = (dynamic_shapes,)
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # of the exporter's own insides
            return torch.onnx.export(
                whole, given, dynamo=True, verbose=False, opset_version=opset, dynamic_shapes=dynamic_shapes
            )
    except Exception as error:
        found = _cause(error)
        raise found from (None if found.call else error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for each operator of libraries that are not installed."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _cause(error: BaseException) -> HalfpixelError:
    """This package's own error, if one began it; else what began it."""
    first = error
    while first.__cause__ is not None and not isinstance(first, HalfpixelError):
        first = first.__cause__
    if isinstance(first, HalfpixelError):
        return first
    line = next((line for line in str(first).splitlines() if line.strip()), type(first).__name__)
    return HalfpixelRuntimeError(f"torch.onnx.export failed: {line}", "this error's cause, which is torch's, says more")


def _report(module: Any, program: Any, want: list[Tensor], got: list[Tensor], atol: float) -> ExportReport:
    proto = program.model_proto
    (opset,) = (entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    nodes = Counter(node.op_type for node in proto.graph.node)
    outputs = tuple(_difference(i, w, g, atol) for i, (w, g) in enumerate(zip(want, got, strict=True)))
    return ExportReport(_name(module), opset, tuple(nodes.most_common()), atol, outputs)


def _difference(index: int, want: Tensor, got: Tensor, atol: float) -> OutputDifference:
    dtype, shapes = str(want.dtype).removeprefix("torch."), (tuple(want.shape), tuple(got.shape))
    if shapes[0] != shapes[1]:
        return OutputDifference(index, dtype, *shapes, math.inf, None, 0)
    if not want.numel():
        return OutputDifference(index, dtype, *shapes, 0.0, None, 0)
    wide = torch.complex128 if want.dtype.is_complex else torch.float64
    w, g = want.detach().to(wide), got.to(wide)
    apart = torch.where((w == g) | (w.isnan() & g.isnan()), 0.0, (w - g).abs()).nan_to_num(math.inf)
    at = int(apart.argmax())
    largest = float(apart.flatten()[at])
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(at), want.shape)) if largest else None
    return OutputDifference(index, dtype, *shapes, largest, place, int((apart > atol).sum()))
