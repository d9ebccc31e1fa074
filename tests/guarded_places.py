# SPDX-License-Identifier: MIT
"""Copies, pooling, the maps between windows and places, transposed convolution, sums over windows and samples
against guarded pages: see tests/guarded.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from halfpixel import _native as native
from tests.guarded import FILLER, LAYOUTS, SIZES, Guard, region, samples

ELEMENTS: list[Any] = [np.uint8, np.int16, np.float32, np.int64, np.complex128]
CODES: dict[str, Any] = {
    "f32": np.float32, "f64": np.float64, "f16": np.uint16, "bf16": np.uint16, "u8": np.uint8, "i8": np.int8,
    "i16": np.int16, "i32": np.int32,
}  # fmt: skip


def axes_apart(rng: np.random.Generator) -> tuple[int, ...]:
    """Sizes of axes that alternate in one order of memory and lie together in the other."""
    ways, block = int(rng.choice([2, 3, 4, 5, 8, 16])), int(rng.choice([1, 2, 3, 4, 7, 15, 17, 33]))
    return tuple(map(int, rng.permutation([ways, block, int(rng.choice(SIZES))])))


def axes_of_blocks(rng: np.random.Generator) -> tuple[int, ...]:
    """Pixels, blocks of rows and columns, channels: what a pixel shuffle reorders."""
    return int(rng.choice(SIZES)), *map(int, rng.choice([1, 2, 2, 3, 4, 8], 2)), int(rng.integers(1, 9))


def copies(isa: str, log: Any, cases: int) -> int:
    """Every order of the axes in memory on both sides."""
    guard = Guard(4 << 20, log)
    native.set_isa(isa)
    orders = {n: list(itertools.permutations(range(n))) for n in (3, 4)}
    for i, dtype in enumerate(ELEMENTS):
        rng = np.random.default_rng([i, ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            shape = axes_of_blocks(rng) if case % 3 else axes_apart(rng)
            dims = len(shape)
            x = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]
            a, b = (list(orders[dims][rng.integers(len(orders[dims]))]) for _ in range(2))
            permuted = tuple(shape[d] for d in a)
            back, forth = ([order.index(d) for d in range(dims)] for order in (a, b))

            def run(source: np.ndarray, target: np.ndarray, back: Any = back, forth: Any = forth) -> None:
                """x lies in the order `a`, the result in the order `b`."""
                native.rearrange(source.transpose(back), target.transpose(forth))

            layouts = (str(rng.choice(LAYOUTS)), str(rng.choice(LAYOUTS)))
            shape_out = tuple(shape[d] for d in b)
            made = np.empty(shape_out, x.dtype)
            run(np.ascontiguousarray(x.transpose(a)), made)
            if made.tobytes() != np.ascontiguousarray(x.transpose(b)).tobytes():
                raise AssertionError(f"another copy {shape} {a} {b}")
            guard.check(f"{x.dtype} {a} {b} {permuted}", run, x.transpose(a), shape_out, layouts)
    return guard.count


class Edges:
    """Dense arrays at the beginnings and at the ends of regions of their own."""

    def __init__(self, size: int, log: Any) -> None:
        self.regions, self.log, self.count = [region(size) for _ in range(5)], log, 0

    def check(self, what: str, run: Callable[..., Any], given: list[np.ndarray], made: list[np.ndarray]) -> None:
        """`run(*given, *made)` there gives what it gives elsewhere, and nothing beside the results is written."""
        self.log.seek(0)
        self.log.write(what.encode().ljust(300))
        run(*given, *made)
        for at_end in (False, True):
            arrays = []
            for memory, x in zip(self.regions, [*given, *made], strict=False):
                memory[...] = FILLER
                span = memory[-x.nbytes :] if at_end else memory[: x.nbytes]
                arrays.append(span.view(x.dtype))
            for a, x in zip(arrays, given, strict=False):
                a[...] = x
            run(*arrays)
            for memory, a, x in zip(self.regions[len(given) :], arrays[len(given) :], made, strict=False):
                beside = memory[: -x.nbytes] if at_end else memory[x.nbytes :]
                if a.tobytes() != x.tobytes():
                    raise AssertionError(f"other values {'at the end' if at_end else 'at the start'}")
                if not (beside == FILLER).all():
                    raise AssertionError("elements beside the result were written")
        self.count += 1


def pools(isa: str, log: Any, cases: int) -> int:
    """Maxima of windows and their places."""
    edges = Edges(4 << 20, log)
    native.set_isa(isa)
    for i, code in enumerate(CODES):
        rng = np.random.default_rng([i, ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            last, planes = bool(rng.integers(2)), int(rng.integers(1, 4))
            channels = int(rng.choice([1, 2, 3, 7, 8, 15, 16, 17, 33])) if last else 1
            kernel, stride, dilation = rng.integers(1, 6, 3), rng.integers(1, 5, 3), rng.integers(1, 3, 3)
            n = np.array([*rng.integers(1, 8, 2), rng.choice(SIZES)])
            padding = rng.integers(0, kernel // 2 + 1)
            m = np.maximum(n + 2 * padding - dilation * (kernel - 1) - 1, 0) // stride + 1
            x = samples(rng, (planes * channels * math.prod(n.tolist()),), code)
            sizes = [v.tolist() for v in (n, m, kernel, stride, padding, dilation)]
            out, place = (np.empty(planes * channels * math.prod(m.tolist()), t) for t in (x.dtype, np.int64))

            def run(a: Any, b: Any, c: Any, how: Any = (code, planes, channels, last, sizes)) -> None:
                native.max_pool(a, b, c, *how)

            edges.check(f"{code} last {last} {planes} {channels} {sizes}", run, [x], [out, place])
    return edges.count


def maps(isa: str, log: Any, cases: int) -> int:
    """From windows to places and back."""
    edges = Edges(4 << 20, log)
    native.set_isa(isa)
    calls: dict[str, Callable[..., Any]] = {
        "unpool": native.unpool,
        "sum": lambda x, place, out, *sizes: native.pool_back(x, place, out, "f32", *sizes),
        "gather": lambda x, place, out, *sizes: native.gather(x, place, out, False, *sizes),
        "winners": lambda x, place, out, *sizes: native.gather(x, place, out, True, *sizes),
    }
    for i, (name, call) in enumerate(calls.items()):
        rng = np.random.default_rng([i, ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            planes, n_in, n_out = (int(rng.integers(1, top)) for top in (4, 200, 200))
            channels = int(rng.choice([1, 2, 3, 16, 17, 40]))
            place = rng.integers(0, n_out, planes * channels * n_in)
            code = "f32" if name == "sum" else str(rng.choice(["u8", "i16", "f32", "i64"]))
            here, there = (n_out, n_in) if name in ("gather", "winners") else (n_in, n_out)
            x = samples(rng, (planes * channels * here,), code)
            out = np.empty(planes * channels * there, x.dtype)

            def run(a: Any, b: Any, c: Any, call: Any = call, sizes: Any = (planes, channels, n_in, n_out)) -> None:
                if call(a, b, c, *sizes) != -1:
                    raise AssertionError("a place was refused")

            edges.check(f"{name} {code} {planes} {channels} {n_in} {n_out}", run, [x, place], [out])
    return edges.count


def convolutions(isa: str, log: Any, cases: int) -> int:
    """Transposed convolution and its gradients."""
    edges = Edges(16 << 20, log)
    native.set_isa(isa)
    for i, direction in enumerate(("forward", "of_input", "of_weight")):
        rng = np.random.default_rng([i, ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            code = str(rng.choice(["f32", "f64"]))
            channels = [int(rng.choice(of)) for of in ([1, 3], [1, 2], [1, 3, 16, 17, 50], [1, 2, 7, 13])]
            kernel, stride, dilation = rng.integers(1, 6, 3), rng.integers(1, 5, 3), rng.integers(1, 3, 3)
            n = np.array([1, rng.integers(1, 5), rng.choice([1, 2, 7, 16, 31])])
            kernel[0] = rng.integers(1, 3)
            whole = (n - 1) * stride + dilation * (kernel - 1) + 1
            padding = rng.integers(0, np.minimum(whole, 4))
            sizes = [v.tolist() for v in (n, whole - padding, kernel, stride, padding, dilation)]
            last = direction == "of_weight" and bool(rng.integers(2))
            convolution = native.Convolution(code, channels, sizes, last)
            samples_, groups, c_in, c_out = channels
            counts = {
                "x": samples_ * groups * c_in * math.prod(sizes[0]),
                "y": samples_ * groups * c_out * math.prod(sizes[1]),
                "weight": groups * c_in * c_out * math.prod(sizes[2]),
            }
            names = {"forward": "x weight y", "of_input": "y weight x", "of_weight": "x y weight"}[direction].split()
            *given, made = (samples(rng, (counts[name],), code) for name in names)

            def run(*arrays: Any, direction: str = direction, convolution: Any = convolution) -> None:
                *given, out = arrays
                getattr(convolution, direction)(*given, *([None] if direction == "forward" else []), out)

            edges.check(f"{direction} {code} {channels} {sizes} last {last}", run, given, [made])
    return edges.count


def depthwise(isa: str, log: Any, cases: int) -> int:
    """Depthwise transposed convolutions, and both gradients."""
    edges = Edges(8 << 20, log)
    native.set_isa(isa)
    for i, code in enumerate(("f32", "f64", "f16", "bf16")):
        rng = np.random.default_rng([i, ord(isa[-1])])
        computed = np.float64 if code == "f64" else np.float32
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            last, batch = bool(rng.integers(2)), int(rng.integers(1, 3))
            channels, each = (int(rng.choice([1, 7, 8, 16, 17, 33, 65])), 1) if last else rng.integers(1, 4, 2).tolist()
            kernel, stride, dilation = rng.integers(1, 6, 3), rng.choice([1, 2, 3, 4, 8, 9], 3), rng.integers(1, 3, 3)
            stride[0] = min(stride[0], 2)
            n = np.array([*rng.integers(1, 5, 2), rng.choice([1, 7, 15, 16, 17, 33])])
            padding = rng.integers(0, kernel + 1)
            m = np.maximum((n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1, 1)
            channels = max(1, min(channels, (1 << 18) // (batch * each * math.prod(m.tolist()))))
            sizes = [v.tolist() for v in (n, m, kernel, stride, padding, dilation)]
            small, large = (batch * channels * math.prod(v.tolist()) for v in (n, m))
            large, taps = large * each, channels * each * math.prod(kernel.tolist())
            x, grad = samples(rng, (small,), code), samples(rng, (large,), code)
            weight = rng.standard_normal(taps).astype(computed)
            how = (code, batch, channels, each, last, sizes)

            def run(a: Any, w: Any, out: Any, how: Any = how) -> None:
                native.depthwise(a, w, None, out, *how)

            def back(g: Any, a: Any, to_x: Any, to_weight: Any, how: Any = how, w: Any = weight) -> None:
                native.depthwise_back(g, a, w, to_x, to_weight, *how)

            edges.check(f"{how}", run, [x, weight], [np.empty(large, x.dtype)])
            edges.check(f"back {how}", back, [grad, x], [np.empty(small, x.dtype), np.empty(taps, computed)])
    return edges.count


def windows(isa: str, log: Any, cases: int) -> int:
    """Sums over windows and their gradients."""
    edges = Edges(4 << 20, log)
    native.set_isa(isa)
    for i, code in enumerate(("f32", "f64", "f16", "bf16")):
        rng = np.random.default_rng([i, ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            batch, groups, each = (int(rng.integers(1, top)) for top in (3, 3, rng.choice([5, 20, 34])))
            n, scale = np.array([rng.integers(1, 5), rng.choice(SIZES[:17])]), rng.integers(1, 5, 2)
            m = n * scale if rng.random() < 0.7 else rng.integers(1, 2 * n + 1)
            kernel = rng.choice([1, 3, 5], 2)
            channels, taps = groups * each, groups * int(kernel.prod())
            shuffled = bool((m == n * scale).all() and rng.random() < 0.3)
            inner = scale if shuffled else np.array([1, 1])
            size = m // inner
            steps = [taps * int(m.prod()), int(m.prod()), int(size[1]), 1, 0, 0]
            steps[4:] = [int(size.prod() * inner[1]), int(size.prod())]
            if rng.random() < 0.4:  # channels last
                every = taps * int(inner.prod())
                steps[1:] = [int(inner.prod()), int(size[1]) * every, every, int(inner[1]), 1]
            x, y = (samples(rng, (batch * channels * math.prod(s.tolist()),), code) for s in (n, m))
            w = samples(rng, (batch * taps * int(m.prod()),), code)
            last, replicate, soft = (bool(rng.integers(2)) for _ in range(3))
            sizes = [batch, channels, groups, *n.tolist(), *m.tolist(), *kernel.tolist()]
            way = case % 3
            given = [[x, w], [y, w], [x, y, w] if soft else [x, y]][way]
            out = np.empty_like((y, x, w)[way])
            both = way == 2 and soft and bool(rng.integers(2))

            how = (code, code, way, sizes, last, replicate, inner.tolist(), steps, soft)

            def run(*arrays: Any, way: int = way, soft: bool = soft, both: bool = both, how: Any = how) -> None:
                a, b, c = arrays[0], arrays[1], arrays[3 if both else -1]
                ordered = [(a, c, b), (c, a, b), (a, b, c)][way]
                logits = arrays[2] if way == 2 and soft else None
                native.window(*ordered, *how, logits, arrays[4] if both else None)

            made = [out, np.empty_like(x)] if both else [out]
            edges.check(f"{code} {sizes} way {way} last {last}", run, given, made)
    return edges.count


def sampling(isa: str, log: Any, cases: int) -> int:
    """Samples at grids and at offsets, positions outside of the input too, and the gradients."""
    edges = Edges(8 << 20, log)
    native.set_isa(isa)
    for i, (code, at_code) in enumerate((("f32", "f32"), ("f64", "f64"), ("f16", "f16"), ("bf16", "f32"))):
        rng = np.random.default_rng([i, ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            kind = str(rng.choice(["image", "image", "volume", "offsets", "fine"]))
            dims, grid = 3 if kind == "volume" else 2, kind in ("image", "volume")
            batch, groups = int(rng.integers(1, 3)), 1 if grid else int(rng.integers(1, 4))
            channels = int(rng.choice([1, 1, 2, 3, 4, 5, 8, 16, 17, 33]))
            n = [int(rng.integers(1, 5)) for _ in range(dims - 1)] + [int(rng.choice(SIZES[:17]))]
            scale = 0 if grid else int(rng.integers(1, 4))
            m = [int(rng.integers(1, 7)), int(rng.integers(1, 5)), int(rng.choice(SIZES[:17]))][-dims:]
            m = m if grid else [side * scale for side in n]
            mode = int(rng.integers(0, 2 if dims == 3 else 3)) if grid else 0
            how = (mode, int(rng.integers(3)) if grid else 1, bool(rng.integers(2)) if grid else False)
            pixels, planes = math.prod(m), batch * groups * channels
            x, y = (samples(rng, (planes * math.prod(size),), code) for size in (n, m))
            at = samples(rng, (batch * groups * pixels * dims,), at_code)
            x_last, y_last, at_last = (bool(rng.integers(2)) for _ in range(3))
            layouts = ((x_last, y_last), (scale, kind == "fine", at_last and not grid))
            given = (code, at_code, batch, groups, channels, n, m, how, *layouts)

            def run(a: Any, b: Any, out: Any, given: Any = given) -> None:
                native.sample(a, b, out, *given)

            def back(g: Any, a: Any, b: Any, to_x: Any, given: Any = given) -> None:
                native.sample_back(g, a, b, to_x, None, *given)

            def back_at(g: Any, a: Any, b: Any, to_at: Any, given: Any = given) -> None:
                native.sample_back(g, a, b, None, to_at, *given)

            edges.check(f"{given}", run, [x, at], [np.empty_like(y)])
            edges.check(f"back {given}", back, [y, x, at], [np.empty_like(x)])
            if mode != 1:
                edges.check(f"back at {given}", back_at, [y, x, at], [np.empty_like(at)])
            edges.count -= 2 if mode != 1 else 1
    return edges.count
