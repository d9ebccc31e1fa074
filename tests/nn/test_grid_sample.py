# SPDX-License-Identifier: MIT
"""grid_sample: loops over float64, torch's values and gradients, wild coordinates, layouts, derivatives, transforms."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import halfpixel  # noqa: E402
from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _sample  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402
from halfpixel.nn._sample_definition import definition  # noqa: E402
from tests.nn import sampling  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
native = pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not()))

T = torch.nn.functional
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
WAYS = [
    (dims, mode, padding, aligned)
    for dims, mode, padding, aligned in itertools.product(
        (2, 3), _sample.MODES, _sample.PADDINGS, (False, True)
    )
    if dims == 2 or mode != "bicubic"
]  # fmt: skip
ways = pytest.mark.parametrize(("dims", "mode", "padding", "aligned"), WAYS)


def ours_alone():
    """torch's operators may not be called where there are kernels."""
    if cpu.why_not() is not None:
        return contextlib.nullcontext()
    refuse = mock.Mock(side_effect=AssertionError("not the kernel"))
    return mock.patch.multiple(_sample, by_torch=refuse, back_by_torch=refuse)


def sample(dims, channels=3, size=(5, 7, 4), out=(6, 5, 3), reach=1.4, dtype=torch.float64, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, *size[:dims], generator=generator, dtype=torch.float64)
    grid = (torch.rand(batch, *out[:dims], dims, generator=generator, dtype=torch.float64) * 2 - 1) * reach
    return x.to(dtype), grid.to(dtype)


@ways
def test_loops_from_the_formula(dims, mode, padding, aligned):
    x, grid = sample(dims, reach=2.3, out=(4, 5, 3))
    want = sampling.grid_sample(x.numpy(), grid.numpy(), mode, padding, aligned)
    with ours_alone():
        got = F.grid_sample(x, grid, mode, padding, aligned)
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(definition(x, grid, how(mode, padding, aligned)).numpy(), want, rtol=0, atol=1e-12)


def how(mode, padding, aligned):
    return _sample.How(_sample.MODES[mode], _sample.PADDINGS[padding], int(aligned))


@ways
@settings(max_examples=12, deadline=None)
@given(
    channels=st.sampled_from([1, 2, 3, 4, 5, 15, 16, 17, 33]), size=st.tuples(*[st.sampled_from([1, 2, 3, 7, 13])] * 3),
    out=st.tuples(*[st.sampled_from([1, 2, 5, 17])] * 3), dtype=st.sampled_from([torch.float32, torch.float64]),
    last=st.booleans(), grad_last=st.booleans(), seed=st.integers(0, 999), batch=st.sampled_from([1, 3]),
)  # fmt: skip
def test_values_and_gradients_of_torch(
    dims, mode, padding, aligned, channels, size, out, dtype, last, grad_last, seed, batch
):  # fmt: skip
    x, grid = sample(dims, channels, size, out, 1.6, dtype, seed, batch)
    if last:
        x = x.contiguous(memory_format=LAST[x.dim()])
    x.requires_grad_()
    grid.requires_grad_()
    want = T.grid_sample(x, grid, mode, padding, aligned)
    with ours_alone():
        got = F.grid_sample(x, grid, mode, padding, aligned)
        towards = torch.randn(want.shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
        if grad_last:
            towards = towards.contiguous(memory_format=LAST[x.dim()])
        grads = torch.autograd.grad(got, (x, grid), towards)
    eps = 1e-11 if dtype == torch.float64 else 3e-5
    assert got.dtype == dtype
    torch.testing.assert_close(got, want, rtol=eps, atol=eps)
    wants = torch.autograd.grad(want, (x, grid), towards)
    torch.testing.assert_close(grads[0], wants[0], rtol=eps, atol=4 * eps)
    torch.testing.assert_close(grads[1], wants[1], rtol=eps, atol=20 * eps * channels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@ways
def test_coordinates_that_are_wild(dims, mode, padding, aligned, dtype):
    x = sample(dims, dtype=dtype)[0] + 3
    wild = [float("nan"), float("inf"), -float("inf"), 1e5, -1e5, 1e9, -3e9, 1e38]
    far = padding == "reflection" and dims == 3  # there torch's own arithmetic overflows
    for v, axis in itertools.product(wild[:5] if far else wild, range(dims)):
        grid = torch.full((2, *(1,) * (dims - 1), 9, dims), 0.1, dtype=dtype)
        grid[..., axis] = v
        want = T.grid_sample(x, grid, mode, padding, aligned)
        with ours_alone():
            got = F.grid_sample(x, grid, mode, padding, aligned)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5, equal_nan=True)
        # Of these torch's own gradients read outside of memory; ours have a value.
        a, b = x.clone().requires_grad_(), grid.requires_grad_()
        y = F.grid_sample(a, b, mode, padding, aligned)
        to_x, to_grid = torch.autograd.grad(y.sum(), (a, b))
        assert to_x.shape == x.shape
        assert padding == "zeros" or mode == "bicubic" or torch.isfinite(to_grid).all()


def test_nan_of_the_input_stays_where_it_is_sampled():
    x = torch.full((1, 20, 4, 4), float("nan"))
    x[:, :, :2, :2] = 1
    inside, outside = torch.full((1, 1, 1, 2), -0.6), torch.full((1, 1, 1, 2), -9.0)
    assert torch.equal(F.grid_sample(x, inside, "bilinear", "zeros", False), torch.ones(1, 20, 1, 1))
    assert torch.equal(F.grid_sample(x * float("nan"), outside, "bilinear", "zeros", False), torch.zeros(1, 20, 1, 1))


@native
def test_no_result_depends_on_threads():
    from halfpixel import _native as kernels

    before = kernels.num_threads()
    for channels, last, mode in itertools.product((3, 40), (False, True), ("bilinear", "nearest", "bicubic")):
        x, grid = sample(2, channels, (60, 50), (170, 190), 1.2, torch.float32, batch=1)
        x = x.contiguous(memory_format=torch.channels_last) if last else x
        x.requires_grad_()
        grid.requires_grad_()
        found = []
        try:
            for threads in (1, 2, 3, 7):
                kernels.set_num_threads(threads)
                y = F.grid_sample(x, grid, mode, "border", False)
                found.append((y.detach(), *torch.autograd.grad(y.square().sum(), (x, grid))))
        finally:
            kernels.set_num_threads(before)
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_rounded_once(dtype):
    for dims, last, channels in itertools.product((2, 3), (False, True), (3, 20)):
        x, grid = sample(dims, channels, dtype=dtype)
        x = x.contiguous(memory_format=LAST[x.dim()]) if last else x
        for g in (grid, grid.float() * 0.999):
            a, b = x.clone().requires_grad_(), g.clone().requires_grad_()
            with ours_alone():
                y = F.grid_sample(a, b, "bilinear", "border", False)
                got = torch.autograd.grad(y, (a, b), torch.ones_like(y))
            c, d = x.float().requires_grad_(), g.float().requires_grad_()
            z = F.grid_sample(c, d, "bilinear", "border", False)
            want = torch.autograd.grad(z, (c, d), torch.ones_like(z))
            assert torch.equal(y, z.to(dtype)) and y.dtype == dtype
            assert all(torch.equal(u, v.to(u.dtype)) for u, v in zip(got, want, strict=True))
            assert got[1].dtype == g.dtype


def test_layouts():
    x, grid = sample(2, 5, dtype=torch.float32)
    want = F.grid_sample(x, grid)
    last = x.contiguous(memory_format=torch.channels_last)
    y = F.grid_sample(last, grid)
    assert y.is_contiguous(memory_format=torch.channels_last) and torch.equal(y, want)
    odd = torch.stack((x, x), -1)[..., 0].transpose(2, 3)
    turned = grid.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert torch.equal(F.grid_sample(odd.transpose(2, 3), turned), want)
    a = x[:1].expand(2, -1, -1, -1)
    assert torch.equal(F.grid_sample(a, grid), F.grid_sample(a.contiguous(), grid))
    (g,) = torch.autograd.grad(F.grid_sample(last.requires_grad_(), grid).sum(), last)
    assert g.is_contiguous(memory_format=torch.channels_last)


def test_nothing_to_sample():
    for x, grid in (
        (torch.rand(0, 3, 4, 5), torch.rand(0, 2, 2, 2)), (torch.rand(2, 0, 4, 5), torch.rand(2, 2, 2, 2)),
        (torch.rand(2, 3, 4, 5), torch.rand(2, 0, 2, 2)),
    ):  # fmt: skip
        x.requires_grad_()
        grid.requires_grad_()
        y = F.grid_sample(x, grid)
        assert y.shape == (*x.shape[:2], *grid.shape[1:3])
        to_x, to_grid = torch.autograd.grad(y.sum(), (x, grid))
        assert not to_x.any() and not to_grid.any() and to_x.shape == x.shape and to_grid.shape == grid.shape


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_derivatives(mode, padding):
    x, grid = sample(2, 2, (4, 5), (3, 2), 1.3, batch=1)
    x.requires_grad_()
    grid.requires_grad_()

    def run(a, b):
        return F.grid_sample(a, b, mode, padding, False)

    assert gradcheck(run, (x, grid))
    assert gradgradcheck(run, (x, grid))
    with torch.autograd.forward_ad.dual_level():
        dual = run(*(torch.autograd.forward_ad.make_dual(t.detach(), torch.ones_like(t)) for t in (x, grid)))
        tangent = torch.autograd.forward_ad.unpack_dual(dual).tangent
    step = 1e-6
    near = (run(x + step, grid + step) - run(x - step, grid - step)) / (2 * step)
    torch.testing.assert_close(tangent, near.detach(), rtol=1e-5, atol=1e-5)


def test_derivatives_of_volumes():
    x, grid = sample(3, 2, (3, 4, 2), (2, 2, 2), 1.3, batch=1)
    inputs = (x.requires_grad_(), grid.requires_grad_())
    assert gradcheck(F.grid_sample, inputs)
    assert gradgradcheck(F.grid_sample, inputs)


def test_second_derivatives_of_torch():
    x, grid = sample(2)
    x.requires_grad_()
    grid.requires_grad_()
    found = []
    for function in (F.grid_sample, T.grid_sample):
        y = function(x, grid, "bilinear", "border", False)
        to_x, to_grid = torch.autograd.grad(y.square().sum(), (x, grid), create_graph=True)
        found.append(torch.autograd.grad(to_x.square().sum() + to_grid.sin().sum(), (x, grid)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_that_are_not_asked_for():
    x, grid = sample(2, dtype=torch.float32)
    y = F.grid_sample(x, grid.requires_grad_())
    (to_grid,) = torch.autograd.grad(y.sum(), grid)
    z = F.grid_sample(x.requires_grad_(), grid.detach())
    (to_x,) = torch.autograd.grad(z.sum(), x)
    both = torch.autograd.grad(F.grid_sample(x, grid).sum(), (x, grid))
    assert torch.equal(to_x, both[0]) and torch.equal(to_grid, both[1])


def test_transforms():
    x, grid = sample(2, dtype=torch.float32)
    several = torch.stack((x, x * 2, x - 1))
    want = torch.stack([F.grid_sample(a, grid) for a in several])
    assert torch.equal(torch.vmap(F.grid_sample, (0, None))(several, grid), want)
    grids = torch.stack((grid, grid * 0.5))
    got = torch.vmap(F.grid_sample, (None, 0))(x, grids)
    assert torch.equal(got, torch.stack([F.grid_sample(x, g) for g in grids]))

    def loss(a, g):
        return F.grid_sample(a, g).square().sum()

    a, g = x.clone().requires_grad_(), grid.clone().requires_grad_()
    direct = torch.autograd.grad(loss(a, g), (a, g))
    for got, want in zip(torch.func.grad(loss, (0, 1))(x, grid), direct, strict=True):
        torch.testing.assert_close(got, want)
    per = torch.vmap(torch.func.grad(loss, 1), (0, None))(several, grid)
    torch.testing.assert_close(per[0], direct[1])


def test_operators_are_registered_as_torch_wants():
    x, grid = sample(2, 2, (3, 4), (2, 3), batch=1)
    x.requires_grad_()
    grid.requires_grad_()
    how = [0, 0, 0, 0, 1, 0]
    torch.library.opcheck(torch.ops.halfpixel.sample.default, (x, grid, how))
    towards = torch.rand(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(torch.ops.halfpixel.sample_backward.default, (towards, x, grid, how, True, True))
    torch.library.opcheck(torch.ops.halfpixel.sample_backward.default, (towards, x, grid, how, False, True))


def test_compiled_whole_and_on_meta():
    x, grid = sample(2, dtype=torch.float32)
    x.requires_grad_()
    grid.requires_grad_()

    def run(a, b):
        return F.grid_sample(a * 2, b, "bicubic", "reflection", True).sum()

    torch._dynamo.reset()
    got = torch.autograd.grad(torch.compile(run, fullgraph=True, backend="aot_eager")(x, grid), (x, grid))
    for a, b in zip(got, torch.autograd.grad(run(x, grid), (x, grid)), strict=True):
        torch.testing.assert_close(a, b)
    y = F.grid_sample(x.to("meta"), grid.to("meta"))
    assert y.shape == (2, 3, 6, 5) and y.device.type == "meta"


def test_autocast_samples_in_float32():
    x, grid = sample(2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert F.grid_sample(x.bfloat16(), grid).dtype == torch.float32
        assert F.grid_sample(x.bfloat16(), grid.bfloat16()).dtype == torch.float32


def test_exported_graphs_hold_torchs_operator():
    class Warp(torch.nn.Module):
        def forward(self, x, grid):
            return F.grid_sample(x, grid, "bilinear", "border", False)

    x, grid = sample(2, dtype=torch.float32)
    exported = torch.export.export(Warp(), (x, grid))
    names = {str(n.target) for n in exported.graph.nodes if n.op == "call_function"}
    assert any("grid_sampler" in name for name in names) and not any("halfpixel" in name for name in names)
    torch.testing.assert_close(exported.module()(x, grid), Warp()(x, grid))


def test_onnx():
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")

    class Warp(torch.nn.Module):
        def forward(self, x, grid):
            return F.grid_sample(x, grid, "bilinear", "zeros", False)

    x, grid = sample(2, dtype=torch.float32)
    report = halfpixel.nn.check_export(Warp(), (x, grid))
    assert report.agrees and "GridSample" in dict(report.nodes), str(report)


@native
@pytest.mark.parametrize("dims", [2, 3])
def test_behind_torchs_own_operators(dims, monkeypatch):
    from halfpixel.nn import _accelerate

    ran = []
    for name in list(_accelerate.TABLE):
        if name.startswith("grid_sampler"):
            ours = _accelerate.TABLE[name]
            monkeypatch.setitem(_accelerate.TABLE, name, lambda *a, o=ours, n=name: (o(*a), ran.append(n))[0])
    x, grid = sample(dims, 5, dtype=torch.float32)
    x = x.contiguous(memory_format=LAST[x.dim()]).requires_grad_()
    grid.requires_grad_()
    want = F.grid_sample(x, grid, "bilinear", "reflection", True)
    stride = T.grid_sample(x, grid, "bilinear", "reflection", True).stride()
    wants = torch.autograd.grad(want.sum(), (x, grid))
    halfpixel.accelerate(False)
    try:
        with halfpixel.accelerate():
            got = T.grid_sample(x, grid, "bilinear", "reflection", True)
            grads = torch.autograd.grad(got.sum(), (x, grid))
            with pytest.raises(RuntimeError):
                T.grid_sample(x, grid[:1], "bilinear", "zeros", True)
    finally:
        halfpixel.accelerate(False)
    assert torch.equal(got, want) and got.stride() == stride
    assert all(torch.equal(a, b) for a, b in zip(grads, wants, strict=True))
    assert ran == [f"grid_sampler_{dims}d", f"grid_sampler_{dims}d_backward"]


X, G = torch.zeros(2, 3, 5, 7), torch.zeros(2, 4, 6, 2)
BAD = {
    "unknown mode": (ValueError, (X, G, "bilinaer"), "did you mean 'bilinear'"),
    "unknown padding": (ValueError, (X, G, "bilinear", "wrap"), "padding_mode"),
    "other batch": (RuntimeError, (X, G[:1]), "batch"),
    "three axes": (RuntimeError, (X[0], G), "dimensions"),
    "flat grid": (RuntimeError, (X, G[0]), "grid"),
    "three coordinates": (RuntimeError, (X, torch.zeros(2, 4, 6, 3)), "grid"),
    "cubic volume": (RuntimeError, (torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 1, 1, 3), "bicubic"), "volumes"),
    "dtypes": (RuntimeError, (X, G.double()), "float64"),
    "no rows": (RuntimeError, (X[:, :, :0], G), "at least 1"),
    "a list": (TypeError, ([1.0], G), "list"),
    "integers": (NotImplementedError, (X.int(), G.int()), "int32"),
    "align": (TypeError, (X, G, "bilinear", "zeros", "no"), "align_corners"),
    "devices": (RuntimeError, (X.to("meta"), G), "device"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    kind, arguments, sentence = BAD[case]
    with pytest.raises(kind, match=sentence) as found:
        F.grid_sample(*arguments)
    assert str(found.value).startswith("grid_sample(") and "What would work" in str(found.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(kind):
            T.grid_sample(*arguments)


def test_without_kernels(monkeypatch):
    x, grid = sample(2)
    x.requires_grad_()
    grid.requires_grad_()
    y = F.grid_sample(x, grid, "bilinear", "border", False)
    want = (y, *torch.autograd.grad(y.sin().sum(), (x, grid)))
    monkeypatch.setattr(_sample, "ours", lambda *_: False)
    z = F.grid_sample(x, grid, "bilinear", "border", False)
    for a, b in zip((z, *torch.autograd.grad(z.sin().sum(), (x, grid))), want, strict=True):
        torch.testing.assert_close(a, b)
