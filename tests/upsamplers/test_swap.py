# SPDX-License-Identifier: MIT
"""Upsamplings of models that exist, replaced: what is kept, what is not, and what is left."""

from __future__ import annotations

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from halfpixel import nn  # noqa: E402
from halfpixel.nn import functional  # noqa: E402
from halfpixel.upsamplers import swap_upsamplers  # noqa: E402


class Decoder(torch.nn.Module):
    """Calls of every kind, one of them in a child."""

    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(6, 2, 1)
            self.unused = torch.nn.Conv2d(6, 2, 1)

        def forward(self, x, size):
            return F.interpolate(self.conv(x), size=size, mode="bilinear", align_corners=False)

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(6)
        self.down = torch.nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.head = Decoder.Head()
        self.register_buffer("mean", torch.ones(1))

    def forward(self, image):
        x = self.norm(self.stem(image))
        y = functional.interpolate(self.down(x), size=x.shape[-2:], mode="nearest-exact") + x * self.mean
        return self.head(F.interpolate(y, scale_factor=2), image.shape[-2:])


IMAGE = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_calls_in_a_model_and_its_child():
    torch.manual_seed(0)
    model = Decoder().train()
    state, want = copy.deepcopy(model.state_dict()), copy.deepcopy(model).eval()(IMAGE)
    report = swap_upsamplers(model, "linear", IMAGE)
    assert [s.name for s in report.swapped] == ["head.upsampler_0", "upsampler_0", "upsampler_1"]
    assert [s.kind for s in report.swapped] == [
        "interpolate(bilinear)",
        "interpolate(nearest-exact)",
        "interpolate(nearest)",
    ]
    assert [s.kept for s in report.swapped] == [True, False, False] and not report.left
    assert isinstance(report.model, torch.fx.GraphModule) and report.model.training and report.model.norm.training
    assert list(report.model.state_dict()) == list(state)  # also what the graph does not use
    assert all(torch.equal(v, state[k]) for k, v in report.model.state_dict().items())  # and no statistics moved
    assert report.difference > 1e-3
    assert report.model.eval()(IMAGE).shape == want.shape


@pytest.mark.parametrize("name", ["nearest", "pixel_shuffle", "upconv", "separable", "resize_conv"])
def test_the_output_is_kept_where_the_method_can(name):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Upsample(scale_factor=2), nn.UpsamplingNearest2d(scale_factor=(2, 3))
    ).eval()
    want = model(IMAGE)
    report = swap_upsamplers(model, name, IMAGE)
    assert report.model is model and report.kept and len(report.swapped) == 2
    assert report.difference <= 1e-6
    torch.testing.assert_close(model(IMAGE), want, rtol=0, atol=1e-6)
    assert model[2].scale == (2, 3) and not model.training
    pickle.loads(pickle.dumps(report.model))


def test_bilinear_is_kept_and_trains():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            return F.interpolate(self.conv(x), scale_factor=2, mode="bilinear")

    torch.manual_seed(0)
    model = Net()
    want = model(IMAGE)
    report = swap_upsamplers(model, "adaptive", IMAGE, threshold=10**6)
    assert report.kept and report.difference < 1e-5
    got = report.model(IMAGE)
    torch.testing.assert_close(got, want, rtol=0, atol=2e-6)
    got.square().sum().backward()
    assert report.model.upsampler_0.conv.weight.grad.abs().sum() > 0
    assert "interpolate(bilinear): kept at step 0" in str(report)
    assert report.to_dict()["swapped"][0]["kept"] is True


@pytest.mark.parametrize(
    ("module", "name", "why"),
    [
        (torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), "linear", "align_corners"),
        (torch.nn.Upsample(scale_factor=1.5, mode="bilinear"), "linear", "1 / scale_factor"),
        (torch.nn.Upsample(size=(17, 25)), "nearest", "other neighbours"),
        (torch.nn.Upsample(size=(31, 48), mode="bilinear"), "fir", "cuts the end off"),
        (torch.nn.Upsample(scale_factor=2, mode="bicubic"), "cubic", "-0.75"),
        (torch.nn.Upsample(scale_factor=2, mode="bilinear"), "conv_transpose", "replicate"),
        (torch.nn.Upsample(scale_factor=2), "hybrid", "no weights that make it nearest"),
    ],
)
def test_where_the_output_is_not_kept_the_report_says_why(module, name, why):
    model = torch.nn.Sequential(module)
    want = model(IMAGE)
    report = swap_upsamplers(model, name, IMAGE)
    assert not report.kept and why in str(report)
    got = report.model(IMAGE).detach()
    assert got.shape == want.shape
    assert report.difference == pytest.approx(float((got - want).abs().max()))


def test_options_make_some_equal():
    for mode, name, options in (
        ("bicubic", "cubic", {"a": -0.75}), ("bilinear", "conv_transpose", {"padding_mode": "replicate"}),
        ("bilinear", "pixel_shuffle", {"blur": True}), ("bilinear", "fir", {}),
        ("bilinear", "upconv", {"mode": "linear"}),
    ):  # fmt: skip
        report = swap_upsamplers(torch.nn.Sequential(torch.nn.Upsample(None, 2, mode)), name, IMAGE, **options)
        assert report.kept and report.difference < 2e-6, str(report)


def test_what_cannot_be_swapped_is_left_with_a_reason():
    class Flagged(torch.nn.Module):
        def forward(self, x):
            return F.dropout(F.interpolate(x, scale_factor=2), training=self.training)

    class Branching(torch.nn.Module):
        def forward(self, x):
            return F.interpolate(x, scale_factor=2) if x.sum() > 0 else x

    model = torch.nn.Sequential(
        Flagged(), Branching(), torch.nn.Upsample(scale_factor=1.5), torch.nn.Upsample(scale_factor=0.5)
    )
    model.add_module("never", torch.nn.Identity())
    model.never.up = torch.nn.Upsample(scale_factor=2)
    report = swap_upsamplers(model, "pixel_shuffle", IMAGE)
    assert not report.swapped and report.difference == 0 and report.model is model
    text = str(report)
    for why in ("self.training", "cannot trace", "whole scales only", "smaller", "did not reach"):
        assert why in text


def test_transposed_convolutions_only_when_asked_for():
    def model():
        return torch.nn.Sequential(
            torch.nn.ConvTranspose2d(3, 5, 4, 2, 1), torch.nn.ConvTranspose2d(5, 4, 3, 2, 1, 1),
            torch.nn.ConvTranspose2d(4, 4, 3, 2),
        )  # fmt: skip

    assert not swap_upsamplers(model(), "resize_conv", IMAGE).swapped
    other = model()
    shape = other(IMAGE).shape
    report = swap_upsamplers(other, "resize_conv", IMAGE, transposed=True)
    assert [s.name for s in report.swapped] == ["0", "1"] and [s.name for s in report.left] == ["2"]
    assert other(IMAGE).shape == shape and "learned weights" in str(report) and "stride times" in str(report)


def test_wrong_arguments():
    model = torch.nn.Upsample(scale_factor=2)
    with pytest.raises(ValueError, match=r"^swap_upsamplers.*needs a guide"):
        swap_upsamplers(model, "guided_filter", IMAGE)
    with pytest.raises(ValueError, match="unknown upsampler"):
        swap_upsamplers(model, "bilinear", IMAGE)
    with pytest.raises(TypeError, match="model is a str"):
        swap_upsamplers("model", "nearest", IMAGE)
    report = swap_upsamplers(model, "nearest", IMAGE)  # the model itself is the module
    assert report.model(IMAGE).shape == (2, 3, 32, 48) and type(report.model).__name__ == "Nearest"
