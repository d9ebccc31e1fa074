# SPDX-License-Identifier: MIT
"""Children of fork(): after our own threads ran, after torch's did, while others compute, and in worker pools.

A child has only the thread that forked: what waits for another thread, or for a lock that one held, waits for ever.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from halfpixel import backends
from tests.process import run_python

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.skipif(backends.why_not("cpu") is not None, reason=str(backends.why_not("cpu"))),
]
needs_torch = pytest.mark.skipif(not find_spec("torch"), reason="torch is not installed")

COMMON = """
import os, sys, threading, traceback, warnings
import numpy as np
warnings.simplefilter("ignore")  # Python 3.12 warns of every fork with threads: that is the subject
x = np.random.default_rng(0).random((3, 300, 300), dtype=np.float32)
def child_gets(check):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if check() else 3)
        except BaseException:
            traceback.print_exc()
            os._exit(4)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"the child ended with {status}"
def step(text):
    print(text, end=" ")
"""

ALONE = (
    COMMON
    + """
import multiprocessing, halfpixel
from halfpixel import _native
halfpixel.set_num_threads(3)
p = halfpixel.plan((300, 300), (500, 400), filter="cubic")
expected = p(x)
same = lambda: np.array_equal(p(x), expected)
def grandchild():
    child_gets(same)
    return same()
step("child"), child_gets(same)
step("grandchild"), child_gets(grandchild)
step("tasks"), child_gets(lambda: same() and len(os.listdir("/proc/self/task")) == 3)
step("pool")
def resized(seed):
    return p(np.random.default_rng(seed).random((3, 300, 300), dtype=np.float32))
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = pool.map(resized, range(4))
assert all(np.array_equal(y, resized(i)) for i, y in enumerate(results))
assert np.array_equal(results[0], expected)
step("parent")
assert same()
print(_native.thread_runtime())
"""
)


def test_children_of_a_process_with_our_threads() -> None:
    assert run_python(ALONE, OPENBLAS_NUM_THREADS="1") == "child grandchild tasks pool parent own"


# The other threads build tables and use the pool all the time, so that some fork meets a lock that is held.
BUSY = (
    COMMON
    + """
import halfpixel
from halfpixel import _native
halfpixel.set_num_threads(2)
n, taps = 300, 3
rng = np.random.default_rng(1)
band = (-2, n, np.sort(rng.integers(0, n - taps, 400)), rng.random((400, taps)), False, None, None)
program = _native.Program([band])
inputs = [rng.random((n, c), dtype=np.float32) for c in range(1, 40)]
def compute(i):
    y = np.full((400, inputs[i].shape[1]), np.nan, np.float32)
    program.run(inputs[i], y, "f32")
    return y
expected = [compute(i) for i in range(len(inputs))]
p = halfpixel.plan((300, 300), (500, 400), filter="cubic")
whole = p(x)
stop = threading.Event()
def build():
    while not stop.is_set():
        for i in range(len(inputs)):
            compute(i)
def resize():
    while not stop.is_set():
        p(x)
threads = [threading.Thread(target=f) for f in (build, build, resize)]
[t.start() for t in threads]
for i in range(40):
    child_gets(lambda: np.array_equal(compute(i % 39), expected[i % 39]) and np.array_equal(p(x), whole))
stop.set()
[t.join() for t in threads]
print("done")
"""
)


def test_a_fork_while_other_threads_compute() -> None:
    assert run_python(BUSY, OPENBLAS_NUM_THREADS="1") == "done"


AFFINITY = (
    COMMON
    + """
import halfpixel
{set}
before = halfpixel.get_num_threads()
def pinned():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return halfpixel.get_num_threads() == {expected}
child_gets(pinned)
print(halfpixel.get_num_threads() == before)
"""
)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
@pytest.mark.parametrize(("chosen", "expected"), [("", 1), ("halfpixel.set_num_threads(5)", 5)])
def test_a_pinned_child_counts_its_own_processors_unless_told(chosen: str, expected: int) -> None:
    code = AFFINITY.replace("{set}", chosen).replace("{expected}", str(expected))
    assert run_python(code, HALFPIXEL_NUM_THREADS="") == "True"


AFTER_TORCH = (
    COMMON
    + """
import multiprocessing, torch
torch.set_num_threads(2)
torch.ones(1 << 22).exp()
assert len(os.listdir("/proc/self/task")) > 1, "torch has started no threads, so this proves nothing"
def first_use():
    import halfpixel
    halfpixel.set_num_threads(2)
    return halfpixel.resize(x, (500, 400), filter="cubic").shape == (3, 500, 400)
step("imported in the child"), child_gets(first_use)
import halfpixel
from halfpixel import _native
halfpixel.set_num_threads(2)
step("used in the child"), child_gets(first_use)
p = halfpixel.plan((300, 300), (500, 400), filter="cubic")
expected = p(x)
same = lambda: np.array_equal(p(x), expected)
assert _native.thread_runtime() == "openmp"
step("used in both"), child_gets(lambda: same() and _native.thread_runtime() == "own")
step("pool")
def resized(seed):
    return p(np.random.default_rng(seed).random((3, 300, 300), dtype=np.float32))
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(np.array_equal(y, resized(i)) for i, y in enumerate(pool.map(resized, range(4))))
step("loader")
class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return torch.from_numpy(resized(i))
seen = 0
for batch in torch.utils.data.DataLoader(Pictures(), batch_size=2, num_workers=2, multiprocessing_context="fork"):
    for y in batch.numpy():
        assert np.array_equal(y, resized(seen))
        seen += 1
assert seen == 8
step("parent")
torch.ones(1 << 22).exp()
assert same()
print(_native.thread_runtime())
"""
)


@needs_torch
def test_children_of_a_process_in_which_torch_has_computed() -> None:
    """torch's runtime has threads in the parent only; it must not be used in a child, not even for the first time."""
    steps = run_python(AFTER_TORCH)
    assert steps == "imported in the child used in the child used in both pool loader parent openmp"
