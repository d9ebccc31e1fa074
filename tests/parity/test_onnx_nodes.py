# SPDX-License-Identifier: MIT
"""ONNX's own node tests, by its own runner, on the backend of halfpixel.compat.onnx. None is excluded."""

import unittest
import warnings
from collections import Counter

import pytest

from halfpixel.compat.onnx import backend

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.backend.test")

OPERATORS = {"Resize": 39, "Upsample": 1, "ConvTranspose": 11, "MaxUnpool": 2, "DepthToSpace": 2, "SpaceToDepth": 4}


# Exported from torch, with data files in the wheel: the models of one of these operators alone.
EXPORTED = {
    "OnnxBackendPyTorchConvertedModelTest": ("test_ConvTranspose2d", "test_ConvTranspose2d_no_bias"),
    "OnnxBackendPyTorchOperatorModelTest": ("test_operator_convtranspose",),
}


def collected():
    """The runner's test classes with their tests of these operators, and how many there are of each."""
    from onnx.backend.test import BackendTest
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' cases overflow and divide by zero while they are collected
        cases = [c for c in collect_testcases(None) if c.model.graph.node[0].op_type in OPERATORS]
        counts = Counter(c.model.graph.node[0].op_type for c in cases)
        runner = BackendTest(backend(), __name__)
    wanted = {"OnnxBackendNodeModelTest": tuple(case.name for case in cases), **EXPORTED}
    for name in [name for names in wanted.values() for name in names]:
        runner.include(f"^{name}_cpu$")
    classes = runner.test_cases
    return [(name, classes[group]) for group, names in wanted.items() for name in names], counts


TESTS, COUNTS = collected()


@pytest.mark.parametrize(("name", "tests"), TESTS, ids=[name for name, _ in TESTS])
def test_node(name, tests):
    result = unittest.TestResult()
    tests(f"{name}_cpu").run(result)
    assert result.testsRun == 1
    assert not result.skipped
    assert not result.failures + result.errors, (result.failures + result.errors)[0][1]


def test_no_operator_is_without_tests():
    """As many as ONNX 1.23 has; other releases have others."""
    assert set(COUNTS) == set(OPERATORS)
    if onnx.__version__.startswith("1.23."):
        assert OPERATORS == COUNTS


def test_the_backend_takes_one_node_of_these_operators():
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 2, 2]) for name in ("x", "y")]
    nodes = [helper.make_node("DepthToSpace", ["x"], ["h"], blocksize=2), helper.make_node("Relu", ["h"], ["y"])]
    two = helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:]))
    assert not backend().is_compatible(two)
    with pytest.raises(NotImplementedError, match=r"the nodes DepthToSpace, Relu[\s\S]*one node of Resize"):
        backend().prepare(two)
    assert backend().supports_device("CPU")
    assert not backend().supports_device("CUDA")


def test_run_node_and_run_model():
    import numpy as np
    from onnx import helper

    from tests.onnx_models import model

    x = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1)
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD")
    expected = x.reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(backend().run_node(node, [x])[0], expected)
    made = model("DepthToSpace", [x], 13, blocksize=2, mode="CRD")
    for inputs in ([x], {"i0": x}):
        np.testing.assert_array_equal(backend().run_model(made, inputs)[0], expected)
    with pytest.raises(ValueError, match="2 inputs"):
        backend().run_model(made, [x, x])
    with pytest.raises(ValueError, match="nothing for i0"):
        backend().run_model(made, {"other": x})
    with pytest.raises(TypeError, match="inputs is a ndarray"):
        backend().run_model(made, x)
