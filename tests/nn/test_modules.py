# SPDX-License-Identifier: MIT
"""Modules beside torch's: text, state, pickles, results."""

from __future__ import annotations

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

from halfpixel import nn  # noqa: E402

PAIRS = [
    ("Upsample", {"scale_factor": 2, "mode": "bilinear"}),
    ("Upsample", {"size": (7, 9)}),
    ("Upsample", {"scale_factor": (1.5, 2.5), "mode": "bicubic", "align_corners": True}),
    ("Upsample", {"scale_factor": 1.3, "mode": "nearest", "recompute_scale_factor": True}),
    ("UpsamplingNearest2d", {"scale_factor": 2}),
    ("UpsamplingBilinear2d", {"size": (9, 4)}),
]


@pytest.mark.parametrize(("name", "arguments"), PAIRS, ids=str)
def test_a_module_is_that_of_torch(name, arguments):
    mine, theirs = getattr(nn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    assert repr(mine) == repr(theirs)
    assert dict(mine.state_dict()) == dict(theirs.state_dict()) == {}
    mine.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 5, 6)
    torch.testing.assert_close(mine(x), theirs(x), rtol=0, atol=2e-6)
    for again in (copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert torch.equal(again(x), mine(x))


def test_antialias_stands_in_the_text_and_in_the_result():
    module = nn.Upsample(size=(3, 3), mode="bilinear", antialias=True)
    assert repr(module) == "Upsample(size=(3, 3), mode='bilinear', antialias=True)"
    x = torch.rand(1, 2, 12, 12)
    want = torch.nn.functional.interpolate(x, (3, 3), mode="bilinear", antialias=True)
    torch.testing.assert_close(module(x), want, rtol=0, atol=2e-6)
