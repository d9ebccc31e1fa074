# SPDX-License-Identifier: MIT
"""The rows that the benchmark measures, small, against their definition, by every backend; and awkward lengths."""

import numpy as np
import pytest

from halfpixel import plan
from halfpixel.testing import cases, laws
from halfpixel.testing.strategies import samples
from tests.backend import NAMES, only

OWN = [case for case in cases.SMALL if case.like is None]


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("case", OWN, ids=lambda c: c.id)
def test_a_case_is_its_definition(case, backend):
    if case.dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    p, x = plan(case.shape, case.size, **case.options), case.array()
    with only(backend):
        laws.matches_definition(p, x, backend)
        y = laws.run(p, x, backend)
        for name, view in laws.layouts_of(x).items():
            laws.require_equal(laws.run(p, view, backend), y, f"{case.id}, {name}")


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16", "int32", "float16", "complex64", "bool"])
def test_every_length_to_every_length_near_a_vector(dtype, backend):
    r = np.random.default_rng(0)
    for n in (1, 2, 15, 17, 33, 65, 257):
        for m in (1, 7, 8, 9, 16, 33, 64, 129, 255):
            for name in ("linear", "cubic", "nearest", "area"):
                with only(backend):
                    laws.matches_definition(plan((n,), m, filter=name), samples(r, (3, n), dtype), backend)
                    columns = plan((n, 3), m, axes=0, filter=name)
                    laws.matches_definition(columns, samples(r, (n, 3), dtype), backend)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64", "int32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16, 17])
def test_interleaved_channels(channels, dtype, backend):
    r = np.random.default_rng(channels)
    for size_in, size_out in (((9, 20), (17, 51)), ((40, 33), (9, 10)), ((2, 2), (1, 9)), ((30, 5), (31, 4))):
        for name in ("linear", "lanczos3", "area"):
            p = plan((*size_in, channels), size_out, axes=(0, 1), filter=name)
            with only(backend):
                laws.matches_definition(p, samples(r, (*size_in, channels), dtype), backend)


@pytest.mark.parametrize("backend", NAMES)
def test_wide_kernels(backend):
    x = samples(np.random.default_rng(0), (2, 500, 3), "float32")
    for m in (1, 2, 3, 7, 100):
        for edge in ("crop", "wrap", "reflect"):
            p = plan(x.shape, m, axes=1, filter="lanczos5", edge=edge)
            with only(backend):
                laws.matches_definition(p, x, backend)
                laws.matches_definition(p.T, samples(np.random.default_rng(1), (2, m, 3), "float32"), backend)
