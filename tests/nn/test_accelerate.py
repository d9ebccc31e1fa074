# SPDX-License-Identifier: MIT
"""torch's own operators with our kernels behind them: the values of `nn.functional`, bit for bit, and the way back."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import halfpixel  # noqa: E402
from halfpixel.backends import cpu  # noqa: E402
from halfpixel.nn import _accelerate  # noqa: E402
from halfpixel.nn import functional as F  # noqa: E402

T = torch.nn.functional
pytestmark = [
    pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not())),
    pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning"),
]

MODES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,), "trilinear": (3,),
    "bicubic": (2,), "area": (1, 2, 3), "lanczos": (2,),
}  # fmt: skip
CASES = [
    (mode, dims, options)
    for mode, several in MODES.items()
    for dims in several
    for options in (
        [{"antialias": True}] if mode == "lanczos" else
        [{}, {"align_corners": True}] if "linear" in mode or mode == "bicubic" else [{}]
    )
] + [("bilinear", 2, {"antialias": True}), ("bicubic", 2, {"antialias": True, "align_corners": True})]  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """How often each of our kernels ran to its end."""
    counts = {}

    def counted(name, ours):
        def run(*arguments):
            y = ours(*arguments)
            counts[name] = counts.get(name, 0) + 1
            return y

        return run

    for name, ours in _accelerate.TABLE.items():
        monkeypatch.setitem(_accelerate.TABLE, name, counted(name, ours))
    halfpixel.accelerate(False)
    yield counts
    halfpixel.accelerate(False)


def picture(dims, channels=5, last=False, dtype=torch.float32):
    generator = torch.Generator().manual_seed(dims)
    x = torch.rand(2, channels, *(7, 11, 6)[:dims], generator=generator)
    x = (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if last and dims == 2 else x


@pytest.mark.parametrize("how", [{"scale_factor": 1.7}, {"size": 13}, {"size": 3}], ids=str)
@pytest.mark.parametrize(("mode", "dims", "options"), CASES)
def test_forward_and_backward_are_those_of_our_functions(calls, mode, dims, options, how):
    for last in (False, True):
        x = picture(dims, last=last).requires_grad_()
        want = F.interpolate(x, mode=mode, **how, **options)
        towards = torch.rand(want.shape)
        (grad,) = torch.autograd.grad(want, x, towards)
        with halfpixel.accelerate():
            got = T.interpolate(x, mode=mode, **how, **options)
            (again,) = torch.autograd.grad(got, x, towards)
        assert torch.equal(got, want) and got.stride() == want.stride()
        assert torch.equal(again, grad)
    assert sum(calls.values()) == 4 or (mode == "area" and dims == 1), calls


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("options", [{}, {"antialias": True}], ids=str)
def test_other_dtypes(calls, dtype, options):
    x = picture(2, channels=3, dtype=dtype)
    with halfpixel.accelerate():
        got = T.interpolate(x, size=(5, 17), mode="bilinear", **options)
    assert torch.equal(got, F.interpolate(x, size=(5, 17), mode="bilinear", **options))
    assert sum(calls.values()) == 1


def test_pooling_and_shuffles(calls):
    x = picture(2, channels=8)
    with halfpixel.accelerate():
        assert torch.equal(T.adaptive_avg_pool2d(x, (3, 4)), F.interpolate(x, (3, 4), mode="area"))
        assert torch.equal(T.adaptive_avg_pool2d(x[0], (3, 4)), F.interpolate(x, (3, 4), mode="area")[0])
        assert torch.equal(T.pixel_shuffle(x, 2), F.pixel_shuffle(x, 2))
        assert torch.equal(T.pixel_unshuffle(T.pixel_shuffle(x, 2), 2), x)
        assert torch.equal(T.channel_shuffle(x, 4), F.channel_shuffle(x, 4))
    assert sum(calls.values()) == 6, calls


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_max_pooling_and_unpooling(calls, dims):
    x = picture(dims).requires_grad_()
    pool, unpool = f"max_pool{dims}d", f"max_unpool{dims}d"
    want = getattr(T, unpool)(*getattr(T, pool)(x, 3, 2, 1, return_indices=True), 3, 2, 1, x.shape[2:])
    (grad,) = torch.autograd.grad(want.sin().sum(), x)
    with halfpixel.accelerate():
        got = getattr(T, unpool)(*getattr(T, pool)(x, 3, 2, 1, return_indices=True), 3, 2, 1, x.shape[2:])
        (again,) = torch.autograd.grad(got.sin().sum(), x)
    assert torch.equal(got, want)
    assert torch.equal(again, grad)
    assert sum(calls.values()) == 3, calls


def test_what_kernels_do_not_take_goes_to_torch(calls):
    x = picture(2)
    odd = torch.ops.aten.upsample_bilinear2d.default
    want = odd(x, [9, 9], False, 1.3, 2.9)  # scales that mean another size
    with pytest.raises(RuntimeError) as theirs:
        T.pixel_shuffle(x, 2)
    with halfpixel.accelerate():
        assert torch.equal(odd(x, [9, 9], False, 1.3, 2.9), want)
        with pytest.raises(RuntimeError) as ours:
            T.pixel_shuffle(x, 2)
    assert str(ours.value) == str(theirs.value)
    assert not calls


def test_on_off_and_nested():
    halfpixel.accelerate(False)
    x = picture(2)
    torchs = T.interpolate(x, scale_factor=2.3, mode="bicubic")
    assert not halfpixel.accelerated()
    with halfpixel.accelerate() as state:
        assert halfpixel.accelerated()
        assert repr(state) == "<torch's upsampling operators are replaced>"
        with halfpixel.accelerate():
            pass
        assert halfpixel.accelerated()
        with halfpixel.accelerate(False):
            assert not halfpixel.accelerated()
            assert torch.equal(T.interpolate(x, scale_factor=2.3, mode="bicubic"), torchs)
        assert halfpixel.accelerated()
    assert not halfpixel.accelerated()
    assert torch.equal(T.interpolate(x, scale_factor=2.3, mode="bicubic"), torchs)
    halfpixel.accelerate()
    halfpixel.accelerate()
    assert halfpixel.accelerated()
    halfpixel.accelerate(False)
    assert not halfpixel.accelerated()


def test_every_way_of_differentiating(calls):
    x = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    with halfpixel.accelerate():
        for function in (
            lambda t: T.interpolate(t, scale_factor=1.6, mode="bilinear"),
            lambda t: T.interpolate(t, size=(3, 9), mode="bicubic", antialias=True),
            lambda t: T.adaptive_avg_pool2d(t, (3, 2)),
        ):
            assert torch.autograd.gradcheck(function, x, check_forward_ad=True)
            assert torch.autograd.gradgradcheck(function, x)
        with torch.inference_mode():
            assert torch.equal(T.interpolate(x, scale_factor=2), F.interpolate(x, scale_factor=2))
        mapped = torch.vmap(lambda t: T.interpolate(t, scale_factor=2, mode="bilinear"), in_dims=1)(
            torch.stack([x, x], 1)
        )
    assert torch.equal(mapped[1], F.interpolate(x, scale_factor=2, mode="bilinear"))
    assert calls["upsample_bilinear2d_backward"] and calls["_upsample_bicubic2d_aa_backward"]


def test_a_model_that_knows_nothing_of_us(calls):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 12, 3, padding=1), torch.nn.PixelShuffle(2), torch.nn.AdaptiveAvgPool2d(5),
    )  # fmt: skip
    x = picture(2, channels=3)
    want = model(x)
    want.square().sum().backward()
    grads = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with halfpixel.accelerate():
        got = model(x)
        got.square().sum().backward()
    torch.testing.assert_close(got, want)
    for p, grad in zip(model.parameters(), grads, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=1e-4, atol=1e-5)
    assert set(calls) >= {"upsample_bilinear2d", "upsample_bilinear2d_backward", "pixel_shuffle", "pixel_unshuffle",
                          "_adaptive_avg_pool2d", "_adaptive_avg_pool2d_backward"}  # fmt: skip
