# SPDX-License-Identifier: MIT
"""Upsamplers whose channels are not told: swaps without an example, and modules that the first call makes."""

from __future__ import annotations

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from halfpixel.upsamplers import LazyUpsampler, create_upsampler, swap_upsamplers  # noqa: E402
from tests.upsamplers.family import SMALLER, UP, ids, stirred  # noqa: E402

IMAGE = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
nn = torch.nn
LAZY = [e for e in UP if not e.guide and e.name != "haar_unpool"]


def decoder(*between, mode="bilinear"):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *between, nn.Upsample(scale_factor=2, mode=mode))


@pytest.mark.parametrize(
    "model",
    [
        decoder(), decoder(nn.ReLU(), nn.Dropout(0.1)), decoder(nn.BatchNorm2d(8)), decoder(nn.GroupNorm(2, 8)),
        nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU(), nn.Conv2d(8, 3, 3)),
        nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 1)), nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"))),
        nn.Sequential(nn.PixelShuffle(2), nn.Upsample(scale_factor=2), nn.BatchNorm2d(8)),
    ],
)  # fmt: skip
def test_channels_of_the_modules_around(model):
    report = swap_upsamplers(model.double(), "dysample")
    (made,) = [m for m in model.modules() if type(m).__name__ == "DySample"]
    assert made.in_channels == 8 and made.dims == 2 and made.offset.weight.dtype == torch.float64
    assert len(report.swapped) == 1 and not report.swapped[0].lazy and report.model is model
    assert "unknown without an example" in str(report)


def test_the_output_is_kept_without_an_example():
    model = decoder().eval()
    want = model(IMAGE)
    report = swap_upsamplers(model, "dysample")
    assert report.kept and report.difference != report.difference
    torch.testing.assert_close(report.model(IMAGE), want, rtol=0, atol=2e-6)
    assert not model[1].training
    other = decoder(mode="nearest")
    assert not swap_upsamplers(other, "carafe").kept


class Net(nn.Module):
    """Calls in a forward method: after a convolution, before one, of a sum, and to a size."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(11, 5, 1)

    def forward(self, image):
        x = F.relu(self.stem(image))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = torch.cat([x, image], 1)
        x = self.head(F.interpolate(x, scale_factor=2, mode="nearest"))
        y = F.interpolate(x + 1, size=image.shape[-2:], mode="bilinear")
        return x, y


def test_calls_in_a_forward_method():
    torch.manual_seed(0)
    model = Net().eval()
    # The last call shrinks: a lazy module that says so at the first call.
    report = swap_upsamplers(copy.deepcopy(model), "linear")
    assert [(s.name, s.lazy) for s in report.swapped] == [
        ("upsampler_0", False), ("upsampler_1", False), ("upsampler_2", True)
    ]  # fmt: skip
    assert report.model.upsampler_0.in_channels == 8 and report.model.upsampler_1.in_channels == 11
    assert report.swapped[0].kept and not report.swapped[1].kept
    with pytest.raises(ValueError, match=r"(?s)^LazyUpsampler\(.*smaller.*example="):
        report.model(IMAGE)


def test_a_call_to_a_size_learns_its_scale():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, 2, 1)

        def forward(self, image):
            return F.interpolate(self.conv(image), size=image.shape[-2:], mode="bilinear")

    model = nn.Sequential(nn.Identity(), Head())
    want = model(IMAGE)
    report = swap_upsamplers(model, "dysample")
    assert report.swapped[0].name == "1.upsampler_0" and report.swapped[0].lazy and not report.kept
    torch.testing.assert_close(model(IMAGE), want, rtol=0, atol=2e-6)
    assert model[1].upsampler_0.scale == (2, 2) and model(IMAGE[..., :7, :11]).shape[2:] == (7, 11)
    other = nn.Sequential(nn.Upsample(size=(15, 24)))
    swap_upsamplers(other, "pixel_shuffle")
    assert other(IMAGE).shape == (2, 3, 15, 24)


@pytest.mark.parametrize("entry", LAZY, ids=ids)
def test_every_method_is_made_at_the_first_call(entry):
    options, dims = SMALLER.get(entry.name, {}), entry.dims[-1]
    x = torch.rand(1, 4, 3, 5, 2)[(..., *[0] * (3 - dims))]
    lazy = LazyUpsampler(entry.name, **options)
    names = [name for name, _ in lazy.named_parameters()]
    for p in lazy.parameters():
        with pytest.raises(ValueError, match="uninitialized"):
            p.numel()
    if names:
        with pytest.raises(RuntimeError, match=r"LazyUpsampler, has no weights yet\n.*one call of the model"):
            lazy.state_dict()
    again = [copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy)), lazy]
    for module in again:
        assert module(x).shape[2:] == tuple(2 * n for n in x.shape[2:])
        assert type(module) is entry.module and [n for n, _ in module.named_parameters()] == names
    plain = create_upsampler(entry.name, 4, dims=dims, **options)
    assert {k: v.shape for k, v in lazy.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    assert vars(lazy).keys() == vars(plain).keys() and repr(lazy) == repr(plain)
    plain.load_state_dict(lazy.state_dict())
    assert torch.equal(plain(x), lazy(x))
    # A state makes it too, before any call.
    other = LazyUpsampler(entry.name, dims=dims, **options)
    other.load_state_dict(stirred(plain).state_dict())
    assert names == [] or type(other) is entry.module
    assert torch.equal(other(x), plain(x))


def test_an_optimizer_made_before_the_first_call_trains_what_the_call_makes():
    model = nn.Sequential(LazyUpsampler("pixel_shuffle"))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    y = model(IMAGE)
    before = model[0].conv.weight.detach().clone()
    y.square().sum().backward()
    optimizer.step()
    assert model[0].conv.weight is optimizer.param_groups[0]["params"][0]
    assert (model[0].conv.weight - before).abs().max() > 1e-3
    model(IMAGE)
    assert len(calls) == 2


def test_dtype_mode_and_inference():
    lazy = LazyUpsampler("carafe").to(torch.float64).eval()
    with torch.inference_mode():
        y = lazy(IMAGE.double())
    assert y.dtype == torch.float64 and not lazy.training and not lazy.content_encoder.training
    (lazy(IMAGE.double()).sum()).backward()
    assert lazy.content_encoder.weight.grad is not None
    state = torch.get_rng_state()
    LazyUpsampler("carafe")
    assert torch.equal(torch.get_rng_state(), state)


def test_states_that_do_not_fit():
    lazy = LazyUpsampler("pixel_shuffle")
    with pytest.raises(RuntimeError, match=r"no number of channels gives these shapes; call the model once"):
        lazy.load_state_dict({"conv.weight": torch.zeros(7, 3, 3, 3), "conv.bias": torch.zeros(7)})
    model = nn.Sequential(nn.Conv2d(3, 3, 1), lazy)
    told = model.load_state_dict(nn.Sequential(nn.Conv2d(3, 3, 1)).state_dict(), strict=False)
    assert told.missing_keys == ["1.conv.weight", "1.conv.bias"] and type(lazy) is LazyUpsampler
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(nn.Sequential(nn.Conv2d(3, 3, 1)).state_dict())


def test_what_cannot_be_swapped_is_known_without_an_example():
    class Optional(nn.Module):
        def forward(self, x, y=None):
            return F.interpolate(x, scale_factor=2) if y is None else x

    class Computed(nn.Module):
        def forward(self, x, s):
            return F.interpolate(x, scale_factor=s)

    model = nn.ModuleList(
        [Optional(), Computed(), nn.Upsample(scale_factor=1.5), nn.Upsample(scale_factor=0.5)]
    )  # fmt: skip
    report = swap_upsamplers(model, "pixel_shuffle")
    assert not report.swapped and len(report.left) == 4
    for why in ("what y does", "scale_factor is computed", "whole scales only, not 1.5", "smaller"):
        assert why in str(report)


def test_wrong_arguments():
    model = decoder()
    for call in (lambda: swap_upsamplers(model, "carafe", up_kernel=4), lambda: LazyUpsampler("carafe", up_kernel=4)):
        with pytest.raises(ValueError, match="up_kernel is 4"):
            call()
    with pytest.raises(ValueError, match="unknown option of 'carafe'"):
        swap_upsamplers(model, "carafe", nonsense=1)
    with pytest.raises(ValueError, match="makes 16 channels of 64"):
        swap_upsamplers(model, "haar_unpool")
    assert type(model[1]) is nn.Upsample
    with pytest.raises(ValueError, match=r"(?s)^LazyUpsampler\(.*10 channels are not divisible by 4.*example="):
        LazyUpsampler("dysample")(torch.rand(1, 10, 4, 4))
    with pytest.raises(ValueError, match="there is no scale"):
        LazyUpsampler("nearest", None)(IMAGE)


def test_one_module_in_places_of_other_channels_is_left():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.conv = nn.Upsample(scale_factor=2), nn.Conv2d(3, 5, 1)

        def forward(self, x):
            return self.up(self.conv(self.up(x)))

    report = swap_upsamplers(Shared(), "pixel_shuffle", IMAGE)
    assert not report.swapped and "called with 3 and 5 channels" in str(report)
