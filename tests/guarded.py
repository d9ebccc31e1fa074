# SPDX-License-Identifier: MIT
"""Arrays against pages that must not be touched: run in a process of its own, which dies of the first byte too many.

The kernels load and store whole registers, near the ends of rows too. Every case runs with both arrays at the start of
their regions, and again with both at the end; what lies between an output's elements must keep what it held.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

import halfpixel
from halfpixel import _native as native

CODES: dict[str, Any] = {
    "f32": np.float32, "f64": np.float64, "f16": np.uint16, "bf16": np.uint16, "u8": np.uint8, "i8": np.int8,
    "u16": np.uint16, "i16": np.int16, "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64,
    "bool": np.uint8,
}  # fmt: skip
SIZES = [1, 1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 129]
LAYOUTS = ["dense", "dense", "fortran", "backwards", "gaps", "last axis outermost"]
FILLER = 0xA5


def strides(shape: tuple[int, ...], layout: str) -> list[int]:
    """In elements."""
    order = list(range(len(shape)))[::-1]
    if layout == "fortran":
        order.reverse()
    elif layout == "last axis outermost":
        order = [*order[1:], order[0]]
    result, step = [0] * len(shape), 2 if layout == "gaps" else 1
    for d in order:
        result[d] = step
        step = step * shape[d] + (3 if layout == "gaps" else 0)
    return [-s for s in result] if layout == "backwards" else result


class Placed:
    """An array, and the elements between its first and its last in memory that are not its own."""

    def __init__(self, memory: np.ndarray, shape: tuple[int, ...], layout: str, dtype: Any, at_end: bool) -> None:
        steps = strides(shape, layout)
        reach = [s * (n - 1) for s, n in zip(steps, shape, strict=True)]
        before, item = -sum(min(r, 0) for r in reach), np.dtype(dtype).itemsize
        size = (before + sum(max(r, 0) for r in reach) + 1) * item
        self.span = (memory[-size:] if at_end else memory[:size]).view(dtype)
        self.array: np.ndarray = np.ndarray(shape, dtype, self.span, before * item, [s * item for s in steps])
        self.span.view(np.uint8)[...] = FILLER
        self.between = np.ones(len(self.span), np.bool_)
        np.ndarray(shape, np.bool_, self.between, before, steps)[...] = False

    def gaps_kept(self) -> bool:
        return bool((self.span[self.between].view(np.uint8) == FILLER).all())


def region(size: int) -> np.ndarray:
    """Memory between two pages that may be neither read nor written."""
    page = mmap.PAGESIZE
    size = -(-size // page) * page
    memory = mmap.mmap(-1, size + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for guard in (address, address + page + size):
        if protect(guard, page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    return np.frombuffer(memory, np.uint8)[page:-page]


def samples(rng: np.random.Generator, shape: tuple[int, ...], code: str) -> np.ndarray:
    dtype = np.dtype(CODES[code])
    if code == "f16":
        return rng.standard_normal(shape).astype(np.float16).view(np.uint16)
    if code == "bf16":
        return (rng.standard_normal(shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2 if code == "bool" else 100, shape).astype(dtype)


class Guard:
    """Runs cases, and writes into `log` which one is running."""

    def __init__(self, size: int, log: Any) -> None:
        self.x, self.out, self.log, self.count = region(size), region(size), log, 0

    def check(self, what: str, run: Any, x: np.ndarray, shape: tuple[int, ...], layouts: tuple[str, str]) -> None:
        self.log.seek(0)
        self.log.write(f"{what} {x.shape} -> {shape} {layouts}".encode().ljust(300))
        expected = np.empty(shape, x.dtype)
        run(x, expected)
        for at_end in (False, True):
            source = Placed(self.x, x.shape, layouts[0], x.dtype, at_end)
            target = Placed(self.out, shape, layouts[1], x.dtype, at_end)
            source.array[...] = x
            run(source.array, target.array)
            if target.array.tobytes() != expected.tobytes():
                raise AssertionError(f"other values {'at the end' if at_end else 'at the start'}")
            if not target.gaps_kept():
                raise AssertionError("elements between those of the output were written")
        self.count += 1


def random_pass(rng: np.random.Generator, axis: int, n: int, m: int, kind: str) -> tuple[Any, ...]:
    taps = min(n, 1 if kind == "copy" else int(rng.integers(1, 10)))
    periodic = kind == "mix" and rng.random() < 0.15
    start = np.floor((np.arange(m) + 0.5) * n / m - taps / 2 + 0.5).astype(np.int64)
    start = start % n if periodic else np.clip(start, 0, n - taps)
    if rng.random() < 0.1:
        start = rng.integers(0, n - taps + 1, m)
    weight = np.ones((m, taps))
    if kind != "copy":
        weight = rng.uniform(-0.2, 1.0, (m, taps)) / taps
        weight[rng.random((m, taps)) < rng.choice([0, 0, 0.3])] = 0.0
    if kind == "fixed":
        return (axis, n, start, np.rint(weight * 1024), False, None, ("fixed", 0, 0, 10, 0, 255))
    bias = rng.standard_normal(m) if kind == "mix" and rng.random() < 0.15 else None
    return (axis, n, start, weight, periodic, bias, None)


def random_case(rng: np.random.Generator, code: str, guard: Guard) -> None:
    kind = str(rng.choice(["mix", "mix", "mix", "copy", "fixed"]))
    if kind == "fixed" and code not in ("u8", "i8", "u16", "i16"):
        kind = "mix"
    form = int(rng.integers(4))
    n, m = rng.choice(SIZES, 3), rng.choice(SIZES, 3)
    channels = int(rng.choice([1, 2, 3, 4, 5, 15, 16, 19, 40, 300]))
    # a signal, a plane, pixels with channels, a volume: the shape, and which axes are resampled
    shape, axes = [((), 1), ((2,), 2), ((channels,), 2), ((), 3)][form]
    first, last = ((), shape) if form == 2 else (shape, ())
    if form == 3:
        n, m = np.minimum(n, 33), np.minimum(m, 33)
    x = samples(rng, (*first, *map(int, n[:axes]), *last), code)
    order = rng.permutation(axes).tolist()
    passes = [random_pass(rng, d - axes - len(last), int(n[d]), int(m[d]), kind) for d in order]
    program = native.Program(passes, compute="fixed" if kind == "fixed" else "natural")
    layouts = (str(rng.choice(LAYOUTS)), str(rng.choice(LAYOUTS)))
    shape = (*first, *map(int, m[:axes]), *last)
    guard.check(f"{code} {kind} {passes[0][3].shape}", lambda a, b: program.run(a, b, code), x, shape, layouts)


def small(isa: str, log: Any, cases: int) -> int:
    guard = Guard(64 << 20, log)
    native.set_isa(isa)
    for i, code in enumerate(CODES):
        rng = np.random.default_rng([i, len(isa), ord(isa[-1])])
        for case in range(cases):
            native.set_num_threads(1 + 2 * (case % 2))
            random_case(rng, code, guard)
    return guard.count


LARGE = [  # outputs that are stored past the caches, none a multiple of a cache line
    ("u8", (1531, 1409), (2933, 2861), -1),
    ("u8", (1001, 700, 3), (1999, 1401, 3), -2),
    ("f32", (3, 401, 503), (3, 801, 907), -1),
    ("f32", (301, 257, 19), (401, 283, 19), -2),
    ("f16", (901, 1103), (2203, 1901), -1),
    ("f64", (601, 503), (1201, 877), -1),
]
RUNS = [("mix", ("dense", "dense")), ("copy", ("dense", "dense")), ("mix", ("backwards", "gaps"))]


def large(isa: str, log: Any) -> int:
    guard = Guard(48 << 20, log)
    native.set_isa(isa)
    rng = np.random.default_rng(0)
    for code, shape, shape_out, axis in LARGE:
        for kind, layouts in RUNS:
            program = native.Program([random_pass(rng, a, shape[a], shape_out[a], kind) for a in (axis, axis - 1)])
            x = samples(rng, shape, code)
            guard.check(f"large {code} {kind}", lambda a, b, p=program, c=code: p.run(a, b, c), x, shape_out, layouts)
    return guard.count


def plans(isa: str, log: Any) -> int:
    """The public way, with the bands and prefilters that users get."""
    guard = Guard(1 << 20, log)
    native.set_isa(isa)
    rng = np.random.default_rng(1)
    for name in ("nearest", "linear", "cubic", "lanczos3", "area", "spline3"):
        for edge in ("crop", "wrap", "edge", "constant"):
            for n, m in (((9, 14), (18, 28)), ((33, 40), (11, 13)), ((1, 5), (3, 1)), ((17, 64), (34, 65))):
                p = halfpixel.plan(n, m, filter=name, edge=edge)
                for code in ("f32", "u8", "f64", "i16"):
                    layouts = (str(rng.choice(LAYOUTS)), str(rng.choice(LAYOUTS)))
                    x = samples(rng, (2, *n), code)
                    guard.check(f"{name} {edge} {code}", lambda a, b, p=p: p(a, out=b), x, (2, *m), layouts)
    return guard.count
