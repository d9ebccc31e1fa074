# SPDX-License-Identifier: MIT
"""sample_offsets: loops from DySample's formula, its published form, bilinear at 0, precision, layouts, derivatives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import halfpixel  # noqa: E402
from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _sample  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402
from tests.nn import sampling  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
T = torch.nn.functional
LAST = torch.channels_last


def sample(channels=8, size=(5, 7), scale=2, groups=4, reach=0.8, dtype=torch.float64, batch=2, fine=False):
    generator = torch.Generator().manual_seed(channels + scale)
    x = torch.randn(batch, channels, *size, generator=generator, dtype=torch.float64)
    at = (2 * groups, size[0] * scale, size[1] * scale) if fine else (2 * groups * scale**2, *size)
    o = torch.randn(batch, *at, generator=generator, dtype=torch.float64) * reach
    return x.to(dtype), o.to(dtype)


def published(x, offsets, scale, groups):
    """The formula of the paper's code, in float64: positions in a grid, and grid_sample."""
    n, _, height, width = x.shape
    h = torch.arange((-scale + 1) / 2, (scale - 1) / 2 + 1, dtype=x.dtype) / scale
    initial = torch.stack(torch.meshgrid(h, h, indexing="ij")).transpose(1, 2).repeat(1, groups, 1).reshape(1, -1, 1, 1)
    o = (offsets + initial).view(n, 2, -1, height, width)
    rows, columns = torch.arange(height, dtype=x.dtype) + 0.5, torch.arange(width, dtype=x.dtype) + 0.5
    centre = torch.stack(torch.meshgrid(columns, rows, indexing="ij")).transpose(1, 2)[None, :, None]
    place = 2 * (centre + o) / torch.tensor([width, height], dtype=x.dtype).view(1, 2, 1, 1, 1) - 1
    place = T.pixel_shuffle(place.view(n, -1, height, width), scale).view(n, 2, -1, scale * height, scale * width)
    grid = place.permute(0, 2, 3, 4, 1).flatten(0, 1)
    y = T.grid_sample(x.reshape(n * groups, -1, height, width), grid, "bilinear", "border", False)
    return y.reshape(n, -1, scale * height, scale * width)


@pytest.mark.parametrize(("channels", "scale", "groups"), [(8, 2, 4), (3, 3, 1), (6, 3, 3), (4, 1, 2)])
def test_loops_from_the_formula(channels, scale, groups):
    x, o = sample(channels, (3, 4), scale, groups)
    want = sampling.sample_offsets(x.numpy(), o.numpy(), scale, groups)
    np.testing.assert_allclose(F.sample_offsets(x, o, scale, groups).numpy(), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("last", list(itertools.product((False, True), repeat=2)), ids=str)
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize(
    ("channels", "size", "scale", "groups"),
    [(8, (5, 7), 2, 4), (64, (9, 70), 2, 4), (17, (1, 1), 3, 1), (40, (3, 2), 4, 2), (12, (6, 5), 1, 4),
     (5, (2, 97), 2, 5)],
)  # fmt: skip
def test_the_published_form_and_its_gradients(channels, size, scale, groups, fine, last):
    x, low = sample(channels, size, scale, groups)
    want_x, want_o = x.clone().requires_grad_(), low.clone().requires_grad_()
    want = published(want_x, want_o, scale, groups)
    spread = low if not fine else T.pixel_shuffle(low, scale)
    a = x.contiguous(memory_format=LAST if last[0] else torch.contiguous_format).clone().requires_grad_()
    b = spread.contiguous(memory_format=LAST if last[1] else torch.contiguous_format).clone().requires_grad_()
    y = F.sample_offsets(a, b, scale, groups)
    if size != (1, 1):  # which has either layout
        assert y.is_contiguous(memory_format=LAST if last[0] else torch.contiguous_format)
    towards = torch.randn(want.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    wants = torch.autograd.grad(want, (want_x, want_o), towards)
    got = torch.autograd.grad(y, (a, b), towards)
    torch.testing.assert_close(y, want, rtol=0, atol=1e-11)
    torch.testing.assert_close(got[0], wants[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(got[1], T.pixel_shuffle(wants[1], scale) if fine else wants[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_no_offset_is_bilinear_upsampling(dtype):
    for scale, groups, last in itertools.product((1, 2, 3, 4), (1, 4), (False, True)):
        x = sample(8, (6, 11), dtype=dtype)[0]
        x = x.contiguous(memory_format=LAST) if last else x
        y = F.sample_offsets(x, torch.zeros(2, 2 * groups * scale**2, 6, 11, dtype=dtype), scale, groups)
        want = F.interpolate(x.double(), scale_factor=scale, mode="bilinear", align_corners=False)
        eps = {torch.float64: 1e-14, torch.float32: 1e-6}.get(dtype, torch.finfo(dtype).eps * 4)
        torch.testing.assert_close(y.double(), want, rtol=0, atol=eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_positions_at_the_end_of_a_wide_image(dtype):
    """A ramp of small steps, in float32, samples to its position; offsets are those of the dtype."""
    width = 1920
    ramp = torch.arange(width, dtype=torch.float32).expand(1, 1, 2, width)
    o = torch.full((1, 8, 2, width), 0.40625, dtype=dtype)  # exact in any of them
    y = F.sample_offsets(ramp, o, 2)
    want = torch.arange(2 * width).double() / 2 - 0.25 + 0.40625
    assert (y[0, 0, 0].double() - want.clamp(0, width - 1)).abs().max() < 1 / 4096
    if dtype != torch.float32:  # and the same where the image is in that dtype too: steps of 1 in every 64
        steps = (torch.arange(width) // 64).to(dtype).expand(1, 1, 2, width)
        z = F.sample_offsets(steps, o, 2)
        exact = F.sample_offsets(steps.double(), o.double(), 2)
        assert (z.double() - exact).abs().max() <= 16 * torch.finfo(dtype).eps


def test_convex_and_wild_offsets():
    x = torch.rand(1, 8, 5, 6)
    o = torch.randn(1, 32, 5, 6) * 100
    for v in (float("nan"), float("inf"), -float("inf"), 3e38, -3e38):
        o.view(-1)[int(abs(hash(v))) % 97 :: 97] = v
    a, b = x.clone().requires_grad_(), o.clone().requires_grad_()
    y = F.sample_offsets(a, b, 2, 4)
    assert y.min() >= 0 and y.max() <= 1
    grads = torch.autograd.grad(y.sum(), (a, b))
    assert all(torch.isfinite(g).all() for g in grads)
    assert abs(float(grads[0].double().sum()) - y.numel()) < 1e-2  # weights of every sample sum to 1


def test_derivatives():
    x, o = sample(4, (3, 4), 2, 2, batch=1)
    x.requires_grad_()
    o.requires_grad_()

    def run(a, b):
        return F.sample_offsets(a, b, 2, 2)

    assert gradcheck(run, (x, o))
    assert gradgradcheck(run, (x, o))
    _, tangent = torch.func.jvp(run, (x.detach(), o.detach()), (torch.ones_like(x), torch.ones_like(o)))
    near = (run(x + 1e-6, o + 1e-6) - run(x - 1e-6, o - 1e-6)) / 2e-6
    torch.testing.assert_close(tangent, near.detach(), rtol=1e-5, atol=1e-5)
    how = [0, 1, 0, 2, 2, 0]
    torch.library.opcheck(torch.ops.halfpixel.sample.default, (x, o, how))
    several = torch.stack((x, x + 1)).detach()
    got = torch.vmap(run, (0, None))(several, o.detach())
    torch.testing.assert_close(got, torch.stack([run(a, o.detach()) for a in several]))


def test_mixed_dtypes():
    x, o = sample(dtype=torch.float32)
    y = F.sample_offsets(x.bfloat16(), o, 2, 4)
    torch.testing.assert_close(y, F.sample_offsets(x.bfloat16().float(), o, 2, 4).bfloat16(), rtol=0, atol=0)
    assert F.sample_offsets(x.double(), o, 2, 4).dtype == torch.float64
    assert F.sample_offsets(x, o.double(), 2, 4).dtype == torch.float32


@pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not()))
def test_no_result_depends_on_threads():
    from halfpixel import _native as kernels

    before, (x, o) = kernels.num_threads(), sample(64, (40, 50), dtype=torch.float32)
    found = []
    try:
        for threads in (1, 2, 5):
            kernels.set_num_threads(threads)
            a, b = x.clone().requires_grad_(), o.clone().requires_grad_()
            y = F.sample_offsets(a, b, 2, 4)
            found.append((y.detach(), *torch.autograd.grad(y.square().sum(), (a, b))))
    finally:
        kernels.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


class Up(torch.nn.Module):
    def forward(self, x, o):
        return F.sample_offsets(x, o, 2, 4)


def test_compiled_exported_and_onnx():
    x, o = sample(dtype=torch.float32)
    want = Up()(x, o)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(Up(), fullgraph=True, backend="aot_eager")(x, o), want)
    exported = torch.export.export(Up(), (x, o))
    assert not any("halfpixel" in str(n.target) for n in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(x, o), want)
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    report = halfpixel.nn.check_export(Up(), (x, o))
    assert report.agrees and "GridSample" in dict(report.nodes), str(report)


def test_without_kernels(monkeypatch):
    x, o = sample()
    x.requires_grad_()
    o.requires_grad_()
    y = F.sample_offsets(x, o, 2, 4)
    want = (y, *torch.autograd.grad(y.sin().sum(), (x, o)))
    monkeypatch.setattr(_sample, "ours", lambda *_: False)
    z = F.sample_offsets(x, o, 2, 4)
    for a, b in zip((z, *torch.autograd.grad(z.sin().sum(), (x, o))), want, strict=True):
        torch.testing.assert_close(a, b)


X, OFFSETS = torch.zeros(2, 8, 5, 7), torch.zeros(2, 32, 5, 7)
BAD = {
    "groups": (ValueError, (X, OFFSETS, 2, 3), "divisor"),
    "other channels": (RuntimeError, (X, OFFSETS[:, :16], 2, 4), r"\(2, 32, 5, 7\) or \(2, 8, 10, 14\)"),
    "volume": (RuntimeError, (X[None], OFFSETS, 2, 4), "input's shape"),
    "scale": (ValueError, (X, OFFSETS, 0, 4), "1 or more"),
    "fraction": (TypeError, (X, OFFSETS, 1.5, 4), "whole"),
    "integers": (NotImplementedError, (X.int(), OFFSETS, 2, 4), "int32"),
    "a list": (TypeError, (X, [0.0], 2, 4), "list"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    kind, arguments, sentence = BAD[case]
    with pytest.raises(kind, match=sentence) as found:
        F.sample_offsets(*arguments)
    assert str(found.value).startswith("sample_offsets(")


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("of_offsets", [torch.contiguous_format, LAST])
def test_calls_met_before_are_told_apart(layout, of_offsets):
    x, o = sample(dtype=torch.float32)
    x, o = x.contiguous(memory_format=layout), o.contiguous(memory_format=of_offsets)
    want = F.sample_offsets(x.double(), o.double(), 2, 4)
    for _ in range(2):
        y = F.sample_offsets(x, o, 2, 4)
        assert y.is_contiguous(memory_format=layout)
        torch.testing.assert_close(y.double(), want, atol=1e-5, rtol=1e-5)
        assert torch.equal(F.sample_offsets(torch._neg_view(-x), o, 2, 4), y)
        with pytest.raises(TypeError):
            F.sample_offsets(x, o, 2.0, 4)
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        assert torch.equal(F.sample_offsets(leaf, o, 2, 4), y)
