# SPDX-License-Identifier: MIT
"""Depthwise transposed convolution: the defining sum, torch's values, adjoints, derivatives, layouts, threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _conv_transpose, _depthwise  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402

if cpu.why_not() is not None:
    pytest.skip(str(cpu.why_not()), allow_module_level=True)

T = torch.nn.functional
native = cpu.native()
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
UNITS = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sub(0.5).to(dtype)


def ours(x, weight, bias=None, stride=1, padding=0, more=0, dilation=1):
    dims = weight.dim() - 2
    return getattr(F, f"conv_transpose{dims}d")(x, weight, bias, stride, padding, more, len(weight), dilation)


def theirs(x, weight, bias=None, stride=1, padding=0, more=0, dilation=1):
    dims = weight.dim() - 2
    return getattr(T, f"conv_transpose{dims}d")(x, weight, bias, stride, padding, more, len(weight), dilation)


def by_loops(x, weight, bias, grad, size, stride, padding, dilation):
    """out[q] += x[o] * weight[k] wherever o * stride + k * dilation - padding = q; what sends grad back; in float64."""
    x, weight, grad = (t.double().numpy() for t in (x, weight, grad))
    (_, channels, *spatial), (_, each, *kernel) = x.shape, weight.shape
    out = np.zeros((len(x), channels * each, *size))
    if bias is not None:
        out += bias.double().numpy().reshape(-1, *[1] * len(size))
    of_x, of_weight = np.zeros_like(x), np.zeros_like(weight)
    for k in itertools.product(*map(range, kernel)):
        for o in itertools.product(*map(range, spatial)):
            q = tuple(i * s + j * d - p for i, j, s, d, p in zip(o, k, stride, dilation, padding, strict=True))
            if any(not 0 <= i < m for i, m in zip(q, size, strict=True)):
                continue
            for c, j in itertools.product(range(channels), range(each)):
                there, here = (slice(None), c * each + j, *q), (slice(None), c, *o)
                out[there] += x[here] * weight[(c, j, *k)]
                of_x[here] += grad[there] * weight[(c, j, *k)]
                of_weight[(c, j, *k)] += (grad[there] * x[here]).sum()
    return out, of_x, of_weight


@pytest.fixture(autouse=True)
def as_it_was():
    isa, threads = native.isa(), native.num_threads()
    yield
    native.set_isa(isa)
    native.set_num_threads(threads)


@settings(max_examples=60, deadline=None)
@given(
    dims=st.integers(1, 3), size=st.tuples(*[st.sampled_from([1, 2, 3, 5, 7])] * 3),
    kernel=st.tuples(*[st.integers(1, 5)] * 3), stride=st.tuples(*[st.sampled_from([1, 2, 3, 4, 5, 8])] * 3),
    padding=st.tuples(*[st.integers(0, 7)] * 3), dilation=st.tuples(*[st.integers(1, 3)] * 3),
    more=st.tuples(*[st.integers(0, 4)] * 3), channels=st.sampled_from([(1, 1), (3, 1), (2, 3), (8, 1), (17, 1)]),
    last=st.booleans(), with_bias=st.booleans(), dtype=st.sampled_from(list(UNITS)), seed=st.integers(0, 99),
    isa=st.sampled_from(native.isas()),
)  # fmt: skip
def test_the_defining_sum_and_its_transposes(
    dims, size, kernel, stride, padding, dilation, more, channels, last, with_bias, dtype, seed, isa
):
    native.set_isa(isa)
    size, kernel, stride, padding, dilation = (v[:dims] for v in (size, kernel, stride, padding, dilation))
    if dims == 3:
        size = tuple(min(n, 3) for n in size)
    more = tuple(min(m, max(s, d) - 1) for m, s, d in zip(more, stride, dilation, strict=False))
    made = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, k, s, p, d, m in zip(size, kernel, stride, padding, dilation, more, strict=True)
    )
    if min(made) < 1 or np.prod(made) > 1500:
        return
    c, each = channels
    x, weight = rand(2, c, *size, seed=seed, dtype=dtype), rand(c, each, *kernel, seed=seed + 1, dtype=dtype)
    if last and dims > 1:
        x = x.contiguous(memory_format=LAST[dims])
    bias = rand(c * each, seed=seed + 2, dtype=dtype) if with_bias else None
    grad = rand(2, c * each, *made, seed=seed + 3, dtype=dtype)
    inputs = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    y = ours(x, weight, bias, stride, padding, more, dilation)
    if not _depthwise._theirs_is_fast(x, weight, bias):
        assert "_Transposed" in type(y.grad_fn).__name__
    assert y.dtype == dtype
    got = [y, *torch.autograd.grad(y, inputs, grad)]
    given = (t if t is None else t.detach() for t in (x, weight, bias, grad))
    want = [*by_loops(*given, made, stride, padding, dilation)]
    if with_bias:
        want.append(grad.double().sum(dim=[0, *range(2, dims + 2)]).numpy())
    terms = [np.prod(kernel) + 1, each * np.prod(kernel), 2 * np.prod(size), 2 * np.prod(made)]
    rounding, unit = UNITS[dtype], UNITS[torch.float64 if dtype == torch.float64 else torch.float32]
    for a, b, n in zip(got, want, terms, strict=False):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.detach().double().numpy(), b, rtol=rounding, atol=unit * n + rounding * 0.05)


CASES = [  # kernel, stride, padding, more
    (2, 2, 0, 0), (3, 2, 1, 1), (4, 2, 1, 0), (8, 4, 2, 0), (16, 8, 4, 0), (3, 1, 1, 0), (5, 3, 2, 1), (7, 5, 1, 3),
    (1, 3, 0, 2), (6, 16, 0, 9), (9, 9, 0, 0), (24, 12, 6, 0),
]  # fmt: skip
SIZES = {
    1: [(1,), (13,), (300,), (2500,)], 2: [(1, 1), (7, 7), (31, 33), (16, 64)], 3: [(1, 1, 1), (5, 4, 17), (3, 7, 5)],
}  # fmt: skip


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_agrees(dims, case, dtype):
    kernel, *geometry = case
    kernel = (kernel,) * dims if dims < 3 else (min(kernel, 4), min(kernel, 5), kernel)
    for spatial, last in itertools.product(SIZES[dims], [False, True]):
        if last and dims == 1:
            continue
        stride, padding, more = geometry
        if dims == 3:
            padding = min(padding, 1)
        x, weight = rand(1, 9, *spatial, dtype=dtype), rand(9, 1, *kernel, seed=1, dtype=dtype)
        if last:
            x = x.contiguous(memory_format=LAST[dims])
        inputs = [t.requires_grad_() for t in (x, weight, rand(9, seed=2, dtype=dtype))]
        want = theirs(*inputs, stride, padding, more)
        got = ours(*inputs, stride, padding, more)
        grad = rand(*want.shape, seed=3, dtype=dtype)
        room = UNITS[dtype] * (np.prod(spatial) + np.prod(kernel)) ** 0.5 * 20
        torch.testing.assert_close(got, want, rtol=0, atol=UNITS[dtype] * 8)
        if min(spatial) > 1 and (dims < 3 or dtype == torch.float32):  # else torch has no channels-last volumes
            assert got.stride() == want.stride()
        of_bias = grad.double().sum([0, *range(2, dims + 2)]).to(dtype)  # torch's own in float32 is far from it
        wanted = *torch.autograd.grad(want, inputs[:2], grad), of_bias
        for a, b in zip(torch.autograd.grad(got, inputs, grad), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=UNITS[dtype] * 40, atol=room)


@pytest.mark.parametrize("isa", native.isas())
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 2, 1), (8, 4, 2), (7, 5, 0)])
def test_adjoint(kernel, stride, padding, last, isa):
    """<A x, g> = <x, A.T g> = <weight, its gradient>, in float64."""
    native.set_isa(isa)
    x, weight = rand(2, 11, 19, 23, dtype=torch.float64), rand(11, 1, kernel, kernel, seed=1, dtype=torch.float64)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    weight.requires_grad_()
    y = ours(x, weight, None, stride, padding)
    grad = rand(*y.shape, seed=2, dtype=torch.float64)
    of_x, of_weight = torch.autograd.grad(y, (x, weight), grad)
    whole = (y * grad).sum().item()
    assert abs((x * of_x).sum().item() - whole) < 1e-10
    assert abs((weight * of_weight).sum().item() - whole) < 1e-10


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("each", [1, 2])
def test_gradients_of_any_order(last, each):
    x, weight = rand(1, 8, 2, 3, dtype=torch.float64), rand(8, each, 3, 2, seed=1, dtype=torch.float64)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    inputs = [t.requires_grad_() for t in (x, weight, rand(8 * each, seed=2, dtype=torch.float64))]
    assert gradcheck(lambda *a: ours(*a, 2, 1, 1), inputs, fast_mode=True)
    assert gradgradcheck(lambda *a: ours(*a, 2, 1, 1), inputs, fast_mode=True)


def test_results_do_not_depend_on_threads():
    for last, shape in itertools.product([False, True], [(1, 64, 40, 41), (3, 9, 70, 130), (1, 1, 300, 300)]):
        x, weight = rand(*shape), rand(shape[1], 1, 4, 4, seed=1)
        if last:
            x = x.contiguous(memory_format=torch.channels_last)
        x.requires_grad_()
        weight.requires_grad_()
        seen = []
        for threads in (1, 2, 3, 7):
            native.set_num_threads(threads)
            y = ours(x, weight, None, 2, 1)
            seen.append((y, *torch.autograd.grad(y, (x, weight), rand(*y.shape, seed=2))))
        for other in seen[1:]:
            assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_the_gradient_of_the_weight_is_a_careful_sum():
    """A million products in float32 that all have one sign."""
    x = torch.ones(1, 1, 1024, 1024)
    weight = torch.ones(1, 1, 2, 2, requires_grad=True)
    ours(x, weight, None, 2).backward(torch.full((1, 1, 2048, 2048), 0.1))
    exact = 2**20 * float(np.float32(0.1))
    assert abs(weight.grad.double() / exact - 1).max().item() < 2e-6


def test_only_the_gradients_that_are_needed():
    x, weight, bias = rand(2, 5, 6, 7), rand(5, 1, 3, 3, seed=1), rand(5, seed=2)
    for needs in itertools.product([False, True], repeat=3):
        inputs = [t.clone().requires_grad_(n) for t, n in zip((x, weight, bias), needs, strict=True)]
        got = ours(*inputs, 2, 1)
        if not any(needs):
            assert not got.requires_grad
            continue
        asked = [t for t in inputs if t.requires_grad]
        grad = rand(*got.shape, seed=3)
        want = torch.autograd.grad(theirs(*inputs, 2, 1), asked, grad)
        for a, b in zip(torch.autograd.grad(got, asked, grad), want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_inputs_and_gradients_of_any_strides():
    x = rand(9, 2, 6, 14)[..., ::2].transpose(0, 1).requires_grad_()
    weight = rand(3, 9, 4, seed=1).permute(1, 2, 0).unsqueeze(1).requires_grad_()
    want, got = theirs(x, weight, None, 2, 1), ours(x, weight, None, 2, 1)
    torch.testing.assert_close(got, want)
    for grad in (torch.ones(()).expand(want.shape), rand(*want.shape[:2], *want.shape[:1:-1], seed=2).transpose(2, 3)):
        both = (torch.autograd.grad(y, (x, weight), grad, retain_graph=True) for y in (got, want))
        for a, b in zip(*both, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 13), (5, 6, 7), (5, 3, 4, 5)])
def test_without_a_batch(shape):
    x, weight = rand(*shape).requires_grad_(), rand(5, 1, *(3,) * (len(shape) - 1), seed=1).requires_grad_()
    got, want = ours(x, weight, None, 2, 1), theirs(x, weight, None, 2, 1)
    torch.testing.assert_close(got, want)
    grad = rand(*want.shape, seed=2)
    both = (torch.autograd.grad(y, (x, weight), grad, retain_graph=True) for y in (got, want))
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    more = torch.autograd.grad(got, (x, weight), grad, create_graph=True)
    assert all(t.requires_grad for t in more)
    assert more[0].shape == x.shape


def test_what_is_taken():
    """Were it never taken, torch would be compared with itself."""
    g = _conv_transpose.Geometry((2, 2), (0, 0), (0, 0), 4, (1, 1))
    x, weight, bias = rand(1, 4, 5, 5), rand(4, 1, 2, 2), rand(4)
    takes = _depthwise.Depthwise(tuple(x.shape), tuple(weight.shape), g, (0, 0), (10, 10)).takes
    assert takes(x, weight, None)
    assert takes(x, weight, bias)
    assert takes(x.half(), weight.half(), None)
    assert not takes(x, weight.double(), None)
    assert not takes(x, weight, bias.double())
    assert not takes(x, weight, bias[:3])
    assert not takes(x.cfloat(), weight.cfloat(), None)
    assert not takes(x[:0], weight, None)
    last = x.contiguous(memory_format=torch.channels_last)
    fast = torch.backends.mkldnn.is_available()
    assert takes(last, weight, None) is not fast
    assert takes(last, rand(4, 1, 4, 4).requires_grad_(), None)
    assert not takes(x.to("meta"), weight.to("meta"), None)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes(x, weight, None)
        assert ours(x, weight, None, 2).dtype == theirs(x, weight, None, 2).dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, in its forward mode
def test_transforms_see_torchs_own():
    x, weight = rand(3, 2, 4, 5, 5), rand(4, 1, 2, 2, seed=1)
    want = torch.stack([theirs(v, weight, None, 2) for v in x])
    torch.testing.assert_close(torch.func.vmap(lambda v: ours(v, weight, None, 2))(x), want)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x[0], x[1])
        tangent = forward_ad.unpack_dual(ours(dual, weight, None, 2)).tangent
    torch.testing.assert_close(tangent, theirs(x[1], weight, None, 2))
    torch.testing.assert_close(torch.compile(lambda v: ours(v, weight, None, 2), backend="eager")(x[0]), want[0])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_not_finite_stays_where_it_belongs(value):
    x = rand(1, 8, 9, 9)
    x[0, 3, 4, 4] = value
    weight = rand(8, 1, 4, 4, seed=1)
    for layout in (torch.contiguous_format, torch.channels_last):
        got = ours(x.contiguous(memory_format=layout), weight, None, 2, 1)
        touched = torch.zeros(got.shape, dtype=torch.bool)
        touched[0, 3, 7:11, 7:11] = True
        assert torch.equal(got.isfinite(), ~touched)


def test_errors_are_torchs():
    x, weight = rand(1, 4, 5, 5), rand(4, 1, 2, 2)
    with pytest.raises(RuntimeError):
        ours(x, weight, rand(3), 2)
    with pytest.raises(RuntimeError):
        ours(x, weight.double(), None, 2)
