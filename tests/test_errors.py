# SPDX-License-Identifier: MIT
import copy
import pickle

import numpy as np
import pytest

from halfpixel import errors

MIXED = {
    errors.HalfpixelValueError: ValueError,
    errors.HalfpixelTypeError: TypeError,
    errors.HalfpixelRuntimeError: RuntimeError,
    errors.HalfpixelNotImplementedError: NotImplementedError,
}


@pytest.mark.parametrize("kind", MIXED)
def test_errors_are_ours_and_the_built_in_kind(kind):
    with pytest.raises(MIXED[kind]):
        raise kind("why")
    assert issubclass(kind, errors.HalfpixelError)


def test_message_has_call_reason_and_remedy():
    error = errors.HalfpixelValueError("size is 0", "a size of at least 1")
    assert str(error) == "size is 0\n  What would work: a size of at least 1"
    assert str(error.in_call("plan((8,), 0)")).startswith("plan((8,), 0): size is 0\n")
    assert str(error.in_call("resize(x, 0)")).startswith("resize(x, 0): ")
    assert str(errors.HalfpixelTypeError("no")) == "no"


def test_errors_survive_processes():
    error = errors.HalfpixelValueError("size is 0", "a size of at least 1").in_call("f()")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(other) == str(error) and type(other) is type(error)


def test_unknown_names_suggest_near_ones():
    text = str(errors.unknown_name("filter", "cubik", ["cubic", "linear", "box"]))
    assert text == "unknown filter 'cubik'\n  What would work: did you mean 'cubic'? Known: box, cubic, linear."
    assert "did you mean" not in str(errors.unknown_name("filter", "zzz", ["cubic"]))


def test_calls_are_described_by_shape():
    x = np.zeros((3, 8), np.uint8)
    assert errors.describe_call("resize", x, size=(4, 4), scale=None) == "resize(<uint8 (3, 8)>, size=(4, 4))"
    assert len(errors.describe(list(range(1000)))) == 60
