# SPDX-License-Identifier: MIT
"""Derivatives of any order and kind, and what a compiler makes of the operator."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from halfpixel.nn import _how, functional  # noqa: E402

# torch's own forward mode scripts its decompositions.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

WAYS = {
    "nearest": lambda x: functional.interpolate(x, size=(7, 4), mode="nearest"),
    "bilinear": lambda x: functional.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "bicubic": lambda x: functional.interpolate(x, size=(3, 11), mode="bicubic", antialias=True),
    "area": lambda x: functional.interpolate(x, size=(2, 3), mode="area"),
    "lanczos in a box": lambda x: functional.resize(x, (9, 4), filter="lanczos3", box=((0.5, 4), (1, 5.25))),
    "a fill": lambda x: functional.resize(x, (9, 4), filter="cubic", edge="constant", fill=3.0),
    "a spline": lambda x: functional.resize(x, scale=2, axes=(1, 3), filter="spline3", edge="reflect"),
}


@pytest.mark.parametrize("way", WAYS)
def test_first_and_second_derivatives(way):
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert gradcheck(WAYS[way], x, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(WAYS[way], x)


def test_complex_derivatives():
    x = torch.rand(2, 4, 5, dtype=torch.complex128, requires_grad=True)
    assert gradcheck(lambda t: functional.resize(t, (6, 7), filter="cubic"), x)


@pytest.mark.parametrize("way", WAYS)
def test_tangents_have_the_values_of_the_linear_part(way):
    x, v = torch.rand(2, 2, 3, 5, 6, dtype=torch.float64)
    value, tangent = torch.func.jvp(WAYS[way], (x,), (v,))
    torch.testing.assert_close(value, WAYS[way](x))
    torch.testing.assert_close(tangent, WAYS[way](v) - WAYS[way](torch.zeros_like(v)))


def test_hessian_of_a_square_is_twice_the_gram_matrix():
    hessian = torch.func.hessian(lambda t: (functional.resize(t, 7, filter="cubic") ** 2).sum())(torch.rand(4).double())
    rows = torch.func.jacrev(lambda t: functional.resize(t, 7, filter="cubic"))(torch.rand(4).double())
    torch.testing.assert_close(hessian, 2 * rows.T @ rows)


def test_vmap_maps_any_dimension():
    x = torch.rand(2, 4, 3, 5, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no slow fallback
        y = torch.vmap(lambda t: functional.interpolate(t, scale_factor=2, mode="bilinear"), in_dims=1)(x)
    want = torch.stack([functional.interpolate(x[:, i], scale_factor=2, mode="bilinear") for i in range(4)])
    assert torch.equal(y, want)


def test_the_gradient_is_the_adjoint_in_half_precision():
    for dtype, allowed in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        x = torch.rand(1, 4, 9, 11).to(dtype).requires_grad_()
        y = functional.interpolate(x, size=(20, 6), mode="bilinear")
        towards = torch.rand(y.shape).to(dtype)
        (grad,) = torch.autograd.grad(y, x, towards)
        left, right = (y.double() * towards.double()).sum(), (x.double() * grad.double()).sum()
        assert abs(left - right) <= allowed * left


def test_gradients_are_the_same_bits_every_time():
    torch.use_deterministic_algorithms(True)
    try:
        x = torch.rand(2, 8, 40, 50, requires_grad=True)
        y = functional.interpolate(x, scale_factor=2.5, mode="bicubic")
        grads = [torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0] for _ in range(5)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(grad, grads[0]) for grad in grads)


def test_the_operator_keeps_its_promises_to_torch():
    how = _how.written((-2, -1), like="torch.bilinear")
    last = torch.rand(1, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    for x in (torch.rand(1, 2, 3, 4, requires_grad=True), last):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.library.opcheck(
                torch.ops.halfpixel.resize.default, (x, how, tuple(x.shape[2:]), (6, 7), False), raise_exception=True
            )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "function",
    [
        lambda x, r: functional.interpolate(x, scale_factor=2, mode="bilinear").sin(),
        lambda x, r: functional.interpolate(x, size=r.shape[2:], mode="nearest").sin(),
        lambda x, r: functional.resize(x, filter="cubic", size_like=r).sin(),
        lambda x, r: functional.resize(x, scale=1.5, axes=(-2, -1), filter="lanczos3").sin(),
    ],
)
def test_compiles_whole_with_dynamic_shapes(function):
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (4, 5, 9):
        x, reference = torch.rand(1, 2, n, n + 1, requires_grad=True), torch.rand(1, 1, n + 3, 2 * n)
        want, got = function(x, reference), compiled(x, reference)
        assert torch.equal(want, got)
        assert torch.equal(*(torch.autograd.grad(y.sum(), x)[0] for y in (want, got)))


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_function_never_returns_another_size_than_it_promised():
    """OpenCV rounds 2.5 to even, and a box has a length of its own."""
    torch._dynamo.reset()
    x = torch.rand(5, 5)
    assert functional.resize(x, scale=1.5, axes=(0, 1), like="opencv.linear").shape == (8, 8)
    for options, says in (({"like": "opencv.linear"}, "was expected"), ({"box": ((0, 3), (0, 3))}, "box=")):
        compiled = torch.compile(
            lambda t, o=options: functional.resize(t, scale=1.5, axes=(0, 1), **o), fullgraph=True, backend="aot_eager"
        )
        with pytest.raises(Exception, match=says):
            compiled(x)
