# SPDX-License-Identifier: MIT
"""Every upsampler and downsampler of the package, as it starts: what is so, as a table."""

from __future__ import annotations

import pytest
import torch

import halfpixel
from halfpixel import upsamplers

PATTERN = "polyphase flat ramp comb"
# name: fails; warnings. What stands under "fails" is the method's nature at first, and its page or docstring says so:
# random weights whose phases differ, places that a flat guide cannot tell, zeros outside as published.
EXPECTED = {
    "up adaptive": "",
    "up carafe": "border",
    "up conv_transpose": "; border",
    "up convex": "border",
    "up cubic": "; overshoot noise",
    "up dupsampling": PATTERN,
    "up dysample": "",
    "up fade": "; border",
    "up fir": "",
    "up freqfusion": "border",
    "up guided_filter": "",
    "up haar_unpool": "flat ramp comb",
    "up hybrid": "; border",
    "up joint_bilateral": "",
    "up lanczos": "; overshoot noise",
    "up lightweight": "",
    "up liif": "flat ramp; border",
    "up linear": "",
    "up local_attention": "",
    "up max_unpool": "flat ramp comb shift",
    "up nearest": "",
    "up pixel_shuffle": "; border",
    "up resize_conv": "; border",
    "up sapa": "",
    "up separable": "; border",
    "up upconv": PATTERN,
    "down avg_pool": "",
    "down blur_pool": "",
    "down carafe": "gradient shift border",
    "down haar_pool": "gradient",
    "down max_pool": "; gradient",
    "down pixel_unshuffle": "",
    "down resize": "; overshoot noise",
    "down strided_conv": "gradient shift; border",
}
SMALLER = {
    "carafe": {"compressed_channels": 8}, "convex": {"hidden": 8}, "fade": {"embedding": 8},
    "freqfusion": {"compressed_channels": 8}, "liif": {"hidden": (8, 8)}, "local_attention": {"embedding": 8},
    "joint_bilateral": {"up_kernel": 3}, "sapa": {"embedding": 8},
}  # fmt: skip
ENTRIES = {f"up {e.name}": e for e in upsamplers.list_upsamplers()}
ENTRIES |= {f"down {e.name}": e for e in upsamplers.list_downsamplers()}


def test_the_table_has_every_name():
    assert set(EXPECTED) == set(ENTRIES)


def made(entry, dims, channels=8, **options):
    torch.manual_seed(7)
    guide = (channels if entry.module.guide_matches else 3) if entry.guide else None
    create = getattr(upsamplers, f"create_{entry.kind}")
    return create(entry.name, channels, None, 2, guide, dims, **{**SMALLER.get(entry.name, {}), **options})


@pytest.mark.parametrize("name", EXPECTED)
def test_the_verdicts_on_images_are_the_tables(name):
    entry = ENTRIES[name]
    dims = 2 if 2 in entry.dims else entry.dims[0]
    fails, _, warns = EXPECTED[name].partition(";")
    found = halfpixel.audit(made(entry, dims))
    assert (set(found.failed), set(found.warned)) == (set(fails.split()), set(warns.split())), str(found)


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if 1 in entry.dims])
def test_the_verdicts_on_signals_are_the_same(name):
    fails, _, warns = EXPECTED[name].partition(";")
    found = halfpixel.audit(made(ENTRIES[name], 1))
    # One axis has fewer random weights: what is in doubt may differ for the filters that are random.
    assert set(found.failed) == set(fails.split()), str(found)
    assert set(found.warned) == set(warns.split()), str(found)


@pytest.mark.parametrize("name", ["up linear", "up conv_transpose", "up upconv", "up pixel_shuffle", "down avg_pool"])
def test_the_verdicts_on_volumes_are_the_same(name):
    fails, _, warns = EXPECTED[name].partition(";")
    found = halfpixel.audit(made(ENTRIES[name], 3, channels=4))
    assert set(found.failed) - {"comb"} == set(fails.split()) - {"comb"}, str(found)
    assert set(found.warned) == set(warns.split())


@pytest.mark.parametrize("name", ["carafe", "convex", "freqfusion"])
def test_renormalised_windows_keep_borders_as_their_page_says(name):
    assert halfpixel.audit(made(ENTRIES[f"up {name}"], 2, padding="renorm"))["border"].verdict == "pass"


def test_convex_methods_stay_within_their_inputs_under_both_guides():
    for entry in upsamplers.list_upsamplers():
        if entry.convex and entry.guide:
            found = halfpixel.audit(made(entry, 2), shape=(16, 16))
            assert found["overshoot"].verdict == found["noise"].verdict == "pass", str(found)


def test_a_guide_with_a_step_is_tried_too():
    module = made(ENTRIES["up sapa"], 2)
    seen = []
    module.register_forward_pre_hook(lambda m, args, kwargs: seen.append(kwargs["guide"].clone()), with_kwargs=True)
    halfpixel.audit(module, shape=(16, 16))
    assert {float(g.amax() - g.amin()) for g in seen} == {0.0, 0.5}
    stepped = next(g for g in seen if float(g.amax() - g.amin()))
    assert (stepped[..., :16] == 0.25).all() and (stepped[..., 16:] == 0.75).all()
