# SPDX-License-Identifier: MIT
"""Several Python threads at once, the number of threads, and what happens when there are none or the program ends."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

import halfpixel
from halfpixel import backends
from tests.process import run_python

if backends.why_not("cpu") is not None:
    pytest.skip(str(backends.why_not("cpu")), allow_module_level=True)
native = pytest.importorskip("halfpixel._native")
on_linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    threads, isa = native.num_threads(), native.isa()
    yield
    native.set_num_threads(threads)
    native.set_isa(isa)


def all_at_once(count: int, work: Callable[[int], None]) -> None:
    """Runs work(0) ... work(count - 1), each in its own thread, started together; the first error is raised."""
    start = threading.Barrier(count)

    def one(i: int) -> None:
        start.wait()
        work(i)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(one, i) for i in range(count)]:
            done.result(60)


def poisoned(shape: tuple[int, ...], dtype: object) -> np.ndarray:
    y = np.empty(shape, dtype)
    y.view(np.uint8)[...] = 0xFF
    return y


JOBS = [
    ("float32", (3, 211, 307), (400, 230), "cubic"),
    ("uint8", (2, 301, 203), (150, 411), "lanczos3"),
    ("float64", (1, 97, 1021), (301, 300), "linear"),
    ("uint16", (4, 128, 131), (257, 263), "nearest"),
    ("float16", (2, 150, 301), (75, 150), "area"),
]


def job(i: int) -> tuple[halfpixel.Plan, np.ndarray]:
    dtype, shape, size, name = JOBS[i % len(JOBS)]
    x = np.random.default_rng(i).random(shape) * (1 if "f" in dtype else 255)
    return halfpixel.plan(shape[1:], size, filter=name), x.astype(dtype)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_that_share_plans_get_what_one_thread_gets(threads: int) -> None:
    halfpixel.set_num_threads(1)
    jobs = [job(i) for i in range(2 * len(JOBS))]
    alone = [p(x) for p, x in jobs]
    halfpixel.set_num_threads(threads)

    def work(seed: int) -> None:
        for i in np.random.default_rng(seed).permutation(len(jobs)).tolist():
            p, x = jobs[i]
            y = poisoned(alone[i].shape, x.dtype)
            p(x, out=y)
            assert np.array_equal(y, alone[i]), JOBS[i % len(JOBS)]

    all_at_once(6, work)


def selecting(rng: np.random.Generator, n: int, m: int) -> tuple[object, ...]:
    return (-1, n, np.sort(rng.integers(0, n, m)), np.ones((m, 1)), False, None, None)


def mixing(rng: np.random.Generator, axis: int, n: int, m: int, taps: int) -> tuple[object, ...]:
    return (axis, n, np.sort(rng.integers(0, n - taps + 1, m)), rng.random((m, taps)), False, None, None)


def test_settings_may_change_while_others_compute() -> None:
    """Programs build their tables at the first call, here while another thread changes the instruction set."""
    rng = np.random.default_rng(0)
    x = rng.random((240, 300), dtype=np.float32)
    stages = [mixing(rng, -1, 300, 401, 4), mixing(rng, -2, 240, 333, 3)]
    copying = [selecting(rng, 300, 999)]
    allowed, index = set(), copying[0][2]
    for isa in native.isas():
        native.set_isa(isa)
        y = poisoned((333, 401), np.float32)
        native.Program(stages).run(x, y, "f32")
        allowed.add(y.tobytes())
    stop = threading.Event()

    def change() -> None:
        for isa, threads in itertools.cycle(itertools.product(native.isas(), (1, 3, 2))):
            native.set_isa(isa)
            native.set_num_threads(threads)
            if stop.wait(0.0003):
                return

    def work(_: int) -> None:
        for _ in range(25):
            y, z = poisoned((333, 401), np.float32), poisoned((240, 999), np.float32)
            program, copier = native.Program(stages), native.Program(copying)
            for _ in range(2):
                program.run(x, y, "f32")
                copier.run(x, z, "f32")
                assert y.tobytes() in allowed
                assert np.array_equal(z, x[:, index])

    changer = threading.Thread(target=change)
    changer.start()
    try:
        all_at_once(3, work)
    finally:
        stop.set()
        changer.join()


def test_one_program_builds_tables_for_many_layouts_at_once() -> None:
    """More channel counts than a program keeps tables for, asked for by all threads."""
    rng = np.random.default_rng(1)
    program = native.Program([mixing(rng, -2, 40, 53, 3)])
    inputs = [rng.random((7, 40, c), dtype=np.float32) for c in range(1, 30)]
    expected = []
    for x in inputs:
        expected.append(poisoned((7, 53, x.shape[2]), np.float32))
        program.run(x, expected[-1], "f32")

    def work(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, len(inputs), 150):
            y = poisoned(expected[i].shape, np.float32)
            program.run(inputs[i], y, "f32")
            assert np.array_equal(y, expected[i]), inputs[i].shape

    all_at_once(4, work)


def test_the_number_of_threads_is_what_was_set() -> None:
    for n in (1, 2, 7, 4096):
        halfpixel.set_num_threads(n)
        assert halfpixel.get_num_threads() == native.num_threads() == n
    for bad in (0, -1, 4097, 2.5):
        with pytest.raises(ValueError, match="number of threads"):
            halfpixel.set_num_threads(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="number of threads"):
        halfpixel.set_num_threads("two")  # type: ignore[arg-type]
    assert halfpixel.get_num_threads() == 4096


def test_more_threads_than_work_and_than_processors_change_nothing() -> None:
    for i in range(len(JOBS)):
        p, x = job(i)
        results = []
        for n in (1, 2, 3, 8, 4096):
            halfpixel.set_num_threads(n)
            results.append(p(x).tobytes())
        assert len(set(results)) == 1, JOBS[i]


SHOW = "import halfpixel; print(halfpixel.get_num_threads())"


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("99999999999999999999", 4096)])
def test_the_environment_sets_the_number(text: str, expected: int) -> None:
    assert run_python(SHOW, HALFPIXEL_NUM_THREADS=text) == str(expected)


@on_linux
def test_nonsense_in_the_environment_means_the_affinity_mask() -> None:
    allowed = str(len(os.sched_getaffinity(0)))
    assert {run_python(SHOW, HALFPIXEL_NUM_THREADS=text) for text in ("", "0", "-3", "two")} == {allowed}


MASKED = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, halfpixel
from halfpixel import _native
tasks = lambda: len(os.listdir("/proc/self/task"))
before = tasks()
x = np.random.default_rng(0).random((4, 256, 256), dtype=np.float32)
y = halfpixel.resize(x, (512, 512))
assert (halfpixel.get_num_threads(), tasks() - before) == (1, 0), (halfpixel.get_num_threads(), tasks() - before)
halfpixel.set_num_threads(3)
assert np.array_equal(y, halfpixel.resize(x, (512, 512)))
print(_native.thread_runtime(), tasks() - before)
"""


@on_linux
def test_a_mask_of_one_processor_starts_no_threads() -> None:
    """And a pool of three is the caller and two more."""
    assert run_python(MASKED, HALFPIXEL_NUM_THREADS="", OPENBLAS_NUM_THREADS="1") == "own 2"


REFUSED = """
import os, resource
import numpy as np, halfpixel
halfpixel.set_num_threads(1)
x = np.random.default_rng(0).random((4, 256, 256), dtype=np.float32)
p = halfpixel.plan((256, 256), (512, 512), filter="cubic")
expected, y = p(x), np.full((4, 512, 512), np.nan, np.float32)
p(x, out=y)
y[...] = np.nan
halfpixel.set_num_threads(8)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20),) * 2)  # no room for the stack of another thread
p(x, out=y)
print(np.array_equal(y, expected), len(os.listdir("/proc/self/task")))
"""


@on_linux
def test_where_the_system_grants_no_threads_the_caller_does_the_work() -> None:
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer needs the address space itself")
    assert run_python(REFUSED, OPENBLAS_NUM_THREADS="1") == "True 1"


AT_EXIT = """
import sys, threading, time
import numpy as np, halfpixel
halfpixel.set_num_threads(3)
x = np.random.default_rng(0).random((3, 300, 300), dtype=np.float32)
p = halfpixel.plan((300, 300), (500, 500), filter="cubic")
began = threading.Semaphore(0)
def forever():
    p(x)
    began.release()
    while True:
        p(x)
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
for _ in range(3):
    began.acquire()
time.sleep(0.05)
print("end")
"""


def test_a_program_may_end_while_daemon_threads_compute() -> None:
    """Python before 3.14 unwinds such threads, which aborts the process if C++ code is in the way."""
    for _ in range(2):
        assert run_python(AT_EXIT, OPENBLAS_NUM_THREADS="1") == "end"


TORCH_LATER = """
import numpy as np, halfpixel
from halfpixel import _native
halfpixel.set_num_threads(3)
x = np.random.default_rng(0).random((3, 300, 300), dtype=np.float32)
p = halfpixel.plan((300, 300), (500, 500), filter="cubic")
alone, before = p(x), _native.thread_runtime()
import torch
torch.set_num_threads(2)
mixed = []
for _ in range(5):
    torch.ones(1 << 20).exp()
    mixed.append(p(x))
import threading
others = []
threads = [threading.Thread(target=lambda: others.append(p(x))) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(before, _native.thread_runtime(), len(others), all(np.array_equal(alone, y) for y in mixed + others))
"""


@pytest.mark.skipif(not find_spec("torch"), reason="torch is not installed")
@pytest.mark.skipif(sys.platform != "linux", reason="torch brings libgomp on Linux only")
def test_torch_that_comes_later_lends_its_threads() -> None:
    assert run_python(TORCH_LATER) == "own openmp 4 True"
