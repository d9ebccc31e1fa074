# SPDX-License-Identifier: MIT
"""What presets rely on: other arithmetic, other pass orders, other roundings, a recipe per dtype."""

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

from halfpixel import _plan, plan
from halfpixel._band import Band
from halfpixel._plan import Plan
from halfpixel._recipe import ORDERS, Link, Program, Recipe, Stage, axes_of, axis_of, chain_of, lay_out, order_of
from halfpixel.backends import BACKENDS, why_not
from halfpixel.testing.laws import poisoned
from tests.backend import NAMES, only

BITS = 22


def with_weights(link, change, post):
    band = link.band
    return Link(Band(band.n_in, band.start, change(band.weight), band.periodic), post=post)


@dataclass(frozen=True)
class Fixed:
    """Integer weights for uint8, as several libraries have them; plain arithmetic for the others."""

    name: str = "fixed"
    order: str = "horizontal_first"

    def variant(self, dtype):
        return "fixed" if dtype == "uint8" else "float"

    def recipe(self, request, variant):
        chains = [chain_of(axis) for axis in axes_of(request)]
        if variant == "float":
            return Recipe(tuple(chains), self.order)
        post = ("fixed", 0, 0, BITS, 0, 255)
        chains = [(with_weights(c[0], lambda w: np.rint(w * 2**BITS), post),) for c in chains]
        return Recipe(tuple(chains), self.order, "fixed")

    def size(self, n_in, scale, raw):
        return None


def fixed_plan(size_in, size_out, **options):
    request = plan(size_in, size_out, filter="lanczos3", **options).request
    return Plan(request, (-2, -1), None, Fixed())


def by_hand(x, bands):
    """Horizontal, then vertical, clamped between, in Python integers."""
    v = x.astype(object)
    for axis, band in ((1, bands[1]), (0, bands[0])):
        w = np.rint(band.dense() * 2**BITS).astype(np.int64).astype(object)
        v = np.moveaxis(np.moveaxis(v, axis, -1) @ w.T, -1, axis)
        v = np.clip((v + (1 << (BITS - 1))) >> BITS, 0, 255)
    return v.astype(np.uint8)


@pytest.mark.parametrize("backend", NAMES)
def test_fixed_point_is_integer_arithmetic(backend):
    x = np.random.default_rng(0).integers(0, 256, (13, 17), np.uint8)
    x[3:6, 4:9] = 255
    for size in ((26, 34), (5, 6), (13, 40), (30, 17), (13, 17)):
        p = fixed_plan(x.shape, size)
        out = poisoned(size, np.uint8)
        with only(backend):
            BACKENDS[backend].apply(p.program(np.uint8), x, out)
        assert np.array_equal(out, by_hand(x, plan(x.shape, size, filter="lanczos3").bands)), size


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize(("pre", "tap_shift", "shift"), [(4, 16, 2), (0, 0, 22), (7, 3, 12), (11, 0, 11)])
def test_fixed_point_shifts(pre, tap_shift, shift, backend):
    """Two passes of 11 bits: nothing is dropped after the first, and the second shifts as it is told."""
    across, down = Band(4, [0, 1, 2], [[700, 1348], [1024, 1024], [2048, -40]]), Band(2, [0], [[800, 1248]])
    x = np.array([[3, 255, 128, 77], [250, 0, 9, 201]], np.uint8)
    keep, drop = ("fixed", 0, 0, 0, -(2**31), 2**31 - 1), ("fixed", pre, tap_shift, shift, 0, 250)
    out = poisoned((1, 3), np.uint8)
    with only(backend):
        stages = (Stage(-1, Link(across, post=keep)), Stage(-2, Link(down, post=drop)))
        BACKENDS[backend].apply(Program(stages, "fixed"), x, out)
    wide = x.astype(int) @ across.dense().astype(int).T
    want = [
        sum((w * (int(v) >> pre)) >> tap_shift for w, v in zip((800, 1248), wide[:, i], strict=True)) for i in range(3)
    ]
    want = [min(max((v + (1 << (shift - 1))) >> shift, 0), 250) for v in want]
    assert out.tolist() == [want]


def test_fixed_point_is_for_small_integers():
    p = fixed_plan((8, 8), (16, 16)).program(np.uint8)
    assert why_not("cpu", p, np.int32) == why_not("cpu") or "8 and 16 bits" in why_not("cpu", p, np.int32)
    assert why_not("reference", p, np.int32) is None


@pytest.mark.parametrize("backend", NAMES)
def test_double_rounds_between_passes(backend):
    half = Band(2, [0], [[0.5, 0.5]])
    x = np.array([[0, 5], [0, 0]], np.uint8)
    stages = tuple(Stage(a, Link(half, post=("round_away", 0, 255))) for a in (-1, -2))
    out = poisoned((1, 1), np.uint8)
    with only(backend):
        BACKENDS[backend].apply(Program(stages, "double", "half_away"), x, out)
    # 2.5 -> 3, then 1.5 -> 2; rounded once it would have been 1.25 -> 1.
    assert out.item() == 2
    y = np.array([[-5, 0], [0, 0]], np.int16)
    stages = tuple(Stage(a, Link(half, post=("round_away", -100, 100))) for a in (-1, -2))
    out = poisoned((1, 1), np.int16)
    with only(backend):
        BACKENDS[backend].apply(Program(stages, "double", "half_away"), y, out)
    assert out.item() == -2


@pytest.mark.parametrize("backend", NAMES)
def test_double_stores_float32_between_passes(backend):
    band = Band(1, [0], [[1 / 3]])
    stages = (Stage(-1, Link(band, post=("float32",))), Stage(-2, Link(Band(1, [0], [[3.0]]))))
    for dtype in (np.float32, np.float64):
        out = poisoned((1, 1), dtype)
        with only(backend):
            BACKENDS[backend].apply(Program(stages, "double"), np.ones((1, 1), dtype), out)
        assert out.item() == dtype(float(np.float32(1 / 3)) * 3.0)


@pytest.mark.parametrize("backend", NAMES)
def test_roundings_of_the_final_store(backend):
    x = np.array([1, 3, 5, -1, -3, -5, 2], np.int16)
    half = Band(7, range(7), np.full((7, 1), 0.5))
    want = {
        "half_up": [1, 2, 3, 0, -1, -2, 1],
        "half_even": [0, 2, 2, 0, -2, -2, 1],
        "half_away": [1, 2, 3, -1, -2, -3, 1],
        "trunc": [0, 1, 2, 0, -1, -2, 1],
    }
    for rounding, values in want.items():
        for compute in ("natural", "double"):
            out = poisoned((7,), np.int16)
            with only(backend):
                BACKENDS[backend].apply(Program((Stage(-1, Link(half)),), compute, rounding), x, out)
            assert out.tolist() == values, (rounding, compute)


def test_a_builder_has_a_recipe_per_variant():
    p = fixed_plan((8, 8), (16, 16))
    assert p.program(np.uint8).compute == "fixed" and p.program(np.float32).compute == "natural"
    assert p.program(np.float32) is p.program(np.float64)
    assert p.like == "fixed" and repr(p) == "Plan(8x8 -> 16x16, axes=(-2, -1), like='fixed')"
    # What has no transpose is left to plain arithmetic.
    assert p.T.program(np.uint8).compute == "natural"
    assert np.array_equal(p.T.program(np.uint8).stages[0].link.band.dense(), p.bands[0].dense().T)
    assert pickle.loads(pickle.dumps(p)) == p


def test_orders_are_names_or_positions():
    p = plan((4, 5, 6), (8, 3, 12))
    recipe = p.recipe()
    axes = {"default": (-2, -1, -3), "horizontal_first": (-1, -2, -3), "vertical_first": (-3, -2, -1)}
    assert set(axes) <= set(ORDERS)
    for name, want in axes.items():
        laid = lay_out(replace(recipe, order=name), p.axes, p.size_in, p.size_out)
        assert tuple(s.axis for s in laid.stages) == want
    assert order_of(replace(recipe, order=(1, 0, 2)), p.size_in, p.size_out) == (1, 0, 2)
    with pytest.raises(ValueError, match="vertical_first"):
        order_of(replace(recipe, order="vertically_first"), p.size_in, p.size_out)


def test_a_kept_scale_is_another_step():
    request = plan((10,), scale=2.3).request
    assert axis_of(request, 0).step == request.stop[0] / 23
    assert axis_of(request, 0, 1 / request.scale[0]).step == 1 / request.scale[0]
    assert request.raw_scale == (2.3,)
    assert plan((10,), 5, box=((0.1, 9.7),)).request.box == ((0.1, 9.7),)


def test_identities_are_left_out():
    assert plan((5, 6), (5, 6), filter="cubic").program().stages == ()
    assert [s.axis for s in plan((5, 6), (5, 7)).program().stages] == [-1]
    assert len(plan((5, 6), (5, 6), filter="mitchell").program().stages) == 2
    assert _plan.plan((5, 6), (5, 6)).program().copies
