# SPDX-License-Identifier: MIT
"""The compiled kernel against dense float64 matrices: random bands, element types, layouts, instruction sets, order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

native = pytest.importorskip("halfpixel._native", reason="the extension is not built (HALFPIXEL_NO_NATIVE)")

CODES = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16,
    "u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16,
    "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64, "bool": np.bool_,
}  # fmt: skip


@pytest.fixture(params=native.isas())
def isa(request):
    before = native.isa()
    native.set_isa(request.param)
    yield request.param
    native.set_isa(before)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = native.num_threads()
    native.set_num_threads(request.param)
    yield request.param
    native.set_num_threads(before)


def random_band(rng, n_in, n_out, taps, *, periodic=False, zeros=0.2, monotone=True):
    taps = min(taps, n_in)
    if monotone:
        start = np.floor((np.arange(n_out) + 0.5) * n_in / n_out - taps / 2 + 0.5).astype(np.int64)
        start = start % n_in if periodic else np.clip(start, 0, n_in - taps)
    else:
        start = rng.integers(0, n_in if periodic else n_in - taps + 1, n_out)
    weight = rng.uniform(-0.2, 1.0, (n_out, taps)) / taps
    weight[rng.random((n_out, taps)) < zeros] = 0.0
    return start, weight, periodic


def dense(n_in, start, weight):
    matrix = np.zeros((len(start), n_in))
    for o, s in enumerate(start):
        for k, w in enumerate(weight[o]):
            matrix[o, (s + k) % n_in] += w
    return matrix


def stage(axis, n_in, band, bias=None, post=None):
    start, weight, periodic = band
    return (axis, n_in, np.ascontiguousarray(start, np.int64), np.ascontiguousarray(weight), periodic, bias, post)


def apply_dense(matrix, x, axis, bias=None):
    y = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return y if bias is None else y + np.moveaxis(bias.reshape((-1,) + (1,) * (x.ndim - 1)), 0, axis)


def data(rng, shape, dtype):
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = max(int(info.min), -(2**40)), min(int(info.max), 2**40)
        return rng.integers(low, high, shape, endpoint=True).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def check(y, exact, dtype, scale):
    dtype = np.dtype(dtype)
    eps32, eps64 = np.finfo(np.float32).eps, np.finfo(np.float64).eps
    if dtype == np.bool_:
        sure = np.abs(exact - 0.5) > 1e-5
        assert np.array_equal(y[sure], (exact >= 0.5)[sure])
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        slack = 64 * (eps32 if dtype.itemsize <= 2 else eps64) * scale
        got = y.astype(np.float64)
        clipped = np.clip(exact, info.min, info.max)
        assert np.all(np.abs(got - clipped) <= 0.5 + slack), np.abs(got - clipped).max()
    else:
        tolerance = 64 * (eps64 if dtype == np.float64 else eps32) * scale + (np.finfo(dtype).eps * np.abs(exact))
        assert np.all(np.abs(y.astype(np.float64) - exact) <= tolerance), np.abs(y.astype(np.float64) - exact).max()


def poisoned(shape, dtype):
    y = np.empty(shape, dtype)
    y.view(np.uint8)[...] = 0xFF if np.dtype(dtype).kind == "f" else 0xA5
    return y


def raw(a):
    return a.view(np.uint16) if a.dtype == np.float16 else a.view(np.uint8) if a.dtype == np.bool_ else a


SIZES = [(1, 1), (1, 7), (7, 1), (5, 13), (13, 5), (17, 34), (64, 32), (37, 9), (101, 11), (130, 257)]


@pytest.mark.parametrize("code", CODES)
def test_one_axis_in_every_position(code, isa):
    rng = np.random.default_rng(1)
    for (n, m), taps, position in itertools.product(SIZES, (1, 2, 4, 7), range(3)):
        shape = [3, 2, 5]
        shape[position] = n
        x = data(rng, shape, CODES[code])
        band = random_band(rng, n, m, taps)
        out_shape = list(shape)
        out_shape[position] = m
        y = poisoned(out_shape, CODES[code])
        native.Program([stage(position - 3, n, band)]).run(raw(x), raw(y), code)
        exact = apply_dense(dense(n, *band[:2]), x.astype(np.float64), position)
        check(y, exact, CODES[code], np.abs(x.astype(np.float64)).max() * 1.5)


def layouts(x):
    """Views equal to x, in other memory orders."""
    yield "contiguous", x.copy()
    yield "fortran", np.asfortranarray(x)
    yield "last_first", np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    padded = np.zeros([n + 3 for n in x.shape], x.dtype)
    view = padded[tuple(slice(1, n + 1) for n in x.shape)]
    view[...] = x
    yield "window", view
    yield "reversed", x[::-1, ..., ::-1].copy()[::-1, ..., ::-1]
    wide = np.zeros([*x.shape[:-1], 2 * x.shape[-1]], x.dtype)
    wide[..., ::2] = x
    yield "every_second", wide[..., ::2]


@pytest.mark.parametrize("code", ["f32", "f16", "u8", "f64", "u16"])
@pytest.mark.parametrize("channels", [1, 3, 4, 19])
def test_layouts_agree_to_the_bit(code, channels, isa, threads):
    rng = np.random.default_rng(2)
    for (h, oh), (w, ow) in itertools.product([(7, 15), (16, 8), (33, 5)], [(9, 40), (41, 13), (64, 16), (5, 1)]):
        x = data(rng, (channels, h, w), CODES[code])
        rows, columns = random_band(rng, h, oh, 4), random_band(rng, w, ow, 3)
        exact = apply_dense(dense(h, *rows[:2]), apply_dense(dense(w, *columns[:2]), x.astype(np.float64), 2), 1)
        for order in ((-1, -2), (-2, -1)):
            parts = {-2: stage(-2, h, rows), -1: stage(-1, w, columns)}
            program = native.Program([parts[a] for a in order])
            results = {}
            for name, view in layouts(x):
                y = poisoned((channels, oh, ow), CODES[code])
                program.run(
                    raw(view) if view.flags.c_contiguous or code != "f16" else view.view(np.uint16), raw(y), code
                )
                results[name] = y
                outputs = np.moveaxis(poisoned((oh, ow, channels), CODES[code]), -1, 0)
                program.run(
                    view.view(np.uint16) if code == "f16" else view,
                    outputs.view(np.uint16) if code == "f16" else outputs,
                    code,
                )
                results[name + " to channels last"] = outputs
            first = results["contiguous"]
            check(first, exact, CODES[code], np.abs(x.astype(np.float64)).max() * 2)
            for name, y in results.items():
                assert np.array_equal(y, first), name


@pytest.mark.parametrize("order", list(itertools.permutations((-1, -2, -3))))
def test_three_axes_in_every_order(order, isa, threads):
    rng = np.random.default_rng(3)
    for sizes in (
        [(5, 11), (6, 13), (17, 30)],
        [(11, 4), (30, 7), (40, 9)],
        [(4, 9), (19, 5), (8, 21)],
        [(1, 3), (1, 1), (33, 2)],
    ):
        n, m = zip(*sizes, strict=True)
        x = data(rng, (2, *n), np.float32)
        bands = {a: random_band(rng, n[a], m[a], 3) for a in (-1, -2, -3)}
        y = poisoned((2, *m), np.float32)
        native.Program([stage(a, n[a], bands[a]) for a in order]).run(x, y, "f32")
        exact = x.astype(np.float64)
        for a in order:
            exact = apply_dense(dense(n[a], *bands[a][:2]), exact, a + 4)
        check(y, exact, np.float32, 4)


def test_threads_and_batch_do_not_change_a_bit(isa):
    rng = np.random.default_rng(4)
    x = data(rng, (6, 200, 300), np.float32)
    program = native.Program(
        [stage(-1, 300, random_band(rng, 300, 517, 4)), stage(-2, 200, random_band(rng, 200, 411, 4))]
    )
    before, results = native.num_threads(), []
    for n in (1, 2, 5):
        native.set_num_threads(n)
        y = poisoned((6, 411, 517), np.float32)
        program.run(x, y, "f32")
        results.append(y)
    native.set_num_threads(before)
    one = poisoned((411, 517), np.float32)
    program.run(x[3], one, "f32")
    assert all(np.array_equal(y, results[0]) for y in results)
    assert np.array_equal(one, results[0][3])


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_selections_copy_every_bit(size, isa):
    rng = np.random.default_rng(5)
    dtype, code = {1: (np.uint8, "u8"), 2: (np.uint16, "f16"), 4: (np.uint32, "f32"), 8: (np.uint64, "i64")}[size]
    for (h, oh), (w, ow), c in itertools.product(
        [(3, 7), (9, 2)], [(5, 64), (50, 9), (1, 3), (40, 41)], [1, 2, 3, 9, 40]
    ):
        x = rng.integers(0, np.iinfo(dtype).max, (h, w, c), dtype, endpoint=True)
        rows, columns = rng.integers(0, h, oh), np.sort(rng.integers(0, w, ow))
        program = native.Program(
            [stage(-2, w, (columns, np.ones((ow, 1)), False)), stage(-3, h, (rows, np.ones((oh, 1)), False))]
        )
        assert program.copies
        for view in (x, np.asfortranarray(x), np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 2, 0)), 0, 2)):
            y = poisoned((oh, ow, c), dtype)
            program.run(view, y, code)
            assert np.array_equal(y, x[rows][:, columns])


def test_periodic_windows_wrap(isa, threads):
    rng = np.random.default_rng(6)
    for (h, oh), (w, ow), c in itertools.product([(7, 19), (31, 8)], [(9, 33), (50, 21), (5, 5)], [1, 3, 20]):
        x = data(rng, (h, w, c), np.float32)
        rows, columns = random_band(rng, h, oh, 5, periodic=True), random_band(rng, w, ow, 5, periodic=True)
        for order in ((-3, -2), (-2, -3)):
            parts = {-3: stage(-3, h, rows), -2: stage(-2, w, columns)}
            y = poisoned((oh, ow, c), np.float32)
            native.Program([parts[a] for a in order]).run(x, y, "f32")
            exact = apply_dense(dense(h, *rows[:2]), apply_dense(dense(w, *columns[:2]), x.astype(np.float64), 1), 0)
            check(y, exact, np.float32, 4)


def test_zero_weights_read_nothing(isa):
    """Neither NaN nor infinity passes through a tap of weight zero, in a line, along a row, or with many channels."""
    n = 40
    start = np.clip(np.arange(n) - 1, 0, n - 3)
    weight = np.zeros((n, 3))
    weight[np.arange(n), np.arange(n) - start] = 2.0
    weight[5, :] = 0.25
    for shape, axis in (((n,), -1), ((n, 3), -2), ((n, 40), -2), ((n, 1000), -2)):
        for bad in (np.nan, np.inf):
            x = np.ones(shape, np.float32)
            x[20] = bad
            y = poisoned(shape, np.float32)
            native.Program([stage(axis, n, (start, weight, False))]).run(x, y, "f32")
            expected = np.full(shape, 2.0, np.float32)
            expected[5] = 0.75
            expected[20] = bad
            assert np.array_equal(y, expected, equal_nan=True)


def test_bias_is_added_once_per_pass(isa):
    rng = np.random.default_rng(7)
    x = data(rng, (12, 23), np.float32)
    rows, columns = random_band(rng, 12, 31, 3), random_band(rng, 23, 50, 3)
    row_bias, column_bias = rng.standard_normal(31), rng.standard_normal(50)
    y = poisoned((31, 50), np.float32)
    native.Program([stage(-1, 23, columns, column_bias), stage(-2, 12, rows, row_bias)]).run(x, y, "f32")
    exact = apply_dense(dense(23, *columns[:2]), x.astype(np.float64), 1, column_bias)
    check(y, apply_dense(dense(12, *rows[:2]), exact, 0, row_bias), np.float32, 8)


@pytest.mark.parametrize("rounding", ["half_up", "half_even", "half_away", "trunc"])
@pytest.mark.parametrize("code", ["u8", "i8", "i16", "u16", "i32", "i64"])
def test_rounding_of_exact_ties(rounding, code, isa):
    values = np.array([-7, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 100], np.int64)
    x = values[values >= 0].astype(CODES[code]) if code[0] == "u" else values.astype(CODES[code])
    n = len(x)
    y = poisoned((n,), CODES[code])
    native.Program([stage(-1, n, (np.arange(n), np.full((n, 1), 0.5), False))], rounding=rounding).run(x, y, code)
    half = x.astype(np.float64) / 2
    rule = {
        "half_up": np.floor(half + 0.5),
        "half_even": np.rint(half),
        "half_away": np.trunc(half + np.copysign(0.5, half)),
        "trunc": np.trunc(half),
    }
    assert np.array_equal(y, rule[rounding].astype(CODES[code]))


@pytest.mark.parametrize("code", ["u8", "i8", "u16", "i16", "i32", "u32", "i64", "u64"])
def test_integers_saturate(code, isa):
    info = np.iinfo(CODES[code])
    x = np.array([info.min, info.max, 0, 1] * 9, CODES[code])
    y = poisoned(x.shape, CODES[code])
    native.Program([stage(-1, 36, (np.arange(36), np.full((36, 1), 3.0), False))]).run(x, y, code)
    expected = [min(max(3 * int(v), int(info.min)), int(info.max)) for v in x]
    assert [int(v) for v in y] == expected


def test_half_and_bfloat_round_to_nearest_even(isa):
    bits = np.arange(65536, dtype=np.uint16)
    x = bits.view(np.float16)
    y = np.empty_like(x)
    n = len(x)
    program = native.Program([stage(-1, n, (np.arange(n), np.full((n, 1), 0.75), False))])
    program.run(bits, y.view(np.uint16), "f16")
    with np.errstate(all="ignore"):
        expected = (x.astype(np.float32) * np.float32(0.75)).astype(np.float16)
    assert np.array_equal(y, expected, equal_nan=True)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    wide = bits.view(ml_dtypes.bfloat16)
    z = np.empty_like(bits)
    program.run(bits, z, "bf16")
    with np.errstate(all="ignore"):
        expected = (wide.astype(np.float32) * np.float32(0.75)).astype(ml_dtypes.bfloat16)
    got = z.view(ml_dtypes.bfloat16)
    assert np.array_equal(got.astype(np.float32), expected.astype(np.float32), equal_nan=True)


def test_fixed_point_matches_integers(isa, threads):
    rng = np.random.default_rng(8)
    for shape in ((20, 33), (20, 33, 3), (20, 33, 40)):
        x = rng.integers(0, 256, shape).astype(np.uint8)
        axis_w, axis_h = (-1, -2) if len(shape) == 2 else (-2, -3)
        rows, columns = random_band(rng, 20, 9, 5), random_band(rng, 33, 70, 4)
        rows = (rows[0], np.rint(rows[1] * 2**20), False)
        columns = (columns[0], np.rint(columns[1] * 2**20), False)
        post = ("fixed", 0, 0, 20, 0, 255)
        y = poisoned((9, 70, *shape[2:]), np.uint8)
        native.Program(
            [stage(axis_w, 33, columns, None, post), stage(axis_h, 20, rows, None, post)], compute="fixed"
        ).run(x, y, "u8")
        exact = x.astype(np.int64)
        for band, n, axis in ((columns, 33, 1), (rows, 20, 0)):
            total = apply_dense(dense(n, *band[:2]).astype(np.int64), exact, axis)
            exact = np.clip((total + (1 << 19)) >> 20, 0, 255)
        assert np.array_equal(y, exact)


def test_double_arithmetic_rounds_between_passes(isa):
    rng = np.random.default_rng(9)
    x = rng.integers(0, 65536, (15, 18)).astype(np.uint16)
    rows, columns = random_band(rng, 15, 31, 4), random_band(rng, 18, 7, 4)
    post = ("round_away", 0.0, 65535.0)
    y = poisoned((31, 7), np.uint16)
    native.Program([stage(-1, 18, columns, None, post), stage(-2, 15, rows, None, post)], compute="double").run(
        x, y, "u16"
    )
    exact = x.astype(np.float64)
    for band, n, axis in ((columns, 18, 1), (rows, 15, 0)):
        value = apply_dense(dense(n, *band[:2]), exact, axis)
        exact = np.clip(np.trunc(value + np.copysign(0.5, value)), 0, 65535)
    assert np.array_equal(y, exact)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: native.Program([]), "between 1 and 9"),
        (lambda: native.Program([stage(0, 3, (np.zeros(3), np.ones((3, 1)), False))]), "negative"),
        (lambda: native.Program([stage(-1, 3, (np.full(3, 3), np.ones((3, 1)), False))]), "outside the axis"),
        (lambda: native.Program([stage(-1, 3, (np.full(3, -1), np.ones((3, 2)), False))]), "outside the axis"),
        (lambda: native.Program([stage(-1, 3, (np.full(3, 3), np.ones((3, 1)), True))]), "outside the axis"),
        (lambda: native.Program([stage(-1, 3, (np.zeros(3), np.ones((4, 1)), False))]), "differ in length"),
    ],
)
def test_impossible_programs_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_wrong_arrays_are_refused():
    program = native.Program([stage(-1, 3, (np.zeros(5), np.ones((5, 1)), False))])
    x, y = np.zeros((2, 3), np.float32), np.zeros((2, 5), np.float32)
    for bad_x, bad_y in ((x[:, :2], y), (x, y[:, :4]), (x[:1], y), (x[0], y), (x, y[0])):
        with pytest.raises(ValueError, match="run:"):
            program.run(bad_x, bad_y, "f32")
    with pytest.raises(ValueError, match="element code"):
        program.run(x, y, "f64")
    with pytest.raises(ValueError, match="unknown element"):
        program.run(x, y, "f31")
    with pytest.raises(ValueError, match="instruction set"):
        native.set_isa("v9")


@pytest.mark.parametrize("code", ["u8", "i32", "f32", "f16"])
def test_a_first_pass_that_only_selects(code, isa):
    """Rows of the source then pass through to the pivot, which may need them widened, padded, or both."""
    rng = np.random.default_rng(10)
    for (h, oh), (w, ow), c in itertools.product([(11, 1), (2, 1), (9, 4)], [(7, 23), (2, 9), (64, 40)], [1, 3]):
        x = data(rng, (h, w, c), CODES[code])
        rows = (np.sort(rng.integers(0, h, oh)), np.ones((oh, 1)), False)
        columns = random_band(rng, w, ow, 2)
        y = poisoned((oh, ow, c), CODES[code])
        native.Program([stage(-3, h, rows), stage(-2, w, columns)]).run(raw(x), raw(y), code)
        check(
            y,
            apply_dense(dense(w, *columns[:2]), x.astype(np.float64)[rows[0]], 1),
            CODES[code],
            4 * np.abs(x.astype(np.float64)).max(),
        )


def spline_factors(n, kind):
    """Factors of a random diagonally dominant matrix: a band, and corners where it is periodic."""
    from halfpixel._solve import factor_cyclic

    rng = np.random.default_rng(n)
    diagonals = rng.uniform(-0.2, 0.3, (n, 5))
    diagonals[:, 2] += 2.0
    diagonals[4:-4] = diagonals[4] if n > 8 else diagonals[4:-4]
    offset = np.arange(5) - 2
    outside = (np.arange(n)[:, None] + offset < 0) | (np.arange(n)[:, None] + offset >= n)
    diagonals[outside] = 0.0
    matrix = np.zeros((n, n))
    for i, row in enumerate(diagonals):
        for k in np.flatnonzero(~outside[i]):
            matrix[i, i + offset[k]] = row[k]
    rows, corner = np.empty(0, np.int64), np.empty((0, n))
    if kind == "cyclic":
        rows, corner = np.array([0, n - 1]), np.zeros((2, n))
        corner[0, n - 1], corner[1, 0] = 0.25, -0.125
        matrix[rows] += corner
    return factor_cyclic(diagonals, 2, rows, corner), matrix


@pytest.mark.parametrize("kind", ["band", "cyclic"])
@pytest.mark.parametrize("n", [3, 7, 64, 1009])
@pytest.mark.parametrize("shape", [(), (5,), (2, 67), (3, 4, 3)])
def test_solves_invert_the_matrix(n, kind, shape, threads):
    """Along every axis, in any layout, in place or not: the same bits, and the dense solution."""
    factors, matrix = spline_factors(n, kind)
    rng = np.random.default_rng(1)
    for dtype, code, tolerance in ((np.float64, "f64", 1e-12), (np.float32, "f32", 1e-5)):
        x = rng.uniform(-1, 1, (*shape, n)).astype(dtype)
        want = np.linalg.solve(matrix, x.reshape(-1, n).T.astype(np.float64)).T.reshape(x.shape)
        first = np.full_like(x, np.nan)
        native.solve(x, first, -1, code, *factors.tables)
        np.testing.assert_allclose(first, want, atol=tolerance)
        for axis in range(-x.ndim, 0):
            for step in (1, 2):
                wide = np.full([2 * s for s in np.moveaxis(x, -1, axis).shape], np.nan, dtype)
                moved = wide[(slice(None, None, step),) * x.ndim][tuple(map(slice, np.moveaxis(x, -1, axis).shape))]
                moved[...] = np.moveaxis(x, -1, axis)
                native.solve(moved, moved, axis, code, *factors.tables)
                assert np.array_equal(np.moveaxis(moved, axis, -1), first)
                assert np.isnan(wide).sum() == wide.size - x.size


def test_solves_refuse_what_does_not_fit():
    factors, _ = spline_factors(64, "band")
    lower, scale, upper, column, correction, head, repeats = factors.tables
    x = np.zeros((3, 64))
    out = np.full_like(x, 7.0)
    bad = {
        "differ in shape": (x[:2], out, -1, "f64", *factors.tables),
        "axis -3": (x, out, -3, "f64", *factors.tables),
        "axis 0": (x, out, 0, "f64", *factors.tables),
        "the axis holds 3": (x, out, -2, "f64", *factors.tables),
        "element code": (x, out, -1, "f32", *factors.tables),
        "float32 or float64": (x.view(np.int64), out.view(np.int64), -1, "i64", *factors.tables),
        "repeats": (x, out, -1, "f64", lower, scale, upper, column, correction, len(scale), repeats),
        "differ in length": (x, out, -1, "f64", lower[1:], scale, upper, column, correction, head, repeats),
        "before the first": (x, out, -1, "f64", lower + 1, scale, upper, column, correction, head, repeats),
        "behind the last": (x, out, -1, "f64", lower, scale, upper + 1, column, correction, head, repeats),
        "outside the axis": (
            x, out, -1, "f64", lower, scale, upper, np.array([64]), np.ones((len(scale), 1)), head, repeats
        ),
    }  # fmt: skip
    for message, arguments in bad.items():
        with pytest.raises(ValueError, match=message):
            native.solve(*arguments)
    assert (out == 7.0).all()
