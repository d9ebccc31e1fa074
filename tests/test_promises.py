# SPDX-License-Identifier: MIT
"""The sentences of docs/promises.md that need a process, a thread or a memory reading of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

import halfpixel
from benchmarks import memory
from halfpixel import backends
from halfpixel.testing.cases import METHODS, Case

needs_kernels = pytest.mark.skipif(backends.why_not("cpu") is not None, reason=str(backends.why_not("cpu")))

FORK = """
import os, sys, warnings
import numpy as np
{first}
import halfpixel
warnings.simplefilter("ignore")  # Python 3.12 warns of every fork with threads: that is the subject
halfpixel.set_num_threads(2)
x = np.random.default_rng(0).random((4, 3, 300, 300), dtype=np.float32)
before = halfpixel.resize(x, (500, 500), filter="cubic")
child = os.fork()
if child == 0:
    same = np.array_equal(before, halfpixel.resize(x, (500, 500), filter="cubic"))
    os._exit(0 if same else 3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, np.array_equal(before, halfpixel.resize(x, (500, 500), filter="cubic")))
"""
CHOSEN = """
import numpy as np, halfpixel
try:
    halfpixel.resize(np.ones(4), 8)
    from halfpixel import _native
    print(_native.isa())
except halfpixel.HalfpixelError as error:
    print(error)
"""


def python(source: str, **environment: str) -> str:
    """What a new interpreter prints; a hang fails."""
    env = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("first", ["", "import torch; torch.ones(1 << 22).exp()"], ids=["alone", "after torch"])
def test_a_child_of_fork_can_resize(first: str) -> None:
    if first and not find_spec("torch"):
        pytest.skip("torch is not installed")
    assert python(FORK.format(first=first)) == "0 True"


@needs_kernels
@pytest.mark.parametrize("isa", ["v2", "v3", "v4", "generic"])
def test_the_environment_chooses_the_instruction_set(isa: str) -> None:
    from halfpixel import _native

    if isa not in _native.isas():
        pytest.skip(f"this processor runs {', '.join(_native.isas())}, not {isa}")
    assert python(CHOSEN, HALFPIXEL_ISA=isa) == isa


@needs_kernels
def test_an_instruction_set_that_does_not_exist_is_refused_by_name() -> None:
    assert "v9" in python(CHOSEN, HALFPIXEL_ISA="v9", HALFPIXEL_BACKEND="cpu")


@needs_kernels
def test_threads_follow_the_environment_and_the_affinity_mask() -> None:
    asked = "import halfpixel; print(halfpixel.get_num_threads())"
    assert python(asked, HALFPIXEL_NUM_THREADS="7") == "7"
    pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + asked
    assert python(pinned, HALFPIXEL_NUM_THREADS="") == "1"


def test_many_python_threads_get_what_one_gets() -> None:
    arrays = [np.random.default_rng(seed).random((3, 61, 67)).astype(np.float32) for seed in range(16)]
    alone = [halfpixel.resize(x, (97, 31), filter="lanczos3") for x in arrays]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x: halfpixel.resize(x, (97, 31), filter="lanczos3"), arrays * 4))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 4, together, strict=True))


@needs_kernels
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="this system cannot reset the peak of memory")
@pytest.mark.parametrize(("method", "size"), [("cubic", 2048), ("cubic_aa", 512)])
def test_a_resize_holds_its_input_its_output_and_little_more(method: str, size: int) -> None:
    case = Case("memory", (1, 4, 1024, 1024), "planar", "float32", (2, 3), (size, size), *METHODS[method])
    found = memory.run(case)
    # 2 MiB: memory comes in huge pages, of which the last may be empty
    assert found.extra <= 0.05 * (found.bytes_in + found.bytes_out) + (2 << 20)
