# SPDX-License-Identifier: MIT
"""Pictures through networks: colour by its definition, depths, strips, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='networks need pip install "halfpixel[models]"')

import halfpixel  # noqa: E402
from halfpixel import models  # noqa: E402
from halfpixel.models import Enlarger, _enlarge, _tile_size, enlarge  # noqa: E402

RNG = np.random.default_rng(0)
FULL = {"uint8": 255, "uint16": 65535, "uint32": 2**32 - 1, "float32": 1.0, "float64": 1.0, "float16": 1.0}


class Near(torch.nn.Module):
    """A network whose results are pictures, as those of trained ones are: blocks of pixels, and some of its own."""

    def __init__(self, body):
        super().__init__()
        self.body, self.in_channels, self.scale, self.reach = body, body.in_channels, body.scale, body.reach

    def forward(self, x):
        blocks = x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return blocks + 0.2 * torch.tanh(self.body(x))


def net(channels=1, scale=2, dtype=torch.float64):
    torch.manual_seed(2)
    name, options = ("espcn", {}) if channels == 1 else ("edsr", {"channels": 8, "blocks": 1})
    return Near(models.create_model(name, scale=scale, in_channels=channels, **options)).to(dtype).eval()


def image(shape, dtype="uint8"):
    values = RNG.random(shape)
    return (values * FULL[dtype]).astype(dtype)


def run(model, planes):
    """The network on (C, H, W) floats in float64."""
    with torch.no_grad():
        return model(torch.from_numpy(np.ascontiguousarray(planes))[None])[0].numpy()


def run_luma(model, y):
    """The network sees 16 ... 235 of 255."""
    return (255 * run(model, (y[None] * 219 + 16) / 255)[0] - 16) / 219


def by_definition(model, picture):
    """Colour as it is defined, whole and in float64, not stored: (H, W) or (H, W, 3)."""
    x = picture.astype(np.float64) / FULL[picture.dtype.name]
    if model.in_channels == 3:
        planes = np.moveaxis(x, -1, 0) if x.ndim == 3 else np.stack([x] * 3)
        y = run(model, planes)
        return np.moveaxis(y, 0, -1) if x.ndim == 3 else y.mean(0)
    if x.ndim == 2:
        return run_luma(model, x)
    # BT.601; the network sees Y in studio range.
    r, g, b = np.moveaxis(x, -1, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = np.stack([0.5 * (b - luma) / (1 - 0.114), 0.5 * (r - luma) / (1 - 0.299)])
    cb, cr = halfpixel.resize(chroma, scale=(model.scale, model.scale), axes=(1, 2), filter="cubic")
    y = run_luma(model, luma)
    return np.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], -1)


def stored(values, dtype):
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    return np.floor(np.clip(values * FULL[dtype], 0, FULL[dtype]) + 0.5).astype(dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(31, 43), (29, 37, 3), (1, 1, 3), (1, 17), (13, 2, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "float16"])
@pytest.mark.parametrize("tile", [None, 9])
def test_is_the_definition(channels, shape, dtype, tile):
    model, picture = net(channels), image(shape, dtype)
    got = enlarge(model, picture, tile=tile)
    expected = by_definition(model, picture)
    assert got.dtype == picture.dtype and got.shape == expected.shape
    if got.dtype.kind == "u":
        assert np.abs(got.astype(int) - stored(expected, dtype)).max() <= 1
    else:
        assert np.abs(got - expected).max() <= {2: 2e-3, 4: 2e-6, 8: 2e-6}[got.dtype.itemsize]


def test_samples_are_the_rounded_definition():
    """At few places rounding noise may choose the other neighbour; at almost none it does."""
    model, picture = net(1), image((61, 67, 3))
    got, expected = enlarge(model, picture, tile=20), stored(by_definition(model, picture), "uint8")
    assert (got != expected).mean() < 1e-3
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_16_bits_do_not_pass_through_8():
    model = net(1)
    picture = (30000 + np.arange(40 * 40).reshape(40, 40) % 97).astype(np.uint16)
    got = enlarge(model, picture)
    assert len(np.unique(got)) > 90
    assert np.abs(got.astype(int) - stored(by_definition(model, picture), "uint16")).max() <= 1


def test_gray_is_the_same_as_gray_in_colour():
    model, gray = net(1), image((33, 21))
    colour = enlarge(model, np.stack([gray] * 3, -1))
    assert np.abs(colour.astype(int) - enlarge(model, gray)[..., None]).max() <= 1
    assert np.array_equal(enlarge(model, gray[..., None])[..., 0], enlarge(model, gray))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scales(scale):
    model, picture = net(1, scale), image((23, 19, 3))
    got = enlarge(model, picture, tile=8)
    assert np.abs(got.astype(int) - stored(by_definition(model, picture), "uint8")).max() <= 1


def test_float_pictures_are_not_clipped():
    model = net(1)
    picture = image((12, 12), "float32") * 40 - 20
    got = enlarge(model, picture)
    assert np.abs(got - by_definition(model, picture)).max() < 1e-4
    assert got.min() < 0 or got.max() > 1


def test_views_are_read_as_they_are():
    model, picture = net(1), image((26, 34, 3))
    assert np.array_equal(enlarge(model, picture[::-1, ::2]), enlarge(model, picture[::-1, ::2].copy()))


@pytest.mark.parametrize("colour", [False, True])
def test_strips_read_few_rows_and_come_in_order(colour):
    picture = image((300, 20, 3) if colour else (300, 20))
    enlarger = Enlarger(net(1), tile=32)
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return picture[start:stop]

    strips = [strip.copy() for strip in enlarger.strips(read, (300, 20), colour)]
    assert max(stop - start for start, stop in asked) <= 32 + 2 * (4 + 4)
    assert len(asked) == len(strips) == 10
    joined = np.moveaxis(np.concatenate(strips, axis=1), 0, -1)
    expected = by_definition(net(1), picture)
    assert np.abs(joined[..., 0] - expected if not colour else joined - expected).max() < 1e-5


def test_progress_is_passed_on():
    told = []
    enlarge(net(1), image((40, 40, 3)), tile=20, on_progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1]


class TwoChannels(torch.nn.Module):
    """Neither gray nor RGB."""

    in_channels, scale = 2, 2

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "picture", "message"),
    [
        (1, np.zeros((4, 4), complex), "samples are complex128"),
        (1, np.zeros((4, 4), np.int16), "samples are int16"),
        (1, np.zeros((4, 4), bool), "samples are bool"),
        (1, [[1, 2]], "samples are list"),
        (1, np.zeros((4, 4, 4), np.uint8), "transparency is treated by"),
        (1, np.zeros((4, 0), np.uint8), r"of shape \(4, 0\)"),
        (1, np.zeros((4,), np.uint8), r"of shape \(4,\)"),
        (TwoChannels(), np.zeros((4, 4), np.uint8), "takes 2 channels"),
        (torch.nn.Conv2d(1, 2, 3, padding=1), np.zeros((4, 4), np.uint8), "makes 2 channels of 1"),
        (torch.nn.Conv2d(1, 1, 3), np.zeros((4, 4), np.uint8), "scale is unknown|not return|fails"),
        (torch.nn.Identity(), np.zeros((4, 4), np.uint8), "does not tell how many channels"),
    ],
)
def test_refused(model, picture, message):
    with pytest.raises((ValueError, TypeError), match=message):
        enlarge(net(1) if model == 1 else model, picture)


def test_wide_pictures_are_done_in_lower_strips_with_the_same_result(monkeypatch):
    model, x = net(dtype=torch.float32), image((150, 400, 3))
    tall = []
    strips = Enlarger.strips

    def watched(self, *arguments):
        for strip in strips(self, *arguments):
            tall.append(strip.shape[1])
            yield strip

    monkeypatch.setattr(Enlarger, "strips", watched)
    expected, before = enlarge(model, x), max(tall)
    tall.clear()
    monkeypatch.setattr(_tile_size, "STRIP", 400 * 60)
    monkeypatch.setattr(_enlarge, "_BAND", 400 * 20)
    found = enlarge(model, x)
    assert before == 2 * 64 and max(tall) == 2 * 20
    assert Enlarger(model).tiler.tile((150, 400))[0] == 60
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_what_is_held_does_not_grow_with_the_picture():
    model = models.create_model("espcn", scale=2).eval()
    held = [Enlarger(model).nbytes((side, side), True) for side in (1581, 5000)]
    assert held[1] < 1.5 * held[0] and held[1] < 100 << 20
