# SPDX-License-Identifier: MIT
"""Decoder blocks with every upsampler that fits them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from halfpixel.upsamplers import blocks, create_downsampler  # noqa: E402
from tests.upsamplers.family import UP, ids  # noqa: E402

PLAIN = [entry for entry in UP if not entry.guide and 2 in entry.dims and entry.name != "haar_unpool"]


@pytest.mark.parametrize("entry", [e for e in UP if 2 in e.dims], ids=ids)
def test_a_unet_block_of_every_method(entry):
    block = blocks.UNetBlock(16, 8, 12, upsampler=entry.name)
    y = block(torch.rand(2, 16, 3, 4), torch.rand(2, 8, 5, 8))
    assert y.shape == (2, 12, 5, 8)
    y.sum().backward()
    assert all(p.grad is not None for p in block.parameters())


def test_unet_blocks_of_other_kinds():
    for dims, norm in ((1, "group"), (2, "instance"), (3, "none")):
        block = blocks.UNetBlock(6, 4, 5, upsampler="pixel_shuffle", dims=dims, norm=norm)
        size = (5, 7, 6)[:dims]
        assert block(torch.rand(2, 6, *(-(-n // 2) for n in size)), torch.rand(2, 4, *size)).shape == (2, 5, *size)
    assert blocks.UNetBlock(6, 0, 5)(torch.rand(1, 6, 3, 3)).shape == (1, 5, 6, 6)
    assert blocks.UNetBlock(64, 32, 32).up.conv.weight.shape == (64, 32, 2, 2)  # the paper's
    with pytest.raises(ValueError, match="no skip connection was given"):
        blocks.UNetBlock(6, 4, 5)(torch.rand(1, 6, 3, 3))
    with pytest.raises(ValueError, match="block without"):
        blocks.UNetBlock(6, 0, 5)(torch.rand(1, 6, 3, 3), torch.rand(1, 4, 6, 6))
    with pytest.raises(ValueError, match="unknown norm"):
        blocks.UNetBlock(6, 4, 5, norm="layer")


@pytest.mark.parametrize("entry", PLAIN, ids=ids)
def test_esrgan_and_sub_pixel_blocks_of_every_method(entry):
    assert blocks.ESRGANUpsample(8, 4, upsampler=entry.name)(torch.rand(1, 8, 3, 4)).shape == (1, 8, 12, 16)
    block = blocks.SubPixelBlock(8, 8, upsampler=entry.name)
    assert block(torch.rand(2, 8, 3, 4), torch.rand(2, 8, 5, 8)).shape == (2, 8, 5, 8)


def test_esrgan_is_nearest_convolution_and_leaky_rectifier():
    block = blocks.ESRGANUpsample(4)
    x = torch.rand(1, 4, 5, 6)
    want = x
    for i in (0, 2):
        conv = block.steps[i].conv
        want = torch.nn.functional.interpolate(want, scale_factor=2)
        want = torch.nn.functional.leaky_relu(torch.nn.functional.conv2d(want, conv.weight, conv.bias, padding=1), 0.2)
    torch.testing.assert_close(block(x), want, rtol=0, atol=1e-6)
    assert blocks.ESRGANUpsample(4, 3)(x).shape == (1, 4, 15, 18)
    assert any(isinstance(m, torch.nn.Conv2d) for m in blocks.ESRGANUpsample(4, 2, "nearest").modules())
    with pytest.raises(ValueError, match=r"^ESRGANUpsample.*scale"):
        blocks.ESRGANUpsample(4, 5)


def test_segnet_puts_values_back_to_their_maxima():
    torch.manual_seed(0)
    down, up = blocks.SegNetEncoder(3, 6), blocks.SegNetDecoder(6, 4)
    pooled, indices, size = down(torch.rand(2, 3, 9, 7))
    assert size == (9, 7) and pooled.shape == (2, 6, 5, 4) and indices.dtype == torch.int64
    assert up(pooled, indices, size).shape == (2, 4, 9, 7)
    sparse = up.up(pooled, size, indices)
    assert int((sparse != 0).sum()) <= pooled.numel() < sparse.numel()
    other = blocks.SegNetDecoder(6, 4, upsampler="linear")
    assert other(pooled, indices, size).shape == (2, 4, 9, 7)
    volume = blocks.SegNetEncoder(2, 3, depth=1, dims=3)(torch.rand(1, 2, 4, 5, 3))
    assert blocks.SegNetDecoder(3, 2, depth=1, dims=3)(*volume).shape == (1, 2, 4, 5, 3)


@pytest.mark.parametrize("name", ["nearest", "carafe", "sapa", "dysample", "linear"])
def test_a_feature_pyramid_step(name):
    step = blocks.FPNTopDown(6, 8, upsampler=name)
    top, lateral = torch.rand(1, 8, 3, 4), torch.rand(1, 6, 5, 8)
    merged, out = step(top, lateral)
    assert merged.shape == out.shape == (1, 8, 5, 8)
    if name == "nearest":
        up = torch.nn.functional.interpolate(top, (5, 8), mode="nearest-exact")
        torch.testing.assert_close(merged, step.lateral(lateral) + up)


def test_a_skip_connection_of_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"^SubPixelBlock.*8 channels, skip has 3"):
        blocks.SubPixelBlock(8, 8)(torch.rand(1, 8, 3, 4), torch.rand(1, 3, 6, 8))


def test_down_and_up_through_a_network():
    net = torch.nn.ModuleList([create_downsampler("blur_pool", 8, 16), blocks.UNetBlock(16, 8, 8, upsampler="fir")])
    x = torch.rand(1, 8, 11, 13)
    assert net[1](net[0](x), x).shape == x.shape
