# SPDX-License-Identifier: MIT
"""Subjects of audits: plain torch, with known faults and without."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import nn

from halfpixel.nn import functional
from halfpixel.upsamplers import create_upsampler


def interpolation(scale=2, **options):
    return functools.partial(F.interpolate, scale_factor=scale, **options)


def seeded(make, *args, **options):
    torch.manual_seed(7)
    return make(*args, **options)


def shuffled(icnr=True):
    """A convolution and torch's own pixel shuffle."""
    model = nn.Sequential(nn.Conv2d(8, 32, 3, padding=1), nn.PixelShuffle(2))
    if icnr:
        with torch.no_grad():
            model[0].weight.copy_(model[0].weight[::4].repeat_interleave(4, 0))
            model[0].bias.copy_(model[0].bias[::4].repeat_interleave(4))
    return model


class OneSidedBlur(nn.Module):
    """ICNR with an average of each pixel and those before it, as is often seen: everything moves by half a pixel."""

    def __init__(self):
        super().__init__()
        self.up = shuffled()

    def forward(self, x):
        return F.avg_pool2d(F.pad(self.up(x), (1, 0, 1, 0), mode="replicate"), 2, 1)


class PooledAttention(nn.Module):
    """Channels weighted by their means over the whole map."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(8, 8, 3, padding=1, padding_mode="replicate"), nn.Linear(8, 8)

    def forward(self, x):
        y = self.conv(x)
        return F.interpolate(y * torch.sigmoid(self.gate(y.mean((2, 3))))[..., None, None], scale_factor=2)


class Watchful(nn.Module):
    """Batch normalisation, dropout, and a buffer that counts calls, whatever the mode."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls += 1
        y = F.dropout(self.norm(self.conv(x)), 0.5, training=self.training)
        return F.interpolate(y, scale_factor=2)


class UNet(nn.Module):
    """One level, with a transposed convolution inside and a result of the input's size."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.up, self.c = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x):
        a = self.a(x).relu()
        return self.c(torch.cat([a, self.up(self.b(F.max_pool2d(a, 2)).relu())], 1))


PATTERNS = {"polyphase", "flat", "ramp", "comb"}
# name: subject, what fails, what is a warning
SINNERS = {
    "transposed convolution, kernel 3, stride 2": (
        lambda: seeded(nn.ConvTranspose2d, 8, 8, 3, stride=2, padding=1), PATTERNS, set(),
    ),
    "and its output padding": (  # the centre of three taps lies at 2 x, half a pixel from 2 x + 1/2
        lambda: seeded(nn.ConvTranspose2d, 8, 8, 3, stride=2, padding=1, output_padding=1), PATTERNS | {"shift"},
        {"border"},
    ),
    "transposed convolution, random weights": (
        lambda: seeded(nn.ConvTranspose2d, 8, 8, 4, stride=2, padding=1), PATTERNS, {"border"},
    ),
    "pixel shuffle, random weights": (lambda: seeded(shuffled, icnr=False), PATTERNS, {"border"}),
    "zero-padded CARAFE": (lambda: seeded(create_upsampler, "carafe", 8, compressed_channels=8), {"border"}, set()),
    "ICNR, one-sided blur": (lambda: seeded(OneSidedBlur), {"shift"}, {"border"}),
    "align_corners": (lambda: interpolation(mode="bilinear", align_corners=True), {"shift"}, set()),
    "legacy nearest, 4/3": (lambda: interpolation(4 / 3), {"shift"}, {"gradient"}),
    "global attention": (lambda: seeded(PooledAttention), {"equivariance"}, set()),
    "shrinking with a stride": (
        lambda: seeded(nn.Conv2d, 8, 8, 3, stride=2, padding=1, padding_mode="replicate"), {"gradient", "shift"},
        set(),
    ),
}  # fmt: skip
SAINTS = {
    "bilinear": (lambda: interpolation(mode="bilinear"), set()),
    "bilinear, 3/2": (lambda: interpolation(1.5, mode="bilinear"), set()),
    "nearest, 3": (lambda: interpolation(3), set()),
    "nearest-exact, 4/3": (lambda: interpolation(4 / 3, mode="nearest-exact"), {"gradient"}),
    "trilinear": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), set()),
    "linear of signals": (lambda: nn.Upsample(scale_factor=4, mode="linear"), set()),
    "bicubic": (lambda: interpolation(mode="bicubic"), {"overshoot", "noise"}),
    "lanczos": (
        lambda: functools.partial(functional.resize, scale=(2, 2), filter="lanczos3"), {"overshoot", "noise"},
    ),
    "CARAFE, renorm": (
        lambda: seeded(create_upsampler, "carafe", 8, compressed_channels=8, padding="renorm"), set(),
    ),
    "DySample": (lambda: seeded(create_upsampler, "dysample", 8), set()),
    "ICNR": (lambda: seeded(shuffled), {"border"}),
    "resize_conv": (lambda: seeded(create_upsampler, "resize_conv", 8), {"border"}),
    "conv_transpose": (lambda: seeded(create_upsampler, "conv_transpose", 8), {"border"}),
    "conv_transpose, replicate": (
        lambda: seeded(create_upsampler, "conv_transpose", 8, padding_mode="replicate"), set(),
    ),
    "antialiased shrinking": (lambda: interpolation(0.5, mode="bilinear", antialias=True), set()),
    "average pooling": (lambda: nn.AvgPool2d(2), set()),
    "identity": (nn.Identity, set()),
}  # fmt: skip
