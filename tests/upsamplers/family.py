# SPDX-License-Identifier: MIT
"""What the tests of the family share: modules by their rows, inputs and guides that fit them, and what they count."""

from __future__ import annotations

import math
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from halfpixel import upsamplers
from halfpixel.nn import functional
from halfpixel.upsamplers import resize_conv

CHANNELS = 8
# Options that make tests quick.
SMALLER = {
    "carafe": {"compressed_channels": 8},
    "convex": {"hidden": 8},
    "fade": {"embedding": 8, "up_kernel": 3},
    "freqfusion": {"compressed_channels": 8, "up_kernel": 3},
    "joint_bilateral": {"up_kernel": 3},
    "liif": {"hidden": (8, 8)},
    "local_attention": {"embedding": 8, "up_kernel": 3},
    "sapa": {"embedding": 8, "up_kernel": 3},
}
SIZES = {1: (7,), 2: (5, 7), 3: (3, 5, 2)}
ENTRIES = [*upsamplers.list_upsamplers(), *upsamplers.list_downsamplers()]
UP, DOWN = upsamplers.list_upsamplers(), upsamplers.list_downsamplers()
CASES = [(entry, dims) for entry in ENTRIES for dims in entry.dims]


def ids(value):
    return getattr(value, "name", str(value))


def guide_channels(entry, channels=CHANNELS):
    """Of the guide, for methods that need one: the input's where they have to match, else 3, as images have."""
    return (channels if entry.module.guide_matches else 3) if entry.guide else None


def created(entry, dims, channels=CHANNELS, out_channels=None, scale=2, **options):
    """A module by its row, in a state that a seed fixes."""
    torch.manual_seed(7)
    guide = guide_channels(entry, channels)
    options = {**SMALLER.get(entry.name, {}), **options}
    make = getattr(upsamplers, f"create_{entry.kind}")
    return make(entry.name, channels, out_channels, scale, guide, dims, **options)


def guide_for(module, x, size=None):
    """A guide that fits a call, or None."""
    if not (module.takes_guide and module.guide_channels):
        return None
    if module.guide_at_input:
        size = x.shape[2:]
    elif size is None:
        size = module.shape.grown(x.shape[2:])
    gen = torch.Generator().manual_seed(3)
    return torch.rand(x.shape[0], module.guide_channels, *size, generator=gen, dtype=x.dtype)


def input_of(dims, batch=2, channels=CHANNELS, size=None, dtype=torch.float32):
    gen = torch.Generator().manual_seed(1)
    return torch.rand(batch, channels, *(size or SIZES[dims]), generator=gen, dtype=dtype)


def stirred(module):
    """The same module with every parameter moved: first weights are often special."""
    gen = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.rand(p.shape, generator=gen, dtype=torch.float64).to(p) * 0.2 - 0.1)
    return module


@contextmanager
def counting(monkeypatch):
    """Counts multiply-adds while it is open: torch's convolutions and products, and weights of the content."""
    total = {"adds": 0}

    def watched(name, taps_of):
        original = getattr(functional, name)

        def call(x, other, *args, **kwargs):
            y = original(x, other, *args, **kwargs)
            total["adds"] += y.numel() * taps_of(args, kwargs)
            return y

        monkeypatch.setattr(functional, name, call)

    def window(args, kwargs):
        k = args[0] if args else kwargs["kernel_size"]
        return k * k if isinstance(k, int) else math.prod(k)

    watched("reassemble", window)
    watched("sample_offsets", lambda args, kwargs: 4)
    attention = functional.local_attention_weights

    def scored(query, key, kernel, *args, **kwargs):
        total["adds"] += query.numel() * kernel * kernel
        return attention(query, key, kernel, *args, **kwargs)

    monkeypatch.setattr(functional, "local_attention_weights", scored)
    summed = resize_conv.low_resolution_kernel

    def sums(weight, scale):  # every sample shares them: they are no part of the formula
        kernel = summed(weight, scale)
        total["adds"] -= weight.numel() * math.prod(kernel.shape[2:])
        return kernel

    monkeypatch.setattr(resize_conv, "low_resolution_kernel", sums)
    with FlopCounterMode(display=False) as flops:
        yield total
    total["adds"] += flops.get_total_flops() // 2
    monkeypatch.undo()
