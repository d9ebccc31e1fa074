# SPDX-License-Identifier: MIT
"""`interpolate_argmax`, `_reduce` and `_threshold`: bit for bit a resize and then a reduction, in far less memory."""

from __future__ import annotations

import itertools
import os
import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfpixel
from halfpixel import _resize, backends
from halfpixel._plan import clear_caches
from halfpixel.backends import reduce as kernels
from halfpixel.testing import laws
from tests.backend import NAMES, only
from tests.process import run_python

DTYPES = [
    "float32", "float64", "float16", "bfloat16", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64",
    "int64", "bool",
]  # fmt: skip
OPTIONS = [
    {"filter": "linear"},
    {"filter": "linear", "antialias": False, "edge": "edge"},
    {"filter": "nearest"},
    {"filter": "cubic", "edge": "constant", "fill": 1.0},
    {"filter": "lanczos3", "edge": "wrap"},
    {"filter": "area", "grid": "half_pixel_symmetric"},
    {"filter": "spline3", "edge": "reflect"},
]
needs_kernels = pytest.mark.skipif(backends.why_not("cpu") is not None, reason=str(backends.why_not("cpu")))


@pytest.fixture
def threads():
    before = halfpixel.get_num_threads()
    yield halfpixel.set_num_threads
    halfpixel.set_num_threads(before)


@pytest.fixture(params=NAMES)
def backend(request, monkeypatch):
    """Forced; with kernels, the way around them is closed unless a test opens it."""
    monkeypatch.setenv("HALFPIXEL_BACKEND", request.param)
    monkeypatch.setattr(_resize, "_ready", {})
    clear_caches()  # plans keep the backend that they met first
    with only(request.param):
        yield request.param
    clear_caches()


def kind_of(name):
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def data(seed, shape, dtype):
    """Few different values, so that there are ties, and some NaN where there can be."""
    rng = np.random.default_rng(seed)
    kind = kind_of(dtype)
    x = rng.integers(0, 6, shape).astype(np.float64)
    if dtype.startswith(("float", "bfloat")):
        x -= 2.5
        x.flat[rng.integers(0, x.size, 1 + x.size // 200)] = np.nan
    elif kind.kind == "i":
        x -= 3
    return (x > 2 if dtype == "bool" else x).astype(kind)


def expected(y, dim, reduction):
    """(values, indices) of NumPy; bfloat16 by way of float32, which holds it."""
    wide = y.astype(np.float32) if y.dtype.name == "bfloat16" else y
    index = wide.argmin(dim) if reduction in ("min", "amin", "argmin") else wide.argmax(dim)
    return np.take_along_axis(y, np.expand_dims(index, dim), dim).squeeze(dim), index


def require_reduced(x, y, dim, call, what):
    for reduction in ("max", "min"):
        values, index = expected(y, dim, reduction)
        both = call(reduction)
        assert both.indices.dtype == np.int64
        laws.require_equal(both.indices, index, f"{what} {reduction}: indices")
        laws.require_equal(both.values, values, f"{what} {reduction}: values")
        laws.require_equal(call(f"arg{reduction}"), index, f"{what} arg{reduction}")
        laws.require_equal(call(f"a{reduction}"), values, f"{what} a{reduction}")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_a_resize_and_then_a_reduction(backend, dtype, options):
    x = data(1, (2, 5, 9, 14), dtype)
    for size in ((23, 31), (4, 5), (9, 40)):
        y = halfpixel.resize(x, size, **options)
        require_reduced(
            x,
            y,
            1,
            lambda r, size=size: halfpixel.interpolate_reduce(x, size, reduction=r, **options),
            f"{dtype} {size}",
        )
        laws.require_equal(halfpixel.interpolate_argmax(x, size, **options), expected(y, 1, "max")[1], "argmax")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_shape_any_axes_any_memory(data):
    ndim = data.draw(st.integers(2, 5))
    shape = [data.draw(st.integers(1, 17 if ndim < 4 else 9)) for _ in range(ndim)]
    order = data.draw(st.permutations(range(ndim)))
    count = data.draw(st.integers(1, ndim - 1))
    axes, dim = order[:count], order[count]
    size = [data.draw(st.integers(1, 23)) for _ in axes]
    dtype = data.draw(st.sampled_from(["float32", "float64", "uint8", "int64"]))
    options = data.draw(st.sampled_from(OPTIONS[:6]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    memory = data.draw(st.permutations(range(ndim)))
    x = rng.integers(0, 6, [shape[a] for a in memory]).astype(dtype).transpose(np.argsort(memory))
    if data.draw(st.booleans()):
        x = x[..., ::-1]
    y = halfpixel.resize(x, size, axes=axes, **options)
    threads = halfpixel.get_num_threads()
    halfpixel.set_num_threads(data.draw(st.integers(1, 3)))
    try:
        got = halfpixel.interpolate_reduce(x, size, axes=axes, dim=dim, reduction="max", **options)
    finally:
        halfpixel.set_num_threads(threads)
    values, index = expected(y, dim, "max")
    laws.require_equal(got.indices, index, "indices")
    laws.require_equal(got.values, values, "values")


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 15, 16, 17, 31, 32, 150, 257, 300])
@pytest.mark.parametrize("layout", ["planar", "last", "between"])
def test_any_number_of_channels_in_any_place(channels, layout):
    x = data(2, (channels, 19, 23), "float32")
    y = halfpixel.resize(x, (61, 50))
    if layout == "last":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    if layout == "between":
        x = np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)
    for isa in isas():
        use_isa(isa)
        y = halfpixel.resize(x, (61, 50))
        require_reduced(x, y, 0, lambda r: halfpixel.interpolate_reduce(x, (61, 50), reduction=r), f"{layout} {isa}")
    use_isa(isas()[0])


def isas():
    return [""] if backends.why_not("cpu") else backends.cpu.native().isas()


def use_isa(name):
    if name:
        backends.cpu.native().set_isa(name)


@needs_kernels
@pytest.mark.parametrize("shape", [(3, 200, 5000), (40, 3, 70_000), (21, 700, 900), (2, 4, 60, 70, 80), (600, 40, 50)])
def test_what_needs_many_strips_and_tiles(shape, threads):
    """Rows longer than a strip, volumes, groups longer than a row of pixels; by 1 and by 3 threads."""
    x = np.random.default_rng(3).standard_normal(shape, dtype=np.float32)
    axes = tuple(range(-min(len(shape) - 1, 3), 0))
    size = tuple(max(1, shape[a] * 5 // 4) for a in axes)
    dim = len(shape) - len(axes) - 1
    y = halfpixel.resize(x, size, axes=axes)
    want = expected(y, dim, "max")
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, dim, -1)), -1, dim)
    for count, a in itertools.product((1, 3), (x, last)):
        threads(count)
        got = halfpixel.interpolate_reduce(a, size, axes=axes, reduction="max")
        laws.require_equal(got.indices, want[1], f"{count} threads")
        laws.require_equal(got.values, want[0], f"{count} threads")
        above = halfpixel.interpolate_threshold(a, 0.25, size, axes=axes)
        laws.require_equal(above, y > np.float32(0.25), f"{count} threads")


def test_the_first_of_equal_values_and_the_first_nan_count(backend):
    x = np.zeros((40, 3, 20), np.float32)
    x[[7, 30], 1, :9] = 1
    x[[5, 33], 2, 4] = np.nan
    for a in (x, np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)):
        best = halfpixel.interpolate_reduce(a, (3, 40), reduction="max", edge="edge")
        assert best.indices[0].max() == 0
        assert best.indices[1, 0] == 7
        assert best.indices[2, 8] == 5
        assert np.isnan(best.values[2, 8])
        least = halfpixel.interpolate_reduce(a, (3, 40), reduction="min", edge="edge")
        assert least.indices[2, 8] == 5
        assert least.indices[1, 0] == 0


def test_labels_in_every_integer_dtype():
    x = np.random.default_rng(4).standard_normal((120, 9, 11)).astype(np.float32)
    want = halfpixel.resize(x, (30, 41)).argmax(0)
    for a in (x, np.asfortranarray(x)):
        for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
            got = halfpixel.interpolate_argmax(a, (30, 41), dtype=dtype)
            assert got.dtype == dtype
            assert np.array_equal(got, want)


def test_the_channel_axis_is_found_where_it_is_clear():
    x = np.random.default_rng(5).standard_normal((2, 3, 8, 9)).astype(np.float32)
    y = halfpixel.resize(x, (16, 17))
    assert np.array_equal(halfpixel.interpolate_argmax(x, (16, 17)), y.argmax(1))
    assert np.array_equal(halfpixel.interpolate_argmax(x, (16, 17), dim=0), y.argmax(0))
    last = np.moveaxis(x[0], 0, -1)
    assert np.array_equal(halfpixel.interpolate_argmax(last, (16, 17), axes=(0, 1)), y[0].argmax(0))
    last = np.moveaxis(x, 1, -1)
    with pytest.raises(ValueError, match="dim is not given"):
        halfpixel.interpolate_argmax(last, (16, 17), axes=(1, 2))
    assert np.array_equal(halfpixel.interpolate_argmax(last, (16, 17), axes=(1, 2), dim=-1), y.argmax(1))


def test_presets_boxes_scales_and_nothing_to_do(backend):
    x = data(6, (4, 12, 10), "float32")
    for told in (
        {"like": "pillow.bicubic", "size": (5, 30)},
        {"like": "torch.bilinear", "scale": (1.7, 2.2)},
        {"like": "opencv.linear", "size": (30, 20)},
        {"box": ((0.5, 7), (-1, 4)), "size": (8, 9)},
        {"size": (12, 10)},
        {"scale": 3, "axes": -1},
        {"size": 33, "axes": 0, "dim": 1},
    ):
        rest = {k: v for k, v in told.items() if k != "dim"}
        dim = told.get("dim", 0 if "axes" not in told or told["axes"] != -1 else 1)
        y = halfpixel.resize(x, **rest)
        got = halfpixel.interpolate_reduce(x, **told, reduction="max")
        values, index = expected(y, dim, "max")
        laws.require_equal(got.indices, index, str(told))
        laws.require_equal(got.values, values, str(told))
    u = data(7, (4, 12, 10), "uint8") * 40
    y = halfpixel.resize(u, (30, 7), like="pillow.lanczos")
    assert np.array_equal(halfpixel.interpolate_argmax(u, (30, 7), like="pillow.lanczos"), y.argmax(0))


def test_byte_order_alignment_and_lists(backend):
    x = data(8, (3, 7, 9), "float32")
    want = halfpixel.resize(x, (11, 20)).argmax(0)
    odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    for a in (x.astype(">f4"), odd, np.nan_to_num(x).tolist()):
        y = halfpixel.resize(np.asarray(a), (11, 20)).argmax(0) if isinstance(a, list) else want
        assert np.array_equal(halfpixel.interpolate_argmax(a, (11, 20)), y)
    assert halfpixel.interpolate_argmax(np.zeros((0, 3, 4, 4), np.float32), (8, 8)).shape == (0, 8, 8)


THRESHOLDS = [0.3, -1, 2, 2.5, 1e30, -1e30, float("inf"), float("-inf"), float("nan")]


@pytest.mark.parametrize("dtype", DTYPES)
def test_thresholds_compare_as_numpy_does(backend, dtype):
    x = data(9, (2, 9, 14), dtype)
    for size, options in itertools.product(((23, 31), (4, 5)), OPTIONS[:5]):
        y = halfpixel.resize(x, size, **options)
        wide = y.astype(np.float64)
        for threshold in THRESHOLDS:
            with np.errstate(over="ignore"):
                limit = float(kind_of(dtype).type(threshold)) if "float" in dtype else threshold
            got = halfpixel.interpolate_threshold(x, threshold, size, **options)
            laws.require_equal(got, wide > limit, f"{dtype} {size} {options} {threshold}")


def test_thresholds_between_large_integers_are_exact(backend):
    x = np.array([2**63 - 2, 2**63 - 1, 5], np.int64)
    options = {"filter": "nearest"}
    assert (
        halfpixel.interpolate_threshold(x, 2**63 - 2, 6, **options).tolist() == [False] * 2 + [True] * 2 + [False] * 2
    )
    u = np.array([2**64 - 2, 2**64 - 1, 5], np.uint64)
    assert (
        halfpixel.interpolate_threshold(u, 2**64 - 2, 6, **options).tolist() == [False] * 2 + [True] * 2 + [False] * 2
    )
    assert halfpixel.interpolate_threshold(u, 2**70, 6, **options).tolist() == [False] * 6
    assert halfpixel.interpolate_threshold(u, -1, 6, **options).all()
    assert halfpixel.interpolate_reduce(u[:, None], 2, axes=1, dim=0, reduction="max").indices.tolist() == [1, 1]


def test_integers_beyond_doubles_are_warned_of(backend):
    x = np.full((2, 4), 2**60 + 1, np.int64)
    with pytest.warns(halfpixel.PrecisionWarning, match="2\\*\\*53"):
        halfpixel.interpolate_argmax(x, 9, axes=1)
    with pytest.warns(halfpixel.PrecisionWarning, match="2\\*\\*53"):
        halfpixel.interpolate_threshold(x, 4, 9, axes=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        halfpixel.interpolate_argmax(x, 9, axes=1, filter="nearest")


@needs_kernels
def test_the_compiled_way_is_taken_where_it_can_be(monkeypatch):
    x = data(10, (4, 9, 9), "float32")
    want = halfpixel.interpolate_argmax(x, (20, 20), filter="spline3")
    monkeypatch.setattr(kernels, "by_parts", None)
    monkeypatch.setattr(kernels, "execute", None)
    halfpixel.interpolate_argmax(x, (20, 20))
    halfpixel.interpolate_threshold(x, 0, (20, 20))
    with pytest.raises(TypeError):
        halfpixel.interpolate_argmax(x, (20, 20), filter="spline3")
    assert want.shape == (20, 20)


@pytest.mark.parametrize("step", [1, 3, 7])
def test_parts_of_any_length_are_the_whole(step):
    y = data(11, (3, 7, 40), "float32")
    for smallest in (False, True):
        index, values = np.empty((3, 40), np.int64), laws.poisoned((3, 40), np.float32)
        kernels.by_parts(lambda a, b: y[:, a:b], 7, step, 1, smallest, index, values)
        want = expected(y, 1, "min" if smallest else "max")
        laws.require_equal(values, want[0], "values")
        laws.require_equal(index, want[1], "indices")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"dim": 1}, ValueError, "dim 1 is resampled"),
        ({"dim": 5}, ValueError, "dim is 5"),
        ({"x": np.zeros((4, 4), np.float32)}, ValueError, "dim is not given"),
        ({"x": np.zeros((0, 4, 4), np.float32)}, ValueError, "nothing to reduce"),
        ({"x": np.zeros((3, 4, 4), complex)}, TypeError, "no order"),
        ({"x": np.zeros((300, 4, 4), np.float32), "dtype": np.uint8}, ValueError, "labels up to 255"),
        ({"dtype": np.float32}, TypeError, "dtype is float32"),
        ({"reduction": "mean"}, ValueError, "commutes"),
        ({"reduction": "argmaxx"}, ValueError, "argmax"),
        ({"size": None}, ValueError, "neither size nor scale"),
        ({"filter": "lancsoz3"}, ValueError, "lanczos3"),
    ],
)
def test_what_cannot_be_is_said_with_the_call(change, error, said):
    told = {"x": np.zeros((3, 4, 4), np.float32), "size": (8, 8), **change}
    with pytest.raises(error, match=said) as caught:
        halfpixel.interpolate_reduce(told.pop("x"), told.pop("size"), **told)
    assert "interpolate_reduce(" in str(caught.value)
    with pytest.raises(TypeError, match="threshold is 'a'"):
        halfpixel.interpolate_threshold(np.zeros((4, 4)), "a", (8, 8))


@needs_kernels
def test_the_kernel_refuses_arrays_that_do_not_fit():
    plan = halfpixel.plan((4, 4), (8, 8))
    program = backends.cpu.reducer(plan.program(np.float32), np.dtype(np.float32))
    x, index = np.zeros((3, 4, 4), np.float32), np.zeros((8, 8), np.int64)
    for wrong in (
        (x, 1, index, None, "f32", False),
        (x, 3, index, None, "f32", False),
        (x, 0, None, None, "f32", False),
        (x, 0, index[:7], None, "f32", False),
        (x, 0, index, np.zeros((8, 8), np.float32).T, "f32", False),
        (x, 0, index, None, "f64", False),
        (x[:0], 0, index, None, "f32", False),
        (x[0], 0, index, None, "f32", False),
    ):
        with pytest.raises(ValueError):
            program.reduce(*wrong)
    with pytest.raises(ValueError):
        program.above(x, np.zeros((3, 8, 8), np.float32), "f32", 0.0, 0)


MEMORY = """
import numpy as np, halfpixel
from pathlib import Path
def status(field):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(field + ":"))
    return int(line.split()[1]) * 1024
halfpixel.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((1, 150, 64, 64), dtype=np.float32)
{layout}
halfpixel.interpolate_argmax(x[:, :9], (40, 40), dtype=np.uint8)  # loads the kernels, starts the threads
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
y = halfpixel.interpolate_argmax(x, (512, 512), dtype=np.uint8)
print(status("VmHWM") - before - y.nbytes)
"""


@needs_kernels
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="this system cannot reset the peak of memory")
@pytest.mark.parametrize("layout", ["", "x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)"])
def test_labels_of_150_classes_need_little_more_than_themselves(layout):
    extra = int(run_python(MEMORY.format(layout=layout)))
    assert extra < 8 << 20  # the resized logits would be 150 MiB
