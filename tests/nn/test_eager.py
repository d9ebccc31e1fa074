# SPDX-License-Identifier: MIT
"""The eager backend on tensors: what the definition gives, by gathers alone, and for every device.

The laws and cases run it on arrays, as they run the others (tests/test_laws.py, tests/test_cases.py).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import halfpixel
from halfpixel import Band, backends, edges, presets
from halfpixel._axis import Axis, band_of
from halfpixel.backends import _inverse, cpu
from halfpixel.testing import laws, strategies

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from halfpixel.backends import _aten, eager  # noqa: E402
from halfpixel.nn import _how, _linear, _tensors, functional  # noqa: E402

DTYPES = (*strategies.DTYPES, "bfloat16")
OPTIONS = {
    "nearest": {"filter": "nearest"},
    "a flip of the edge": {"filter": "nearest", "box": ((-3, 9), (-2, 14)), "edge": "wrap"},
    "linear": {},
    "wrapped": {"filter": "lanczos3", "edge": "wrap"},
    "filled": {"filter": "cubic(a=-0.6)", "edge": "constant", "fill": 2.0, "antialias": False},
    "a spline": {"filter": "spline3", "edge": "reflect"},
    "a periodic spline": {"filter": "spline5", "edge": "wrap", "antialias": False},
    "a spline of a continued edge": {"filter": "spline2", "edge": "edge"},
}


def samples(dtype, shape=(2, 7, 11), seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "bfloat16":
        return torch.from_numpy(rng.standard_normal(shape)).bfloat16()
    return torch.from_numpy(np.ascontiguousarray(strategies.samples(rng, shape, dtype)))


def eagerly(plan, x):
    """By torch's operators, whatever the device; nobody else may run."""
    return _tensors.elsewhere(plan, x)


def by_reference(plan, x):
    """The definition's result on the tensor, in float64 (complex128), before it is stored, and how far one may be."""
    array = x.float().numpy() if x.dtype == torch.bfloat16 else x.numpy()
    return laws.definition(plan, array), array


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_is_its_definition(dtype, name):
    x = samples(dtype)
    for plan in (halfpixel.plan((7, 11), (9, 5), **OPTIONS[name]), halfpixel.plan((7, 11), (3, 23), **OPTIONS[name])):
        got, (want, array) = eagerly(plan, x), by_reference(plan, x)
        assert got.dtype == x.dtype
        if dtype == "bfloat16":
            assert torch.equal(got, eagerly(plan, x.float()).bfloat16())
        else:
            laws.require_close(got.numpy(), want, laws.slack(plan, array), f"{plan} on {dtype}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_selections_are_copies_bit_for_bit(dtype):
    x = samples(dtype)
    plan = halfpixel.plan((7, 11), (9, 5), filter="nearest")
    rows, columns = (torch.from_numpy(band.selected().copy()) for band in plan.bands)
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    view = x if dtype.startswith("complex") else x.view(bits[x.element_size()])
    got = eagerly(plan, x)
    got = got if dtype.startswith("complex") else got.view(bits[x.element_size()])
    assert torch.equal(got, view[:, rows][:, :, columns])


# Presets whose arithmetic is fixed to the last bit: integers, doubles, products and sums in float32.
EXACT = [
    (name, dtype)
    for name in presets.TABLE
    for dtype in ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")
    if dtype in presets.TABLE[name].dtypes or presets.TABLE[name].dtypes == "all"
]


@pytest.mark.parametrize(("like", "dtype"), EXACT)
def test_presets_are_those_of_the_reference(like, dtype):
    x = samples(dtype, (3, 13, 11))
    for size in ((20, 5), (13, 4), (26, 22)):
        plan = halfpixel.plan((13, 11), size, like=like)
        program = plan.program(dtype)
        got = eagerly(plan, x).numpy()
        want = backends.apply(plan, x.numpy(), backend="reference")
        posts = [stage.link.post for stage in program.stages]
        single = program.compute == "natural" and dtype != "float64"
        rounds_alike = not single or all(post == ("float32",) for post in posts)
        if program.copies or (rounds_alike and not any(stage.link.solve for stage in program.stages)):
            laws.require_equal(got, want, f"{like} on {dtype}")
        elif np.issubdtype(x.numpy().dtype, np.integer):
            assert np.abs(got.astype(np.int64) - want.astype(np.int64)).max() <= 1
        else:
            laws.require_close(got, want.astype(np.float64), 4 * laws.slack(plan, x.numpy()), f"{like} on {dtype}")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_transpose_is_the_adjoint(name):
    options = {**OPTIONS[name], "fill": 0.0}
    for dtype, allowed in ((torch.float64, 1e-12), (torch.float32, 1e-4), (torch.complex128, 1e-12)):
        plan = halfpixel.plan((7, 11), (9, 5), **options)
        x, y = torch.randn(3, 7, 11, dtype=dtype), torch.randn(3, 9, 5, dtype=dtype)
        left, right = torch.vdot(eagerly(plan, x).flatten(), y.flatten()), torch.vdot(
            x.flatten(), eagerly(plan.T, y).flatten()
        )  # fmt: skip
        assert abs(left - right) <= allowed


@settings(max_examples=60, deadline=None)
@given(strategies.plans(), st.sampled_from(strategies.DTYPES), st.integers(0, 2**32 - 1))
def test_any_plan(plan, dtype, seed):
    x = samples(dtype, (2, *plan.size_in), seed)
    got, (want, array) = eagerly(plan, x), by_reference(plan, x)
    laws.require_close(got.numpy(), want, laws.slack(plan, array), f"{plan} on {dtype}")


class Named(TorchDispatchMode):
    """The names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_scatters_and_nothing_is_added_up_in_an_order_of_the_device(name):
    plan = halfpixel.plan((7, 11), (9, 5), **OPTIONS[name])
    with Named() as seen:
        for way, shape in ((plan, (2, 7, 11)), (plan.T, (2, 9, 5))):
            for dtype in (torch.float32, torch.float16, torch.uint8, torch.complex64):
                eagerly(way, torch.ones(shape, dtype=dtype))
    assert "index_select" in seen.names
    assert seen.names <= {
        "index_select", "mul", "add", "where", "add_", "copy_", "_to_copy", "empty", "floor", "nan_to_num", "clamp",
        "view_as_real", "view_as_complex", "clone", "view", "detach", "ones", "lift_fresh", "scalar_tensor",
    }  # fmt: skip


def test_batches_layouts_and_repetitions_give_the_same_bits():
    plan = halfpixel.plan((40, 30), (55, 11), filter="lanczos3")
    x = torch.rand(4, 5, 40, 30)
    want = eagerly(plan, x)
    assert torch.equal(eagerly(plan, x), want)
    assert torch.equal(torch.cat([eagerly(plan, x[i : i + 1]) for i in range(4)]), want)
    last = x.contiguous(memory_format=torch.channels_last)
    assert eagerly(plan, last).is_contiguous(memory_format=torch.channels_last)
    for view in (last, x.flip(3).flip(3), x.mT.contiguous().mT, torch.stack([x, x], -1)[..., 0]):
        assert torch.equal(eagerly(plan, view), want)


def test_what_is_not_finite_stays_where_its_weights_are():
    plan = halfpixel.plan((9, 9), (14, 4), filter="lanczos3")
    for value in (float("nan"), float("inf")):
        x = torch.rand(9, 9)
        x[4, 4] = value
        want = torch.from_numpy(backends.apply(plan, x.numpy(), backend="reference"))
        got = eagerly(plan, x)
        assert torch.equal(got.isnan(), want.isnan())
        assert torch.equal(got.isinf(), want.isinf())
        assert got.isfinite().any()


def test_integers_saturate_and_nan_becomes_zero():
    plan = halfpixel.plan((4,), 16, filter="lanczos3")
    for dtype in (torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64):
        info = torch.iinfo(dtype)
        x = torch.tensor([info.min, info.max, info.max, info.min], dtype=torch.uint64 if info.min == 0 else torch.int64)
        got = eagerly(plan, x.to(dtype)).numpy()
        assert (got.min(), got.max()) == (info.min, info.max)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", halfpixel.PrecisionWarning)
            want = backends.apply(plan, x.to(dtype).numpy(), backend="reference")
        laws.require_equal(got, want, str(dtype))
    unknown = halfpixel.plan((4,), 4, box=((-2, 2),), edge="constant", fill=float("nan"), filter="box")
    for dtype in (torch.uint8, torch.int32, torch.int64, torch.uint64):
        assert eagerly(unknown, torch.full((4,), 7, dtype=dtype)).tolist() == [0, 0, 7, 7]


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # of torch's own forward mode
@pytest.mark.parametrize("name", ["linear", "filled", "a spline", "wrapped"])
def test_derivatives_by_the_eager_path(name, monkeypatch):
    monkeypatch.setattr(_tensors, "apply", _tensors.elsewhere)
    monkeypatch.setattr(cpu, "native", lambda: pytest.fail("the kernels have run"))
    for dtype in (torch.float64, torch.complex128):
        x = torch.rand(2, 5, 6, dtype=dtype, requires_grad=True)
        way = lambda t: functional.resize(t, (7, 4), **OPTIONS[name])  # noqa: E731
        assert torch.autograd.gradcheck(way, x, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(way, x)


@pytest.mark.parametrize("key", ["CUDA", "MPS", "XPU", "XLA", "PrivateUse1"])
def test_the_operator_has_a_kernel_for_other_devices(key, monkeypatch):
    """That of the key, called on a tensor of the CPU, since there is no such device here."""
    monkeypatch.setattr(cpu, "native", lambda: pytest.fail("the kernels have run"))
    how, x = _how.written((-2, -1), filter="cubic"), torch.rand(2, 5, 6)
    kernel = torch.library.get_kernel("halfpixel::resize", key)
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
    got = kernel.call_boxed(keys, x, how, (5, 6), (9, 4), False)
    want = laws.definition(halfpixel.plan((5, 6), (9, 4), filter="cubic"), x.numpy())
    laws.require_close(got.numpy(), want, 1e-6, key)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("name", OPTIONS)
def test_on_a_cuda_device(name):
    for dtype in DTYPES:
        x, plan = samples(dtype), halfpixel.plan((7, 11), (9, 5), **OPTIONS[name])
        got = functional.resize(x.cuda(), (9, 5), **OPTIONS[name])
        assert got.is_cuda
        torch.testing.assert_close(got.cpu().to(torch.complex128), eagerly(plan, x).to(torch.complex128))
    x = torch.rand(2, 5, 6, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: functional.resize(t, (7, 4), **OPTIONS[name]), x)


def test_meta_tensors_have_shapes_and_layouts():
    x = torch.empty(2, 3, 4, 5, device="meta").contiguous(memory_format=torch.channels_last).requires_grad_()
    y = functional.interpolate(x, scale_factor=2, mode="bicubic")
    assert (y.shape, y.device.type) == ((2, 3, 8, 10), "meta")
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert eagerly(halfpixel.plan((4, 5), (8, 10)), x).device.type == "meta"


def test_tables_are_made_once_for_a_type_and_device(monkeypatch):
    plan = halfpixel.plan((8, 9), (13, 5), filter="spline3", edge="wrap")
    x = torch.rand(8, 9)
    want = eagerly(plan, x)
    monkeypatch.setattr(_aten, "_pass", lambda *_: pytest.fail("made again"))
    assert torch.equal(eagerly(plan, x), want)


def test_refusals_say_why_and_what_would_work(monkeypatch):
    plan = halfpixel.plan((4, 4), (8, 8))
    with pytest.raises(TypeError, match=r"sparse_coo(.|\n)*to_dense"):
        functional.resize(torch.rand(4, 4).to_sparse(), (8, 8))
    pytest.importorskip("ml_dtypes")  # which tells NumPy of float8
    with pytest.raises(TypeError, match="float8"):
        functional.resize(torch.zeros(4, 4).to(torch.float8_e4m3fn), (8, 8))
    with pytest.raises(TypeError, match="float8"):
        eagerly(plan, torch.zeros(4, 4).to(torch.float8_e4m3fn))
    with pytest.raises(ValueError, match="4, 4"):
        eagerly(plan, torch.zeros(5, 5))
    assert eager.why_not(plan.program("float32"), "float32", "mps") is None
    assert eager.why_not(plan.program("int32"), torch.int32, "mps") == (
        "mps has no float64, in which this is computed for int32"
    )
    assert eager.why_not(halfpixel.plan((4,), 8, filter="nearest").program("int32"), "int32", "mps") is None
    assert cpu.why_not(device="cuda") == "the compiled kernels run on the CPU, not on cuda"
    monkeypatch.setattr(eager, "_absent", lambda: "torch is not installed")
    with pytest.raises(NotImplementedError, match="torch is not installed"):
        eagerly(plan, torch.zeros(4, 4))
    with pytest.raises(RuntimeError, match=r"backend 'eager': torch is not installed"):
        backends.apply(plan, np.zeros((4, 4)), backend="eager")


def test_the_variable_chooses_it(monkeypatch):
    monkeypatch.setenv("HALFPIXEL_BACKEND", "eager")
    assert backends.choose() == "eager"
    plan = halfpixel.plan((5, 4), (8, 9), filter="lanczos2", edge="symmetric")  # one that no other test has met
    monkeypatch.setattr(cpu, "bind", lambda *_: pytest.fail("the kernels have run"))
    x = np.random.default_rng(0).random((5, 4))
    assert np.abs(plan(x) - laws.definition(plan, x)).max() < 1e-14


SPLINES = [("spline2", "reflect"), ("spline3", "reflect"), ("spline5", "symmetric"), ("spline4", "wrap")]


@pytest.mark.parametrize(("name", "edge"), SPLINES)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 127, 128, 131, 200, 700])
def test_the_inverse_of_a_band_is_a_band(name, edge, n):
    one = halfpixel._axis.Fraction(1)
    axis = Axis(n, n, one, 0 * one, halfpixel.filters.get(name), edges.get(edge))
    band = band_of(axis)[0]
    inverse = _inverse.inverse_band(band, 1e-17)
    assert np.abs(inverse.dense() - np.linalg.inv(band.dense())).max() < 1e-13
    assert np.abs(inverse.dense() @ band.dense() - np.eye(n)).max() < 1e-13
    assert inverse.taps < 110
    assert _inverse.inverse_band(band, 1e-8).taps <= 51


def test_an_inverse_that_does_not_die_away_is_whole():
    n = 300
    difference = Band.from_entries(
        (n, n), np.r_[np.arange(n), np.arange(1, n)], np.r_[np.arange(n), np.arange(n - 1)],
        np.r_[np.ones(n), -np.ones(n - 1)],
    )  # fmt: skip
    assert np.array_equal(_inverse.inverse_band(difference, 1e-17).dense(), np.tril(np.ones((n, n))))


def test_the_plain_path_is_not_taken_elsewhere():
    assert not _linear.unwatched(torch.empty(2, 2, device="meta"))
    assert not _linear.unwatched(torch.zeros(2, 2).to_sparse())
    assert _linear.unwatched(torch.zeros(2, 2))
