# SPDX-License-Identifier: MIT
"""The reach of networks: what the layers tell is what pixels that are changed show, and crops equal the whole."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from halfpixel import models, upsamplers  # noqa: E402
from halfpixel.models import Reach, reach_of  # noqa: E402
from halfpixel.models._reach import Span  # noqa: E402
from tests.models.nets import FREE, QUICK, RESOLVERS, images, made, scales  # noqa: E402

TINY = {
    "edsr": {"channels": 2, "blocks": 1},
    "espcn": {"widths": (3, 3)},
    "fsrcnn": {"features": 3, "shrunk": 2, "mappings": 2},
    "rrdbnet": {"channels": 2, "growth": 1, "blocks": 1},
    "srvgg": {"channels": 3, "convs": 2},
    "super_resolution": {"channels": 3},
    "generator": {"widths": (2, 2, 3)},
}
CASES = [(name, scale) for name in RESOLVERS for scale in scales(name)] + [("generator", 1)]


def tiny(name, scale, **options):
    at = {} if name == "generator" else {"scale": scale}
    return made(name, **{**TINY[name], **at, **options}).double()


def seen(model, scale, stride, length):
    """How far inputs reach into the block of `stride` pixels in the middle: each row is changed, and NaN goes on."""
    width = max(stride, 2)
    x = images(1, model.in_channels, length, width, dtype=torch.float64)
    at = length // 2 // stride * stride
    block = slice(at * scale, (at + stride) * scale)
    found = 0
    with torch.no_grad():
        for row in range(length):
            changed = x.clone()
            changed[:, :, row] = math.nan
            if bool(model(changed)[:, :, block].isnan().any()):
                found = max(found, at - row, row - (at + stride - 1))
    return found


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_the_layers_tell_what_changed_pixels_show(name, scale):
    model = tiny(name, scale)
    halo, stride = model.reach.halo, model.reach.stride
    found = seen(model, scale, stride, 2 * (halo + 2 * stride) + stride)
    assert found > 0 and -(-found // stride) * stride == halo


@pytest.mark.parametrize(
    ("name", "options", "want"),
    [
        ("espcn", {}, Reach(4, 1)), ("fsrcnn", {"scale": 2}, Reach(8, 1)), ("srvgg", {}, Reach(18, 1)),
        ("srvgg", {"convs": 32}, Reach(34, 1)), ("edsr", {}, Reach(36, 1)), ("edsr", {"blocks": 32}, Reach(68, 1)),
        ("rrdbnet", {"blocks": 6, "channels": 2, "growth": 1}, Reach(94, 1)),
        ("rrdbnet", {"channels": 2, "growth": 1}, Reach(349, 1)),
    ],
)  # fmt: skip
def test_known_reaches(name, options, want):
    assert models.create_model(name, **options).reach == want


@pytest.mark.parametrize(("name", "scale"), CASES)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_crops_with_the_halo_equal_the_whole(name, scale, data):
    model = tiny(name, scale)
    reach = model.reach
    length, width = (data.draw(st.integers(1, 2 * reach.halo + 3 * reach.stride)) for _ in range(2))
    x = images(1, model.in_channels, length, min(width, 9), dtype=torch.float64)
    start = data.draw(st.integers(0, (length - 1) // reach.stride)) * reach.stride
    stop = min(start + data.draw(st.integers(1, 4)) * reach.stride, length)
    check_crop(model, scale, reach, x, start, stop)


def check_crop(model, scale, reach, x, start, stop):
    begin, end = max(start - reach.halo, 0), min(stop + reach.halo, x.shape[2])
    assert begin % reach.stride == 0
    with torch.no_grad():
        whole, part = model(x), model(x[:, :, begin:end])
    part = part[:, :, (start - begin) * scale : (stop - begin) * scale]
    torch.testing.assert_close(part, whole[:, :, start * scale : stop * scale], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["espcn", "super_resolution"])
@pytest.mark.parametrize("upsampler", FREE)
def test_networks_with_other_upsamplers_have_a_reach_that_holds_or_none(name, upsampler):
    channels = {"widths": (4, 16), "in_channels": 4} if name == "espcn" else {"channels": 4}
    model = tiny(name, 2, upsampler=upsampler, **channels, **QUICK.get(upsampler, {}))
    reach = model.reach
    if upsampler in ("adaptive", "dysample"):
        assert reach is None
        return
    assert reach.stride == (1 if name == "espcn" else 2) and 2 < reach.halo < 30
    x = images(1, model.in_channels, 2 * reach.halo + 6 * reach.stride, 9, dtype=torch.float64)
    for start in (0, reach.stride, reach.halo + 2 * reach.stride, reach.halo + 3 * reach.stride):
        check_crop(model, 2, reach, x, start, start + 2 * reach.stride)


def test_upsamplers_reach_as_their_definitions_say():
    want = {
        "nearest": 0, "upconv": 0, "linear": 1, "cubic": 2, "lanczos": 3, "pixel_shuffle": 1, "resize_conv": 1,
        "conv_transpose": 1, "lightweight": 0, "separable": 1, "dysample": None, "adaptive": None,
    }  # fmt: skip
    for name, halo in want.items():
        found = reach_of(upsamplers.create_upsampler(name, 4))
        assert found == (None if halo is None else Reach(halo, 1)), name
    blurred = upsamplers.create_upsampler("pixel_shuffle", 4, blur=True)
    assert reach_of(blurred) == Reach(2, 1)
    assert reach_of(upsamplers.create_upsampler("linear", 4, edge="wrap")) is None
    assert reach_of(upsamplers.create_upsampler("linear", 4, scale=1.5)) is None


def layers(*each):
    torch.manual_seed(1)
    return torch.nn.Sequential(*each)


def conv(a, b, k, **options):
    return torch.nn.Conv2d(a, b, k, **options)


NN = torch.nn
PROBED = [
    (lambda: layers(conv(3, 4, 3, padding=1), conv(4, 3, 5, padding=2)), Reach(3, 1)),
    (lambda: layers(conv(3, 4, 3, padding=2, dilation=2)), Reach(2, 1)),
    (lambda: layers(conv(1, 8, 3, padding=1), NN.PixelShuffle(2), conv(2, 1, 3, padding=1)), Reach(2, 1)),
    (lambda: layers(conv(3, 4, 3, padding=1, stride=2), NN.ConvTranspose2d(4, 3, 2, 2)), Reach(2, 2)),
    (lambda: layers(conv(3, 4, 1), NN.Upsample(scale_factor=2, mode="bilinear")), Reach(1, 1)),
    (lambda: layers(NN.PixelUnshuffle(4), conv(16, 16, 3, padding=1), NN.PixelShuffle(4)), Reach(4, 4)),
    (lambda: layers(conv(3, 4, 3, padding=1), NN.InstanceNorm2d(4)), None),
    (lambda: layers(conv(3, 4, 3, padding=1, padding_mode="circular")), None),
    (lambda: layers(conv(3, 4, 3, padding=1), NN.AvgPool2d(2)), None),
    (lambda: layers(conv(3, 4, 3, padding=1), NN.AdaptiveAvgPool2d(1), NN.Upsample((48, 48))), None),
]


@pytest.mark.parametrize(("make", "want"), PROBED, ids=range(len(PROBED)))
def test_modules_that_do_not_tell_are_probed(make, want):
    channels = 1 if want == Reach(4, 4) else None
    assert reach_of(make(), in_channels=channels) == want


def test_probing_finds_what_the_layers_of_networks_tell():
    class Untold(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x)

    for name, scale in (("espcn", 3), ("srvgg", 2), ("super_resolution", 2), ("rrdbnet", 4)):
        model = tiny(name, scale)
        assert reach_of(Untold(model), in_channels=model.in_channels) == model.reach == reach_of(model)
    # [0, 1] needs [-2, 3] of the decoder's convolutions, [-1, 1] and [-3, 3] at half the size, [-6, 7], and [-8, 9].
    assert reach_of(made("unet", width=2, depth=1)) == Reach(8, 2)
    with pytest.raises(ValueError, match="in_channels="):
        reach_of(torch.nn.ReLU())
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        reach_of(lambda x: x)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 9), stride=st.integers(1, 5), pad=st.integers(0, 4), dilation=st.integers(1, 2),
    first=st.integers(-9, 9), more=st.integers(0, 9),
)  # fmt: skip
def test_intervals_of_convolutions(kernel, stride, pad, dilation, first, more):
    span = Span(first, first + more)
    out = range(span.first, span.last + 1)
    needed = {o * stride - pad + t * dilation for o in out for t in range(kernel)}
    assert span.convolved(kernel, stride, pad, dilation) == (min(needed), max(needed))
    made_of = {i for i in range(-60, 60) for t in range(kernel) if i * stride - pad + t * dilation in out}
    if made_of:
        assert span.transposed(kernel, stride, pad, dilation) == (min(made_of), max(made_of))
    blocks = {o // stride for o in out}
    assert span.shuffled(stride, 2) == (min(blocks) - 2, max(blocks) + 2)
    assert span.unshuffled(stride) == (span.first * stride, span.last * stride + stride - 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_that_begin_with_an_unshuffle(channels, dtype):
    """The first convolution takes more channels than the picture has."""
    net = torch.nn.Sequential(
        torch.nn.PixelUnshuffle(4),
        torch.nn.Conv2d(16 * channels, 5, 3, padding=1),
        torch.nn.Conv2d(5, 64 * channels, 3, padding=1),
        torch.nn.PixelShuffle(8),
    ).to(dtype)
    assert reach_of(net) == reach_of(net, channels) == Reach(8, 4)
    assert models.Enlarger(net).channels == channels


def test_channels_that_no_layer_tells_are_asked_for():
    odd = torch.nn.Sequential(torch.nn.PixelUnshuffle(2), torch.nn.Conv2d(9, 4, 1), torch.nn.PixelShuffle(2))
    for net in (odd, torch.nn.Upsample(scale_factor=2)):
        with pytest.raises(ValueError, match="in_channels"):
            reach_of(net)
        with pytest.raises(ValueError, match="does not tell how many channels"):
            models.Enlarger(net)
