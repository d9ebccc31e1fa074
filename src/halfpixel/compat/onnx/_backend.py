# SPDX-License-Identifier: MIT
"""An onnx.backend for models of one node."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from halfpixel.errors import HalfpixelNotImplementedError, HalfpixelTypeError, HalfpixelValueError

from ._arguments import DIALECTS, Array, one_of
from ._conv_transpose import conv_transpose
from ._max_unpool import max_unpool
from ._rearrange import depth_to_space, space_to_depth
from ._resize import resize, upsample

Inputs = Sequence[Any]
Attributes = dict[str, Any]
Run = Callable[[Inputs, Attributes, int, str], Array]


def _resize(inputs: Inputs, attributes: Attributes, opset: int, dialect: str) -> Array:
    if opset == 10:
        inputs = (inputs[0], None, *inputs[1:])
    return resize(*inputs, **attributes, opset=opset, dialect=dialect)


def _upsample(inputs: Inputs, attributes: Attributes, opset: int, dialect: str) -> Array:
    return upsample(*inputs, **attributes, opset=opset, dialect=dialect)


def _max_unpool(inputs: Inputs, attributes: Attributes, opset: int, dialect: str) -> Array:
    return max_unpool(*inputs, **attributes, dialect=dialect)


def _plain(function: Callable[..., Array]) -> Run:
    return lambda inputs, attributes, opset, dialect: function(*inputs, **attributes)


OPERATORS: dict[str, Run] = {
    "Resize": _resize,
    "Upsample": _upsample,
    "ConvTranspose": _plain(conv_transpose),
    "MaxUnpool": _max_unpool,
    "DepthToSpace": _plain(depth_to_space),
    "SpaceToDepth": _plain(space_to_depth),
}
OPSETS = {"Resize": 10, "Upsample": 7}


def _node(model: Any) -> tuple[Any, int]:
    """The model's node and its operator set.

    Raises: NotImplementedError for anything but one node of the operators known here.
    """
    names = [node.op_type for node in model.graph.node]
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    works = f"one node of {', '.join(OPERATORS)}"
    if len(names) != 1 or names[0] not in OPERATORS:
        raise HalfpixelNotImplementedError(f"a model of the nodes {', '.join(names) or 'none'}", works)
    last = 9 if names[0] == "Upsample" else opset
    if not OPSETS.get(names[0], 1) <= opset <= last:
        raise HalfpixelNotImplementedError(f"{names[0]} of opset {opset}", f"{names[0]} of a later opset or Resize")
    return model.graph.node[0], opset


def _attributes(node: Any) -> Attributes:
    from onnx import helper

    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def _fed(graph: Any, inputs: Any) -> dict[str, Any]:
    """Values by name: what the model holds, and what it is given, in the order of the inputs that it leaves open."""
    from onnx import numpy_helper

    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    opened = [value.name for value in graph.input if value.name not in values]
    if isinstance(inputs, dict):
        return {**values, **inputs}
    if not isinstance(inputs, (list, tuple)):
        raise HalfpixelTypeError(f"inputs is a {type(inputs).__name__}", "a list of arrays, or a dict by name")
    if len(inputs) != len(opened):
        raise HalfpixelValueError(f"{len(inputs)} inputs", f"{len(opened)}: {', '.join(opened)}")
    return {**values, **dict(zip(opened, inputs, strict=True))}


def _run(model: Any, inputs: Any, dialect: str) -> tuple[Array]:
    node, opset = _node(model)
    values = _fed(model.graph, inputs)
    missing = [name for name in node.input if name and name not in values]
    if missing:
        raise HalfpixelValueError(f"nothing for {', '.join(missing)}", "an array for every input")
    asked = [values[name] if name else None for name in node.input]
    return (OPERATORS[node.op_type](asked, _attributes(node), opset, dialect),)


@functools.cache
def backend(dialect: str = "onnx") -> Any:
    """The class, an `onnx.backend.base.Backend`, that runs models of one node of the operators here; needs onnx.

    **Convention:** `prepare(model).run(inputs)` returns a tuple of one array; inputs are a list in the order of the
    inputs without initializers, or a dict by name.
    Arguments: dialect: "onnx" or "onnxruntime", where operators have two.
    Raises: NotImplementedError from `prepare` for other models; ImportError where onnx is not installed.
    Source: onnx.backend.base, 1.23.
    Example:
        >>> backend("onnx").supports_device("CPU")  # doctest: +SKIP
        True
    """
    import onnx
    from onnx.backend.base import Backend, BackendRep

    one_of(dialect, "dialect", DIALECTS)

    class HalfpixelRep(BackendRep):  # type: ignore[misc]
        """A checked model, ready to run."""

        def __init__(self, model: Any) -> None:
            self.model = model

        def run(self, inputs: Any, **kwargs: Any) -> tuple[Array]:
            return _run(self.model, inputs, dialect)

    class HalfpixelBackend(Backend):  # type: ignore[misc]
        """ONNX's size-changing operators by halfpixel."""

        @classmethod
        def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
            try:
                _node(model)
            except HalfpixelNotImplementedError:
                return False
            return cls.supports_device(device)

        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> HalfpixelRep:
            super().prepare(model, device, **kwargs)
            _node(model)
            return HalfpixelRep(model)

        @classmethod
        def run_node(cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any) -> Any:
            super().run_node(node, inputs, device, outputs_info, **kwargs)
            known = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.input if name]
            graph = onnx.helper.make_graph([node], "node", known, [])
            opset = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
            model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
            return _run(model, list(inputs), dialect)

        @classmethod
        def supports_device(cls, device: str) -> bool:
            return device == "CPU"

    return HalfpixelBackend
