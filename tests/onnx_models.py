# SPDX-License-Identifier: MIT
"""Models of one node, and what onnxruntime and the reference evaluator make of them."""

import functools

import numpy as np


def model(op, inputs, opset, **attributes):
    """A model of one node. Inputs are arrays, or None for those left out; the first is fed, the others are stored."""
    import onnx
    from onnx import helper, numpy_helper

    names = ["" if a is None else f"i{k}" for k, a in enumerate(inputs)]
    while names[-1] == "":
        names.pop()
    kind = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    stored = [numpy_helper.from_array(a, n) for a, n in zip(inputs[1:], names[1:], strict=False) if a is not None]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info(names[0], kind, inputs[0].shape)],
        [helper.make_tensor_value_info("y", kind, [None] * inputs[0].ndim)],
        stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    assert isinstance(made, onnx.ModelProto)
    return made


@functools.cache
def _options():
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def by_onnxruntime(op, inputs, opset, **attributes):
    import onnxruntime

    data = model(op, inputs, opset, **attributes).SerializeToString()
    session = onnxruntime.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
    return session.run(None, {"i0": inputs[0]})[0]


def by_evaluator(op, inputs, opset, **attributes):
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model(op, inputs, opset, **attributes)).run(None, {"i0": inputs[0]})[0]


def resize_inputs(x, roi=None, scales=None, sizes=None):
    """The inputs of Resize-11 and later, in their types."""
    return [
        x,
        None if roi is None else np.array(roi, np.float32),
        None if scales is None else np.array(scales, np.float32),
        None if sizes is None else np.array(sizes, np.int64),
    ]
