# SPDX-License-Identifier: MIT
"""PIL.Image.Image.resize: identical images, in every mode, by every filter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel import plan, resize
from halfpixel.compat import pillow as compat
from tests.backend import NAMES, only
from tests.parity.compare import SIZES, assert_same, resized, samples

PIL = pytest.importorskip("PIL")
from PIL import Image  # noqa: E402

NEW = int(PIL.__version__.partition(".")[0]) >= 13
PREFIX = "pillow" if NEW else "pillow@12"
FILTERS = {f.name.lower(): f for f in Image.Resampling}
DTYPES = ("uint8", "uint16", "int32", "float32")
MODES = ("1", "P", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F")
RARE_MODES = ("HSV", "LAB", "La", "RGBa", "RGBX", "PA")
PAIRS = [((9, 7), (14, 18)), ((37, 61), (9, 5)), ((1, 3), (4, 2)), ((20, 50), (20, 9)), ((5, 5), (5, 5))]


def by_pillow(x, size, name, box=None):
    return np.asarray(Image.fromarray(x).resize(size[::-1], FILTERS[name], box))


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FILTERS)
def test_images(name, dtype, backend):
    rng = np.random.default_rng(1)
    for size_in, size in SIZES:
        x = samples(rng, size_in, dtype) if dtype != "int32" else rng.integers(-(10**6), 10**6, size_in, np.int32)
        assert_same(resized(backend, x, size, like=f"{PREFIX}.{name}"), by_pillow(x, size, name))
        h, w = size_in
        box = (w * 0.13, h * 0.21, w * 0.93, h * 0.77)
        ours = ((box[1], box[3]), (box[0], box[2]))
        assert_same(resized(backend, x, size, like=f"{PREFIX}.{name}", box=ours), by_pillow(x, size, name, box))


@pytest.mark.parametrize("backend", NAMES)
def test_interleaved_pictures(backend):
    rng = np.random.default_rng(2)
    for size_in, size in SIZES:
        x = samples(rng, (*size_in, 3), "uint8")
        got = resized(backend, x, size, axes=(0, 1), like=f"{PREFIX}.lanczos")
        assert_same(got, by_pillow(x, size, "lanczos"))


length = st.integers(1, 70)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(FILTERS)), st.sampled_from(DTYPES), st.tuples(length, length), st.tuples(length, length),
    st.integers(0, 2**32), st.sampled_from(NAMES),
)  # fmt: skip
def test_any_sizes(name, dtype, size_in, size, seed, backend):
    x = np.random.default_rng(seed).integers(0, 250, size_in).astype(dtype)
    got = resized(backend.values[0], x, size, like=f"{PREFIX}.{name}")
    # Weights below 1e-15 are not read from floats: a NaN under them stays where it is.
    assert_same(got, by_pillow(x, size, name), 1e-12 if dtype == "float32" else 0.0)


def test_noise_decides_ties_of_integers_as_in_pillow():
    for seed, size_in, size, name in ((1, (5, 21), (3, 11), "bilinear"), (4, (7, 4), (7, 5), "mks2021")):
        if hasattr(Image.Resampling, name.upper()):
            x = np.random.default_rng(seed).integers(0, 250, size_in).astype(np.uint16)
            assert_same(resize(x, size, like=f"{PREFIX}.{name}"), by_pillow(x, size, name))


def test_a_same_sized_box_of_whole_pixels_is_a_crop():
    """Magic Kernel Sharp changes pixels where nothing is resampled; Pillow crops instead."""
    x = samples(np.random.default_rng(3), (9, 11), "uint8")
    for name in FILTERS:
        got = resize(x, (4, 5), like=f"{PREFIX}.{name}", box=((2, 6), (3, 8)))
        assert_same(got, by_pillow(x, (4, 5), name, (3, 2, 8, 6)))
        assert_same(got, x[2:6, 3:8])


@pytest.mark.skipif(not NEW, reason="Pillow 12 has one order of passes")
def test_the_order_of_passes_changed_in_13():
    """Tall pictures that lose height are resampled down the columns first since 13: rounding in between shows it."""
    x = samples(np.random.default_rng(4), (60, 20), "uint8")
    image = Image.fromarray(x)
    across_first = image.resize((17, 60), Image.Resampling.LANCZOS).resize((17, 9), Image.Resampling.LANCZOS)
    down_first = image.resize((20, 9), Image.Resampling.LANCZOS).resize((17, 9), Image.Resampling.LANCZOS)
    assert_same(resize(x, (9, 17), like="pillow@12.lanczos"), np.asarray(across_first))
    assert_same(resize(x, (9, 17), like="pillow.lanczos"), np.asarray(down_first))
    assert not np.array_equal(across_first, down_first)


def picture(rng, mode, size):
    """A random image of that mode and (width, height)."""
    w, h = size
    if mode == "1":
        return Image.fromarray(rng.random((h, w)) > 0.5)
    if mode in ("I", "I;16", "F"):
        dtype = {"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode]
        return Image.fromarray(rng.integers(0, 60000, (h, w)).astype(dtype))
    bands = len(Image.new(mode, (1, 1)).tobytes())
    image = Image.frombytes(mode, size, rng.integers(0, 256, (h, w, bands), np.uint8).tobytes())
    if mode in ("P", "PA"):
        image.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
    return image


def assert_identical(got, expected):
    assert (got.mode, got.size, got.info) == (expected.mode, expected.size, expected.info)
    assert got.tobytes() == expected.tobytes()
    if expected.mode != "PA" or expected.getpalette():  # some of Pillow's own filters lose a PA image's palette
        assert got.getpalette() == expected.getpalette()


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("mode", MODES + RARE_MODES)
def test_compat_in_every_mode(mode, backend, monkeypatch):
    monkeypatch.setenv("HALFPIXEL_BACKEND", backend)
    rng = np.random.default_rng(5)
    with only(backend):
        for size_in, size in PAIRS:
            image = picture(rng, mode, size_in)
            image.info["dpi"] = (72, 72)
            for resample in (None, *FILTERS.values()):
                assert_identical(compat.resize(image, size, resample), image.resize(size, resample))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_compat_with_boxes_and_gaps(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    mode = data.draw(st.sampled_from(("L", "LA", "RGB", "RGBA", "I", "I;16", "F", "P")))
    w, h = data.draw(st.tuples(length, length))
    size = data.draw(st.tuples(length, length))
    left, upper = data.draw(st.floats(0, w * 0.6)), data.draw(st.floats(0, h * 0.6))
    box = (left, upper, w - left * 0.3, h - upper * 0.3)
    gap = data.draw(st.sampled_from((None, 1.0, 1.5, 2.0, 3.0)))
    resample = data.draw(st.sampled_from(sorted(FILTERS.values())))
    image = picture(rng, mode, (w, h))
    try:
        expected = image.resize(size, resample, box, gap)
    except ValueError as refusal:  # Pillow cannot reduce 16-bit images
        with pytest.raises(ValueError, match=str(refusal)):
            compat.resize(image, size, resample, box, gap)
        return
    assert_identical(compat.resize(image, size, resample, box, gap), expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (((0, 3),), "height and width must be > 0"),
        (((3, 3), 17), "Unknown resampling filter"),
        (((3, 3), 3, (-1, 0, 3, 3)), "box offset can't be negative"),
        (((3, 3), 3, (0, 0, 9, 3)), "box can't exceed original image size"),
        (((3, 3), 3, (2, 0, 1, 3)), "box can't be empty"),
        (((3, 3), 3, None, 0.5), "reducing_gap must be 1.0 or greater"),
    ],
)
def test_compat_refuses_what_pillow_refuses(arguments, said):
    image = Image.new("RGB", (5, 5))
    with pytest.raises(ValueError, match=said):
        compat.resize(image, *arguments)
    with pytest.raises(ValueError, match=f"(?i){said}"):
        image.resize(*arguments)


def test_other_dtypes_follow_the_nearest_rule():
    """float64 is not rounded between passes; other integers are, as mode I is, within their own range."""
    x = np.random.default_rng(6).integers(-100, 100, (9, 7))
    as_float = resize(x.astype(np.float64), (5, 12), like="pillow.bicubic")
    across = plan((9, 7), (9, 12), like="pillow.bicubic")(x.astype(np.float64))
    assert_same(as_float, plan((9, 12), (5, 12), like="pillow.bicubic")(across), 1e-12)
    wide = resize(x.astype(np.int32), (5, 12), like="pillow.bicubic")
    for dtype in (np.int16, np.int64):
        assert_same(resize(x.astype(dtype), (5, 12), like="pillow.bicubic"), wide.astype(dtype))
    assert_same(resize(x.astype(np.int8), (5, 12), like="pillow.bicubic"), np.clip(wide, -128, 127).astype(np.int8))
