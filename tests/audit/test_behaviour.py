# SPDX-License-Identifier: MIT
"""What an audit leaves alone, what it finds out by itself, and what it says."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import halfpixel
from halfpixel._audit import TABLE
from halfpixel._audit._layers import layers, phase_sums
from halfpixel._audit._patterns import phase_means
from halfpixel._audit._subject import Subject
from halfpixel.nn import functional
from halfpixel.upsamplers import LazyUpsampler, create_upsampler

from .subjects import Watchful, interpolation, seeded


def test_module_gradients_buffers_mode_and_random_state_stay_as_they_were():
    module = seeded(Watchful)
    module.norm.eval()
    module(torch.rand(2, 3, 8, 8)).sum().backward()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    grads = [p.grad.clone() for p in module.parameters()]
    modes, buffers = [m.training for m in module.modules()], [id(b) for b in module.buffers()]
    state = torch.get_rng_state()
    halfpixel.audit(module)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), grads, strict=True))
    assert [m.training for m in module.modules()] == modes and [id(b) for b in module.buffers()] == buffers
    assert torch.equal(torch.get_rng_state(), state)


def test_a_subject_that_raises_is_left_as_it_was_too():
    module = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(5, 3, 3))
    with pytest.raises(ValueError, match=r"audit.*no probe could be made"):
        halfpixel.audit(module, in_channels=4)
    assert module.training and module[0].training


def test_two_audits_are_equal_under_any_random_state_and_grad_mode():
    module = seeded(create_upsampler, "pixel_shuffle", 4)
    first = halfpixel.audit(module)
    torch.manual_seed(99)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert halfpixel.audit(module) == first


def test_functional_randomness_is_seeded():
    def noisy(x):
        return F.interpolate(x, scale_factor=2) + 0.5 * torch.rand(1).to(x)

    assert halfpixel.audit(noisy) == halfpixel.audit(noisy)


@pytest.mark.parametrize(
    ("module", "channels", "dims", "scale"),
    [
        (nn.Conv3d(5, 2, 3, stride=(1, 2, 2), padding=1), 5, 3, (1.0, 0.5, 0.5)),
        (nn.Sequential(nn.BatchNorm2d(7), nn.Upsample(scale_factor=3)), 7, 2, (3.0, 3.0)),
        (nn.PixelShuffle(3), 9, 2, (3.0, 3.0)),
        (nn.ConvTranspose1d(2, 3, 5, stride=4), 2, 1, (4.0,)),
        (nn.Upsample(scale_factor=1.25), 3, 2, (1.25, 1.25)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_channels_axes_and_scale_are_found(module, channels, dims, scale):
    found = halfpixel.audit(module)
    assert (found.in_channels, len(found.size_in), found.scale) == (channels, dims, scale)


def test_shape_and_channels_can_be_given_and_outputs_may_be_packed():
    found = halfpixel.audit(lambda x: {"out": [F.interpolate(x, scale_factor=2)]}, in_channels=5, shape=(12, 18))
    assert (found.in_channels, found.size_in, found.size_out) == (5, (12, 18), (24, 36)) and found.passed


def test_a_scale_that_sizes_cannot_tell_can_be_given():
    found = halfpixel.audit(interpolation(1.37, mode="bilinear"), scale=1.37)
    assert found.passed and found["equivariance"].verdict == "not applicable"


def test_probes_grow_until_there_is_an_inside():
    deep = nn.Sequential(*(nn.Conv1d(2, 2, 9, padding=4) for _ in range(10)))
    found = seeded(lambda: halfpixel.audit(deep))
    assert found.size_in[0] > 64 and found.halo is not None and found["equivariance"].verdict == "pass"


def test_half_precision_is_judged_by_its_own_steps():
    good = halfpixel.audit(create_upsampler("linear", 4).to(torch.bfloat16))
    assert halfpixel.audit(nn.Upsample(scale_factor=2).to(torch.bfloat16)).passed and good.passed
    bad = halfpixel.audit(seeded(nn.ConvTranspose2d, 4, 4, 3, stride=2, padding=1).to(torch.bfloat16))
    assert {"polyphase", "flat"} <= set(bad.failed) and bad["flat"].limit > TABLE["flat"].limit


def test_functions_without_a_gradient_are_audited_for_the_rest():
    found = halfpixel.audit(lambda x: F.interpolate(x.detach(), scale_factor=2))
    assert found["gradient"].verdict == "not applicable" and found["shift"].verdict == "pass"


def test_outputs_that_are_not_finite_fail():
    found = halfpixel.audit(lambda x: F.interpolate(x, scale_factor=2) * float("nan"))
    assert not found.passed
    json.loads(json.dumps(found.to_dict(), allow_nan=False))


@pytest.mark.parametrize(
    ("module", "error", "says"),
    [
        (3, TypeError, "cannot be called"),
        (lambda x: x.mean((2, 3)), ValueError, "no probe could be made"),
        (LazyUpsampler("linear", scale=2), ValueError, "one call of the module before"),
    ],
)
def test_what_cannot_be_audited_says_why(module, error, says):
    if isinstance(module, LazyUpsampler) and not list(module.parameters()):
        module = nn.LazyConv2d(3, 3)
    with pytest.raises(error, match=says):
        halfpixel.audit(module)


def test_phase_sums_are_those_of_a_constant():
    torch.manual_seed(0)
    for kernel, stride, dilation in [((3,), (2,), (1,)), ((4, 5), (2, 3), (1, 1)), ((3, 2), (2, 2), (3, 1))]:
        weight = torch.rand(2, 3, *kernel, dtype=torch.float64)
        op = (F.conv_transpose1d, F.conv_transpose2d)[len(kernel) - 1]
        for i in range(2):
            x = torch.zeros(1, 2, *(12,) * len(kernel), dtype=torch.float64)
            x[:, i] = 1
            y = op(x, weight, stride=stride, dilation=dilation)
            inner = y[(0, slice(None), *(slice(6 * s, 9 * s) for s in stride))]
            assert torch.allclose(
                phase_means(inner, stride).flatten(1), phase_sums(weight, stride, dilation).view(2, 3, -1)[i]
            )


def test_ones_of_a_kernel_3_have_the_score_of_one_two_two_four():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, bias=False)
    nn.init.ones_(layer.weight)
    sums = torch.tensor([1.0, 2.0, 2.0, 4.0], dtype=torch.float64)
    want = float(sums.std(unbiased=False) / sums.mean())
    assert halfpixel.audit(layer)["polyphase"].number == pytest.approx(want)


@pytest.mark.parametrize("order", ["torch", "onnx"])
@pytest.mark.parametrize("factors", [(2, 2), (2, 3), (3,), (1, 2, 2)])
def test_the_pixels_of_a_shuffle_are_followed_by_any_order(order, factors):
    dims, block = len(factors), torch.Size(factors).numel()
    conv = seeded(getattr(nn, f"Conv{dims}d"), 2, 5 * block, 3, padding=1)
    subject = Subject(lambda x: functional.pixel_shuffle(conv(x), factors, order=order), 2, (12,) * dims, None, None)
    (layer,) = layers(subject)
    assert layer.factors == factors
    each = conv.weight.detach().double().flatten(2).sum(2)
    split = each.view(5, block, 2) if order == "torch" else each.view(block, 5, 2).transpose(0, 1)
    want = split.permute(0, 2, 1).flatten(0, 1)
    assert torch.allclose(layer.sums.sort(1).values, want.sort(1).values)


def test_a_shuffle_by_hand_is_found():
    conv = seeded(nn.Conv2d, 2, 12, 3, padding=1)

    def up(x):
        y = conv(x)
        n, _, h, w = y.shape
        return y.view(n, 3, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 3, 2 * h, 2 * w)

    (layer,) = layers(Subject(up, 2, None, None, None))
    assert layer.factors == (2, 2) and layer.sums.shape == (6, 4)


def test_layers_that_no_call_uses_are_told():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Upsample(scale_factor=2), nn.ConvTranspose2d(3, 3, 3, stride=2)

        def forward(self, x):
            return self.used(x)

    found = halfpixel.audit(seeded(Idle))
    assert found["polyphase"].verdict == "warning" and "idle (not called)" in found["polyphase"].sentence


def test_the_result_is_plain_and_frozen():
    found = halfpixel.audit(interpolation(mode="bicubic"))
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["passed"] is True and [c["name"] for c in plain["checks"]] == list(TABLE)
    assert all(c["reason"] and c["sentence"] for c in plain["checks"])
    text = str(found)
    assert all(name in text for name in TABLE) and text.splitlines()[-1] == found.verdict
    assert "overshoots by 10.5%" in found.verdict and found.verdict.startswith("no faults")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.verdict = "fine"


def test_the_picture_is_drawn_in_the_formats_names(tmp_path):
    pytest.importorskip("matplotlib", reason='pictures need pip install "halfpixel[plot]"')
    found = halfpixel.audit(interpolation(mode="bicubic"))
    found.plot(tmp_path / "a.png")
    found.plot(tmp_path / "a.svg")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG" and "<svg" in (tmp_path / "a.svg").read_text()
    halfpixel.audit(nn.Upsample(scale_factor=2, mode="linear")).plot(tmp_path / "signal.png")
    with pytest.raises(ValueError, match="no picture of format 'xyz'"):
        found.plot(tmp_path / "a.xyz")


def test_max_pooling_takes_the_first_of_equals_of_a_constant():
    """The gradient at a constant is 0 for three pixels of four, and at pictures it is not: no fault."""
    pooled = nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear"))
    found = halfpixel.audit(pooled, in_channels=1)["gradient"]
    assert found.verdict == "warning" and found.number > 1 and "max pooling" in found.sentence
    strided = nn.Sequential(nn.AvgPool2d(1, stride=2), nn.Upsample(scale_factor=2, mode="bilinear"))
    assert halfpixel.audit(strided, in_channels=1)["gradient"].verdict == "fail"  # three of four are never looked at
