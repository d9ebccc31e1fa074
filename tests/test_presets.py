# SPDX-License-Identifier: MIT
"""Presets: names, options, what is refused, and what holds for all of them."""

import pickle
import re

import numpy as np
import pytest

from halfpixel import explain, filters, plan, presets, resize
from halfpixel._conventions import builder
from halfpixel._conventions.line import DTYPES
from halfpixel.testing import laws
from tests.backend import NAMES, only
from tests.presets_page import PAGE, rendered


def every():
    """Every row, and every value of every option."""
    for name, row in presets.TABLE.items():
        yield name
        for option, values in row.options.items():
            yield from (f"{name}({option}={value!r})" for value in values)


EVERY = list(every())


@pytest.mark.parametrize("like", EVERY)
def test_every_preset_and_option_runs(like):
    rng = np.random.default_rng(1)
    for size_in, size in (((7, 9), (5, 14)), ((1, 1), (3, 2)), ((6, 4), (1, 1))):
        for dtype in ("float64", "float32", "uint8", "int16", "complex64", "bool"):
            x = (rng.random(size_in) * 200).astype(dtype)
            y = resize(x, size, like=like)
            assert (y.shape, y.dtype) == (size, x.dtype)
            assert np.isfinite(y).all()


@pytest.mark.parametrize("like", EVERY)
def test_every_column_names_a_rule(like):
    row = presets.get(like)
    assert row.coord_rule in builder.COORDS
    assert row.weight_rule in builder.WEIGHTS
    assert row.pass_order in builder.ORDERS
    assert row.skip_rule in builder.SKIPS
    assert row.size_rule in builder.SIZES
    assert row.step_rule in ("size", "scale")
    assert set(builder.ROUNDS[row.round_rule]) == set(DTYPES)
    assert all(rule in builder.ROUTES and name in {**presets.TABLE, **presets.PARTS} for rule, name in row.routes)
    assert filters.get(row.filter)
    assert row.summary
    assert row.source
    assert row.dtypes


@pytest.mark.parametrize("name", presets.TABLE)
def test_a_constant_stays_one(name):
    if name == "scipy.zoom":
        name += "(mode='reflect')"
    for dtype in ("float64", "float32", "uint8", "uint16", "int32"):
        x = np.full((7, 9), 100, dtype)
        for size in ((5, 4), (14, 18), (3, 20), (1, 1)):
            y = resize(x, size, like=name).astype(np.float64)
            np.testing.assert_allclose(y, 100.0, rtol=0 if x.dtype.kind in "iu" else 1e-5)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("name", [n for n in presets.TABLE if n != "scipy.zoom"])
def test_the_gradient_is_the_adjoint(name, backend):
    """Also for integers: their transposed passes are those of float64."""
    rng = np.random.default_rng(2)
    p = plan((7, 9), (11, 5), like=name)
    x, y = rng.standard_normal((7, 9)), rng.standard_normal((11, 5))
    with only(backend):
        laws.adjoint(p, x, y, backend)
    assert p.T(np.full((11, 5), 10, np.int32)).sum() == pytest.approx(550, abs=45)


@pytest.mark.parametrize("name", presets.TABLE)
def test_layout_does_not_matter(name):
    for dtype in ("float32", "uint8", "uint16"):
        p = plan((3, 7, 9), (5, 12), like=name)
        x = (np.random.default_rng(3).random((3, 7, 9)) * 250).astype(dtype)
        for backend in ("reference",):
            laws.layout_invariance(p, x, backend)


def test_options_are_part_of_the_name_unless_they_are_the_defaults():
    get = presets.get
    assert get("torch.bilinear(align_corners=False)") == get("torch.bilinear") == get(" torch.bilinear ( ) ")
    assert (
        get("torch.bilinear(antialias=True, align_corners=True)").name
        == "torch.bilinear(align_corners=True, antialias=True)"
    )
    assert get("scipy.zoom(mode='nearest', order=1)").name == "scipy.zoom(order=1, mode='nearest')"
    assert get(get("jax.linear(antialias=False)")) == get("jax.linear(antialias=False)") != get("jax.linear")


@pytest.mark.parametrize("like", ["pillow.lanczos", "scipy.zoom(order=2, mode='wrap')", "torch.nearest"])
def test_plans_are_pickled_and_cached(like):
    p = plan((7, 9), (4, 20), like=like)
    again = pickle.loads(pickle.dumps(p))
    assert again == p
    assert hash(again) == hash(p)
    x = np.random.default_rng(4).standard_normal((7, 9))
    np.testing.assert_array_equal(again(x), p(x))
    assert plan((7, 9), (4, 20), like=presets.get(like)) is p
    assert p.like == like


@pytest.mark.parametrize(
    ("like", "said"),
    [
        ("torch.bicubik", r"unknown preset 'torch.bicubik'[\s\S]*did you mean 'torch.bicubic'"),
        ("pillow.lanczos3", "did you mean 'pillow.lanczos'"),
        ("bicubic", "unknown preset"),
        ("torch.bilinear(aligncorners=True)", r"unknown option[\s\S]*did you mean 'align_corners'"),
        ("torch.bilinear(align_corners=1)", r"align_corners=1[\s\S]*one of False, True"),
        ("scipy.zoom(order=6)", r"order=6[\s\S]*one of 3, 0, 1, 2, 4, 5"),
        ("scipy.zoom(mode='edge')", r"mode='edge'[\s\S]*'nearest'"),
        ("torch.bilinear(True)", "cannot read preset"),
        ("torch.bilinear(align_corners=True", "cannot read preset"),
        ("torch.bilinear(align_corners=[])", "align_corners="),
        ("pillow.lanczos(antialias=False)", "unknown option"),
        ("", "unknown preset"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(like, said):
    with pytest.raises(ValueError, match=said):
        resize(np.ones((4, 4)), (2, 2), like=like)


def test_a_preset_is_a_name():
    with pytest.raises(TypeError, match="preset's name"):
        plan((4,), 2, like=3)


@pytest.mark.parametrize(
    "columns", [{"filter": "cubic"}, {"grid": "asymmetric"}, {"edge": "wrap"}, {"antialias": False}]
)
def test_a_preset_and_one_of_its_columns_are_too_much(columns):
    with pytest.raises(ValueError, match=r"like='torch.bicubic' and \w+=[\s\S]*like= alone"):
        plan((4,), 2, like="torch.bicubic", **columns)


@pytest.mark.parametrize("name", [n for n in presets.TABLE if not n.startswith("pillow")])
def test_a_box_is_refused_where_the_library_has_none(name):
    with pytest.raises(NotImplementedError, match=r"has no box[\s\S]*crops first"):
        plan((8, 8), (4, 4), like=name, box=((0, 4), (0, 4)))


def test_a_box_stays_inside_the_image_with_pillow():
    for box in (((-1, 4), (0, 4)), ((0, 4), (0, 8.5))):
        with pytest.raises(ValueError, match="a box within"):
            plan((8, 8), (4, 4), like="pillow.bicubic", box=box)


@pytest.mark.parametrize(
    ("name", "length", "scale", "expected"),
    [
        ("torch.linear", 100, 0.29, 28),
        ("torch.nearest", 3, 2.3, 6),
        ("opencv.linear", 5, 0.5, 2),
        ("opencv.linear", 7, 0.5, 4),
        ("scipy.zoom", 5, 0.5, 2),
        ("scipy.zoom", 3, 1.5, 4),
        ("matlab.bicubic", 10, 0.31, 4),
        ("pillow.bicubic", 5, 0.5, 3),
        ("jax.cubic", 5, 0.5, 3),
    ],
)
def test_a_scale_makes_the_librarys_size(name, length, scale, expected):
    assert plan((length,), scale=scale, like=name).size_out == (expected,)


def test_rounding_is_the_callers_where_a_library_takes_sizes_only():
    assert plan((5,), scale=0.5, like="pillow.bicubic", rounding="floor").size_out == (2,)


def test_the_kept_scale_makes_the_step():
    """torch, OpenCV and MATLAB step by 1 / scale, the others by n / m."""
    x = np.arange(10.0)
    for name in ("torch.linear", "opencv.cubic", "matlab.bilinear"):
        p = plan((10,), scale=0.37, like=name)
        assert np.abs(p(x) - resize(x, p.size_out, like=name)).max() > 0.1
    for name in ("jax.linear", "pillow.bilinear", "scipy.zoom"):
        p = plan((10,), scale=0.37, like=name)
        assert np.array_equal(p(x), resize(x, p.size_out, like=name))


def test_fill_is_what_stands_outside_for_scipy():
    y = resize(np.ones(4), 8, like="scipy.zoom(order=1, grid_mode=True)", fill=7.0)
    assert y.tolist() == [7, 1, 1, 1, 1, 1, 1, 7]


def test_nan_stays_where_the_taps_are():
    """torch and OpenCV multiply taps of weight 0 too; here those are not read."""
    x = np.zeros(8)
    x[2] = np.nan
    assert np.isnan(resize(x, 8, like="torch.bicubic")).tolist() == [False, False, True, *[False] * 5]


def test_explain_knows_presets():
    text = str(explain((8, 8), (3, 5), dtype=np.uint8, like="pillow.bicubic"))
    assert "pillow.bicubic" in text
    assert "32-bit integers" in text


def test_the_page_shows_the_table():
    """`python -m tests.presets_page` writes it anew."""
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text
    assert set(re.findall(r"^\| `([\w.@-]+)` \|", text, re.MULTILINE)) == set(presets.TABLE)
