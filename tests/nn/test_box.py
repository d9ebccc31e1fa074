# SPDX-License-Identifier: MIT
"""A box for every sample is a loop over the samples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfpixel

torch = pytest.importorskip("torch")

from halfpixel.nn import _how, _tensors, check_export, functional  # noqa: E402

BOXES = torch.tensor([[[0, 8], [0, 9]], [[1, 5.5], [2, 4]], [[0.25, 7], [-1, 3]]], dtype=torch.float64)


def one_by_one(x, boxes, size, **options):
    """The definition: each sample alone, with its box as numbers, along axes counted from the end."""
    return torch.stack([functional.resize(x[i], size, box=boxes[i].tolist(), **options) for i in range(len(x))])


@pytest.mark.parametrize(
    "options",
    [
        {"filter": "cubic"},
        {"filter": "lanczos3", "edge": "wrap", "antialias": False},
        {"filter": "linear", "edge": "constant", "fill": 0.5},
        {"filter": "spline3", "edge": "reflect"},
        {"filter": "nearest"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8, torch.complex64], ids=str)
def test_it_is_a_loop(options, dtype):
    x = (torch.rand(3, 2, 8, 9) * 200).to(dtype)
    got = functional.resize(x, (5, 4), box=BOXES, **options)
    assert torch.equal(got, one_by_one(x, BOXES, (5, 4), **options))
    assert torch.equal(got, halfpixel.resize(x, (5, 4), box=BOXES.float(), **options))


def test_a_box_crops():
    x = torch.arange(48.0).reshape(2, 1, 4, 6)
    boxes = torch.tensor([[[0, 2], [1, 4]], [[2, 4], [3, 6]]])
    got = functional.resize(x, (2, 3), box=boxes, filter="nearest")
    assert torch.equal(got, torch.stack([x[0, :, 0:2, 1:4], x[1, :, 2:4, 3:6]]))


def test_boxes_follow_axes():
    x = torch.rand(3, 8, 2, 9)
    got = functional.resize(x, (5, 4), axes=(3, 1), box=BOXES.flip(1))
    want = functional.resize(x.movedim(2, 1), (4, 5), axes=(2, 3), box=BOXES).movedim(1, 2)
    assert torch.equal(got, want)
    line = functional.resize(x, 5, axes=-1, box=BOXES[:, 1:])
    assert torch.equal(line, one_by_one(x, BOXES[:, 1:], 5, axes=-1))


def test_layouts_dtypes_of_boxes_and_empty_batches():
    x = torch.rand(3, 4, 8, 9).contiguous(memory_format=torch.channels_last)
    got = functional.resize(x, (5, 4), box=BOXES)
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(got, functional.resize(x.contiguous(), (5, 4), box=BOXES))
    whole = torch.tensor([[0, 8], [0, 9]]).expand(3, 2, 2)
    assert torch.equal(functional.resize(x, (5, 4), box=whole), functional.resize(x, (5, 4)))
    assert functional.resize(x[:0], (5, 4), box=BOXES[:0]).shape == (0, 4, 5, 4)
    like = functional.resize(x, size_like=torch.empty(1, 1, 5, 4), box=BOXES)
    assert torch.equal(like, got)


def test_the_gradient_is_that_of_every_sample():
    x = torch.rand(3, 2, 8, 9, dtype=torch.float64, requires_grad=True)
    way = lambda t: functional.resize(t, (5, 4), box=BOXES, filter="cubic")  # noqa: E731
    assert torch.autograd.gradcheck(way, x)
    with pytest.raises(ValueError, match=r"not in its box(.|\n)*detach"):
        functional.resize(x, (5, 4), box=BOXES.clone().requires_grad_())
    with torch.no_grad():
        boxes = BOXES.clone().requires_grad_()
        assert torch.equal(functional.resize(x, (5, 4), box=boxes, filter="cubic"), way(x))


side = st.integers(1, 12)
edge = st.floats(-3, 12, allow_nan=False).map(lambda v: round(v, 3))


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 3), st.tuples(side, side), st.tuples(side, side))
def test_any_sizes_and_boxes(data, count, size_in, size_out):
    pair = st.tuples(edge, edge).filter(lambda p: p[1] - p[0] > 1e-2)
    pairs = data.draw(st.lists(st.tuples(pair, pair), min_size=count, max_size=count))
    x, boxes = torch.rand(count, 2, *size_in), torch.tensor(pairs, dtype=torch.float64)
    options = {"filter": data.draw(st.sampled_from(["linear", "lanczos3", "nearest"])), "edge": "edge"}
    got = functional.resize(x, size_out, box=boxes, **options)
    assert torch.equal(got, one_by_one(x, boxes, size_out, **options))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"box": BOXES[:2]}, ValueError, r"shape \(2, 2, 2\) for 3 samples and 2 axes"),
        ({"box": BOXES[:, :1]}, ValueError, r"shape \(3, 1, 2\)"),
        ({"box": BOXES[0]}, ValueError, r"shape \(2, 2\)"),
        ({"box": BOXES.flip(2)}, ValueError, "empty interval"),
        ({"box": BOXES * float("nan")}, ValueError, "finite"),
        ({"box": BOXES > 0}, TypeError, "bool"),
        ({"box": BOXES.to(torch.complex64)}, TypeError, "complex"),
        ({"size": None, "scale": 2, "axes": (-2, -1)}, ValueError, "a size of its own"),
        ({"size": (2, 3), "axes": (0, 3)}, ValueError, "first axis holds the samples"),
        ({"box": BOXES.to("meta")}, ValueError, "not known"),
        ({"like": "pillow.bicubic"}, ValueError, "leaves an axis"),
    ],
    ids=str,
)
def test_bad_boxes(change, error, says):
    told = {"size": (5, 4), "box": BOXES, **change}
    with pytest.raises(error, match=says) as found:
        functional.resize(torch.rand(3, 2, 8, 9), told.pop("size"), **told)
    assert str(found.value).startswith("resize(")


@pytest.mark.filterwarnings("ignore")
def test_compiled_and_exported_functions_take_numbers_only():
    torch._dynamo.reset()
    x = torch.rand(3, 2, 8, 9)
    function = lambda t, b: functional.resize(t, (5, 4), box=b)  # noqa: E731
    with pytest.raises(Exception, match="numbers as box="):
        torch.compile(function, fullgraph=True, backend="eager")(x, BOXES)
    module = torch.nn.Module()
    module.forward = function
    with pytest.raises(Exception, match="numbers as box="):
        torch.export.export(module, (x, BOXES))


def test_caches_are_bounded():
    x = torch.rand(1, 1, 4, 4)
    for k in range(1100):
        functional.resize(x, (2, 2), box=torch.tensor([[[0, 1 + k / 300], [0, 4]]]))
    for cache in (_how.plan, _tensors._bound, halfpixel._plan._plan):
        assert cache.cache_info().currsize <= 1024


def test_the_exporter_is_told_too():
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    with pytest.raises(ValueError, match=r"^resize(.|\n)*numbers as box="):
        check_export(lambda t: functional.resize(t, (5, 4), box=BOXES), torch.rand(3, 2, 8, 9))
