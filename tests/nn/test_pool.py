# SPDX-License-Identifier: MIT
"""Max pooling with indices and max unpooling: torch's values, loops, duplicates, bad indices, derivatives."""

from __future__ import annotations

import copy
import pickle
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import halfpixel  # noqa: E402
from halfpixel import nn  # noqa: E402
from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _linear, _pool  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402

# torch's own forward mode scripts its decompositions; halves are slow to pool in torch and that is no matter here.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

T = torch.nn.functional
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int16,
          torch.int32, torch.int64]  # fmt: skip
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def torchs_own():
    """Names that may not be called: ints and floats are pooled by our kernels where there are any."""
    left = {} if cpu.why_not() is None else _pool._THEIRS_PLACES
    return mock.patch.object(_pool, "_THEIRS_PLACES", left)


def numbers(shape, dtype, seed):
    """Few different values, so that maxima are equal often, and NaN, infinities and -0 where there are any."""
    x = torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if dtype.is_floating_point:
        x[x == 4] = float("nan")
        x[x == -4] = -float("inf")
        x[x == 3] = float("inf")
    return x


def same(a, b):
    return a.dtype == b.dtype and torch.equal(a.nan_to_num(nan=77.0), b.nan_to_num(nan=77.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int16])
@pytest.mark.parametrize(("kernel", "channels"), [((2, 2, 0), 64), ((3, 2, 1), 48), ((3, 1, 1), 32), ((2, 2, 0), 37)])
def test_places_too_large_for_the_caches(dtype, kernel, channels):
    """Whole lines of 64 bytes are stored past them, where channels make up such."""
    shape = (2, channels, 193 if kernel[1] == 1 else 386, 192)
    x = numbers(shape, dtype, 3).contiguous(memory_format=torch.channels_last)
    with torchs_own():
        y, places = F.max_pool2d(x, *kernel, return_indices=True)
    y_theirs, places_theirs = T.max_pool2d(x if dtype.is_floating_point else x.double(), *kernel, return_indices=True)
    assert places.nbytes >= 8 << 20
    assert same(y, y_theirs.to(dtype))
    assert torch.equal(places, places_theirs)


@settings(max_examples=80, deadline=None)
@given(
    dims=st.integers(1, 3), size=st.tuples(*[st.integers(1, 41)] * 3), kernel=st.tuples(*[st.integers(1, 5)] * 3),
    stride=st.tuples(*[st.integers(1, 5)] * 3), padding=st.tuples(*[st.integers(0, 2)] * 3),
    dilation=st.tuples(*[st.integers(1, 3)] * 3), ceil=st.booleans(), last=st.booleans(), batched=st.booleans(),
    dtype=st.sampled_from(DTYPES[:-1]), channels=st.integers(1, 19), seed=st.integers(0, 99),
)  # fmt: skip
def test_values_and_places_are_those_of_torch(
    dims, size, kernel, stride, padding, dilation, ceil, last, batched, dtype, channels, seed
):
    size = tuple(min(n, 9) for n in size[: dims - 1]) + size[2:]
    kernel, stride, dilation = kernel[:dims], stride[:dims], dilation[:dims]
    padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=False))
    # A dilated window may miss the input altogether; torch then points outside of the plane.
    assume(not any(
        all(not 0 <= o * s - p + t * d < n for t in range(k))
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True) for o in range(n + 2 * p)
        if o * s - p < n
    ))  # fmt: skip
    x = numbers((*((2,) if batched else ()), channels, *size), dtype, seed)
    if last and batched and dims > 1:
        x = x.contiguous(memory_format=LAST[x.dim()])
    reference = x if dtype.is_floating_point else x.double()  # torch pools few integers
    if dims == 3:
        reference = reference.contiguous()  # torch's channels-last volumes point at 0 for windows of -inf alone
    try:
        want, places = getattr(T, f"max_pool{dims}d_with_indices")(reference, kernel, stride, padding, dilation, ceil)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            getattr(F, f"max_pool{dims}d")(x, kernel, stride, padding, dilation, ceil, return_indices=True)
        return
    with torchs_own():
        got, at = getattr(F, f"max_pool{dims}d")(x, kernel, stride, padding, dilation, ceil, return_indices=True)
    assert same(got, want.to(dtype))
    assert torch.equal(at, places)
    if dims == 2 and batched:
        assert got.stride() == want.stride()
    assert same(getattr(F, f"max_pool{dims}d")(x, kernel, stride, padding, dilation, ceil), got)


def by_loop(x, indices, size):
    """Element by element, in order: the last of equal places stays."""
    out = torch.zeros(*x.shape[:2], size, dtype=x.dtype)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(x.shape[2]):
                out[n, c, indices[n, c, i]] = x[n, c, i]
    return out


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 23), st.integers(1, 31), st.sampled_from(DTYPES), st.integers(0, 99), st.integers(1, 3))
def test_unpooling_against_a_loop_with_duplicates(n_in, n_out, dtype, seed, channels):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-9, 9, (2, channels, n_in), generator=generator).to(dtype)
    indices = torch.randint(0, n_out, x.shape, generator=generator)
    got = F.max_unpool1d(x, indices, n_out, stride=n_out, output_size=(n_out,)) if n_in == 1 else _pool._MAP(
        x, indices, (n_out,), "place"
    )  # fmt: skip
    assert torch.equal(got, by_loop(x, indices, n_out))
    assert torch.equal(got, _pool._by_scatter(x, indices, (n_out,), "place"))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_unpooling_undoes_pooling_as_torch_does(dims, last):
    x = torch.rand(2, 5, *(9, 7, 11)[:dims])
    if last and dims > 1:
        x = x.contiguous(memory_format=LAST[dims + 2])
    pool, unpool = f"max_pool{dims}d", f"max_unpool{dims}d"
    y, places = getattr(F, pool)(x, 3, 2, 1, return_indices=True)
    for size in (None, x.shape, x.shape[2:]):
        want = getattr(T, unpool)(y, places, 3, 2, 1, size and list(size))
        got = getattr(F, unpool)(y, places, 3, 2, 1, size)
        assert torch.equal(got, want)
        if dims == 2:
            assert got.stride() == want.stride()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_derivatives(dims, last):
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, *(5, 4, 3)[:dims])
    x = torch.randperm(torch.Size(shape).numel(), generator=generator).reshape(shape).double()
    if last and dims > 1:
        x = x.contiguous(memory_format=LAST[dims + 2])
    x.requires_grad_()

    def pool(t):
        return getattr(F, f"max_pool{dims}d")(t, 3, 2, 1)

    assert gradcheck(pool, x, check_forward_ad=True)
    assert gradgradcheck(pool, x)
    want = torch.autograd.grad(getattr(T, f"max_pool{dims}d")(x, 3, 2, 1).sin().sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(pool(x).sin().sum(), x)[0], want, rtol=1e-15, atol=0)

    y, places = getattr(F, f"max_pool{dims}d")(x.detach(), 3, 2, 1, return_indices=True)  # overlapping: duplicates
    y.requires_grad_()

    def unpool(t):
        return getattr(F, f"max_unpool{dims}d")(t, places, 3, 2, 1, x.shape)

    assert gradcheck(unpool, y, check_forward_ad=True)
    assert gradgradcheck(unpool, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_halves_are_summed_in_float32(dtype):
    x = torch.zeros(1, 1, 40)
    x[..., 20] = 1
    x = x.to(dtype).requires_grad_()
    y = F.max_pool1d(x, 31, 1)  # every window meets the same maximum
    towards = torch.rand(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (grad,) = torch.autograd.grad(y, x, towards)
    assert grad[0, 0, 20] == towards.float().sum().to(dtype)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", [(1, 2, 211, 307), (2, 70, 61, 67)])
def test_the_number_of_threads_changes_no_bit(shape, last):
    """Overlapping windows: many gradients meet in one pixel, and duplicates are unpooled to it."""
    x = numbers(shape, torch.float32, 5)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    made, before = [], halfpixel.get_num_threads()
    try:
        for threads in (1, 2, 5):
            halfpixel.set_num_threads(threads)
            a = x.clone().requires_grad_()
            y, places = F.max_pool2d(a, 3, 2, 1, return_indices=True)
            towards = torch.rand(y.shape, generator=torch.Generator().manual_seed(3))
            (grad,) = torch.autograd.grad(y, a, towards)
            b = towards.clone().requires_grad_()
            z = F.max_unpool2d(b, places, 3, 2, 1, shape)
            (back,) = torch.autograd.grad(z, b, grad)
            made.append([t.detach().nan_to_num(nan=77.0) for t in (y, places, grad, z, back)])
    finally:
        halfpixel.set_num_threads(before)
    want = torch.autograd.grad(T.max_pool2d(a, 3, 2, 1), a, towards)[0]
    torch.testing.assert_close(made[0][2], want)
    for results in made[1:]:
        assert all(torch.equal(one, other) for one, other in zip(made[0], results, strict=True))


def test_strides_that_lead_nowhere():
    """One window: how far the next would be is no matter, also for the memory it takes."""
    x = numbers((1, 2, 9, 9), torch.float32, 1)
    got, at = F.max_pool2d(x, 3, 2**31, return_indices=True)
    want, places = T.max_pool2d_with_indices(x, 3, 1000)
    assert same(got, want)
    assert torch.equal(at, places)


def test_unpooling_compiles_and_exports():
    class Net(torch.nn.Module):
        def forward(self, x, i):
            return F.max_unpool2d(x, i, 2, output_size=(5, 4))

    x, i = F.max_pool2d(torch.rand(1, 2, 4, 4), 2, return_indices=True)
    want = Net()(x, i)
    assert want.shape == (1, 2, 5, 4)
    assert torch.equal(torch.compile(Net(), fullgraph=True, backend="aot_eager")(x, i), want)
    program = torch.export.export(Net(), (x, i))
    assert not [node for node in program.graph.nodes if "halfpixel" in str(node.target)]
    assert torch.equal(program.module()(x, i), want)
    stacked = torch.vmap(Net(), in_dims=(1, 1))(torch.stack([x, x], 1), torch.stack([i, i], 1))
    assert torch.equal(stacked[1], want)


MODULES = [
    (f"{kind}{dims}d", arguments) for kind in ("MaxPool", "MaxUnpool") for dims in (1, 2, 3)
    for arguments in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1})
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments"), MODULES, ids=str)
def test_a_module_is_that_of_torch(name, arguments):
    mine, theirs = getattr(nn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    assert repr(mine) == repr(theirs)
    dims = int(name[-2])
    x = torch.rand(1, 2, *((8, 4, 6) if arguments["kernel_size"] == 2 else (7, 9, 5))[:dims])
    inputs = (x,)
    if "Unpool" in name:
        inputs = getattr(T, f"max_pool{dims}d_with_indices")(x, **arguments)
    for module in (mine, copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert torch.equal(module(*inputs), theirs(*inputs))


def outside(value):
    places = torch.zeros(2, 3, 2, 2, dtype=torch.int64)
    places[1, 2, 1, 0] = value
    return places


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("value", [-1, 16, 2**40, -(2**63)])
def test_indices_outside_of_the_plane_are_refused(value, last):
    x = torch.rand(2, 3, 2, 2)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match=rf"max_unpool2d\(.*\n*.*index {value} lies outside of a plane of 4 x 4"):
        F.max_unpool2d(x, outside(value), 2)


X = torch.rand(1, 2, 4, 4)
PLACES = torch.zeros(1, 2, 4, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: F.max_pool2d(torch.rand(4, 4), 2), RuntimeError, "2 dimensions"),
        (lambda: F.max_pool2d(X, 0), RuntimeError, "kernel_size"),
        (lambda: F.max_pool2d(X, 2, 0), RuntimeError, "stride"),
        (lambda: F.max_pool2d(X, 2, dilation=0), RuntimeError, "dilation"),
        (lambda: F.max_pool2d(X, 2, padding=2), RuntimeError, "half a window"),
        (lambda: F.max_pool2d(X, 5), RuntimeError, "larger input"),
        (lambda: F.max_pool2d(X, (2, 2, 2)), RuntimeError, "one per axis"),
        (lambda: F.max_pool2d(X, 2.0), TypeError, "integers"),
        (lambda: F.max_pool2d(X[:, :0], 2), RuntimeError, "at least 1"),
        (lambda: F.max_unpool2d(X, PLACES.int(), 2), RuntimeError, "int64"),
        (lambda: F.max_unpool2d(X, PLACES[..., :3], 2), RuntimeError, "equal shapes"),
        (lambda: F.max_unpool2d(X, PLACES, 2, output_size=(8, 10)), ValueError, "could have made"),
        (lambda: F.max_unpool2d(X, PLACES, 2, output_size=(8,)), ValueError, "numbers"),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_no_batch_and_no_window():
    assert F.max_pool2d(X[:0], 2).shape == (0, 2, 2, 2)
    y, places = F.max_pool2d(X[:0], 2, return_indices=True)
    assert F.max_unpool2d(y, places, 2).shape == (0, 2, 4, 4)


def test_kernels_run_where_they_should():
    """Not torch's functions behind our names: a plain tensor never reaches a composite's definition."""
    assert _linear.unwatched(X)
    assert _pool._ours(X, 2) is (cpu.why_not() is None)


def test_views_that_negate_and_conjugate():
    """Contiguous ones, whose memory holds other values than they have."""
    x = torch._neg_view(torch.rand(1, 2, 4, 4))
    assert x.is_neg() and x.is_contiguous()
    y, places = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(y, T.max_pool2d(x.resolve_neg(), 2))
    few = torch.complex(*torch.rand(2, 1, 2, 2, 2)).conj()
    assert few.is_conj() and few.is_contiguous()
    assert torch.equal(F.max_unpool2d(few, places, 2), F.max_unpool2d(few.resolve_conj(), places, 2))
