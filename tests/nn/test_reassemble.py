# SPDX-License-Identifier: MIT
"""Sums over windows: loops from the formula, the unfold form, derivatives, compilers, exports, bad arguments."""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import halfpixel  # noqa: E402
from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _window, _window_eager, _window_softmax  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402
from halfpixel.nn._window_eager import Window  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

T = torch.nn.functional
LAST = torch.channels_last
FORMATS = (torch.contiguous_format, LAST)
# Of the largest value, for some tens of taps and channels.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13, torch.float16: 4e-3, torch.bfloat16: 3e-2}
DTYPES = list(TOLERANCE)


def by_loop(x, weights, kernel, groups, padding):
    """Row by row and tap by tap, in float64, from the formula alone."""
    n, channels, height, width = x.shape
    k_h, k_w = kernel
    out_h, out_w = weights.shape[2:]
    each = channels // groups
    x, w = x.detach().double().view(n, groups, each, height, width), weights.detach().double()
    w = w.reshape(n, groups, 1, k_h, k_w, out_h, out_w)
    y = torch.zeros(n, groups, each, out_h, out_w, dtype=torch.float64)
    columns = [math.floor((q + 0.5) * width / out_w) for q in range(out_w)]
    for p in range(out_h):
        row = math.floor((p + 0.5) * height / out_h)
        inside, total = torch.zeros(n, groups, 1, out_w).double(), w[..., p, :].sum((3, 4))
        for dy in range(k_h):
            for dx in range(k_w):
                i, js = row + dy - k_h // 2, [c + dx - k_w // 2 for c in columns]
                valid = torch.tensor([(0 <= i < height and 0 <= j < width) or padding == "replicate" for j in js])
                i, js = min(max(i, 0), height - 1), [min(max(j, 0), width - 1) for j in js]
                tap = torch.where(valid, w[:, :, :, dy, dx, p], 0)
                inside += tap
                y[..., p, :] += tap * x[:, :, :, i][..., js]
        if padding == "renorm":
            y[..., p, :] *= total / inside
    return y.view(n, channels, out_h, out_w)


def by_unfold(x, weights, k, scale):
    """What copies of CARAFE do: k * k copies of the input, enlarged."""
    n, c, h, w = x.shape
    windows = T.unfold(x, k, padding=k // 2).view(n, c * k * k, h, w)
    windows = T.interpolate(windows, scale_factor=scale).view(n, c, k * k, h * scale, w * scale)
    return (windows * weights.unsqueeze(1)).sum(2)


def tensors(seed, n, channels, size, out, kernel, groups, dtype=torch.float64, last=False):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, channels, *size, generator=g, dtype=torch.float64).to(dtype)
    w = torch.rand(n, groups * kernel[0] * kernel[1], *out, generator=g, dtype=torch.float64).to(dtype)
    y = torch.randn(n, channels, *out, generator=g, dtype=torch.float64).to(dtype)
    return tuple(t.contiguous(memory_format=LAST) for t in (x, w, y)) if last else (x, w, y)


def near(got, want, dtype=None, what=""):
    dtype = dtype or got.dtype
    assert got.shape == want.shape, what
    if got.numel():
        scale = want.abs().max().clamp_min(1).double()
        assert (got.double() - want.double()).abs().max() <= TOLERANCE[dtype] * scale, what


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.one_of(st.integers(1, 9), st.sampled_from([12, 13, 17, 33]))),
    ratio=st.tuples(*[st.sampled_from([1, 2, 3, 4, "odd", "less"])] * 2),
    kernel=st.tuples(*[st.sampled_from([1, 3, 5])] * 2),
    groups=st.integers(1, 3), each=st.integers(1, 9), padding=st.sampled_from(["zeros", "renorm", "replicate"]),
    last=st.tuples(st.booleans(), st.booleans()), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99),
    n=st.integers(0, 2),
)  # fmt: skip
def test_values_against_a_loop(size, ratio, kernel, groups, each, padding, last, dtype, seed, n):
    out = tuple(
        {"odd": m * 2 - 1 + seed % 3, "less": max(1, m // 2)}.get(r) or m * r for m, r in zip(size, ratio, strict=True)
    )
    x, w, _ = tensors(seed, n, groups * each, size, (out[0], min(out[1], 40)), kernel, groups, dtype)
    x, w = (t.contiguous(memory_format=LAST) if flag else t for t, flag in zip((x, w), last, strict=True))
    got = F.reassemble(x, w, kernel, groups=groups, padding=padding)
    assert got.dtype == dtype
    if n:
        assert got.is_contiguous(memory_format=torch.contiguous_format if x.is_contiguous() else LAST)
    near(got, by_loop(x, w, kernel, groups, padding))


FORMS = {
    # batch, channels, size, out, kernel, groups
    "carafe": (1, 12, (5, 16), (10, 32), (5, 5), 1),
    "groups": (2, 6, (3, 13), (6, 26), (3, 3), 3),
    "one channel": (1, 1, (4, 12), (12, 36), (3, 3), 1),
    "one tap": (1, 3, (4, 12), (8, 24), (1, 1), 1),
    "narrow": (1, 18, (4, 3), (8, 6), (3, 3), 1),
    "odd": (2, 4, (5, 4), (9, 7), (3, 5), 2),
    "smaller": (1, 5, (9, 14), (4, 7), (5, 5), 1),
    "one pixel": (1, 2, (1, 1), (3, 2), (5, 3), 1),
    "wide kernel": (1, 2, (3, 12), (3, 24), (3, 7), 1),
    "many tiles": (1, 5, (3, 150), (6, 300), (3, 3), 1),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("replicate", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_the_three_operators_are_each_others_adjoints(name, replicate, last):
    """<y, R(x, w)> = <x, A(y, w)> = <w, S(y, x)>; and torch's own functions agree."""
    n, channels, size, out, kernel, groups = FORMS[name]
    window = Window(kernel, groups, replicate, ())
    for dtype in DTYPES:
        x, w, y = tensors(1, n, channels, size, out, kernel, groups, dtype, last)
        made = _window.FORWARD(x, w, *window)
        of_x = _window.BACK_X(y, w, size, *window)
        of_w = _window.BACK_WEIGHTS(y, x, *window, dtype)
        near(made, by_loop(x, w, kernel, groups, "replicate" if replicate else "zeros"), what="forward")
        near(made, _window_eager.forward(x, w, window), dtype, "eager forward")
        near(of_x, _window_eager.back_x(y, w, size, window), dtype, "eager gradient of x")
        near(of_w, _window_eager.back_weights(y, x, window, dtype), dtype, "eager gradient of weights")
        if dtype in (torch.float32, torch.float64):
            sums = [(a.double() * b.double()).sum() for a, b in ((y, made), (x, of_x), (w, of_w))]
            assert max(sums) - min(sums) <= TOLERANCE[dtype] * 30 * (1 + y.abs().sum())


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize(("k", "scale"), [(5, 2), (3, 3), (3, 8), (1, 4)])
def test_the_unfold_form(k, scale, layout):
    x = torch.randn(2, 6, 7, 13).contiguous(memory_format=layout).requires_grad_()
    w = torch.rand(2, k * k, 7 * scale, 13 * scale).softmax(1).contiguous(memory_format=layout).requires_grad_()
    grad = torch.randn(2, 6, 7 * scale, 13 * scale)
    got, want = F.reassemble(x, w, k, scale), by_unfold(x, w, k, scale)
    near(got, want)
    for a, b in zip(*(torch.autograd.grad(y, (x, w), grad) for y in (got, want)), strict=True):
        near(a, b)


@pytest.mark.parametrize("padding", ["zeros", "renorm", "replicate"])
@pytest.mark.parametrize("name", ["groups", "odd", "narrow"])
def test_derivatives(name, padding):
    n, channels, size, out, kernel, groups = FORMS[name]
    channels, size = min(channels, groups), (min(size[0], 2), min(size[1], 3))
    out = tuple(min(m, 4 if name == "groups" else 3) for m in out)
    x, w, _ = tensors(3, n, channels, size, out, kernel, groups)
    x, w = x.requires_grad_(), (w + 0.5).requires_grad_()

    def function(a, b):
        return F.reassemble(a, b, kernel, groups=groups, padding=padding)

    assert gradcheck(function, (x, w), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, (x, w))


def test_derivatives_of_softmax_convex_and_attention():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, generator=g, requires_grad=True)
    logits = torch.randn(1, 36, 3, 4, dtype=torch.float64, generator=g, requires_grad=True)
    query = torch.randn(1, 2, 5, 6, dtype=torch.float64, generator=g, requires_grad=True)
    for padding in ("zeros", "renorm", "replicate"):
        for function, inputs in (
            (lambda a, b, p=padding: F.convex_upsample(a, b, 2, flow=True, padding=p), (x, logits)),
            (lambda a, b, p=padding: F.local_attention_weights(a, b, 3, heads=2, padding=p), (query, x)),
        ):
            assert gradcheck(function, inputs, check_forward_ad=True, check_batched_grad=True)
            assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_softmax_inside_is_one_outside(dtype, last, before):
    g = torch.Generator().manual_seed(0)
    for channels, size, k, scale, groups in ((2, (5, 20), 3, 8, 1), (20, (6, 17), 5, 2, 2), (18, (4, 5), 3, 2, 1)):
        x = torch.randn(2, channels, *size, generator=g).to(dtype)
        logits = (6 * torch.randn(2, groups * k * k * scale**2, *size, generator=g)).to(dtype)
        logits[0, 0] = -math.inf
        grad = torch.randn(2, channels, size[0] * scale, size[1] * scale, generator=g).to(dtype)
        logits = logits if before else torch.pixel_shuffle(logits, scale)
        x, logits = (t.contiguous(memory_format=LAST) if last else t for t in (x, logits))
        x, logits = x.requires_grad_(), logits.requires_grad_()
        got = F.reassemble(x, logits, k, scale, groups, softmax=True)
        of = torch.autograd.grad(got, (x, logits), grad)
        a, b = x.detach().double().requires_grad_(), logits.detach().double().requires_grad_()
        full = torch.pixel_shuffle(b, scale) if before else b
        want = F.reassemble(a, full.unflatten(1, (groups, k * k)).softmax(2).flatten(1, 2), k, scale, groups)
        for ours, theirs in zip((got, *of), (want, *torch.autograd.grad(want, (a, b), grad.double())), strict=True):
            near(ours, theirs)


def test_a_softmax_inside_holds_no_weights():
    if cpu.why_not() is not None:
        pytest.skip(str(cpu.why_not()))
    x, logits = torch.rand(1, 2, 3, 4, requires_grad=True), torch.rand(1, 36, 3, 4, requires_grad=True)
    with mock.patch.object(_window_softmax, "softmax", side_effect=AssertionError("a softmax was made")):
        F.convex_upsample(x, logits, 2).sum().backward()
        with pytest.raises(AssertionError, match="was made"):
            torch.autograd.grad(F.convex_upsample(x, logits, 2).sum(), x, create_graph=True)


def test_convex_upsampling_is_rafts():
    x, mask, s = torch.randn(2, 2, 5, 13), torch.randn(2, 9 * 64, 5, 13), 8
    weights = mask.view(2, 1, 9, s, s, 5, 13).softmax(2)
    windows = T.unfold(s * x, [3, 3], padding=1).view(2, 2, 9, 1, 1, 5, 13)
    want = (weights * windows).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(2, 2, 40, 104)
    near(F.convex_upsample(x, mask, flow=True), want)
    near(F.convex_upsample(x, mask), want / s)
    for padding in ("renorm", "replicate"):  # convex up to the border
        y = F.convex_upsample(x, mask, padding=padding)
        assert y.max() <= x.max() + 1e-5 and y.min() >= x.min() - 1e-5
        near(F.convex_upsample(torch.ones_like(x), mask, padding=padding), torch.ones_like(y))


@pytest.mark.parametrize(("size", "out"), [((4, 5), (8, 10)), ((5, 4), (9, 7)), ((6, 6), (3, 2))])
@pytest.mark.parametrize("padding", ["zeros", "renorm", "replicate"])
def test_attention_against_a_loop(size, out, padding):
    heads, k, g = 2, 3, torch.Generator().manual_seed(1)
    query, key = (torch.randn(2, 6, *s, generator=g, dtype=torch.float64) for s in (out, size))
    want = torch.full((2, heads, k * k, *out), -math.inf, dtype=torch.float64)
    for p in range(out[0]):
        for q in range(out[1]):
            row, col = math.floor((p + 0.5) * size[0] / out[0]), math.floor((q + 0.5) * size[1] / out[1])
            for t in range(k * k):
                i, j = row + t // k - 1, col + t % k - 1
                inside = 0 <= i < size[0] and 0 <= j < size[1]
                if padding == "replicate":
                    i, j, inside = min(max(i, 0), size[0] - 1), min(max(j, 0), size[1] - 1), True
                if inside:
                    product = query[:, :, p, q] * key[:, :, i, j]
                    want[:, :, t, p, q] = product.reshape(2, heads, 3).sum(2) / math.sqrt(3)
                elif padding == "zeros":
                    want[:, :, t, p, q] = 0
    options = {"heads": heads, "padding": padding}
    got = F.local_attention_weights(query, key, k, softmax=False, **options).unflatten(1, (heads, -1))
    assert torch.equal(got.isinf(), want.isinf())
    near(got.nan_to_num(neginf=0), want.nan_to_num(neginf=0))
    weights = F.local_attention_weights(query, key, k, **options)
    near(weights, want.softmax(2).flatten(1, 2))
    if padding == "renorm":  # a constant stays one, up to the border
        near(F.reassemble(torch.ones(2, 4, *size).double(), weights, k, groups=heads), torch.ones(2, 4, *out).double())


def test_weights_before_a_pixel_shuffle():
    for scale, s in ((2, (2, 2)), ((3, 2), (3, 2))):
        x = torch.randn(2, 6, 5, 13)
        before = torch.rand(2, 2 * 9 * s[0] * s[1], 5, 13)
        full = before.view(2, 18, *s, 5, 13).permute(0, 1, 4, 2, 5, 3).reshape(2, 18, 5 * s[0], 13 * s[1])
        for padding in ("zeros", "renorm", "replicate"):
            want = F.reassemble(x, full, 3, scale, 2, padding)
            for stored in (before, before.contiguous(memory_format=LAST)):
                got = F.reassemble(x, stored, 3, scale, 2, padding)
                near(got, want) if padding == "renorm" else torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_constants_and_shifts():
    """Weights that sum to 1 keep a constant; a single tap shifts."""
    w = torch.rand(1, 9, 9, 14).softmax(1)
    for padding in ("renorm", "replicate"):
        near(F.reassemble(torch.ones(1, 2, 4, 7), w, 3, padding=padding), torch.ones(1, 2, 9, 14))
    corner = F.reassemble(torch.ones(1, 1, 4, 7), torch.full((1, 25, 8, 14), 1 / 25), 5, 2)[0, 0, 0, 0]
    assert abs(corner - 9 / 25) < 1e-6  # as published: borders darken
    x, one = torch.rand(1, 3, 6, 6), torch.zeros(1, 9, 6, 6)
    one[:, 5] = 1  # the middle row's last tap: the pixel to the right
    assert torch.equal(F.reassemble(x, one, 3)[..., :-1], x[..., 1:])


@pytest.mark.parametrize("last", [False, True])
def test_the_same_bits_on_any_number_of_threads(last):
    if cpu.why_not() is not None:
        pytest.skip(str(cpu.why_not()))
    native = cpu.native()
    for name in ("carafe", "many tiles", "odd", "smaller"):
        _, channels, size, out, kernel, groups = FORMS[name]
        size, out = (size[0] * 6, size[1]), (out[0] * 6, out[1])
        window = Window(kernel, groups, True, ())
        x, w, y = tensors(5, 1, channels * 8, size, out, kernel, groups, torch.float32, last)
        before, results = native.num_threads(), []
        try:
            for threads in (1, 2, 3, 7):
                native.set_num_threads(threads)
                results.append((
                    _window.FORWARD(x, w, *window), _window.BACK_X(y, w, size, *window),
                    _window.BACK_WEIGHTS(y, x, *window, torch.float32),
                ))  # fmt: skip
        finally:
            native.set_num_threads(before)
        assert all(torch.equal(a, b) for one in results[1:] for a, b in zip(one, results[0], strict=True)), name


def test_mixed_dtypes_as_autocast_makes_them():
    x, w = torch.randn(1, 20, 4, 13), torch.rand(1, 9, 8, 26).softmax(1)
    for dtype in (torch.float16, torch.bfloat16):
        half = x.to(dtype).requires_grad_()
        y = F.reassemble(half, w.requires_grad_(), 3, 2)
        assert y.dtype == dtype
        near(y, by_loop(half, w, (3, 3), 1, "zeros"))
        of_x, of_w = torch.autograd.grad(y, (half, w), torch.ones_like(y))
        assert (of_x.dtype, of_w.dtype) == (dtype, torch.float32)
        assert F.reassemble(x, w.to(dtype), 3, 2).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        features = T.conv2d(x, torch.rand(4, 20, 1, 1))
        assert F.reassemble(features, w, 3, 2).dtype == torch.bfloat16


def test_other_strides_and_nothing_to_do():
    x, w, _ = tensors(0, 2, 6, (5, 13), (10, 26), (3, 3), 1)
    want = F.reassemble(x, w, 3)
    assert torch.equal(F.reassemble(x.flip(3).flip(3), w.transpose(2, 3).contiguous().transpose(2, 3), 3), want)
    assert torch.equal(F.reassemble(x[:, ::2], w, 3), want[:, ::2])
    assert torch.equal(F.reassemble(torch.complex(x, -x).conj().imag, w, 3), want)
    for n, channels in ((0, 6), (2, 0)):
        a = torch.zeros(n, channels, 5, 13, requires_grad=True)
        b = torch.rand(n, 9, 10, 26, requires_grad=True)
        y = F.reassemble(a, b, 3, 2)
        assert y.shape == (n, channels, 10, 26)
        y.sum().backward()
        assert a.grad.shape == a.shape and torch.equal(b.grad, torch.zeros_like(b))
    a, b = torch.rand(1, 2, 5, 5, requires_grad=True), torch.rand(1, 9, 0, 4, requires_grad=True)
    F.reassemble(a, b, 3).sum().backward()
    assert torch.equal(a.grad, torch.zeros_like(a))


def test_memory_is_that_of_the_tensors():
    if cpu.why_not() is not None:
        pytest.skip(str(cpu.why_not()))
    x, w = torch.rand(1, 64, 32, 32, requires_grad=True), torch.rand(1, 25, 64, 64, requires_grad=True)
    made = []
    real = torch.empty
    with mock.patch.object(torch, "empty", lambda *a, **k: made.append(real(*a, **k)) or made[-1]):
        y = F.reassemble(x, w, 5, 2)
        torch.autograd.grad(y, (x, w), y.detach())
    assert sum(t.nbytes for t in made) == y.nbytes + x.nbytes + w.nbytes


# ---------------------------------------------------------------------------------------------------- torch's machinery


def test_vmap_maps_either_tensor():
    x, w, _ = tensors(0, 6, 4, (3, 5), (6, 10), (3, 3), 1)
    xs, ws = x.reshape(3, 2, 4, 3, 5), w.reshape(3, 2, 9, 6, 10)
    want = F.reassemble(x, w, 3).reshape(3, 2, 4, 6, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no slow fallback
        assert torch.equal(torch.vmap(lambda a, b: F.reassemble(a, b, 3))(xs, ws), want)
        one = torch.vmap(lambda a: F.reassemble(a, ws[0], 3), in_dims=1)(xs.transpose(0, 1))
    assert torch.equal(one, torch.stack([F.reassemble(a, ws[0], 3) for a in xs]))


@pytest.mark.parametrize("last", [False, True])
def test_the_operators_keep_their_promises_to_torch(last):
    x, w, y = tensors(0, 1, 4, (3, 5), (6, 10), (3, 3), 2, torch.float32, last)
    rest = ([3, 3], 2, False, [])
    ops = torch.ops.halfpixel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operator, arguments in (
            (ops.reassemble, (x.requires_grad_(), w.requires_grad_(), *rest)),
            (ops.reassemble_back_x, (y.requires_grad_(), w, [3, 5], *rest)),
            (ops.reassemble_back_weights, (y, x, *rest, torch.float32)),
        ):
            torch.library.opcheck(operator.default, arguments, raise_exception=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic):
    torch._dynamo.reset()

    def function(x, logits, query):
        y = F.reassemble(x, torch.pixel_shuffle(logits, 2).softmax(1), 3, 2, padding="replicate")
        z = F.reassemble(y, F.local_attention_weights(query, y, 3), 3)
        return F.convex_upsample(z, logits.repeat(1, 1, 2, 2), 2).sin()

    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for n in (3, 4, 6):
        x, logits, query = torch.rand(1, 4, n, 5), torch.rand(1, 36, n, 5), torch.rand(1, 4, 2 * n, 10)
        inputs = [t.requires_grad_() for t in (x, logits, query)]
        want, got = function(*inputs), compiled(*inputs)
        near(got, want)
        for a, b in zip(*(torch.autograd.grad(y.sum(), inputs) for y in (got, want)), strict=True):
            near(a, b)


class Reassembled(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


EXPORTED = {
    "carafe": (lambda x, w: F.reassemble(x, w, 5, 2), (1, 4, 5, 6), (1, 25, 10, 12)),
    "renorm": (lambda x, w: F.reassemble(x, w, 3, 2, padding="renorm"), (1, 4, 5, 6), (1, 9, 10, 12)),
    "before": (lambda x, w: F.reassemble(x, w, 3, 2, 2, softmax=True), (1, 4, 5, 6), (1, 72, 5, 6)),
    "odd": (lambda x, w: F.reassemble(x, w, 3, padding="replicate"), (1, 4, 5, 6), (1, 9, 9, 7)),
    "convex": (lambda x, w: F.convex_upsample(x, w, 2), (1, 2, 5, 6), (1, 36, 5, 6)),
    "attention": (lambda x, q: F.reassemble(x, F.local_attention_weights(q, x, 3), 3), (1, 4, 5, 6), (1, 4, 10, 12)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPORTED)
def test_exports_hold_atens_operators_alone(name):
    function, *shapes = EXPORTED[name]
    inputs = tuple(torch.rand(s) for s in shapes)
    program = torch.export.export(Reassembled(function), inputs)
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert {getattr(t, "namespace", "aten") for t in targets} == {"aten"}
    near(program.module()(*inputs), function(*inputs))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))), reason="ONNX is not installed")
@pytest.mark.parametrize("name", EXPORTED)
def test_onnxruntime_agrees(name):
    function, *shapes = EXPORTED[name]
    report = halfpixel.nn.check_export(Reassembled(function), tuple(torch.rand(s) for s in shapes))
    assert report.agrees, str(report)


def test_the_meta_device_and_the_eager_form():
    x, w, y = tensors(0, 1, 4, (3, 5), (6, 10), (3, 3), 2, torch.float32)
    assert F.reassemble(x.to("meta"), w.to("meta"), 3, groups=2).shape == (1, 4, 6, 10)
    with mock.patch.object(cpu, "why_not", return_value="no kernel"):
        got = F.reassemble(x.requires_grad_(), w.requires_grad_(), 3, groups=2)
        of = torch.autograd.grad(got, (x, w), y)
    want = F.reassemble(x, w, 3, groups=2)
    for a, b in zip((got, *of), (want, *torch.autograd.grad(want, (x, w), y)), strict=True):
        near(a, b)


# ---------------------------------------------------------------------------------------------------- bad arguments

X, W = torch.rand(1, 6, 4, 5), torch.rand(1, 9, 8, 10)
BAD = [
    (lambda: F.reassemble(X, W, 4), ValueError, "kernel_size is 4.*\n.*odd"),
    (lambda: F.reassemble(X, W, (3, 3, 3)), ValueError, "one per axis"),
    (lambda: F.reassemble(X, W, 5), RuntimeError, r"weights have 9 channels\n.*1 \* 5 \* 5 = 25"),
    (lambda: F.reassemble(X, W, 3, groups=4), RuntimeError, "6 channels cannot be divided into 4 groups"),
    (lambda: F.reassemble(X, W, 3, groups=0), ValueError, "groups is 0"),
    (lambda: F.reassemble(X, W, 3, 3), RuntimeError, "scale 3 makes 12 x 15 of 4 x 5, and weights are 8 x 10"),
    (lambda: F.reassemble(X, W, 3, 1.5), RuntimeError, "scale 1.5 makes 6 x 7"),
    (lambda: F.reassemble(X, W, 3, "2"), TypeError, "scale is '2'"),
    (lambda: F.reassemble(X, W, 3, -2), ValueError, "positive"),
    (lambda: F.reassemble(X, W, 3, padding="reflect"), ValueError, "unknown padding 'reflect'"),
    (lambda: F.reassemble(X, W.expand(2, -1, -1, -1), 3), RuntimeError, "a batch of 1, weights one of 2"),
    (lambda: F.reassemble(X[0], W, 3), RuntimeError, "x has 3 dimensions"),
    (lambda: F.reassemble(X.long(), W, 3), TypeError, "x is torch.int64"),
    (lambda: F.reassemble(X, W.numpy(), 3), TypeError, "weights is a ndarray"),
    (lambda: F.reassemble(X[:, :, :0], W, 3), RuntimeError, "no windows"),
    (lambda: F.reassemble(X, W[:, :, :4, :5], 3, 2), RuntimeError, r"groups \* k \* k \* s \* s = 9 \* 2 \* 2 = 36"),
    (lambda: F.convex_upsample(X, W), RuntimeError, r"logits have 9 channels\n.*3 \* 3 \* 8 \* 8 = 576"),
    (lambda: F.convex_upsample(X, W, 1.5), ValueError, "scale is 1.5"),
    (lambda: F.convex_upsample(X, torch.rand(1, 36, 8, 10), 2), RuntimeError, "logits are 8 x 10 for an x of 4 x 5"),
    (lambda: F.local_attention_weights(X, X[:, :3], 3), RuntimeError, "the same batch and channels"),
    (lambda: F.local_attention_weights(X, X.double(), 3), TypeError, "one dtype"),
    (lambda: F.local_attention_weights(X, X, 3, heads=4), RuntimeError, "6 channels cannot be divided into 4 heads"),
]


@pytest.mark.parametrize(("call", "error", "says"), BAD)
def test_bad_arguments_are_told_in_a_sentence(call, error, says):
    with pytest.raises(error, match=rf"^(reassemble|convex_upsample|local_attention_weights)\((.|\n)*{says}"):
        call()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_weights_of_a_softmax_inside_are_exact_too(dtype):
    """A picture for every pixel, of that pixel alone, shows the weights themselves."""
    low = -80 if dtype == torch.float32 else -700
    logits = torch.rand(1, 3, 1, 40, dtype=dtype, generator=torch.Generator().manual_seed(0)) * low
    logits[:, 1] = 0
    for last in (False, True):
        x = torch.eye(40, dtype=dtype).view(1, 40, 1, 40)
        x = x.contiguous(memory_format=LAST) if last else x
        y = F.reassemble(x, logits, (1, 3), softmax=True)[0, :, 0]
        want = logits.double().softmax(1)[0, :, 0]
        for t, offset in enumerate((1, 0, -1)):  # tap t of pixel p reads pixel p + t - 1
            shown = y.diagonal(offset).double()
            wanted = want[t, 1:] if t == 0 else want[t, : 40 - (t == 2)]
            assert ((shown - wanted).abs() <= (4e-7 if dtype == torch.float32 else 4e-13) * wanted).all()


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("channels", [2, 16, 24, 40])
@pytest.mark.parametrize("scale", [(2, 2), (1, 3), (4, 4), (3, 2), (1, 1)])
def test_weights_before_a_shuffle_in_any_layout(scale, channels, softmax):
    """Orders of memory of x and of weights, forward and both gradients, against weights after the shuffle."""
    g = torch.Generator().manual_seed(channels)
    n, inner = (3, 17), scale[0] * scale[1]
    x = torch.randn(2, channels, *n, generator=g)
    w = torch.randn(2, 2 * 15 * inner, *n, generator=g)
    grad = torch.randn(2, channels, n[0] * scale[0], n[1] * scale[1], generator=g)
    apart = w.view(2, 30, *scale, *n).permute(0, 1, 4, 2, 5, 3).reshape(2, 30, *grad.shape[2:])
    made = []
    for of_x, weights, by in (
        (x, apart, None),
        *((x.contiguous(memory_format=a), w.contiguous(memory_format=b), scale) for a in FORMATS for b in FORMATS),
    ):
        leaves = tuple((t.double() if by is None else t.clone()).requires_grad_() for t in (of_x, weights))
        y = F.reassemble(*leaves, (3, 5), by, 2, softmax=softmax)
        towards = grad.to(y.dtype).contiguous(memory_format=FORMATS[by is not None])
        to_x, to_w = torch.autograd.grad(y, leaves, towards)
        if by is None:
            to_w = to_w.view(2, 30, n[0], scale[0], n[1], scale[1]).permute(0, 1, 3, 5, 2, 4).reshape(w.shape)
        made.append((y.detach(), to_x, to_w))
    for others in made[1:]:
        for got, want in zip(others, made[0], strict=True):
            near(got, want)


def test_calls_met_before_are_told_apart():
    x, w = torch.rand(1, 4, 5, 6), torch.rand(1, 9, 10, 12)
    first = F.reassemble(x, w, 3, 2)
    for _ in range(2):
        assert torch.equal(F.reassemble(x, w, 3, 2), first)
        assert torch.equal(F.reassemble(x, w, 3, 2.0), first)
        assert not torch.equal(F.reassemble(x, w, 3, 2, softmax=True), first)
        assert not torch.equal(F.reassemble(x, w, 3, 2, padding="replicate"), first)
        with pytest.raises(TypeError):
            F.reassemble(x, w, 3.0, 2)
        with pytest.raises(TypeError):
            F.reassemble(x, w, 3, True)
        assert F.reassemble(x.clone().requires_grad_(), w, 3, 2).requires_grad
        # The same shape and strides elsewhere in memory, and values that memory does not show.
        more = torch.cat([torch.rand(1, 4, 5, 6), x])[1:]
        assert more.storage_offset() and torch.equal(F.reassemble(more, w, 3, 2), first)
        assert torch.equal(F.reassemble(torch._neg_view(-x), w, 3, 2), first)
    flow, logits = torch.rand(1, 2, 5, 6), torch.rand(1, 36, 5, 6)
    moved = F.convex_upsample(flow, logits, 2, flow=True)
    for _ in range(2):
        near(F.convex_upsample(flow, logits, 2), moved / 2)
        assert torch.equal(F.convex_upsample(flow, logits, 2, flow=True), moved)
