# SPDX-License-Identifier: MIT
"""Transposed convolution: torch's values and strides, the sum that defines it, adjoints, more padding, modules."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import halfpixel  # noqa: E402
from halfpixel import nn  # noqa: E402
from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _conv_transpose  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402

T = torch.nn.functional
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sub(0.5).to(dtype)


def by_sum(x, weight, stride, dilation, groups):
    """out[o * stride + k * dilation] += x[o] * weight[k]: all of it, nothing cut, in float64."""
    (n, c_in, *spatial), (_, each, *kernel) = x.shape, weight.shape
    size = [(m - 1) * s + d * (k - 1) + 1 for m, k, s, d in zip(spatial, kernel, stride, dilation, strict=True)]
    out = np.zeros((n, each * groups, *size))
    x, weight = x.double().numpy(), weight.double().numpy()
    for place in itertools.product(*map(range, kernel)):
        at = tuple(
            slice(k * d, k * d + (m - 1) * s + 1, s)
            for k, d, m, s in zip(place, dilation, spatial, stride, strict=True)
        )
        for g in range(groups):
            ins, outs = slice(g * c_in // groups, (g + 1) * c_in // groups), slice(g * each, (g + 1) * each)
            out[(slice(None), outs, *at)] += np.einsum("nc...,co->no...", x[:, ins], weight[(ins, slice(None), *place)])
    return out


GEOMETRY = {
    "dims": st.integers(1, 3), "size": st.tuples(*[st.integers(1, 9)] * 3),
    "kernel": st.tuples(*[st.integers(1, 5)] * 3), "stride": st.tuples(*[st.integers(1, 4)] * 3),
    "dilation": st.tuples(*[st.integers(1, 2)] * 3),
    "channels": st.sampled_from([(1, 1, 1), (3, 5, 1), (4, 6, 2), (16, 3, 1), (6, 6, 6)]),
    "equal": st.booleans(), "seed": st.integers(0, 99),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(**GEOMETRY, padding=st.tuples(*[st.integers(0, 2)] * 3), more=st.tuples(*[st.integers(0, 3)] * 3),
       last=st.booleans(), batched=st.booleans(), with_bias=st.booleans(),
       dtype=st.sampled_from([torch.float32, torch.float64]))  # fmt: skip
def test_values_layouts_and_gradients_are_those_of_torch(
    dims, size, kernel, stride, dilation, channels, equal, seed, padding, more, last, batched, with_bias, dtype
):
    kernel, stride, dilation, padding = kernel[:dims], stride[:dims], dilation[:dims], padding[:dims]
    if equal:  # outputs that do not overlap
        stride, dilation, padding, more = kernel, (1,) * dims, (0,) * dims, (0, 0, 0)
    more = tuple(min(m, max(s, d) - 1) for m, s, d in zip(more, stride, dilation, strict=False))
    c_in, c_out, groups = channels
    x = rand(*((2,) if batched else ()), c_in, *size[:dims], seed=seed, dtype=dtype)
    if last and batched and dims > 1:
        x = x.contiguous(memory_format=LAST[dims + 2])
    weight = rand(c_in, c_out // groups, *kernel, seed=seed + 1, dtype=dtype)
    bias = rand(c_out, seed=seed + 2, dtype=dtype) if with_bias else None
    arguments = (stride, padding, more, groups, dilation)
    inputs = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    ours, theirs = getattr(F, f"conv_transpose{dims}d"), getattr(T, f"conv_transpose{dims}d")
    try:
        want = theirs(x, weight, bias, *arguments)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            ours(x, weight, bias, *arguments)
        return
    got = ours(x, weight, bias, *arguments)
    own = cpu.why_not() is None and 0 not in got.shape
    if groups < c_in:  # test_depthwise.py has the others
        assert ("_Transposed" in type(got.grad_fn).__name__) is own
    rounding = 1e-16 if dtype == torch.float64 else 6e-8
    room = 7 * rounding * c_in * np.prod(kernel)
    torch.testing.assert_close(got, want, rtol=0, atol=room)
    if batched and dims > 1 and min(size) > 1:  # torch forgets about channels-last in some of its slow paths
        assert got.stride() == want.stride() or (last and got.is_contiguous(memory_format=LAST[dims + 2]))
    towards = rand(*want.shape, seed=seed + 3, dtype=dtype)
    wide = [None if t is None else t.detach().double().requires_grad_() for t in (x, weight, bias)]
    if want.numel():  # torch's float32 gradients are rounded more than ours
        made, leaves = theirs(*wide, *arguments), [t for t in wide if t is not None]
    else:  # of which torch makes none in float64
        made, leaves = want, inputs
    exact = torch.autograd.grad(made, leaves, towards.to(made.dtype))
    near = 2e-14 if dtype == torch.float64 else 1e-5
    for a, b in zip(torch.autograd.grad(got, inputs, towards), exact, strict=True):
        torch.testing.assert_close(a, b.to(dtype), rtol=near, atol=near)
        assert a.shape == b.shape
    with torch.no_grad():
        torch.testing.assert_close(ours(x, weight, bias, *arguments), got, rtol=0, atol=room)


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((16, 16), (8, 8), 4),
        ((12, 16), (4, 8), 0),
        ((64, 4), (4, 4), (3, 1)),
        ((8, 4, 6), (4, 2, 6), 1),
        ((128,), (64,), 32),
    ],
)
def test_gradients_of_large_kernels(kernel, stride, padding, more):
    dims = len(kernel)
    more = tuple(min(more, s - 1) for s in stride)
    inputs = [rand(2, 3, *(5, 4, 3)[:dims]), rand(3, 5, *kernel, seed=1), rand(5, seed=2)]
    for t in inputs:
        t.requires_grad_()
    want = getattr(T, f"conv_transpose{dims}d")(*inputs, stride, padding, more)
    got = getattr(F, f"conv_transpose{dims}d")(*inputs, stride, padding, more)
    towards = rand(*want.shape, seed=3)
    for a, b in zip(torch.autograd.grad(got, inputs, towards), torch.autograd.grad(want, inputs, towards), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=4e-4)  # thousands of terms in float32


def test_the_own_way_is_taken():
    """Were it never taken, every test above would compare torch with itself."""
    x, weight = rand(1, 4, 5, 5), rand(4, 3, 2, 2)
    geometry = _conv_transpose.Geometry((1, 1), (0, 0), (0, 0), 1, (1, 1))
    call = _conv_transpose.Call(tuple(x.shape), tuple(weight.shape), geometry, (0, 0), (6, 6))
    assert call.takes(x, weight, None) is (cpu.why_not() is None)
    assert call.takes(x.double(), weight.double(), None) is (cpu.why_not() is None)
    assert not call.takes(x.half(), weight.half(), None)
    assert not call.takes(x.double(), weight, None)
    assert not call.takes(x, weight, torch.zeros(3, dtype=torch.float64))
    assert not call.takes(x, weight, torch.zeros(4))
    with torch.autocast("cpu", torch.bfloat16):
        assert not call.takes(x, weight, None)
        assert F.conv_transpose2d(x, weight).dtype == T.conv_transpose2d(x, weight).dtype == torch.bfloat16


LAST_SHAPES = st.sampled_from([(4, 40, 1), (17, 21, 1), (34, 12, 2), (20, 3, 1), (65, 9, 1), (3, 70, 1)])


@settings(max_examples=60, deadline=None)
@given(**{**GEOMETRY, "dims": st.integers(2, 3), "channels": LAST_SHAPES}, padding=st.integers(0, 2),
       order=st.sampled_from(["contiguous", "last", "swapped", "swapped_last", "strided"]),
       dtype=st.sampled_from([torch.float32, torch.float64]))  # fmt: skip
def test_channels_last_by_the_kernels(
    dims, size, kernel, stride, dilation, channels, equal, seed, padding, order, dtype
):
    """All that the kernels can do, whether it is chosen or not, in every order of the weight: against the defining
    sum and its adjoint in float64."""
    kernel, stride, dilation, size = kernel[:dims], stride[:dims], dilation[:dims], size[:dims]
    if equal:
        kernel, dilation = tuple(2 * s for s in stride), (1,) * dims
    if cpu.why_not() is not None:
        pytest.skip(cpu.why_not())
    c_in, c_out, groups = channels
    x = rand(2, c_in, *size, seed=seed, dtype=dtype).contiguous(memory_format=LAST[dims + 2])
    weight = rand(c_in, c_out // groups, *kernel, seed=1, dtype=dtype)
    bias = rand(c_out, seed=2, dtype=dtype)
    if order == "strided":
        weight = torch.stack([weight, weight], -1)[..., 0]
    elif order != "contiguous":
        weight = weight.transpose(0, 1) if "swapped" in order else weight
        weight = weight.contiguous(memory_format=LAST[dims + 2] if "last" in order else torch.contiguous_format)
        weight = weight.transpose(0, 1) if "swapped" in order else weight
    whole = by_sum(x, weight, stride, dilation, groups)
    lengths = [n - 2 * padding for n in whole.shape[2:]]
    assume(min(lengths) > 0)
    geometry = _conv_transpose.Geometry(stride, (padding,) * dims, (0,) * dims, groups, dilation)
    call = _conv_transpose.Call(tuple(x.shape), tuple(weight.shape), geometry, (0,) * dims, tuple(lengths))
    call._gaining[dtype] = (True, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_conv_transpose, "results_last", lambda *_: True)
        for torchs in ("theirs", "theirs_back"):
            patch.setattr(_conv_transpose.Call, torchs, None)
        got = call.forward(x, weight, bias)
        towards = rand(*got.shape, seed=3, dtype=dtype)  # contiguous
        of_x, _, _ = call.backward(towards, x, weight, (True, False, False))
    cut = (slice(None), slice(None), *(slice(padding, padding + n) for n in lengths))
    want = torch.from_numpy(whole[cut]) + bias.double().reshape(-1, *(1,) * dims)
    near = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(got.double(), want, rtol=near, atol=near * 10)
    wide = x.double().contiguous().requires_grad_()
    made = getattr(T, f"conv_transpose{dims}d")(
        wide, weight.double().contiguous(), None, stride, padding, 0, groups, dilation
    )
    exact = torch.autograd.grad(made, wide, towards.double())[0]
    torch.testing.assert_close(of_x.double(), exact, rtol=near, atol=near * 10)
    for t in (got, of_x):
        assert t.is_contiguous(memory_format=LAST[dims + 2])


@pytest.mark.parametrize(
    ("channels", "geometry", "gains"),
    [
        ((64, 64), (4, 2, 1), (True, True)),
        ((64, 3), (4, 2, 1), (True, True)),
        ((3, 64), (4, 2, 1), (True, False)),
        ((64, 3), (3, 2, 1), (False, True)),
        ((64, 64), (3, 1, 1), (False, False)),
    ],
)
def test_the_rule_for_channels_last(channels, geometry, gains):
    if cpu.why_not() is not None:
        pytest.skip(cpu.why_not())
    kernel, stride, padding = geometry
    g = _conv_transpose.Geometry((stride,) * 2, (padding,) * 2, (0, 0), 1, (1, 1))
    n = nn.conv_transpose_size((8, 8), kernel, stride, padding)
    call = _conv_transpose.Call((1, channels[0], 8, 8), (*channels, kernel, kernel), g, (0, 0), n)
    assert call._gains(torch.float32) == gains


def test_without_a_batch_nothing_is_channels_last():
    """Strides of a volume that look like those of a channels-last image."""
    x = rand(3, 4, 5, 6).permute(0, 3, 1, 2).requires_grad_()
    weight = rand(3, 9, 2, 2, 2, seed=1).requires_grad_()
    got, want = F.conv_transpose3d(x, weight, None, 2), T.conv_transpose3d(x, weight, None, 2)
    torch.testing.assert_close(got, want)
    towards = rand(*want.shape, seed=2)
    for a, b in zip(
        torch.autograd.grad(got, (x, weight), towards), torch.autograd.grad(want, (x, weight), towards), strict=True
    ):
        torch.testing.assert_close(a, b)


@settings(max_examples=60, deadline=None)
@given(**GEOMETRY, begin=st.tuples(*[st.integers(0, 3)] * 3), end=st.tuples(*[st.integers(0, 3)] * 3),
       more=st.integers(0, 3), dtype=st.sampled_from([torch.float32, torch.float64]))  # fmt: skip
def test_unequal_padding_cuts_the_defining_sum(
    dims, size, kernel, stride, dilation, channels, equal, seed, begin, end, more, dtype
):
    kernel, stride, dilation, size = kernel[:dims], stride[:dims], dilation[:dims], size[:dims]
    c_in, c_out, groups = channels
    x, weight = rand(2, c_in, *size, seed=seed, dtype=dtype), rand(c_in, c_out // groups, *kernel, seed=1, dtype=dtype)
    more = tuple(min(more, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    whole = by_sum(x, weight, stride, dilation, groups)
    lengths = [n - a - b + m for n, a, b, m in zip(whole.shape[2:], begin, end, more, strict=False)]
    assume(min(lengths) > 0)
    padding = tuple(zip(begin, end, strict=True))[:dims]
    got = getattr(F, f"conv_transpose{dims}d")(x, weight, None, stride, padding, more, groups, dilation)
    whole = np.pad(whole, [(0, 0), (0, 0), *((0, 9) for _ in lengths)])
    want = whole[(..., *(slice(a, a + m) for a, m in zip(begin, lengths, strict=False)))]
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=4e-7 * c_in * np.prod(kernel))
    assert nn.conv_transpose_size(size, kernel, stride, padding, more, dilation) == tuple(lengths)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(4, 2, 1), (3, 2, 1), (3, 1, 1), (2, 3, 1), (3, 2, 2), (1, 1, 1)]
)
def test_same_makes_n_times_stride_and_is_centred(kernel, stride, dilation):
    x, weight = rand(1, 2, 7), rand(2, 3, kernel)
    y = F.conv_transpose1d(x, weight, stride=stride, padding="same", dilation=dilation)
    assert y.shape == (1, 3, 7 * stride)
    whole = by_sum(x, weight, (stride,), (dilation,), 1)
    begin = max(0, (whole.shape[-1] - 7 * stride) // 2)
    want = np.pad(whole, [(0, 0), (0, 0), (0, 9)])[..., begin : begin + 7 * stride]
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-6)
    assert torch.equal(F.conv_transpose1d(x, weight, padding="valid"), F.conv_transpose1d(x, weight))


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 2), (5, 3), (3, 1)])
def test_padding_modes_continue_the_input(mode, kernel, stride):
    """As a much longer input, continued by that rule, gives in its middle."""
    x, weight = rand(1, 2, 6, 7), rand(2, 3, kernel, kernel)
    far = 4
    longer = T.pad(x, (far,) * 4, mode=mode)
    whole = by_sum(longer, weight, (stride, stride), (1, 1), 1)
    p = 1
    got = F.conv_transpose2d(x, weight, stride=stride, padding=p, padding_mode=mode)
    a, b = (m for m in got.shape[2:])
    start = far * stride + p
    want = whole[:, :, start : start + a, start : start + b]
    assert got.shape[2:] == T.conv_transpose2d(x, weight, stride=stride, padding=p).shape[2:]
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=2e-6)


def test_circular_commutes_with_rolling():
    x, weight = rand(1, 2, 8), rand(2, 2, 4)
    up = lambda t: F.conv_transpose1d(t, weight, stride=2, padding=1, padding_mode="circular")  # noqa: E731
    torch.testing.assert_close(up(x.roll(3, -1)), up(x).roll(6, -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(11, 14), (12, 13), (1, 3, 12, 14)])
def test_output_sizes_are_met_exactly(size):
    x, weight = rand(1, 2, 6, 7), rand(2, 3, 3, 3)
    got = F.conv_transpose2d(x, weight, stride=2, padding=1, output_size=size)
    assert got.shape[2:] == tuple(size)[-2:]
    more = [m - 2 * n + 1 for m, n in zip(size[-2:], (6, 7), strict=True)]
    torch.testing.assert_close(got, T.conv_transpose2d(x, weight, stride=2, padding=1, output_padding=more))
    assert torch.equal(F.conv_transpose2d(x, weight, stride=2, padding=1, size_like=torch.empty(1, 9, *size[-2:])), got)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_derivatives_of_derivatives(dims):
    x = rand(1, 2, *(3, 4, 3)[:dims], dtype=torch.float64).requires_grad_()
    weight = rand(2, 3, *(3,) * dims, seed=1, dtype=torch.float64).requires_grad_()
    bias = rand(3, dtype=torch.float64).requires_grad_()
    function = lambda *t: getattr(F, f"conv_transpose{dims}d")(*t, 2, 1, padding_mode="replicate")  # noqa: E731
    assert gradcheck(function, (x, weight, bias), fast_mode=True)
    assert gradgradcheck(function, (x, weight, bias), fast_mode=True)


@pytest.mark.parametrize("kernel", [2, 3])
def test_second_derivatives_of_the_own_way(kernel):
    """float32: against those of torch."""
    inputs = [rand(2, 3, 5, 4).requires_grad_(), rand(3, 4, kernel, kernel).requires_grad_()]

    def penalty(function):
        y = function(*inputs, None, 2)
        grads = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), inputs)

    for a, b in zip(penalty(F.conv_transpose2d), penalty(T.conv_transpose2d), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("padding", "more"), [(((2, 0), (0, 3)), 1), (((0, 3), (1, 0)), (2, 0)), ("same", 0)])
@pytest.mark.parametrize("kernel", [(3, 4), (2, 1)])
def test_gradients_of_unequal_padding(padding, more, kernel):
    """First derivatives by the kernels, second ones through torch's: the result is a part of what torch makes."""
    inputs = [
        t.requires_grad_() for t in (rand(2, 3, 4, 5, dtype=torch.float64), rand(3, 2, *kernel, dtype=torch.float64))
    ]
    function = lambda x, weight: F.conv_transpose2d(x, weight, None, 3, padding, more)  # noqa: E731
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 70, 4, 5), (1, 20, 33, 40)])
@pytest.mark.parametrize("last", [False, True])
def test_results_do_not_depend_on_threads(shape, threads, last):
    x, weight = rand(*shape), rand(shape[1], 19, 4, 4).requires_grad_()
    x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format).requires_grad_()
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, threads):
            halfpixel.set_num_threads(count)
            torch.set_num_threads(count)
            y = F.conv_transpose2d(x, weight, stride=2, padding=1)
            results.append((y.detach(), *torch.autograd.grad(y, (x, weight), rand(*y.shape))))
    finally:
        halfpixel.set_num_threads(before)
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


def test_a_call_is_told_from_one_that_looks_alike():
    """Prepared calls are kept by their arguments: 1 and True and 1.0 are equal, and hash alike."""
    x, weight = rand(1, 2, 4, 4), rand(2, 3, 3, 3)
    F.conv_transpose2d(x, weight, stride=1)
    for wrong in (True, 1.0, (1, 1.0)):
        with pytest.raises(TypeError, match="integers"):
            F.conv_transpose2d(x, weight, stride=wrong)
    assert F.conv_transpose2d(x, weight, stride=[2, 1]).shape == (1, 3, 9, 6)
    assert F.conv_transpose2d(x, weight, stride=(1, 2)).shape == (1, 3, 6, 9)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(
    "conv",
    [
        torch.nn.Conv1d(3, 4, 5, 2, 2), torch.nn.Conv2d(4, 6, 3, padding="same", dilation=2, groups=2),
        torch.nn.Conv2d(3, 4, (4, 2), padding="same", bias=False), torch.nn.Conv3d(2, 3, 2, 2, padding="valid"),
        torch.nn.Conv2d(3, 4, 3, 2, 1),
    ],
    ids=str,
)  # fmt: skip
def test_the_adjoint_of_a_convolution(conv):
    dims = conv.weight.dim() - 2
    conv = conv.double()
    module = getattr(nn, f"ConvTranspose{dims}d").adjoint_of(conv)
    x = rand(2, conv.in_channels, *(8, 7, 6)[:dims], dtype=torch.float64)
    y = conv(x) - (conv.bias.reshape(-1, *(1,) * dims) if conv.bias is not None else 0)
    towards = rand(*y.shape, seed=1, dtype=torch.float64)
    back = module(towards, x.shape)
    assert back.shape == x.shape
    torch.testing.assert_close((y * towards).sum(), (x * back).sum(), rtol=1e-12, atol=1e-12)
    assert module.bias is None and module.weight.data_ptr() != conv.weight.data_ptr()


ARGUMENTS = [
    (3, 5, 4), (3, 5, 3, 2, 1, 1), {"in_channels": 4, "out_channels": 6, "kernel_size": 2, "stride": 2, "groups": 2},
    {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "bias": False, "dilation": 2},
]  # fmt: skip


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_module_is_that_of_torch(dims, arguments):
    name = f"ConvTranspose{dims}d"
    given = (arguments, {}) if isinstance(arguments, tuple) else ((), arguments)
    mine, theirs = getattr(nn, name)(*given[0], **given[1]), getattr(torch.nn, name)(*given[0], **given[1])
    assert repr(mine) == repr(theirs)
    mine.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(mine.state_dict())
    x = rand(2, theirs.in_channels, *(5, 6, 4)[:dims])
    want = theirs(x)
    for module in (mine, copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        torch.testing.assert_close(module(x), want)
    size = want.shape
    if not max(theirs.output_padding):
        size = [m + s - 1 for m, s in zip(want.shape[2:], theirs.stride, strict=True)]
    torch.testing.assert_close(mine(x, size), theirs(x, list(size)))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_lazy_module_becomes_ours(dims):
    mine = getattr(nn, f"LazyConvTranspose{dims}d")(4, 3, stride=2, padding="same")
    x = rand(1, 5, *(4,) * dims)
    first = mine(x)
    assert type(mine) is getattr(nn, f"ConvTranspose{dims}d")
    assert mine.weight.shape == (5, 4, *(3,) * dims)
    assert first.shape == (1, 4, *(8,) * dims)
    assert torch.equal(mine(x), first)


def test_the_text_tells_padding():
    assert "padding=same" in repr(nn.ConvTranspose2d(1, 1, 3, padding="same"))
    assert "padding=((0, 1), (2, 2))" in repr(nn.ConvTranspose2d(1, 1, 3, padding=((0, 1), 2)))
    assert "padding_mode=circular" in repr(nn.ConvTranspose2d(1, 1, 3, padding_mode="circular"))


@pytest.mark.filterwarnings("ignore")
def test_compiles_and_exports_to_torchs_own():
    module = nn.ConvTranspose2d(3, 4, 4, 2, 1, padding_mode="replicate").eval()
    x = rand(1, 3, 6, 5)
    want = module(x)
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), want)
    program = torch.export.export(module, (x,))
    assert not [node for node in program.graph.nodes if "halfpixel" in str(node.target)]
    torch.testing.assert_close(program.module()(x), want)


def test_bilinear_weights_interpolate():
    for stride, dims in ((2, 2), (3, 1), (4, 2)):
        kernel = 2 * stride - stride % 2
        weight = nn.init.bilinear_(torch.empty(3, 3, *(kernel,) * dims), stride)
        x = rand(1, 3, *(6,) * dims)
        got = getattr(F, f"conv_transpose{dims}d")(x, weight, stride=stride, padding=(kernel - stride) // 2)
        want = F.interpolate(x, scale_factor=stride, mode={1: "linear", 2: "bilinear"}[dims])
        inner = (..., *(slice(stride, -stride),) * dims)
        torch.testing.assert_close(got[inner], want[inner], rtol=0, atol=1e-6)


def test_identity_weights_repeat():
    weight = nn.init.identity_(torch.empty(4, 2, 3, 3), (3, 3), groups=2)
    x = rand(1, 4, 5, 4)
    assert torch.equal(F.conv_transpose2d(x, weight, stride=3, groups=2), F.interpolate(x, scale_factor=3))


@pytest.mark.parametrize("order", ["torch", "onnx"])
def test_icnr_starts_without_a_checkerboard(order):
    weight = nn.init.icnr_(torch.empty(24, 5, 3, 3), (2, 2), order)
    y = F.pixel_shuffle(T.conv2d(rand(1, 5, 8, 8), weight), 2, order=order)
    assert torch.equal(y, F.interpolate(y[..., ::2, ::2], scale_factor=2))
    assert weight.std() > 0.05


X, W = torch.rand(1, 4, 5, 5), torch.rand(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: F.conv_transpose2d(X[0, 0], W), RuntimeError, "2 dimensions"),
        (lambda: F.conv_transpose2d(X, W[0]), RuntimeError, "weight"),
        (lambda: F.conv_transpose2d(X[:, :3], W), RuntimeError, "3 channels"),
        (lambda: F.conv_transpose2d(X, W, groups=3), RuntimeError, "3 groups"),
        (lambda: F.conv_transpose2d(X, W, stride=0), RuntimeError, "stride"),
        (lambda: F.conv_transpose2d(X, W, padding=-1), RuntimeError, "0 or more"),
        (lambda: F.conv_transpose2d(X, W, padding="half"), ValueError, "same"),
        (lambda: F.conv_transpose2d(X, W, padding=((1, 2, 3), 1)), TypeError, "pairs"),
        (lambda: F.conv_transpose2d(X, W, padding=(1, 1, 1)), RuntimeError, "one per axis|per axis"),
        (lambda: F.conv_transpose2d(X, W, stride=2, output_padding=2), RuntimeError, "less than the stride"),
        (lambda: F.conv_transpose2d(X, W, stride=2, padding="same", output_padding=1), ValueError, "same"),
        (lambda: F.conv_transpose2d(X, W, padding=9), RuntimeError, r"size = \(n - 1\) \* stride"),
        (lambda: F.conv_transpose2d(X, W, stride=2, output_size=(13, 11)), ValueError, r"\(11, 11\) to \(12, 12\)"),
        (lambda: F.conv_transpose2d(X, W, output_size=(7,)), ValueError, "numbers"),
        (lambda: F.conv_transpose2d(X, W, output_size=(7, 7), size_like=X), ValueError, "one of them"),
        (lambda: F.conv_transpose2d(X, W, padding_mode="wrap"), ValueError, "circular"),
        (lambda: F.conv_transpose2d(X[..., :1], W, padding_mode="reflect"), RuntimeError, "replicate"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="wrap"), ValueError, "ConvTranspose2d"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding="half"), ValueError, "same"),
        (lambda: nn.ConvTranspose2d.adjoint_of(torch.nn.Linear(1, 1)), ValueError, "Conv2d"),
        (lambda: nn.ConvTranspose2d.adjoint_of(torch.nn.Conv2d(1, 1, 3, padding_mode="circular")), ValueError, "zero"),
        (lambda: nn.init.bilinear_(torch.empty(1, 1, 2), 3), ValueError, "kernel"),
        (lambda: nn.init.icnr_(torch.empty(6, 1, 1, 1), 2), ValueError, "multiple of 4"),
        (lambda: nn.conv_transpose_size(3, 1, padding=4), ValueError, "size = "),
    ],
)  # fmt: skip
def test_bad_input(call, error, says):
    with pytest.raises(error, match=says):
        call()
