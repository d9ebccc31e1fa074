# SPDX-License-Identifier: MIT
"""What the tests of networks share: small networks by name, in a state that a seed fixes."""

from __future__ import annotations

import torch

from halfpixel import models, upsamplers

SMALL = {
    "edsr": {"channels": 8, "blocks": 2},
    "espcn": {"widths": (8, 8)},
    "fpn": {"in_channels": (4, 6, 8), "channels": 8, "head_channels": 8, "norm": "batch"},
    "fsrcnn": {"features": 8, "shrunk": 4, "mappings": 2},
    "generator": {"widths": (4, 8, 16)},
    "rrdbnet": {"channels": 8, "growth": 4, "blocks": 1},
    "segnet": {"widths": (8, 16), "depths": (2, 1)},
    "srvgg": {"channels": 8, "convs": 2},
    "super_resolution": {"channels": 8},
    "unet": {"width": 8, "depth": 2},
}
ENTRIES = models.list_models()
RESOLVERS = [entry.name for entry in ENTRIES if entry.task == "super-resolution"]
SCALES = {"edsr": (1, 2, 3, 4), "fsrcnn": (1, 2, 3, 4), "rrdbnet": (1, 2, 4, 8)}
# Options of upsamplers that make tests quick.
QUICK = {"liif": {"hidden": (4,)}, "carafe": {"compressed_channels": 4}, "convex": {"hidden": 4}}
FREE = [entry.name for entry in upsamplers.list_upsamplers() if not entry.guide]


def made(name, **options):
    """A small network in eval mode whose every parameter has been moved, as some start at 0."""
    torch.manual_seed(3)
    model = models.create_model(name, **{**SMALL[name], **options})
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    return model.eval()


def images(*shape, dtype=torch.float32, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scales(name):
    return SCALES.get(name, (1, 2, 3))
